"""Pages of attempts by the indexes, against all attempts looked through, after random histories.

In Redis some of it is done by a version that does not know of the lists, and some lists are asked for in between.
"""

import asyncio
import itertools
import tempfile
import uuid
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.campaigns.retention import Cutoffs
from router.store.api import CallbackStore, place_of
from router.store.redis.address import Options, parse
from router.store.redis.callbacks import RedisCallbackStore
from router.store.sqlite.callbacks import SqliteCallbackStore
from tests.redis_server import RedisServer, running_redis

NUMBERS = ("+442079460000", "+442079460001")
SUBSCRIBERS = ("+447700900123", "+4477009001", "+447700900456")
CAMPAIGNS = ("win-back", "survey")
NAMES = ("1", "10", "2 3", "é")


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with running_redis(appendfsync="no") as server:
        yield server


attempts = st.builds(
    Attempt,
    id=st.sampled_from(NAMES),
    campaign=st.sampled_from(CAMPAIGNS),
    number=st.sampled_from(NUMBERS),
    subscriber=st.sampled_from(SUBSCRIBERS),
    at=st.sampled_from((1.0, 2.0, 2.5, 1700000000.123456)),
    outcome=st.sampled_from(Outcome),
)


class Step(NamedTuple):
    """Attempts that are recorded, then a moment by which a campaign's are purged, then whether a list is asked for.

    `by_older`: a version purges that does not know of the lists.
    """

    attempts: list[Attempt]
    purged: tuple[str, float] | None
    by_older: bool
    asked: bool


steps = st.builds(
    Step,
    attempts=st.lists(attempts, max_size=4),
    purged=st.none() | st.tuples(st.sampled_from(CAMPAIGNS), st.sampled_from((2.0, 3.0))),
    by_older=st.booleans(),
    asked=st.booleans(),
)


async def _done(store: CallbackStore, step: Step) -> None:
    await store.record(step.attempts)
    if step.purged is not None:
        await store.purge(Cutoffs(dict([step.purged]), 0.0))
    if step.asked:
        await store.attempts(NUMBERS[0], None, 1)


async def _check(store: CallbackStore, limit: int) -> None:
    everything = await store.attempts(None, None, 1_000)
    assert everything == sorted(everything, key=place_of, reverse=True)
    for number, subscriber, campaign in itertools.product((None, *NUMBERS), (None, *SUBSCRIBERS), (None, *CAMPAIGNS)):
        wanted = [
            each
            for each in everything
            if number in (None, each.number)
            and subscriber in (None, each.subscriber)
            and campaign in (None, each.campaign)
        ]
        found: list[Attempt] = []
        while page := await store.attempts(
            number, subscriber, limit, campaign=campaign, after=place_of(found[-1]) if found else None
        ):
            assert len(page) <= limit
            found += page
        assert found == wanted


@given(history=st.lists(steps, max_size=5), limit=st.integers(1, 4))
def test_in_a_file(history: list[Step], limit: int) -> None:
    async def run(path: Path) -> None:
        store = SqliteCallbackStore(path)
        await store.open()
        for step in history:
            await _done(store, step)
        await _check(store, limit)
        await store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder) / "calls.db"))


@given(history=st.lists(steps, max_size=5), limit=st.integers(1, 4))
def test_in_redis(redis_server: RedisServer, history: list[Step], limit: int) -> None:
    client: Any = redis_server.client()

    async def purged_by_older(prefix: str, purging: Awaitable[None]) -> None:
        """Its lists, and up to where they are whole, are as they were before."""
        names, calls = [*client.scan_iter(f"{{{prefix}}}:of-*", count=10_000)], f"{{{prefix}}}:calls"
        lists, listed = {name: client.dump(name) for name in names}, client.hget(calls, "listed")
        await purging
        for name, content in lists.items():
            client.restore(name, 0, content, replace=True)
        client.hdel(calls, "listed") if listed is None else client.hset(calls, "listed", listed)

    async def run() -> None:
        prefix = uuid.uuid4().hex
        store = RedisCallbackStore(parse(redis_server.url), Options(prefix=prefix))
        for step in history:
            doing = _done(store, step)
            await (purged_by_older(prefix, doing) if step.by_older else doing)
        await _check(store, limit)
        await store.close()
        client.delete("nothing", *client.scan_iter(f"{{{prefix}}}:*", count=10_000))

    asyncio.run(run())
    client.close()
