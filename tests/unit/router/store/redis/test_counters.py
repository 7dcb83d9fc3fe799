"""Counters in Redis: each number once, whichever router asks, and an error where the server is away."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from router.store.api import CounterStore, StoreError
from router.store.redis.address import Options, parse
from router.store.redis.connection import Link
from router.store.redis.counters import RedisCounterStore
from tests.redis_server import RedisServer


class Routers:
    """Two routers with links of their own, and what lies in the server."""

    def __init__(self, server: RedisServer) -> None:
        self.prefix = uuid.uuid4().hex
        self.client = server.client()
        self.links = [Link(parse(server.url), Options(prefix=self.prefix)) for _ in range(2)]
        self.counters: list[CounterStore] = [RedisCounterStore(each) for each in self.links]


@pytest.fixture
async def routers(redis_server: RedisServer) -> AsyncIterator[Routers]:
    made = Routers(redis_server)
    yield made
    for each in made.links:
        await each.close()


async def test_routers_take_turns_with_each_other(routers: Routers) -> None:
    one, two = routers.counters
    assert [await each.next("win-back") for each in (one, two, one, two)] == [1, 2, 3, 4]
    at_once = await asyncio.gather(*(each.next("survey") for each in (one, two) * 50))
    assert sorted(at_once) == list(range(1, 101))


async def test_counters_are_counted_for_everybody_and_apart(routers: Routers) -> None:
    one, two = routers.counters
    turns = await asyncio.gather(*(one.next("a") for _ in range(20)))
    assert sorted(turns) == list(range(1, 21))
    assert await two.next("") == 1


async def test_a_counter_is_stored_where_the_last_version_has_it_and_goes_when_nobody_asks(routers: Routers) -> None:
    key = f"{{{routers.prefix}}}:turn:win-back"
    routers.client.set(key, 41)
    assert await routers.counters[0].next("win-back") == 42
    assert 0 < routers.client.ttl(key) <= 2 * 366 * 86_400


async def test_a_server_that_is_away_is_an_error() -> None:
    link = Link(parse("redis://127.0.0.1:1/0"), Options())
    with pytest.raises(StoreError, match="is it running, and there"):
        await RedisCounterStore(link).next("win-back")
    await link.close()
