"""The embedded store: SQLite in WAL mode, for one machine.

Every row carries the version of the commit that wrote it, so that "what has changed since version v" is one indexed
query, and a gap is nothing special. A removed row stays as a tombstone (no body) for readers who have not heard of it
yet. SQLite's own work runs in threads of the store's, one a connection: the event loop never waits for a disk.
"""

import contextlib
import os
import pathlib
import re
import sqlite3
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import TypeVar

from dialplan.dataset.changes import ChangeSet, Stored
from dialplan.dataset.later import AnyKind, Held, LaterRow, code_of
from dialplan.kinds.registry import KINDS, RowKind
from dialplan.wording import quote
from router.config.limits import STORE_BATCH_ROWS, STORE_BUSY_SECONDS, STORE_POLL_SECONDS, TOMBSTONES_MAX
from router.config.paths import path_fault
from router.store.api import ChangedRow, Commit, Made, Prepare, StoreError, TableRead, unsaid
from router.store.codec import CODES, MalformedError, decode, encode, quoted
from router.store.sqlite.connection import Connection, Schema, in_time, reached, transaction
from router.store.work import Work

T = TypeVar("T")


def _make(database: sqlite3.Connection) -> None:
    # floor: tombstones up to this version are gone
    database.execute(
        """CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), epoch TEXT NOT NULL, version INTEGER NOT NULL,
        floor INTEGER NOT NULL)"""
    )
    # body: the row as JSON, NULL where it was removed
    database.execute(
        """CREATE TABLE rows (kind INTEGER NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, body BLOB,
        PRIMARY KEY (kind, key)) WITHOUT ROWID"""
    )
    database.execute("CREATE INDEX rows_by_version ON rows (version)")
    database.execute("CREATE INDEX tombstones ON rows (version) WHERE body IS NULL")
    database.execute("INSERT INTO meta VALUES (1, ?, 0, 0)", (uuid.uuid4().hex,))


_SCHEMA = Schema(1, _make, STORE_BUSY_SECONDS, "load data into it first, with ringway load FILE")
_UPSERT = (
    "INSERT INTO rows (kind, key, version, body) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (kind, key) DO UPDATE SET version = excluded.version, body = excluded.body"
)


def _meta(database: sqlite3.Connection) -> tuple[int, str, int]:
    """The version, the epoch, and the version up to which tombstones are gone."""
    found = database.execute("SELECT version, epoch, floor FROM meta").fetchone()
    match found:
        case int(version), str(epoch), int(floor):
            return version, epoch, floor
    raise sqlite3.DatabaseError(f"malformed content (its version is {found})")


def _row(code: int, key: str, body: bytes | None) -> tuple[AnyKind, Held | None]:
    """A row out of its columns; None where it was removed. SQLite keeps any type in any column."""
    try:
        return decode(code, key, body)
    except MalformedError as error:
        raise sqlite3.DatabaseError(str(error)) from error


class _StoredRows:
    """What is stored, as a check sees it: inside the transaction that is open on the database."""

    def __init__(self, database: sqlite3.Connection, work: Work) -> None:
        self._database = database
        self._work = work
        self._few: dict[tuple[RowKind, str], Held | None] = {}  # of kinds that are few, and asked for often
        self._none: dict[RowKind, bool] = {}  # kinds of which there may be no row: a first load asks for a million

    def get(self, kind: RowKind, key: str) -> Held | None:
        self._work.go_on()
        if (kind, key) in self._few:
            return self._few[kind, key]
        if self._is_none(kind):
            return None
        found = self._database.execute(
            "SELECT body FROM rows WHERE kind = ? AND key = ?", (CODES[kind], key)
        ).fetchone()
        row = None if found is None else _row(CODES[kind], key, found[0])[1]
        if not KINDS[kind].numerous:
            self._few[kind, key] = row
        return row

    def _is_none(self, kind: RowKind) -> bool:
        none = self._none.get(kind)
        if none is None:
            found = self._database.execute("SELECT 1 FROM rows WHERE kind = ? LIMIT 1", (CODES[kind],)).fetchone()
            none = self._none[kind] = found is None
        return none

    def rows(self, kind: RowKind, naming: AbstractSet[str] = frozenset()) -> Iterator[Held]:
        query, sought = "SELECT key, body FROM rows WHERE kind = ? AND body IS NOT NULL", quoted(naming)
        if sought:
            query += f" AND ({' OR '.join(['instr(body, ?) > 0'] * len(sought))})"
        for key, body in self._database.execute(f"{query} ORDER BY key", (CODES[kind], *sought)):
            self._work.go_on()
            row = _row(CODES[kind], key, body)[1]
            if row is not None:
                yield row

    def of_other_kinds(self) -> Iterator[LaterRow]:
        query = "SELECT kind, key, body FROM rows WHERE kind > ? AND body IS NOT NULL ORDER BY kind, key"
        for code, key, body in self._database.execute(query, (max(CODES.values()),)):
            self._work.go_on()
            row = _row(code, key, body)[1]
            if isinstance(row, LaterRow):
                yield row


