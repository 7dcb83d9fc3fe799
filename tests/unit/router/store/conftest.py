"""The stores that the suites in test_base and test_callback_stores run against.

Each has to keep every promise of `router.store.base`.
"""

import pathlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from router.store import redis as store_redis
from router.store import sqlite_callbacks
from router.store.base import CallbackStore, Store
from router.store.redis import RedisStore
from router.store.redis_address import Options, parse
from router.store.redis_callbacks import RedisCallbackStore
from router.store.sqlite import SqliteStore
from router.store.sqlite_callbacks import SqliteCallbackStore
from tests.fault_proxy import FaultProxy
from tests.redis_server import RedisServer
from tests.unit.router.store.redis_data import Opened
from tests.unit.router.store.snapshots import Place

Opener = Callable[[], Awaitable[Store]]
CallbackOpener = Callable[[], Awaitable[CallbackStore]]
PATIENCE_SECONDS = 60.0


@pytest.fixture(params=["sqlite", "redis"])
async def another(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[Opener]:
    """Opens the same store once more, as another process would. All are closed afterwards."""
    prefix = uuid.uuid4().hex

    def in_redis() -> Store:
        server: RedisServer = request.getfixturevalue("redis_server")
        return RedisStore(parse(server.url), Options(prefix=prefix))

    make: dict[str, Callable[[], Store]] = {"sqlite": lambda: SqliteStore(tmp_path / "ringway.db"), "redis": in_redis}
    opened: list[Store] = []

    async def use() -> Store:
        store = make[request.param]()
        opened.append(store)
        await store.open()
        return store

    yield use
    for store in opened:
        await store.close()


@pytest.fixture
async def store(another: Opener) -> Store:
    """An open store with nothing in it."""
    return await another()


@pytest.fixture(params=["sqlite", "redis"])
async def another_callback_store(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[CallbackOpener]:
    """Opens the same store of attempts once more, as another router would. All are closed afterwards."""
    # Who waits for another router's turn waits on a slow disk too.
    schema = sqlite_callbacks._SCHEMA
    monkeypatch.setattr(sqlite_callbacks, "_SCHEMA", schema._replace(busy_seconds=PATIENCE_SECONDS))
    prefix = uuid.uuid4().hex

    def in_redis() -> CallbackStore:
        server: RedisServer = request.getfixturevalue("redis_server")
        return RedisCallbackStore(parse(server.url), Options(prefix=prefix))

    make: dict[str, Callable[[], CallbackStore]] = {
        "sqlite": lambda: SqliteCallbackStore(tmp_path / "calls" / "ringway-callbacks.db"),
        "redis": in_redis,
    }
    opened: list[CallbackStore] = []

    async def use() -> CallbackStore:
        store = make[request.param]()
        opened.append(store)
        await store.open()
        return store

    yield use
    for store in opened:
        await store.close()


@pytest.fixture
async def callback_store(another_callback_store: CallbackOpener) -> CallbackStore:
    """An open store that has heard of no attempt."""
    return await another_callback_store()


@pytest.fixture
async def opened(redis_server: RedisServer) -> AsyncIterator[Opened]:
    made = Opened(redis_server)
    yield made
    for each in made.stores:
        await each.close()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows a chunk, and a page of the scan."""
    monkeypatch.setattr(store_redis, "STORE_BATCH_ROWS", 2)


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(redis_server.port) as running:
        yield running


@pytest.fixture
async def place(redis_server: RedisServer, proxy: FaultProxy, tmp_path: pathlib.Path) -> AsyncIterator[Place]:
    made = Place(redis_server, proxy, tmp_path)
    await made.writer.open()
    yield made
    for each in made.opened:
        await each.close()
