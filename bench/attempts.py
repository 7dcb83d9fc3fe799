"""Missed attempts in the router's own store, so that its index has as many pairs as a busy site's.

The subscribers are others than the callers of the load: each call pays for the look, and none for a claim.
"""

import asyncio
import time
from collections.abc import Iterator

from bench.calls import e164
from bench.dataset import CAMPAIGN
from dialplan.campaigns.attempts import Attempt, Outcome
from router.config.settings import StoreSettings
from router.store.factory import stores_of

MAX_PAIRS = 1_000_000  # subscribers are counted in seven digits; a router holds as many pairs
_AT_ONCE = 2_000


def fill(url: str, numbers: int, pairs: int) -> None:
    """Write `pairs` missed attempts, each of another pair, spread over a table of `numbers`, into the store at `url`.

    Raises StoreError, and RuntimeError where the store would not give a router all of them back.
    """
    asyncio.run(_fill(url, list(attempts(numbers, pairs, time.time()))))


def attempts(numbers: int, pairs: int, now: float) -> Iterator[Attempt]:
    """Yield an attempt for each pair; they ended in the hour before `now` (epoch seconds)."""
    for pair in range(pairs):
        index = pair * numbers // pairs
        subscriber = f"+44770{pair:07d}"
        yield Attempt(f"bench-{pair}", CAMPAIGN, e164(index), subscriber, now - pair % 3600, Outcome.MISSED)


async def _fill(url: str, missed: list[Attempt]) -> None:
    store = stores_of(StoreSettings(url=url)).callbacks
    try:
        await store.open()
        for first in range(0, len(missed), _AT_ONCE):
            await store.record(missed[first : first + _AT_ONCE])
        known = await store.changes("", 0)  # what a router reads when it starts
    finally:
        await store.close()
    if len({(each.number, each.subscriber) for each in known.attempts}) != len(missed):
        raise RuntimeError(f"the attempts' store has {len(known.attempts)} attempts to give, and not {len(missed)}")