class SqliteStore:
    """The store in the file `path`; see `router.store.api.Store` for what each method promises."""

    name = "sqlite"

    def __init__(self, path: pathlib.Path, made: Made = unsaid) -> None:
        self.path = path
        self._made = made
        self._reading = Connection(path, _SCHEMA)
        self._writing = Connection(path, _SCHEMA)
        self._closing = threading.Event()
        self._cursor: sqlite3.Cursor | None = None  # of the reading that is under way
        self._followed = 0  # of which opening of the file the last reading was that came to its end

    async def open(self, *, make: bool = True) -> None:
        """Make the folder and the file where they are missing, or insist that they are there. Raises StoreError."""
        if make:
            if await self._writing.make():
                self._made(str(self.path))
            return
        with reached(self.path):
            there = self.path.exists()
        if not there:
            hint = "or name the store that you have, with -c FILE or RINGWAY_STORE__URL"
            raise StoreError(
                f"store {self.path}: there is none; load data into it first, with ringway load FILE, {hint}"
            )
        await self._writing.run(lambda _: None)

    async def close(self) -> None:
        """Close both connections."""
        self._closing.set()
        await in_time(self._close())

    async def _close(self) -> None:
        if self._cursor is not None:
            with contextlib.suppress(StoreError):
                await self._reading.run(self._end_abandoned)
        await self._reading.close()
        await self._writing.close()

    async def wait(self, version: int, epoch: str, seconds: float) -> bool:
        """Look every STORE_POLL_SECONDS, in the reading thread, whether anything was committed. Raises StoreError."""
        end = time.monotonic() + seconds
        while True:
            newer = await self._reading.run(lambda database: self._watch(database, version, epoch, end))
            if newer is not None:
                return newer

    def _watch(self, database: sqlite3.Connection, version: int, epoch: str, end: float) -> bool | None:
        """Tell whether there is something newer by `end`; None: something has changed, open the file and ask again.

        Another file in place of the one that was read is newer whatever its version: a backup has the same epoch,
        and may have come to the same version in another way.
        The fingerprint is taken before the query: what is committed after the query changes it. The log's time and size
        would not do, since they change before a commit can be seen, and not for every one.
        """
        self._end_abandoned(database)
        before = self._fingerprint(database)
        if _meta(database)[:2] != (version, epoch) or self._followed not in (0, self._reading.opened):
            return True
        while not self._closing.wait(STORE_POLL_SECONDS):
            if self._fingerprint(database) != before:
                return None
            if time.monotonic() >= end:
                break
        return False

    def _fingerprint(self, database: sqlite3.Connection) -> tuple[int, ...]:
        """What changes with every commit, and when another file is put in place of this one: about 3 µs."""
        (commits,) = database.execute("PRAGMA data_version").fetchone()
        try:
            state = os.stat(self.path)  # noqa: PTH116 - asked 25 times a second
        except OSError as error:
            return commits, error.errno or 0
        return commits, state.st_ino, state.st_size, state.st_mtime_ns

    async def read(self, version: int | None, epoch: str) -> TableRead:
        """Read inside one transaction, which the last batch ends. Raises StoreError."""

        def begin(database: sqlite3.Connection) -> tuple[int, str, bool, AsyncIterator[list[ChangedRow]]]:
            self._end_abandoned(database)
            database.execute("BEGIN")
            now, its_epoch, floor = _meta(database)
            known = self._followed in (0, self._reading.opened)
            full = version is None or epoch != its_epoch or not floor <= version <= now or not known
            if full:
                cursor = database.execute("SELECT kind, key, body FROM rows WHERE body IS NOT NULL")
            else:
                cursor = database.execute("SELECT kind, key, body FROM rows WHERE version > ?", (version,))
            self._cursor = cursor
            return now, its_epoch, full, self._batches(cursor, self._reading.opened)

        return TableRead(*await self._reading.run(begin))

    def _end_abandoned(self, database: sqlite3.Connection) -> None:
        """End the transaction of a reading that was left in the middle: nothing newer shows inside it.

        Its cursor too, which would hold on to what it sees beyond the end of the transaction.
        """
        if self._cursor is not None:
            with contextlib.suppress(sqlite3.ProgrammingError):  # it went with the file that was open before
                self._cursor.close()
            self._cursor = None
        if database.in_transaction:
            database.execute("ROLLBACK")

    async def _batches(self, cursor: sqlite3.Cursor, opening: int) -> AsyncIterator[list[ChangedRow]]:
        def fetch(_: sqlite3.Connection) -> list[ChangedRow]:
            rows: list[ChangedRow] = []
            for code, key, body in cursor.fetchmany(STORE_BATCH_ROWS):
                kind, row = _row(code, key, body)
                rows.append((kind, key, row))
            return rows

        while rows := await self._reading.run(fetch):
            yield rows
        await self._reading.run(lambda database: database.execute("COMMIT"))
        self._followed = opening

    async def view(self, use: Callable[[Stored], None]) -> int:
        """Show what is stored inside one transaction. Raises StoreError."""
        work = Work()

        def look(database: sqlite3.Connection) -> int:
            with transaction(database, "DEFERRED"):
                version = _meta(database)[0]
                use(_StoredRows(database, work))
            return version

        return await work.result(self._writing.run(look))

    async def commit(self, prepare: Prepare, *, whole: bool = False) -> Commit:
        """Prepare while others may write, and write inside one transaction.

        Where somebody else wrote meanwhile, the change is prepared again, inside that transaction.
        Raises StoreError, and what `prepare` raises.
        """
        work = Work()

        def change(database: sqlite3.Connection) -> Commit:
            changes, seen = None, None
            if not whole:
                with transaction(database, "DEFERRED"):
                    seen = _meta(database)
                    changes = prepare(_StoredRows(database, work))
            with transaction(database):
                now = _meta(database)
                if changes is None or now != seen:
                    changes = prepare(_StoredRows(database, work))
                version = now[0]
                if len(changes):
                    version += 1
                    _write(database, changes, version)
                work.commit()
            return Commit(version, len(changes))

        return await work.result(self._writing.run(change))


