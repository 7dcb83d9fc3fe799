import pytest

from dialplan.campaigns.attempts import ATTEMPT_ID_MAX_CHARS, AttemptReport, Outcome
from dialplan.campaigns.reports import read_astdb, read_report

REPORT = ["1.1", "win-back", "07700900123", "+442079460000", "NOANSWER", "16", "1", "1795326035123", "487"]


def with_(**changes: str) -> list[str]:
    names = ["name", "campaign", "subscriber", "number", "status", "cause", "heard", "ended", "sip"]
    return [changes.get(name, value) for name, value in zip(names, REPORT, strict=True)]


def test_a_report_is_a_sighting() -> None:
    expected = AttemptReport("1.1", "win-back", "+442079460000", "07700900123", 1795326035.123, Outcome.MISSED)
    assert read_report(REPORT) == expected
    assert read_astdb("/ringway-attempts/1.1", "|".join(REPORT[1:])) == expected
    assert read_report(REPORT[:-1]) == expected, "without a SIP status, as diallers of a site's own tell it"
    assert read_astdb("/ringway-attempts/1.1", "|".join(REPORT[1:-1])) == expected


@pytest.mark.parametrize(
    ("status", "cause", "heard", "sip", "outcome"),
    [
        ("ANSWER", "16", "1", "200", Outcome.ANSWERED),
        ("ANSWER", "", "", "", Outcome.ANSWERED),
        ("NOANSWER", "16", "0", "0", Outcome.FAILED),
        ("NOANSWER", "19", "", "", Outcome.MISSED),
        ("NOANSWER", "0", "1", "180", Outcome.MISSED),
        ("NOANSWER", "0", "2", "183", Outcome.MISSED),
        ("NOANSWER", "0", "0", "100", Outcome.FAILED),
        ("BUSY", "17", "0", "486", Outcome.MISSED),
        ("BUSY", "17", "0", "100", Outcome.MISSED),  # the final answer was not seen: the cause is all there is
        ("BUSY", "17", "0", "302", Outcome.FAILED),
        ("CHANUNAVAIL", "21", "0", "603", Outcome.MISSED),
        ("CHANUNAVAIL", "21", "0", "", Outcome.MISSED),
        ("CHANUNAVAIL", "21", "0", "403", Outcome.FAILED),
        ("CHANUNAVAIL", "1", "0", "404", Outcome.FAILED),
        ("CHANUNAVAIL", "1", "2", "404", Outcome.FAILED),
        ("CANCEL", "0", "1", "180", Outcome.MISSED),
        ("CANCEL", "0", "2", "183", Outcome.MISSED),
        ("CANCEL", "0", "0", "0", Outcome.FAILED),
        ("CANCEL", "19", "0", "0", Outcome.FAILED),  # the dialler's own cause
        ("CANCEL", "17", "0", "486", Outcome.FAILED),
        ("", "", "", "", Outcome.FAILED),
        ("NOANSWER", "x", "", "y", Outcome.FAILED),
    ],
)
def test_the_verdict(status: str, cause: str, heard: str, sip: str, outcome: Outcome) -> None:
    report = read_report(with_(status=status, cause=cause, heard=heard, sip=sip))
    assert report is not None
    assert report.outcome is outcome


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        REPORT[:-2],
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


def test_an_id_of_all_the_characters_that_it_may_have_is_read() -> None:
    report = read_report(with_(name="x" * ATTEMPT_ID_MAX_CHARS))
    assert report is not None
    assert report.id == "x" * ATTEMPT_ID_MAX_CHARS


def test_a_moment_of_any_length_is_read_and_is_ahead_of_every_clock() -> None:
    """Python reads no number of 5,000 digits."""
    report = read_report(with_(ended="9" * 5000))
    assert report is not None
    assert report.at == 999_999_999_999.999


@pytest.mark.parametrize("value", ["", "|", "|||||||", "win-back|1|2"])
def test_what_somebody_else_keeps_in_astdb_is_nothing(value: str) -> None:
    assert read_astdb("/ringway-attempts/1.1", value) is None


@pytest.mark.parametrize(
    "key", ["", "1.1", "/ringway-attempts/", "/ringway-attempts", "/other/1.1", "/x/ringway-attempts/1"]
)
def test_what_stands_elsewhere_in_astdb_is_nothing(key: str) -> None:
    assert read_astdb(key, "|".join(REPORT[1:])) is None


def test_the_id_of_an_attempt_may_hold_slashes() -> None:
    """It has the system's name in it."""
    kept = read_astdb("/ringway-attempts/dc/1-1790000000.4", "|".join(REPORT[1:]))
    assert kept is not None
    assert kept.id == "dc/1-1790000000.4"
