"""Single scripts, run as a lost reply makes them run: a second time."""

import uuid
from collections.abc import AsyncIterator

import pytest

from router.store.redis import callback_scripts as scripts
from router.store.redis.address import Options, parse
from router.store.redis.connection import Link, Reply
from router.store.redis.lua_script import Script
from tests.redis_server import RedisServer

KEYS = ("calls", "attempts", "times", "news", "pair", "reached", "failed")


class Twice:
    """Runs each script twice, on keys of its own; both replies."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._prefix = uuid.uuid4().hex

    async def run(self, script: Script, keys: tuple[str, ...], *values: str | bytes | float) -> list[Reply]:
        named = [f"{{{self._prefix}}}:{key}" for key in keys]
        return [await self._link.script(script, named, *values) for _ in range(2)]


@pytest.fixture
async def twice(redis_server: RedisServer) -> AsyncIterator[Twice]:
    link = Link(parse(redis_server.url), Options())
    yield Twice(link)
    await link.close()


async def test_an_attempt_that_is_sent_twice_is_in_the_stream_once_and_its_writers(twice: Twice) -> None:
    """After a lost reply too it hears that it was the one; another one that is told the same was not."""
    values = (100, 60, "name", "id", "", "body", 1.5, "reached")
    assert await twice.run(scripts.WRITE, KEYS, "one", *values) == [[[1]], [[1]]]
    assert await twice.run(scripts.WRITE, KEYS, "two", *values) == [[[0]], [[0]]]
    assert (await twice.run(scripts.SINCE, ("calls", "news"), "one", 0, "", 10))[0] == [b"ok", [b"body"], b"one"]


async def test_an_attempt_that_has_changed_meanwhile_is_left_alone(twice: Twice) -> None:
    await twice.run(scripts.WRITE, KEYS, "epoch", 100, 60, "name", "id", "", "first", 1.5, "reached")
    values = ("epoch", 100, 60, "name", "id", "another", "second", 1.5, "failed")
    assert await twice.run(scripts.WRITE, KEYS, *values) == [[[0]], [[0]]]
    assert (await twice.run(scripts.NAMED, ("attempts",), "name", "none"))[0] == [[b"first", None]]


async def test_a_claim_that_is_sent_twice_is_done_once(twice: Twice) -> None:
    keys = ("pair", "claimed", "calls", "news")
    await twice.run(scripts.CURSOR, ("calls", "news"), "epoch")
    for values, told in (
        (("call", "0", '{"attempt": "1"}', 7.5, "name", 60, "one", 9, 9), b"done"),
        (("call", "0", '{"attempt": "1"}', 7.5, "name", 60, "another router's", 9, 9), b"known"),
        (("other", "0", "{}", "", "", 60, "two", 9, 9), b"moved"),
        (("call", "one", "{}", "", "", 60, "two", 9, 9), b"known"),
    ):
        assert await twice.run(scripts.CLAIM, keys, *values) == [[told], [told]]
    assert (await twice.run(scripts.SINCE, ("calls", "news"), "epoch", 0, "", 10))[0] == [b"ok", [b""], b"one"]


async def test_changes_that_do_not_go_on_from_there_are_lost(twice: Twice) -> None:
    for place in range(3):
        values = (100, 60, f"n{place}", f"{place}", "", f"b{place}", 1.5, "failed")
        await twice.run(scripts.WRITE, KEYS, f"w{place}", *values)
    keys = ("calls", "news")
    assert (await twice.run(scripts.SINCE, keys, "w0", 1, "w0", 10))[0] == [b"ok", [b"b1", b"b2"], b"w2"]
    assert (await twice.run(scripts.SINCE, keys, "w0", 1, "w0", 1))[0] == [b"ok", [b"b1"], b"w1"]
    assert (await twice.run(scripts.SINCE, keys, "w0", 3, "w2", 10))[0] == [b"ok", [], b"w2"]
    for epoch, seq, head in (("another", 1, "w0"), ("w0", 4, "w3"), ("w0", 1, "another"), ("w0", 3, "another")):
        assert (await twice.run(scripts.SINCE, keys, epoch, seq, head, 10))[0][0] == b"lost"
