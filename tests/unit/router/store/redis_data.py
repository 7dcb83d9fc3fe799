"""Data sets of their own in a real Redis, and copies that are kept by readings alone."""

import contextlib
import uuid
from collections.abc import Awaitable, Iterator

import pytest

from dialplan.dataset.later import AnyKind
from router.store.api import Prepare, Store, StoreError
from router.store.redis.address import Options, parse
from router.store.redis.scripts import DataSetState
from router.store.redis.store import RedisStore
from tests.redis_server import RedisServer
from tests.unit.router.store import content as data


class Opened:
    """Stores of one data set, and its keys."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.prefix = uuid.uuid4().hex
        self.stores: list[RedisStore] = []

    async def open(self, *, make: bool = True) -> RedisStore:
        self.stores.append(RedisStore(parse(self.server.url), Options(prefix=self.prefix)))
        await self.stores[-1].open(make=make)
        return self.stores[-1]

    def key(self, name: str) -> str:
        return f"{{{self.prefix}}}:{name}"

    def logs(self) -> list[str]:
        return [name.decode() for name in self.server.command("KEYS", self.key("log:*"))]

    def log(self, version: int) -> str:
        ((_, fields),) = self.server.command("XRANGE", self.key("changes"), f"{version}-0", f"{version}-0")
        return self.key(f"log:{fields[b'id'].decode()}")

    def versions(self) -> list[int]:
        entries: list[tuple[bytes, object]] = self.server.command("XRANGE", self.key("changes"), "-", "+")
        return [int(name.partition(b"-")[0]) for name, _ in entries]

    def delete(self, *names: str) -> None:
        self.server.command("DEL", *names)


Mirror = dict[tuple[AnyKind, str], object]


class Follower:
    """A copy that is kept by readings alone."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rows: Mirror = {}
        self.version: int | None = None
        self.epoch = ""
        self.full = 0

    async def read(self) -> None:
        reading = await self.store.read(self.version, self.epoch)
        rows = dict(self.rows) if not reading.full else {}
        async for batch in reading.batches:
            for kind, key, row in batch:
                rows[kind, key] = row
                if row is None:
                    del rows[kind, key]
        self.full += reading.full
        self.rows, self.version, self.epoch = rows, reading.version, reading.epoch


async def following(store: Store) -> Follower:
    follower = Follower(store)
    await follower.read()
    return follower


async def equal(follower: Follower, writer: Store, *, full: int) -> None:
    """The follower hears that there is something new, reads it, and then has what a new reader gets."""
    assert follower.version is not None
    assert await follower.store.wait(follower.version, follower.epoch, 60)
    await follower.read()
    fresh = await following(writer)
    assert (follower.rows, follower.version, follower.epoch) == (fresh.rows, fresh.version, fresh.epoch)
    assert follower.full == full
    assert not await follower.store.wait(follower.version, follower.epoch, 0)


def many(count: int, context: str = "c") -> Prepare:
    return data.flows(*[f"f{place:03}" for place in range(count)], context=context)


async def broken(work: Awaitable[object]) -> str:
    with pytest.raises(StoreError) as caught:
        await work
    return str(caught.value)


@contextlib.contextmanager
def dying_before_it_applies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A writer that commits here leaves its rows for whoever comes next to put in."""

    async def apply(of: RedisStore, state: DataSetState | None = None) -> DataSetState:
        return await of._state() if state is None else state

    with monkeypatch.context() as dying:
        dying.setattr(RedisStore, "_apply", apply)
        yield
