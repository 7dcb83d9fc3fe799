import pytest

from dialplan.attempts import Attempt, Outcome, Sighting, outcome_of, read_attempt
from dialplan.numbers import Bare
from tests.samples import campaign, company
from tests.tables import table_of

TABLE = table_of(
    company(),
    company("globex", region="US"),
    campaign("win-back", direction="outbound"),
    campaign("abroad", company="globex", direction="outbound"),
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


def seen(**fields: object) -> Sighting:
    values = {"id": "1.1", "campaign": "win-back", "number": "02079460000", "subscriber": "07700900123"}
    return Sighting(**values | {"at": 5.0, "outcome": Outcome.MISSED} | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sighting", "number", "subscriber"),
    [
        (seen(), "+442079460000", "+447700900123"),
        (seen(number="+442079460000", subscriber="447700900123"), "+442079460000", "+447700900123"),
        (seen(campaign="abroad", number="12125550123", subscriber="011442079460000"), "+12125550123", "+442079460000"),
    ],
)
def test_numbers_are_read_at_the_campaigns_home(sighting: Sighting, number: str, subscriber: str) -> None:
    attempt = read_attempt(sighting, TABLE, "DE", Bare.E164)
    assert attempt == Attempt("1.1", sighting.campaign, number, subscriber, 5.0, Outcome.MISSED)


@pytest.mark.parametrize(
    ("sighting", "why"),
    [
        (seen(campaign="nobodys"), "no such campaign"),
        (seen(number="unknown"), "the number shown cannot be read"),
        (seen(subscriber="front desk"), "the subscriber's number cannot be read"),
    ],
)
def test_what_cannot_be_an_attempt_says_why(sighting: Sighting, why: str) -> None:
    told = read_attempt(sighting, TABLE, "GB", Bare.E164)
    assert isinstance(told, str)
    assert told.startswith(why)
