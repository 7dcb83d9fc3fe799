"""Attempts that the router has heard of, as `ringway attempts` lists them."""

import datetime as dt

import msgspec

from dialplan.campaigns.attempts import Attempt
from dialplan.dataset.times import shown
from dialplan.numbering.numbers import Bare, Unreadable, normalise
from router.store.api import AttemptPlace, CallbackStore


class BadNumberError(Exception):
    """A number that was asked for cannot be read; the text says why, `field` which of the two it is."""

    def __init__(self, field: str, value: str, why: str) -> None:
        self.field, self.value = field, value
        super().__init__(why)


class Wanted(msgspec.Struct, frozen=True):
    """Which attempts to list: E.164 numbers and a campaign's id, None for any, and at most how many.

    `after`: where the last one of the page before stands.
    """

    number: str | None
    subscriber: str | None
    limit: int
    campaign: str | None = None
    after: AttemptPlace | None = None


class Listed(msgspec.Struct, frozen=True):
    """One attempt, with its end in UTC, to the millisecond."""

    at: str
    outcome: str
    campaign: str
    number: str
    subscriber: str
    id: str


def wanted(
    number: str | None, subscriber: str | None, limit: int, region: str, bare: Bare, campaign: str | None = None
) -> Wanted:
    """What is asked for; numbers are read as `[numbering]` says. Raises BadNumberError."""
    return Wanted(
        _number("number", number, region, bare),
        _number("subscriber", subscriber, region, bare),
        limit,
        campaign,
    )


async def attempts(store: CallbackStore, asked: Wanted) -> list[Listed]:
    """The newest attempts first. Raises StoreError."""
    found = await store.attempts(
        asked.number, asked.subscriber, asked.limit, campaign=asked.campaign, after=asked.after
    )
    return [_listed(each) for each in found]


def _number(field: str, text: str | None, region: str, bare: Bare) -> str | None:
    if text is None:
        return None
    number = normalise(text, region, bare)
    if isinstance(number, Unreadable):
        raise BadNumberError(field, text, number.text)
    return number


def _listed(attempt: Attempt) -> Listed:
    at = shown(dt.datetime.fromtimestamp(attempt.at, dt.UTC), "milliseconds")
    return Listed(at, attempt.outcome, attempt.campaign, attempt.number, attempt.subscriber, attempt.id)
