"""Connections to a real Redis, and what is asked over them."""

import asyncio
from collections.abc import Callable

import pytest

from router.store.api import StoreError
from router.store.redis.connection import Link
from router.store.redis.lua_script import Script
from tests.redis_server import RedisServer

SECRET = "s3cret/#p@ss"  # noqa: S105
QUOTED = "s3cret%2F%23p%40ss"
ECHO = Script("return {ARGV[1], ARGV[2]}")
WRITE = Script("redis.call('SET', KEYS[1], ARGV[2]); return {ARGV[1]}")
COUNT = Script("return {ARGV[1], redis.call('INCR', KEYS[1])}")
Linker = Callable[..., Link]


def at(port: int) -> str:
    return f"redis://127.0.0.1:{port}/0"


async def echo(link: Link, text: str = "hello", seconds: float = 30) -> str:
    (said,) = await link.script(ECHO, (), text, seconds=seconds)
    return bytes(said).decode()


async def refused(link: Link, script: Script = ECHO, seconds: float = 30) -> str:
    """The text of the error that a question ends in."""
    with pytest.raises(StoreError) as caught:
        await link.script(script, ("key",) if script is not ECHO else (), "value", seconds=seconds)
    return str(caught.value)


def clients(server: RedisServer) -> list[dict[str, str]]:
    """The connections of routers to it."""
    return [each for each in server.client().client_list() if each["name"] == "ringway"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - a server tells by being asked
            await asyncio.sleep(0.002)
