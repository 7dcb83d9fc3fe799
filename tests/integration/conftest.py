"""A configuration of the test's own, with and without the demo data in its store; a real Redis, and what uses it."""

import pathlib
from collections.abc import AsyncIterator, Iterator

import pytest

from router.store import table_sync as sync
from router.store.redis import connection as redis_connection
from router.store.redis import store as store_redis
from tests.fault_proxy import FaultProxy
from tests.integration.redis_stores import Stores
from tests.processes import DEMO_DATA, load, write_config
from tests.redis_server import RedisServer, running_redis


@pytest.fixture
def config(tmp_path: pathlib.Path) -> pathlib.Path:
    return write_config(tmp_path)


@pytest.fixture
def demo(config: pathlib.Path) -> pathlib.Path:
    load(config, DEMO_DATA)
    return config


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    monkeypatch.setattr(redis_connection, "REDIS_COMMAND_SECONDS", 1.0)
    monkeypatch.setattr(sync, "STORE_RETRY_MIN_SECONDS", 0.01)
    monkeypatch.setattr(sync, "STORE_RETRY_MAX_SECONDS", 0.05)
    monkeypatch.setattr(store_redis, "REDIS_LOCK_SECONDS", 1.0)


@pytest.fixture
async def stores() -> AsyncIterator[Stores]:
    async with Stores() as made:
        yield made


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running_redis() as running:
        yield running


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisServer]:
    """For tests that leave it as it was."""
    with running_redis() as running:
        yield running


@pytest.fixture
def emptied(shared: RedisServer) -> RedisServer:
    shared.client().flushall()
    return shared


@pytest.fixture
def proxy(emptied: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(emptied.port) as running:
        yield running
