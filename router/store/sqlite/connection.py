"""SQLite for the event loop: a connection with a thread of its own, transactions, and errors that name the file.

WAL mode: readers never wait for a writer. Every commit is on the disk before it is acknowledged.
"""

import asyncio
import contextlib
import errno
import os
import pathlib
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple, TypeVar

import msgspec

from router.config.limits import DISK_CLOSE_SECONDS, DISK_FULL_BYTES, SQLITE_LOOK_SECONDS
from router.store.api import StoreError
from router.util.descriptors import TOO_FEW, are_used_up
from router.util.own_thread import OwnThread

T = TypeVar("T")

_DAMAGED = "put a backup in its place, or move it away and load the data again"


class Schema(NamedTuple):
    """What a file holds: `make` makes its tables in a new one, `version` stands in it (user_version).

    `busy_seconds`: how long to wait for another connection's transaction. `missing`: the hint for one without tables;
    `damaged`: for one that cannot be read; `strange`: for another program's. `expendable`: one that was emptied while
    it was in use is rebuilt, where another kind of file has to be put back.
    """

    version: int
    make: Callable[[sqlite3.Connection], None]
    busy_seconds: float
    missing: str
    damaged: str = _DAMAGED
    strange: str = "name another file in [store] url"
    expendable: bool = False


_EMPTIED = (
    "it was emptied while it is in use: it has no bytes, and its log lies beside it; end the router, put a backup in "
    "its place or delete it with its -wal and -shm, and load all of the data again"
)


class UnusableError(sqlite3.DatabaseError):
    """The file is sound, and not for this Ringway; the text says the hint too."""


@contextlib.contextmanager
def named(path: pathlib.Path, busy_seconds: float, damaged: str = _DAMAGED) -> Iterator[None]:
    """Turn what SQLite raises into a StoreError that names the file and the hint."""
    try:
        yield
    except UnusableError as error:
        raise StoreError(f"store {path}: {error}") from error
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter: a message that quotes damaged content
        raise StoreError(f"store {path}: {error}; {_hint(error, path, busy_seconds, damaged)}") from error
    except msgspec.DecodeError as error:
        raise StoreError(f"store {path}: a row cannot be read ({error}); was it made by a newer version?") from error


_FULL = "the disk is full; free some space and try again"
_FOLDER = "see that the folder is there and that this user may write to it"


def _hint(error: Exception, path: pathlib.Path, busy_seconds: float, damaged: str) -> str:
    text = str(error)
    kinds: list[tuple[bool, str]] = [
        ("full" in text, _FULL),
        ("locked" in text, f"somebody else has written to it for more than {busy_seconds:g} s; try again"),
        # SQLite says no more of what the system has refused it.
        (_unopened(text) and are_used_up(), TOO_FEW),
        ((_unopened(text) or "disk I/O" in text) and _is_full(path.parent), _FULL),
        (_unopened(text) or "readonly" in text, _FOLDER),
        ("disk I/O" in text, "its disk fails; see the system's log, and dump or restore the data when it is sound"),
        (
            "malformed" in text or "not a database" in text or isinstance(error, UnicodeDecodeError),
            f"the file is damaged; {damaged}",
        ),
    ]
    return next((hint for applies, hint in kinds if applies), "nothing was changed")


def _unopened(text: str) -> bool:
    return "unable to open" in text


def _is_full(folder: pathlib.Path) -> bool:
    """Whether its file system has no room for what SQLite keeps beside a file."""
    with contextlib.suppress(OSError):
        room = os.statvfs(folder)
        return room.f_bavail * room.f_frsize < DISK_FULL_BYTES or (room.f_files > 0 and room.f_favail == 0)
    return False


@contextlib.contextmanager
def reached(path: pathlib.Path) -> Iterator[None]:
    """Turn what the file system raises into a StoreError."""
    try:
        yield
    except OSError as error:
        hints = {errno.EMFILE: TOO_FEW, errno.ENFILE: TOO_FEW, errno.ENOSPC: _FULL, errno.EDQUOT: _FULL}
        hint = hints.get(error.errno or 0, _FOLDER)
        raise StoreError(f"store {path}: {error.strerror}; {hint}") from error


async def in_time(closing: Awaitable[None]) -> bool:
    """Close something, or leave it where its disk hangs: what was acknowledged is on it. Whether it was closed."""
    doing = asyncio.ensure_future(closing)
    doing.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may wait for it
    await asyncio.wait([doing], timeout=DISK_CLOSE_SECONDS)
    return doing.done()


