import pathlib

import pytest

from tests.unit.router.commands.conftest import Run


def test_every_step_and_the_decision_are_shown(demo: Run) -> None:
    done = demo("route", "02079460000", "--from", "02079461234", "--at", "2026-12-25T12:00:00Z")
    assert (done.status, done.err) == (0, "")
    steps = [line.split("  ")[0] for line in done.out.splitlines()]
    assert steps[:6] == ["caller", "dialled number", "number", "assignment", "assignment", "assignment"]
    assert "=> flow-closed,s,1  call-flow xmas, reason scheduled, at 2026-12-25T12:00:00Z, version 1" in done.out
    assert '   PARAM_MESSAGE = "vm-goodbye"' in done.out


def test_candidates_that_were_turned_down_say_why(demo: Run) -> None:
    out = demo("route", "02079460000", "--at", "2026-12-25T12:00:00Z").out
    assert "turned down" in out
    assert "replaced by the update of 2026-12-24T17:00:00Z" in out
    assert "not due before 2027-01-02T09:00:00Z" in out


def test_json_has_the_whole_decision(demo: Run) -> None:
    found = demo("route", "02079460001", "--from", "+12025550143", "--at", "2026-07-01T12:00:00+02:00", "--json").json()
    steps = found.pop("steps")
    assert found == {
        "number": "+442079460001",
        "caller": "+12025550143",
        "at": "2026-07-01T10:00:00Z",
        "reason": "assigned",
        "kind": "call-flow",
        "id": "basic-queue",
        "company": "acme",
        "destination": {"context": "flow-queue", "exten": "s", "priority": 1},
        "parameters": {"QUEUE": "support", "MAX_WAIT_SECONDS": "300", "OVERFLOW_NUMBER": "+442079460000"},
        "version": 1,
    }
    assert [set(step) for step in steps] == [{"step", "outcome", "detail"}] * len(steps)


@pytest.mark.parametrize(
    ("at", "target"),
    [
        ("2026-12-24T16:59:59", "main-menu"),
        ("2026-12-24T17:00:00", "xmas"),
        ("2026-12-24T17:00:00+01:00", "main-menu"),
        ("2027-01-02T09:00:00", "main-menu"),
    ],
)
def test_a_time_without_an_offset_is_the_companys_own(demo: Run, at: str, target: str) -> None:
    assert demo("route", "02079460000", "--at", at, "--json").json()["id"] == target


def test_the_zone_is_that_of_the_numbers_owner(demo: Run) -> None:
    assert demo("route", "+12025550143", "--at", "2026-07-01T12:00:00", "--json").json()["at"] == "2026-07-01T16:00:00Z"


@pytest.mark.parametrize(
    ("did", "at", "text"),
    [
        ("02079460000", "soon", "not a date and time"),
        ("02079460000", "2026-03-29T01:30:00", "2026-03-29T00:30:00+00:00 or 2026-03-29T02:30:00+01:00"),
        ("02079469999", "2026-07-01T12:00:00", "no offset"),
        ("+447700900100", "2026-07-01T12:00:00", "no offset"),
    ],
)
def test_a_time_that_cannot_be_told_is_refused_with_the_mend(demo: Run, did: str, at: str, text: str) -> None:
    done = demo("route", did, "--at", at)
    assert done.status == 1
    assert done.out == ""
    assert done.err.startswith("ringway: --at: ")
    assert text in done.err
    assert done.err.count("\n") == 1


def test_another_region_reads_the_number_in_another_country(demo: Run) -> None:
    assert demo("route", "02025550143", "--region", "us", "--json").json()["number"] == "+12025550143"
    refused = demo("route", "02025550143", "--region", "USA")
    assert refused.status == 1
    assert '--region "USA" is not a country' in refused.err


@pytest.mark.parametrize(
    ("did", "reason"),
    [
        ("nobody", "bad-number"),
        ("02079469999", "unknown-number"),
        ("02079460003", "disabled"),
        ("02079460002", "assigned"),
        ("+447700900100", "no-destination"),
    ],
)
def test_any_number_gets_a_decision(demo: Run, did: str, reason: str) -> None:
    done = demo("route", did, "--json")
    assert done.status == 0
    assert done.json()["reason"] == reason


def test_asking_changes_nothing(demo: Run, tmp_path: pathlib.Path) -> None:
    before = (tmp_path / "ringway.db").read_bytes()
    demo("route", "02079460000")
    assert (tmp_path / "ringway.db").read_bytes() == before
