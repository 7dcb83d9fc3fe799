import pytest

from dialplan.attempts import Outcome, Sighting
from router.limits import ATTEMPT_ID_MAX_CHARS
from router.reports import read_kept, read_report

REPORT = ["1.1", "win-back", "07700900123", "+442079460000", "NOANSWER", "16", "1", "1795326035123"]


def with_(**changes: str) -> list[str]:
    names = ["name", "campaign", "subscriber", "number", "status", "cause", "rang", "ended"]
    return [changes.get(name, value) for name, value in zip(names, REPORT, strict=True)]


def test_a_report_is_a_sighting() -> None:
    expected = Sighting("1.1", "win-back", "+442079460000", "07700900123", 1795326035.123, Outcome.MISSED)
    assert read_report(REPORT) == expected
    assert read_kept("1.1", "|".join(REPORT[1:])) == expected


@pytest.mark.parametrize(
    ("status", "cause", "rang", "outcome"),
    [
        ("ANSWER", "16", "1", Outcome.ANSWERED),
        ("ANSWER", "", "", Outcome.ANSWERED),
        ("NOANSWER", "16", "", Outcome.FAILED),
        ("NOANSWER", "19", "", Outcome.MISSED),
        ("BUSY", "17", "", Outcome.MISSED),
        ("CHANUNAVAIL", "21", "", Outcome.MISSED),  # 603, in Asterisk 22
        ("CHANUNAVAIL", "1", "", Outcome.FAILED),  # 404
        ("CANCEL", "0", "1", Outcome.MISSED),
        ("CANCEL", "0", "", Outcome.FAILED),
        ("", "", "", Outcome.FAILED),
        ("CANCEL", "x", "", Outcome.FAILED),
    ],
)
def test_the_verdict_is_that_of_both_witnesses(status: str, cause: str, rang: str, outcome: Outcome) -> None:
    sighting = read_report(with_(status=status, cause=cause, rang=rang))
    assert sighting is not None
    assert sighting.outcome is outcome


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        REPORT[:-1],
        [*REPORT, "more"],
        with_(name=""),
        with_(name="x" * (ATTEMPT_ID_MAX_CHARS + 1)),
        with_(ended=""),
        with_(ended="soon"),
        with_(ended="-1"),
        with_(ended="\u0661"),
    ],
)
def test_what_is_no_report_is_nothing(arguments: list[str]) -> None:
    assert read_report(arguments) is None


@pytest.mark.parametrize("value", ["", "|", "|||||||", "win-back|1|2"])
def test_what_somebody_else_keeps_in_astdb_is_nothing(value: str) -> None:
    assert read_kept("1.1", value) is None
