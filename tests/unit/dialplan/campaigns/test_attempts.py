import functools

import pytest

from dialplan.campaigns.attempts import Attempt, AttemptReport, Heard, Outcome, merged, outcome_of, status_code
from dialplan.campaigns.reports import read_attempt
from dialplan.numbering.numbers import Bare
from tests.samples import campaign, company, number
from tests.tables import table_of

TABLE = table_of(
    company(),
    company("globex", region="US"),
    campaign("win-back", direction="outbound"),
    campaign("offer"),
    campaign("abroad", company="globex", direction="outbound"),
    number("02079460000"),
    number("+12125550123", company="globex"),
    number("+442079460099", company=None, kind="pool"),
)


@pytest.mark.parametrize(
    ("rang", "cause", "outcome"),
    [
        (True, 16, Outcome.MISSED),  # rang until the caller gave up
        (True, 0, Outcome.MISSED),
        (False, 17, Outcome.MISSED),  # busy
        (False, 18, Outcome.MISSED),  # no user responding
        (False, 19, Outcome.MISSED),  # no answer
        (False, 21, Outcome.MISSED),  # declined
        (False, 1, Outcome.FAILED),  # no such number
        (False, 16, Outcome.FAILED),  # given up before it rang
        (False, 34, Outcome.FAILED),
        (False, 0, Outcome.FAILED),
        (True, 1, Outcome.MISSED),  # one leg rang, another one does not exist
    ],
)
def test_a_call_was_missed_when_it_came_to_the_subscriber(rang: bool, cause: int, outcome: Outcome) -> None:
    assert outcome_of(answered=False, rang=rang, cause=cause) is outcome
    assert outcome_of(answered=True, rang=rang, cause=cause) is Outcome.ANSWERED


@pytest.mark.parametrize(
    ("sip", "early_media", "cause", "outcome"),
    [
        (480, False, 20, Outcome.MISSED),
        (486, False, 17, Outcome.MISSED),
        (600, False, 17, Outcome.MISSED),
        (603, False, 21, Outcome.MISSED),
        (
            401,
            False,
            21,
            Outcome.FAILED,
        ),  # what the trunk refuses, or never passes on, has Asterisk's causes of the above
        (403, False, 21, Outcome.FAILED),
        (407, False, 21, Outcome.FAILED),
        (408, False, 18, Outcome.FAILED),
        (483, False, 19, Outcome.FAILED),
        (503, False, 34, Outcome.FAILED),
        (300, False, 17, Outcome.FAILED),
        (302, False, 17, Outcome.FAILED),
        (0, True, 16, Outcome.MISSED),  # something was heard
        (487, True, 0, Outcome.MISSED),
        (183, False, 17, Outcome.MISSED),  # provisional: says nothing of the end, so the cause does
        (183, False, 34, Outcome.FAILED),
        (299, False, 1, Outcome.FAILED),
        (404, True, 1, Outcome.FAILED),  # "the number you have dialled …"
        (484, True, 28, Outcome.FAILED),
    ],
)
def test_the_last_sip_answer_says_more_than_the_cause(
    sip: int, early_media: bool, cause: int, outcome: Outcome
) -> None:
    assert outcome_of(answered=False, rang=False, cause=cause, early_media=early_media, sip=sip) is outcome
    assert outcome_of(answered=False, rang=True, cause=cause, early_media=early_media, sip=sip) is Outcome.MISSED


@pytest.mark.parametrize("cause", [1, 2, 3, 22, 28])
def test_an_announcement_to_a_number_that_is_nobodys_is_the_trunks_own(cause: int) -> None:
    assert outcome_of(answered=False, rang=False, cause=cause, early_media=True) is Outcome.FAILED


@pytest.mark.parametrize("cause", [0, 16, 17, 21])
@pytest.mark.parametrize("sip", [0, 486, 487])
def test_of_a_call_that_the_dialler_gave_up_only_what_was_heard_counts(cause: int, sip: int) -> None:
    given_up = functools.partial(outcome_of, answered=False, cause=cause, sip=sip, cancelled=True)
    assert given_up(rang=False) is Outcome.FAILED
    assert given_up(rang=False, early_media=True) is Outcome.MISSED
    assert given_up(rang=True) is Outcome.MISSED


@pytest.mark.parametrize(
    ("text", "code"), [("17", 17), ("", 0), ("-1", 0), ("486 Busy", 0), ("\u0661\u0667", 0), ("9" * 5000, 999_999_999)]
)
def test_a_status_of_any_length_is_read_and_what_is_none_counts_as_unknown(text: str, code: int) -> None:
    assert status_code(text) == code


def seen(**fields: object) -> AttemptReport:
    values = {"id": "1.1", "campaign": "win-back", "number": "02079460000", "subscriber": "07700900123"}
    return AttemptReport(**values | {"at": 5.0, "outcome": Outcome.MISSED} | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("report", "number", "subscriber"),
    [
        (seen(), "+442079460000", "+447700900123"),
        (seen(number="+442079460000", subscriber="447700900123"), "+442079460000", "+447700900123"),
        (seen(number="02079460099"), "+442079460099", "+447700900123"),
        (seen(campaign="abroad", number="12125550123", subscriber="011442079460000"), "+12125550123", "+442079460000"),
    ],
)
def test_numbers_are_read_at_the_campaigns_home(report: AttemptReport, number: str, subscriber: str) -> None:
    attempt = read_attempt(report, TABLE, "DE", Bare.E164)
    assert attempt == Attempt("1.1", report.campaign, number, subscriber, 5.0, Outcome.MISSED)


def test_where_this_version_cannot_read_the_company_numbers_are_read_in_the_platforms_region() -> None:
    table = table_of(company(), campaign("win-back", direction="outbound"), number("02079460000"))
    del table.companies["acme"]
    attempt = read_attempt(seen(), table, "GB", Bare.E164)
    assert attempt == Attempt("1.1", "win-back", "+442079460000", "+447700900123", 5.0, Outcome.MISSED)


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (seen(campaign="nobodys"), "no such campaign"),
        (seen(campaign="offer"), "the campaign is an inbound one"),
        (seen(number="unknown"), "the number shown cannot be read"),
        (seen(subscriber="front desk"), "the subscriber's number cannot be read"),
        (seen(number="+442079460001"), "the number shown is neither"),
        (seen(number="+12125550123"), "the number shown is neither"),  # another company's
    ],
)
def test_what_cannot_be_an_attempt_says_why(report: AttemptReport, why: str) -> None:
    told = read_attempt(report, TABLE, "GB", Bare.E164)
    assert isinstance(told, str)
    assert told.startswith(why)


@pytest.mark.parametrize(
    ("known", "told", "stands", "heard"),
    [
        (None, "failed", "failed", Heard.NEW),
        ("failed", "missed", "missed", Heard.MORE),
        ("missed", "answered", "answered", Heard.MORE),
        ("missed", "failed", "missed", Heard.KNOWN),
        ("answered", "answered", "answered", Heard.KNOWN),
    ],
)
def test_of_two_words_the_one_that_saw_more_stands_and_the_first_moment(
    known: str | None, told: str, stands: str, heard: Heard
) -> None:
    def attempt(outcome: str, at: float) -> Attempt:
        return Attempt("1.1", "win-back", "+442079460000", "+447700900123", at, Outcome(outcome))

    first = attempt(known, 100.0) if known is not None else None
    at = 200.0 if first is None else 100.0
    assert merged(first, attempt(told, 200.0)) == (attempt(stands, at), heard)
