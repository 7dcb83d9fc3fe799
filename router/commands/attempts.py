"""`ringway attempts`: the outbound calls that the router has heard of, and what became of them."""

import argparse
import asyncio
import datetime as dt

import msgspec

from dialplan.campaigns.attempts import Attempt
from dialplan.numbering.numbers import Unreadable, normalise
from dialplan.wording import printable, quote
from router.commands.data import print_json
from router.config.settings import Settings, from_process
from router.store.factory import stores_of


class BadNumber(Exception):  # noqa: N818 - the user's number, no failure of ours
    """A number that was asked for cannot be read; the text says why."""


class Listed(msgspec.Struct, frozen=True):
    """One attempt of `ringway attempts --json`."""

    at: str
    outcome: str
    campaign: str
    number: str
    subscriber: str
    id: str


def attempts(arguments: argparse.Namespace) -> int:
    """List attempts, the newest first."""
    settings = from_process(arguments.config)
    number = _number("--number", arguments.number, settings)
    subscriber = _number("--subscriber", arguments.subscriber, settings)
    found = [_listed(each) for each in asyncio.run(_look(settings, number, subscriber, arguments.limit))]
    if arguments.json:
        print_json(found)
        return 0
    for each in found:
        name = printable(each.id)  # whoever told of it chose its bytes
        print(f"{each.at}  {each.outcome:<8}  {each.number:<16}  {each.subscriber:<16}  {each.campaign}  {name}")
    print(f"{len(found)} attempt{'' if len(found) == 1 else 's'}")
    return 0


async def _look(settings: Settings, number: str | None, subscriber: str | None, limit: int) -> list[Attempt]:
    store = stores_of(settings.store).callbacks
    try:
        await store.open(make=False)
        return await store.attempts(number, subscriber, limit)
    finally:
        await store.close()


def _number(option: str, text: str | None, settings: Settings) -> str | None:
    if text is None:
        return None
    number = normalise(text, settings.numbering.region, settings.numbering.bare)
    if isinstance(number, Unreadable):
        raise BadNumber(f"{option} {quote(text)}: {number.text}")
    return number


def _listed(attempt: Attempt) -> Listed:
    at = dt.datetime.fromtimestamp(attempt.at, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Listed(at, attempt.outcome, attempt.campaign, attempt.number, attempt.subscriber, attempt.id)
