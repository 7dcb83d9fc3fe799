"""The last good data set of a shared store, kept on this machine: a router that starts without its store serves that.

It lies in SQLite and follows what the router reads: what changes goes into it on its way to the table. Where the router
has to read everything, the table has that for itself, and calls are answered; the file reads the store by itself then,
and from where both have come to the same state they go on together. A router that starts with its store in reach takes
the snapshot and what has changed since, which is quicker than everything.
"""

import asyncio
import contextlib
import functools
import pathlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import aclosing
from typing import NamedTuple, TypeAlias

import structlog

from dialplan.dataset import times
from dialplan.dataset.changes import Stored
from dialplan.dataset.later import code_of
from dialplan.kinds.registry import RowKind
from dialplan.routing.image import Image
from dialplan.routing.table import RoutingTable
from router.config.limits import (
    IMAGE_CHANGES_MAX,
    SNAPSHOT_BUSY_SECONDS,
    SNAPSHOT_FILL_RETRY_SECONDS,
    SNAPSHOT_RETRY_SECONDS,
    SNAPSHOT_SEEN_SECONDS,
    STORE_BATCH_ROWS,
)
from router.store.api import ChangedRow, Commit, Prepare, Store, StoreError, TableRead, rebuilt
from router.store.codec import CODES, MalformedError, decode, encode
from router.store.local.disk import Disk
from router.store.local.table_image import TableImage
from router.store.sqlite.connection import Connection, Schema, UnusableError, transaction


def _make(database: sqlite3.Connection) -> None:
    # seen_at: when this was known to be in step with the store, epoch seconds
    database.execute(
        "CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER, epoch TEXT, seen_at REAL)"
    )
    database.execute(
        "CREATE TABLE rows (kind INTEGER NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, key))"
        " WITHOUT ROWID"
    )


_REBUILT = "move it away: a router rebuilds it"
_ANOTHER = "name another file in [store] snapshot"
_SCHEMA = Schema(1, _make, SNAPSHOT_BUSY_SECONDS, _REBUILT, _REBUILT, _ANOTHER)
_Place: TypeAlias = tuple[int, str]  # a kind and a key
_NUMBERS = (CODES[RowKind.NUMBER], "")  # before the first of them
_FIRST, _OTHERS, _END = (0, ""), (_NUMBERS[0] + 1, ""), (2**63 - 1, "")
_UPSERT = "INSERT OR REPLACE INTO rows VALUES (?, ?, ?)"


class _Held(NamedTuple):
    """What the snapshot has."""

    version: int
    epoch: str
    seen_at: float


class _Served(NamedTuple):
    """The table that calls see, the numbers in it that an image of it is to leave out, and its state."""

    table: RoutingTable
    aside: frozenset[str]
    state: tuple[int, str]


