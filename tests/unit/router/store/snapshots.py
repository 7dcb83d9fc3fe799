"""A data set in a real Redis, the way to it, and snapshots of it."""

import asyncio
import contextlib
import pathlib
import sqlite3
import uuid
from typing import Any

from router.store.api import TableRead
from router.store.local.snapshot import SnapshotStore
from router.store.redis.address import Options, parse
from router.store.redis.store import RedisStore
from tests.fault_proxy import FaultProxy
from tests.processes import PATIENCE_SECONDS
from tests.redis_server import RedisServer
from tests.unit.router.store import content as data
from tests.unit.router.store.logs import Log

HOUR = 3600.0


class Place:
    """A data set in Redis, the way to it, and snapshots of it in one file."""

    def __init__(self, server: RedisServer, proxy: FaultProxy, folder: pathlib.Path) -> None:
        self.server = server
        self.proxy = proxy
        self.prefix = uuid.uuid4().hex
        self.path = folder / "state" / "snapshot.db"
        self.log = Log()
        self.opened: list[SnapshotStore | RedisStore] = []
        self.writer = self._redis(server.port)

    def _redis(self, port: int) -> RedisStore:
        made = RedisStore(parse(f"redis://127.0.0.1:{port}/0"), Options(prefix=self.prefix))
        self.opened.append(made)
        return made

    def snapshot(self, oldest: float = 0.0) -> SnapshotStore:
        """A router's store, as if it had just started."""
        log: Any = self.log
        made = SnapshotStore(self._redis(self.proxy.port), self.path, oldest, log)
        self.opened.append(made)
        return made

    async def started(self, oldest: float = 0.0) -> SnapshotStore:
        made = self.snapshot(oldest)
        await made.open()
        return made

    def away(self) -> None:
        self.proxy.refuse()
        self.proxy.cut()

    def back(self) -> None:
        self.proxy.accept()

    def empty(self) -> None:
        for name in self.server.command("KEYS", f"{{{self.prefix}}}:*"):
            self.server.command("DEL", name)

    def held(self) -> tuple[int, set[str]]:
        """The version that the file has, and the keys of its rows."""
        with contextlib.closing(sqlite3.connect(self.path)) as file:
            ((version,),) = file.execute("SELECT version FROM meta").fetchall()
            return version, {key for (key,) in file.execute("SELECT key FROM rows")}

    def held_rows(self) -> set[str]:
        """The keys of the rows that the file has, also where it has no version yet."""
        with contextlib.closing(sqlite3.connect(self.path)) as file:
            return {key for (key,) in file.execute("SELECT key FROM rows")}

    def change(self, statement: str, *values: object) -> None:
        with contextlib.closing(sqlite3.connect(self.path)) as file:
            file.execute(statement, values)
            file.commit()


Known = tuple[int, str]


async def taken(reading: TableRead) -> tuple[Known, data.Content]:
    rows = await data.content(reading)
    return (reading.version, reading.epoch), rows


async def in_step(store: SnapshotStore) -> tuple[Known, data.Content]:
    """What its first reading has, and wait until the file has come to the same state by itself."""
    known, rows = await taken(await store.read(None, ""))
    await meeting(store, known)
    return known, rows


async def meeting(store: SnapshotStore, known: Known) -> None:
    """Wait until the file has come to the state that the table has."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while store._at != known:
            assert not await store.wait(*known, 0)
            if store._reading is not None:
                await asyncio.wait([store._reading])


def keys(rows: data.Content) -> set[str]:
    return {key for (_, key), row in rows.items() if row is not None}
