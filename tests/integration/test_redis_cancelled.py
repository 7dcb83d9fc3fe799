"""Calls that are called off at every point of waiting for Redis leave nothing behind."""

import asyncio
import gc
import os
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import structlog

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.numbering.numbers import Bare
from router.callbacks.service import CallbackService
from router.config.limits import REDIS_CONNECTIONS_MAX
from router.observe.metrics import Metrics
from router.store.redis import connection
from router.store.redis.address import Options, parse
from router.store.redis.callbacks import RedisCallbackStore
from router.store.redis.counters import RedisCounterStore
from tests.processes import PATIENCE_SECONDS
from tests.redis_server import RedisServer, running_redis
from tests.samples import campaign, company, number
from tests.tables import table_of

OUR = "+442079460000"
CALLS = 10_000
AT_ONCE = 25
TABLE = table_of(company(identified=True), campaign("win-back", direction="outbound"), number(OUR))
SINCE = {"win-back": 0.0}


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


class Asked:
    """Callbacks over a real Redis, and everything that a call may wait for there."""

    def __init__(self, store: RedisCallbackStore) -> None:
        log = structlog.wrap_logger(structlog.testing.ReturnLogger())
        self.store = store
        self.callbacks = CallbackService(
            store,
            lambda: TABLE,
            "own-flow",
            ("GB", Bare.E164),
            log,
            Metrics(),
            shared=True,
            counters=RedisCounterStore(store.link),
        )
        self.calls = 0

    def subscriber(self) -> str:
        return f"+4477009{self.calls % 500:05}"

    async def claim(self) -> None:
        await self.callbacks.claim(OUR, self.subscriber(), f"call-{self.calls}", 1_000.0, SINCE)

    async def record(self) -> None:
        await self.store.record(
            [Attempt(f"{self.calls % 1_000}", "win-back", OUR, self.subscriber(), 900.0, Outcome.MISSED)]
        )

    async def turn(self) -> None:
        await self.callbacks.round_robin.next_index("win-back")

    async def call_off(self, work: Callable[[], Awaitable[None]], steps: int) -> None:
        """Begin, and call it off after so many turns of the event loop."""
        self.calls += 1
        task = asyncio.ensure_future(work())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count


def live_objects() -> int:
    """How many objects that can hold others are alive."""
    gc.collect()
    return len(gc.get_objects())


@pytest.fixture
async def asked(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asked]:
    # What is looked at is what stays, not how soon a busy machine connects.
    monkeypatch.setattr(connection, "REDIS_CONNECT_SECONDS", PATIENCE_SECONDS)
    store = RedisCallbackStore(parse(redis.url), Options(prefix=uuid.uuid4().hex))
    await store.open()
    yield Asked(store)
    await store.close()


@pytest.mark.long
async def test_ten_thousand_calls_are_called_off_and_everything_stays_flat(asked: Asked, redis: RedisServer) -> None:
    draw = random.Random(4)

    async def some(count: int) -> None:
        kinds = (asked.claim, asked.claim, asked.record, asked.turn)
        for _ in range(count // AT_ONCE):
            await asyncio.gather(*(asked.call_off(draw.choice(kinds), draw.randrange(40)) for _ in range(AT_ONCE)))

    # A loop in debug mode tells of each slow turn, and pytest keeps what is told.
    asyncio.get_running_loop().set_debug(False)
    await some(CALLS // 5)
    tasks, files, objects = len(asyncio.all_tasks()), descriptors(), live_objects()
    await some(CALLS - CALLS // 5)
    grown = live_objects() - objects
    assert len(asyncio.all_tasks()) == tasks
    assert descriptors() <= files + REDIS_CONNECTIONS_MAX
    connections = [each for each in redis.client().client_list() if each["name"] == "ringway"]
    assert len(connections) <= REDIS_CONNECTIONS_MAX + 1
    assert grown < CALLS // 10, f"{grown} objects more"
    # And the next ones are answered, more at once than there are connections.
    asked.calls += 1
    first = asked.calls
    await asyncio.gather(
        *(asked.store.claim(OUR, f"+44770091{each:04}", f"c{first}", 1.0, SINCE) for each in range(100))
    )


@pytest.mark.parametrize("steps", range(30))
async def test_whoever_comes_after_one_that_was_called_off_gets_its_own_answer(asked: Asked, steps: int) -> None:
    """At each point of waiting; the claim that was called off has been made whole or not at all."""
    asked.calls = 1
    await asked.record()
    to = asked.subscriber()
    claiming = asyncio.ensure_future(asked.store.claim(OUR, to, "off", 1_000.0, SINCE))
    others = [asyncio.ensure_future(asked.store.claim(OUR, f"{to}{each}", "own", 1_000.0, SINCE)) for each in range(5)]
    for _ in range(steps):
        await asyncio.sleep(0)
    claiming.cancel()
    await asyncio.wait([claiming])
    assert {(await other).status for other in others} == {"none"}
    again = await asked.store.claim(OUR, to, "later", 1_001.0, SINCE)
    same = await asked.store.claim(OUR, to, "off", 1_000.0, SINCE)
    assert {again.status, same.status} == {"right", "used"}
