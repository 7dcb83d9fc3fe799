"""Subscribers who hang up in the moment in which they answer, many of them: nothing of them stays in Asterisk."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.asterisk.campaigns import Campaigns, running_campaigns
from tests.asterisk.manager_events import manager_events
from tests.asterisk.parts import Program
from tests.asterisk.pbx import Asterisk
from tests.asterisk.subscribers import Behaviour
from tests.processes import wait_until

pytestmark = pytest.mark.asterisk

CALLS, FIRST = 20_000, 4_000  # of those the first show what a busy Asterisk needs
AT_ONCE = 25
TOGETHER, TOLD_S = 1_000, 300  # so many are told of before the next ones are called
EVENTS_PER_CALL = 400  # of every class, with all channels of the call; about 200 are usual
GROWTH_KB = 12_000  # of 16,000 calls: a leak of a kilobyte each would be more
SUBSCRIBERS = [f"+447700{place:04}{Behaviour.HANGS_UP.value:02}" for place in range(1000)]


@dataclass(frozen=True, slots=True)
class Size:
    """What Asterisk's process uses."""

    memory_kb: int
    descriptors: int
    threads: int


def size(asterisk: Asterisk) -> Size:
    """Measure Asterisk's process."""
    process = Path(f"/proc/{asterisk.pid}")
    status = dict(re.findall(r"(?m)^(\w+):\s*(\d+)", (process / "status").read_text("ascii")))
    return Size(int(status["VmRSS"]), len(list((process / "fd").iterdir())), int(status["Threads"]))


def settled_size(asterisk: Asterisk, threads: int | None = None) -> Size:
    """Measure Asterisk when the SIP dialogs have gone, which it keeps for 32 s, and free memory has been given back.

    With `threads`, also when no more of them are left: its pools let idle ones go after up to a minute.
    """
    wait_until(lambda: "pjsip/outsess/" not in asterisk.cli("core show taskprocessors"), "no SIP dialog is left", 120)
    if threads:
        wait_until(lambda: size(asterisk).threads <= threads, f"at most {threads} threads are left", 240)
    asterisk.cli("malloc trim")
    return size(asterisk)


def outcomes(campaigns: Campaigns) -> dict[str, int]:
    """How many attempts the router knows, by what became of them."""
    found = re.compile(r'ringway_attempts_total\{outcome="(\w+)"\}')
    counted = {name[1]: int(value) for key, value in campaigns.router.metrics().items() if (name := found.match(key))}
    return {outcome: count for outcome, count in counted.items() if count}


def hang_up_at_once(campaigns: Campaigns, calls: int) -> None:
    """Let the campaign call so many subscribers who do; the router hears of each, in few manager events."""
    campaigns.asterisk.set_global("RINGWAY_RING_SECONDS", "30")  # however busy the machine is, all of them answer
    before = outcomes(campaigns).get("answered", 0)
    with manager_events(campaigns.asterisk) as events:
        for call in range(calls):
            to = SUBSCRIBERS[call % len(SUBSCRIBERS)]
            events.dial(f"Local/{to}@ringway-outbound", "__CAMPAIGN_ID=win-back", at_once=AT_ONCE)
            if call % TOGETHER == TOGETHER - 1 or call == calls - 1:
                events.wait_over()
                campaigns.asterisk.wait_idle(TOLD_S)  # one channel tells of all of them, one after the other
    assert campaigns.asterisk.kept("ringway-attempts") == {}
    assert outcomes(campaigns) == {"answered": before + calls}
    each = events.count / calls
    print(f"{each:.0f} events a call, {events.most} at most")  # noqa: T201 - to be read
    assert each <= EVENTS_PER_CALL
    assert events.most <= EVENTS_PER_CALL


def test_a_hundred_leave_no_channel_and_few_events(asterisk_program: Program, tmp_path: Path) -> None:
    with running_campaigns(asterisk_program, tmp_path, ami=True) as campaigns:
        hang_up_at_once(campaigns, 100)
        campaigns.asterisk.assert_no_surprise()


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(7200)
def test_of_20000_no_channel_spins_or_stays_and_nothing_grows(asterisk_program: Program, tmp_path: Path) -> None:
    with running_campaigns(asterisk_program, tmp_path, ami=True) as campaigns:
        hang_up_at_once(campaigns, FIRST)
        before = settled_size(campaigns.asterisk)
        hang_up_at_once(campaigns, CALLS - FIRST)
        after = settled_size(campaigns.asterisk, before.threads + 5)
        print(before, after)  # noqa: T201 - to be read
        assert campaigns.asterisk.channels() == 0
        assert after.descriptors <= before.descriptors + 5
        assert after.memory_kb <= before.memory_kb + GROWTH_KB
        campaigns.asterisk.assert_no_surprise()
