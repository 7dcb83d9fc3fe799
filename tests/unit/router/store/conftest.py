"""The stores that the suites in test_base and test_callback_stores run against.

Each has to keep every promise of `router.store.api`.
"""

import pathlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from router.store.api import CallbackStore, Store
from router.store.redis import connection as redis_connection
from router.store.redis import store as store_redis
from router.store.redis.address import Options, parse
from router.store.redis.callbacks import RedisCallbackStore
from router.store.redis.connection import Link
from router.store.redis.store import RedisStore
from router.store.sqlite import callbacks as sqlite_callbacks
from router.store.sqlite.callbacks import SqliteCallbackStore
from router.store.sqlite.store import SqliteStore
from tests.fault_proxy import FaultProxy
from tests.redis_server import RedisServer
from tests.unit.router.store.links import Linker
from tests.unit.router.store.outboxes import Parts
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


@pytest.fixture
async def parts(redis_server: RedisServer, proxy: FaultProxy, tmp_path: pathlib.Path) -> AsyncIterator[Parts]:
    made = Parts(redis_server, proxy, tmp_path)
    await made.store.open()
    yield made
    await made.store.close()
    await made.redis.close()


@pytest.fixture
async def link() -> AsyncIterator[Linker]:
    """Makes links to a server, or to a URL; they are closed afterwards."""
    made: list[Link] = []

    def make(to: RedisServer | str, connections: int = 4, **options: str | bool) -> Link:
        url = to if isinstance(to, str) else to.url
        made.append(Link(parse(url), Options(**options), connections))  # type: ignore[arg-type] # of any option
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a server that is not going to answer."""
    monkeypatch.setattr(redis_connection, "REDIS_CONNECT_SECONDS", 0.2)