class Connection:
    """A connection and the one thread that may use it. `opened` counts how often it was opened."""

    def __init__(self, path: pathlib.Path, schema: Schema) -> None:
        self.opened = 0
        self._path = path
        self._schema = schema
        self._thread = OwnThread("sqlite")
        self._database: sqlite3.Connection | None = None
        self._file = (0, 0)
        self._closed = False

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do some work in the thread, on the open database."""
        return await self._thread.run(lambda: self._guarded(work))

    async def make(self) -> bool:
        """Open the database, and make the folder, the file and its tables where they are missing; whether they were."""
        return await self._thread.run(self._make)

    def _guarded(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with named(self._path, self._schema.busy_seconds, self._schema.damaged):
            return work(self._open())

    def _make(self) -> bool:
        with named(self._path, self._schema.busy_seconds, self._schema.damaged):
            with reached(self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._close()  # what is open may be of a file that was deleted or emptied since
                if not self._path.exists() or (self._schema.expendable and not self._path.stat().st_size):
                    for beside in (
                        "-wal",
                        "-shm",
                    ):  # of the file before: SQLite would mix them with the new one
                        self._path.with_name(self._path.name + beside).unlink(missing_ok=True)
                    self._path.touch()
            self._database, made = self._connect(make_tables=True)
            return made

    def _open(self) -> sqlite3.Connection:
        """The database; opened again where another file stands in place of the one that was open."""
        if self._database is not None:
            if self._present() == self._file:
                return self._database
            self._database.close()
            self._database = None
        self._database, _ = self._connect(make_tables=False)
        return self._database

    def _connect(self, *, make_tables: bool) -> tuple[sqlite3.Connection, bool]:
        """The database, and whether its tables were made."""
        file = self._present()  # sqlite3 by itself would make a file that is missing
        # absolute: SQLite has names of its own, such as :memory:
        database = sqlite3.connect(self._path.absolute(), timeout=self._schema.busy_seconds, isolation_level=None)
        try:
            made = _prepare(database, self._schema, make_tables=make_tables)
        except BaseException:
            database.close()
            raise
        self._file = file
        self.opened += 1
        return database, made

    def _present(self) -> tuple[int, int]:
        """Which file stands there now."""
        with reached(self._path):
            state = self._path.stat()
            if not state.st_size and self._database is None and self._path.with_name(f"{self._path.name}-shm").exists():
                # SQLite would throw away what its log has, or wait in vain for the others to let go of it.
                raise UnusableError(_EMPTIED)
        return state.st_dev, state.st_ino

    async def close(self) -> None:
        """Close it, once or twice; a disk that hangs is left to itself after a while."""
        if not self._closed:
            self._closed = True
            if self._thread.thread is not None:
                closed = await in_time(self._thread.run(self._close))
                self._thread.end(hangs=not closed)

    def _close(self) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None


def _prepare(database: sqlite3.Connection, schema: Schema, *, make_tables: bool) -> bool:
    """Set what has to be set on every connection, and make the tables of a new file where that was asked for.

    Whether they were made.

    A file that comes to be under a running router is somebody's who is still making it, or a mistake.
    """
    with transaction(database, "DEFERRED"):
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version == 0 and tables:
        raise UnusableError(f"it is another program's database; {schema.strange}")
    if version == 0 and not make_tables:
        raise UnusableError(f"its schema is missing; {schema.missing}")
    if version not in (0, schema.version):
        known = f"this version of Ringway knows {schema.version}"
        raise UnusableError(f"its schema is {version}, {known}; use the version that made it")
    _into_wal_mode(database, schema.busy_seconds)
    database.execute("PRAGMA synchronous = FULL")  # an acknowledged commit outlives a power cut too
    if version == 0:
        with transaction(database):
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version == 0:  # nobody else was faster
                schema.make(database)
                database.execute(f"PRAGMA user_version = {schema.version}")
                return True
    return False


def _into_wal_mode(database: sqlite3.Connection, busy_seconds: float) -> None:
    """Of two who make a new file SQLite refuses one here at once, whatever its timeout."""
    end = time.monotonic() + busy_seconds
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                raise
            time.sleep(SQLITE_LOOK_SECONDS)
        else:
            return


@contextlib.contextmanager
def transaction(database: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """All of the block or nothing."""
    database.execute(f"BEGIN {kind}")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # a full disk rolls back by itself
            database.execute("ROLLBACK")
        raise
