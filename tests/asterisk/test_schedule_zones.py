"""Times of updates in a zone whose clocks change just then: the switch comes at the right instant, not an hour off."""

import datetime as dt
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.asterisk.conftest import StartAsterisk
from tests.asterisk.pbx import TO_DEFAULT
from tests.asterisk.schedule import (
    FLOWS,
    OLD,
    PATIENT,
    PATIENT_ROUTER,
    RATE,
    SOME,
    Change,
    Given,
    Updates,
    assert_as_planned,
    data,
    scheduled,
    take_up,
    to,
    written,
)
from tests.asterisk.traffic import Traffic
from tests.processes import Router, ringway, running_router

pytestmark = pytest.mark.asterisk

HOUR_MS = 3_600_000
FORWARD, BACK = "+442079460000", "+442079460001"


def write_zone(folder: Path, name: str, change_s: int, before_h: int, after_h: int) -> None:
    """Write a time zone file (RFC 9636) whose clocks change at a moment (seconds since 1970)."""

    def block(size: str) -> bytes:
        # The one of half a year ago makes both kinds of time ordinary ones: what was before it is never asked for.
        times = [change_s - 182 * 86_400, change_s]
        kinds = [struct.pack(">lBB", hours * 3600, hours > 0, 0) for hours in (before_h, after_h)]
        header = struct.pack(">4sc15x6l", b"TZif", b"2", 0, 0, 0, len(times), len(kinds), 4)
        return header + struct.pack(f">2{size}2B", *times, 0, 1) + b"".join(kinds) + b"RWT\0"

    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(block("l") + block("q") + f"\nRWT{-after_h}\n".encode())


def refusal(router: Router, environment: Mapping[str, str], zone: str, shown: str) -> tuple[str, str, str]:
    """Why `ringway load` refuses a local time, and the two exact times that it offers, the earlier one first."""
    text = data({FORWARD: [{"at": shown, "call_flow": "new"}]}, zones=(zone,))
    done = ringway("load", "-", config=router.config, stdin=text, environment=environment)
    assert done.status == 1
    found = re.search(rf"{re.escape(shown)}\S* (.*) in {zone}; write (\S+) or (\S+)\n", done.err)
    assert found is not None, done.err
    earlier, later = sorted(found.groups()[1:], key=dt.datetime.fromisoformat)
    return found[1], earlier, later


def test_the_switch_is_at_the_right_instant(start_asterisk: StartAsterisk, tmp_path: Path) -> None:
    asterisk = start_asterisk(flows=FLOWS, variables=PATIENT)
    environment = {"PYTHONTZPATH": str(tmp_path / "zones")}
    after_ms = 1300

    def updates(first: str, second: str) -> Updates:
        return [
            {"at": first, "call_flow": "new", "parameters": {"GREETING": "Before"}},
            {"at": second, "call_flow": "late", "parameters": {"GREETING": "After"}},
        ]

    with running_router(tmp_path, data=data({}), settings=PATIENT_ROUTER, environment=environment) as router:
        asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{router.agi_port}")

        def plan(before: int) -> str:
            after = before + after_ms
            change_s = after // 1000
            write_zone(tmp_path / "zones", "Forward", change_s, 0, 1)
            write_zone(tmp_path / "zones", "Back", change_s, 1, 0)
            # Clocks go forward: what they show after the change is an hour more, and they show it once.
            forward = updates(written(before), written(after + HOUR_MS, None))
            # Clocks go back: what they show before and after the change, they show twice.
            _, first, _ = refusal(router, environment, "Back", written(before + HOUR_MS, None))
            _, _, second = refusal(router, environment, "Back", written(after, None))
            return data({FORWARD: forward, BACK: updates(first, second)}, zones=("Forward", "Back"))

        with Traffic(asterisk, [FORWARD, BACK], RATE * 2) as traffic:
            before, from_ms = scheduled(router, traffic, SOME * 2, plan, environment)
            after = before + after_ms
            traffic.after(after, SOME * 2)
            calls = [call for call in traffic.end().calls if call.started_ms >= from_ms]
    for number in (FORWARD, BACK):
        changes = [
            Change(before, Given("scheduled", "new", "Before")),
            Change(after, Given("scheduled", "late", "After")),
        ]
        assert_as_planned(to(calls, number), OLD, *changes)
    asterisk.assert_no_surprise(TO_DEFAULT)


@pytest.mark.parametrize(
    ("zone", "offsets_h", "expected"),
    [
        ("Forward", (0, 1), ("does not exist: clocks skip it", "00:10:00+00:00", "02:10:00+01:00")),
        ("Back", (1, 0), ("happens twice: clocks go back then", "01:10:00+01:00", "01:10:00+00:00")),
    ],
)
def test_a_skipped_or_repeated_local_time_is_refused(
    tmp_path: Path, zone: str, offsets_h: Sequence[int], expected: Sequence[str]
) -> None:
    change = dt.datetime(2031, 3, 30, 1, tzinfo=dt.UTC)
    write_zone(tmp_path / "zones", zone, int(change.timestamp()), *offsets_h)
    environment = {"PYTHONTZPATH": str(tmp_path / "zones")}
    with running_router(tmp_path, data=None, environment=environment) as router:
        take_up(router, data({}))
        why, *times = refusal(router, environment, zone, "2031-03-30T01:10:00")
        dump = ringway("dump", "--json", config=router.config).json()
    assert why == expected[0]
    assert times == [f"2031-03-30T{each}" for each in expected[1:]]
    assert "numbers" not in dump