def _write(database: sqlite3.Connection, changes: ChangeSet, version: int) -> None:
    for kind, rows in changes.rows.items():
        code = code_of(kind)
        database.executemany(
            _UPSERT,
            ((code, key, version, None if row is None else encode(row)) for key, row in rows.items()),
        )
    database.execute("UPDATE meta SET version = ?", (version,))
    (tombstones,) = database.execute("SELECT count(*) FROM rows WHERE body IS NULL").fetchone()
    if tombstones > TOMBSTONES_MAX:
        database.execute("DELETE FROM rows WHERE body IS NULL AND version < ?", (version,))
        database.execute("UPDATE meta SET floor = ?", (version - 1,))


def from_url(url: str, made: Made = unsaid) -> SqliteStore:
    """The store that `sqlite:///absolute/path` (or `sqlite:relative`) names. Raises StoreError."""
    path = url.partition(":")[2].removeprefix("//")
    misplaced = url.startswith("sqlite://") and not path.startswith("/")  # its folder would be read as a host
    fault = path_fault(path) or _url_fault(path)
    if misplaced or (not fault and os.path.isdir(path)):  # noqa: PTH112 - a text so far
        fault = "names no file"
    if fault:
        raise StoreError(f"[store] url: {quote(url)} {fault}; write sqlite:///var/lib/ringway/ringway.db")
    return SqliteStore(pathlib.Path(os.path.normpath(path.replace("//", "/"))), made)


def _url_fault(path: str) -> str:
    """What other programs read in an address, and we do not: it would be a part of the file's name."""
    if "?" in path or "#" in path:
        return "has options, of which this store knows none"
    if re.search("%[0-9A-Fa-f]{2}", path):
        return "has an escape, where the character itself is wanted"
    if path.startswith("file:") or path.endswith(":memory:"):
        return "names no file"
    return ""
