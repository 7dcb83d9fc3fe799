"""What the tests of stores of attempts put in and ask for. Moments are small numbers of seconds."""

from dialplan.campaigns.attempts import Attempt, Outcome
from router.store.api import CallbackStore

OUR, ALSO_OURS = "+442079460000", "+442079460001"
ANNA, BORIS = "+447700900123", "+447700900456"
SINCE = {"win-back": 0.0, "survey": 0.0}  # every attempt of theirs counts


def attempt(name: str = "1.1", at: float = 100.0, outcome: Outcome = Outcome.MISSED, **fields: str) -> Attempt:
    """A missed one of Anna's."""
    values = {"campaign": "win-back", "number": OUR, "subscriber": ANNA} | fields
    return Attempt(name, at=at, outcome=outcome, **values)


async def ids(store: CallbackStore, number: str | None = None, subscriber: str | None = None) -> list[str]:
    """Which attempts are stored, newest first."""
    return [each.id for each in await store.attempts(number, subscriber, 100_000)]
