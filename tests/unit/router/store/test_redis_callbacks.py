"""What is Redis's own of attempts and claims; what every store promises is in test_callback_stores."""

import asyncio
import math
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dialplan.callbacks import Verdict
from router.store.base import StoreError
from router.store.redis_callbacks import RedisCallbackStore
from router.store.redis_connection import Options, parse
from tests.redis_server import RedisServer
from tests.unit.router.store.attempts import ANNA, OUR, SINCE, attempt


class Kept:
    """A store, and what lies in its Redis."""

    def __init__(self, server: RedisServer) -> None:
        self.prefix = uuid.uuid4().hex
        self.store = RedisCallbackStore(parse(server.url), Options(prefix=self.prefix))
        self.client: Any = server.client()

    def names(self) -> list[str]:
        return [key.decode() for key in self.client.keys(f"*{self.prefix}*")]


@pytest.fixture
async def kept(redis_server: RedisServer) -> AsyncIterator[Kept]:
    made = Kept(redis_server)
    await made.store.open()
    yield made
    await made.store.close()


async def test_all_keys_have_the_prefix_as_their_hash_tag(kept: Kept) -> None:
    await kept.store.record([attempt()])
    await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)
    await kept.store.turn("win-back")
    assert len(kept.names()) >= 7
    assert {key.partition(":")[0] for key in kept.names()} == {f"{{{kept.prefix}}}"}


async def test_nothing_is_left_of_what_is_forgotten_but_the_news(kept: Kept) -> None:
    await kept.store.record([attempt()])
    await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)
    assert await kept.store.forget({}, math.inf) == 1
    assert {key.partition(":")[2] for key in kept.names()} == {"calls", "news"}


async def test_turns_are_counted_for_everybody_and_apart(kept: Kept) -> None:
    turns = await asyncio.gather(*(kept.store.turn("a") for _ in range(20)))
    assert sorted(each or 0 for each in turns) == list(range(1, 21))
    assert await kept.store.turn("") == 1


async def test_a_server_that_is_emptied_has_another_history(kept: Kept) -> None:
    await kept.store.record([attempt()])
    mark = (await kept.store.news("", 0)).mark
    kept.client.delete(*kept.names())
    news = await kept.store.news(mark, 0)
    assert (news.whole, news.attempts, news.mark != mark) == (True, [], True)


async def test_what_cannot_be_read_is_an_error_that_names_the_server(kept: Kept) -> None:
    await kept.store.record([attempt()])
    kept.client.hset(f"{{{kept.prefix}}}:attempts", f"{OUR} {ANNA} 1.1", "no attempt")
    with pytest.raises(StoreError, match=r"redis://127\.0\.0\.1:\d+/0: an attempt cannot be read"):
        await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)
    kept.client.hdel(f"{{{kept.prefix}}}:attempts", f"{OUR} {ANNA} 1.1")
    kept.client.hset(f"{{{kept.prefix}}}:pair:{OUR} {ANNA}", "c:call", '{"attempt": "1.1"}')
    with pytest.raises(StoreError, match="a claim cannot be read"):
        await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)


async def test_a_caller_whom_nobody_rang_costs_no_key(kept: Kept) -> None:
    assert (await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)).verdict is Verdict.NONE
    assert not [key for key in kept.names() if "pair" in key]