class SnapshotStore:
    """`store`, with a snapshot in the file `path` that serves where it is away and no older than `oldest` seconds.

    `oldest` 0: however old. `store` is one that bears two readers at a time. See `router.store.api.Store` for what each
    method promises.
    """

    def __init__(
        self, store: Store, path: pathlib.Path, oldest: float, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self.name = store.name
        self.path = path
        self._store = store
        self._oldest = oldest
        self._log = log
        self._connection = Connection(path, _SCHEMA)
        self._made = False  # whether the store was there once: before that it may have to be made
        self._at: tuple[int, str] | None = None  # the version and epoch that the file has come to, where it follows
        self._seen_at = 0.0  # as the file has it
        self._retry_at = 0.0  # when a file that does not follow is tried again
        self._served: _Served | None = None
        self._reading: asyncio.Task[None] | None = None  # the file reads the store by itself
        self._disk = Disk(path)
        self._image = TableImage(path.with_name(f"{path.name}-table"), log)
        self._failed: StoreError | None = None  # why the store did not do for the first reading
        self._damaged = False  # the file did not

    async def open(self, *, make: bool = True) -> None:
        """Open both. Without the store the snapshot has to do, or it without a snapshot. Raises StoreError."""
        await self._follow(None)
        try:
            await self._store.open(make=make)
        except StoreError as error:
            await self._usable(error)
            self._failed = error  # a store that hangs is not waited for twice
        else:
            self._made = True

    async def close(self) -> None:
        """Close both."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        await self._store.close()
        await self._image.close()
        with contextlib.suppress(StoreError):  # its disk hangs
            await self._disk.answer(self._connection.close())

    async def _usable(self, error: StoreError) -> _Held:
        """What the snapshot has, where it may stand for the store. Raises StoreError with both reasons."""
        held = await self._look()
        if held is None:
            raise StoreError(f"{error}; there is no snapshot in {self.path} to go by") from error
        hours = (time.time() - held.seen_at) / 3600
        if 0 < self._oldest < hours * 3600:
            allowed = f"[store] snapshot_max_age_hours allows {self._oldest / 3600:g}; 0 allows any"
            self._log.error(
                "snapshot_refused",
                seen_at=times.shown_at(held.seen_at),
                clock=times.shown_at(time.time()),
                hint="see that this machine's clock is right",
            )
            raise StoreError(f"{error}; the snapshot in {self.path} is {hours:.1f} hours old, and {allowed}") from error
        return held

    async def wait(self, version: int, epoch: str, seconds: float) -> bool:
        """Wait for the store; the snapshot has nothing newer. Raises StoreError."""
        if not self._made:
            await self._store.open()
            self._made = True
        due = self._at != (version, epoch) and self._may_read()
        newer = await self._store.wait(version, epoch, 0 if due else seconds)
        if due and not newer:
            self._read_on(version)
        # A clock that was set back is noted too: what was seen in the future would be young for as long.
        now = time.time()
        if not newer and self._at == (version, epoch) and abs(now - self._seen_at) > SNAPSHOT_SEEN_SECONDS:
            if await self._follow(lambda database: _see(database, (version, epoch), now)):
                self._seen_at = now
            else:
                self._at = None
        return newer

    async def read(self, version: int | None, epoch: str) -> TableRead:
        """Read the store, and let the snapshot follow; at first without the store, the snapshot. Raises StoreError."""
        if version is None:
            return await self._first()
        if self._at != (version, epoch):
            self._read_on(version)
            return self._apart(await self._store.read(version, epoch))
        reading = await self._store.read(version, epoch)
        return self._apart(reading) if reading.full else self._followed(reading, (version, epoch))

    def _may_read(self) -> bool:
        return (self._reading is None or self._reading.done()) and time.monotonic() >= self._retry_at

    def _read_on(self, version: int) -> None:
        """Have the file read the store by itself, where it does not yet; the table has come to this version."""
        if self._may_read():
            self._reading = asyncio.create_task(self._read_alone(version))

    async def _read_alone(self, version: int) -> None:
        began, at = time.monotonic(), self._at
        if at is None and not await self._follow(None):
            return
        try:
            reading = await self._store.read(*(at or (None, "")))
            if reading.version == 0 and version:
                raise rebuilt()
            async with aclosing(self._following(reading.batches, reading, at)) as batches:  # type: ignore[type-var]
                async for _ in batches:
                    if self._retry_at > began:
                        return
        except StoreError as error:
            self._failed_now(error, SNAPSHOT_FILL_RETRY_SECONDS)
            return
        if reading.full and self._at is not None:
            self._log.info("snapshot_filled", version=self._at[0], seconds=round(time.monotonic() - began, 1))
        self._have_an_image()

    async def _look(self) -> _Held | None:
        """What the snapshot has; nothing where it cannot be read, which the log has told then.

        `_rows` shows the same state, whoever writes to the file meanwhile.
        """
        found: list[_Held | None] = []
        if not self._damaged:
            await self._follow(lambda database: found.append(_pinned(database)))
        return found[0] if found else None

    async def _first(self) -> TableRead:
        """The first reading; where one has broken off, from what is here, or else from the store alone."""
        held = await self._look()
        failed, self._failed = self._failed, None
        try:
            if failed is not None and held is not None:
                raise failed
            reading = await self._since(held)
            reading.batches = self._noting(reading.batches)
        except StoreError as error:
            held = await self._usable(error)
            hours = round((time.time() - held.seen_at) / 3600, 2)
            hint = "it was written later than this machine's clock says: set the clock" if hours < 0 else ""
            self._log.error("snapshot_serves", why=str(error), version=held.version, age_hours=hours, hint=hint)
            self._at = held[:2]
            rows, image = await self._kept(held)
            seen = held.seen_at
            return TableRead(
                held.version, held.epoch, full=True, batches=rows, seen_at=seen, instead_of=error, image=image
            )
        self._at = None if held is None else held[:2]
        if reading.full or held is None:
            return self._apart(reading)
        followed = self._followed(reading, held[:2])
        rows, image = await self._kept(held)
        both = TableRead(followed.version, followed.epoch, full=True, batches=rows, image=image, keep=followed.keep)
        both.batches = self._both(rows, followed, both)
        return both

    async def _since(self, held: _Held | None) -> TableRead:
        if held is None:
            return await self._store.read(None, "")
        reading = await self._store.read(held.version, held.epoch)
        if reading.version == 0 and held.version:
            raise rebuilt()
        return reading

    async def _noting(self, batches: AsyncIterator[list[ChangedRow]]) -> AsyncIterator[list[ChangedRow]]:
        """The first reading; whoever begins it once more is not to wait for a store that has just failed."""
        try:
            async for rows in batches:
                yield rows
        except StoreError as error:
            self._failed = error
            raise

    async def _both(
        self, kept: AsyncIterator[list[ChangedRow]], changes: TableRead, both: TableRead
    ) -> AsyncIterator[list[ChangedRow]]:
        """What the snapshot has, and then what has changed since."""
        async for rows in kept:
            yield rows
        async for rows in changes.batches:
            yield rows
        both.version, both.epoch = changes.version, changes.epoch

    async def _kept(self, held: _Held) -> tuple[AsyncIterator[list[ChangedRow]], Image | None]:
        """The rows of the snapshot as the last look has found it, without those that an image of the table has."""
        found = await self._image.find(held[:2])
        if found is None:
            return self._rows([(_FIRST, _END)]), None
        return self._rows([(_FIRST, _NUMBERS), (_OTHERS, _END)], found.numbers), found.image

    async def _rows(
        self, ranges: Sequence[tuple[_Place, _Place]], numbers: Sequence[str] = ()
    ) -> AsyncIterator[list[ChangedRow]]:
        """The rows of the snapshot between these places, page by page, and then those of the numbers."""
        try:
            for after, before in ranges:
                last = after
                while page := await self._connection.run(functools.partial(_page, after=last, before=before)):
                    yield page
                    last = (code_of(page[-1][0]), page[-1][1])
            for first in range(0, len(numbers), STORE_BATCH_ROWS):
                some = numbers[first : first + STORE_BATCH_ROWS]
                yield await self._connection.run(functools.partial(_named, numbers=some))
        except StoreError:
            self._damaged = True
            await self._follow(_discard)  # the next start reads the store
            raise
        await self._follow(_undo)

    def _followed(self, reading: TableRead, base: tuple[int, str]) -> TableRead:
        """The reading, whose rows go into the snapshot on their way; `base` is what they are changes to."""
        reading.batches = self._following(reading.batches, reading, base)
        return self._apart(reading)

    def _apart(self, reading: TableRead) -> TableRead:
        """The reading, which is for the table alone."""
        reading.keep = lambda table, aside: self._serve(reading, table, aside)
        return reading

    def _serve(self, reading: TableRead, table: RoutingTable, aside: Collection[str]) -> None:
        self._served = _Served(table, frozenset(aside), (reading.version, reading.epoch))
        self._have_an_image()

    def _have_an_image(self) -> None:
        """Have the table's image written where one is due, if the snapshot has the rows of it."""
        if self._served is not None and self._served.state == self._at:
            self._image.keep(*self._served)
        else:
            self._image.keep_none()

    async def _following(
        self, batches: AsyncIterator[list[ChangedRow]], reading: TableRead, base: tuple[int, str] | None
    ) -> AsyncIterator[list[ChangedRow]]:
        before, self._at = self._at, None
        numbers: list[str] = []
        follows = await self._follow(lambda database: _begin(database, None if reading.full else base))
        try:
            async for rows in batches:
                follows = follows and await self._follow(functools.partial(_put, rows=rows))
                if not reading.full and len(numbers) <= IMAGE_CHANGES_MAX:
                    numbers += [key for kind, key, _ in rows if kind is RowKind.NUMBER]
                yield rows
        except BaseException:
            if follows and await self._follow(_undo):
                self._at = before
            raise
        now = time.time()
        if follows and await self._follow(lambda database: _commit(database, reading.version, reading.epoch, now)):
            self._at, self._seen_at = (reading.version, reading.epoch), now
        if reading.full or base is None or not follows:
            await self._image.forget()
        else:
            await self._image.follow(base, (reading.version, reading.epoch), numbers)

    async def _follow(self, work: Callable[[sqlite3.Connection], None] | None) -> bool:
        """Change the snapshot (None: make it); whether it could be. Where not the calls go on, and the log says so."""
        try:
            await self._answer(work)
        except StoreError as error:
            self._failed_now(error, SNAPSHOT_RETRY_SECONDS)
            with contextlib.suppress(StoreError):
                await self._answer(_undo)
            return False
        return True

    def _failed_now(self, error: StoreError, retry_seconds: float) -> None:
        self._retry_at = time.monotonic() + retry_seconds
        self._log.error("snapshot_failed", error=str(error))

    async def _answer(self, work: Callable[[sqlite3.Connection], None] | None) -> None:
        """Let the file's thread do it. Raises StoreError, also where the disk hangs: the file is left to it then."""
        if work is None:
            await self._disk.answer(self._connection.make())
        else:
            await self._disk.answer(self._connection.run(work))

    async def commit(self, prepare: Prepare, *, whole: bool = False) -> Commit:
        """Of the store. Raises StoreError."""
        return await self._store.commit(prepare, whole=whole)

    async def view(self, use: Callable[[Stored], None]) -> int:
        """Of the store. Raises StoreError."""
        return await self._store.view(use)


async def seen_at(path: pathlib.Path) -> float | None:
    """When the snapshot in a file was known to be in step with its store, epoch seconds; None: it has nothing yet.

    Makes none. Raises StoreError.
    """
    connection = Connection(path, _SCHEMA)
    try:
        held = await connection.run(_held)
    finally:
        await connection.close()
    return held.seen_at if held is not None else None


def _held(database: sqlite3.Connection) -> _Held | None:
    try:
        found = database.execute("SELECT version, epoch, seen_at FROM meta").fetchone()
    except sqlite3.OperationalError as error:
        if "no such" in str(error):
            raise UnusableError("it is no snapshot; name another file in [store] snapshot") from error
        raise
    return _Held(*found) if found is not None else None


def _pinned(database: sqlite3.Connection) -> _Held | None:
    """What it holds; what is read next is of the same state, until `_undo`."""
    _undo(database)
    database.execute("BEGIN")
    return _held(database)


def _discard(database: sqlite3.Connection) -> None:
    _undo(database)
    with transaction(database):
        database.execute("DELETE FROM meta")


def _page(database: sqlite3.Connection, after: _Place, before: _Place) -> list[ChangedRow]:
    query = (
        "SELECT kind, key, body FROM rows WHERE (kind, key) > (?, ?) AND (kind, key) < (?, ?) "
        "ORDER BY kind, key LIMIT ?"
    )
    return _decoded(database.execute(query, (*after, *before, STORE_BATCH_ROWS)))


def _named(database: sqlite3.Connection, numbers: Sequence[str]) -> list[ChangedRow]:
    """The rows of these numbers; None for those that are not there."""
    code = CODES[RowKind.NUMBER]
    query = "SELECT body FROM rows WHERE kind = ? AND key = ?"
    found = ((number, database.execute(query, (code, number)).fetchone()) for number in numbers)
    return _decoded((code, number, row[0] if row is not None else None) for number, row in found)


def _decoded(rows: Iterable[tuple[int, str, bytes | None]]) -> list[ChangedRow]:
    page: list[ChangedRow] = []
    try:
        for code, key, body in rows:
            kind, row = decode(code, key, body)
            page.append((kind, key, row))
    except MalformedError as error:
        raise sqlite3.DatabaseError(str(error)) from error
    return page


def _undo(database: sqlite3.Connection) -> None:
    if database.in_transaction:
        database.execute("ROLLBACK")


def _begin(database: sqlite3.Connection, base: tuple[int, str] | None) -> None:
    """Begin to change what it holds; without a `base` all of it."""
    _undo(database)
    database.execute("BEGIN IMMEDIATE")
    held = _held(database)  # in a file of another kind this fails, before anything of it is gone
    if base is None:
        database.execute("DELETE FROM rows")
    elif held is None or held[:2] != base:
        # Changes over somebody else's rows would give a set that never was.
        raise UnusableError("another router writes to it; give each one a file of its own in [store] snapshot")


def _put(database: sqlite3.Connection, rows: Sequence[ChangedRow]) -> None:
    gone = [(code_of(kind), key) for kind, key, row in rows if row is None]
    database.executemany("DELETE FROM rows WHERE kind = ? AND key = ?", gone)
    database.executemany(_UPSERT, [(code_of(kind), key, encode(row)) for kind, key, row in rows if row is not None])


def _commit(database: sqlite3.Connection, version: int, epoch: str, seen_at: float) -> None:
    database.execute("INSERT OR REPLACE INTO meta VALUES (1, ?, ?, ?)", (version, epoch, seen_at))
    database.execute("COMMIT")


def _see(database: sqlite3.Connection, at: tuple[int, str], seen_at: float) -> None:
    _undo(database)
    with transaction(database):
        database.execute("UPDATE meta SET seen_at = ? WHERE (version, epoch) = (?, ?)", (seen_at, *at))
