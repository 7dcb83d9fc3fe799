"""A connection by itself: whatever the schema, its errors name the file and the hint, and nothing is half done."""

import asyncio
import errno
import os
import sqlite3
import threading
import time
import types
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from router.config import limits
from router.store.api import StoreError
from router.store.sqlite import connection as sqlite_connection
from router.store.sqlite.connection import Connection, Schema, UnusableError, named, reached, transaction

PATH = Path("some") / "notes.db"


def make(database: sqlite3.Connection) -> None:
    database.execute("CREATE TABLE notes (text TEXT NOT NULL)")


NOTES = Schema(3, make, 0.01, "a writer makes it")


def notes_of_schema(database: sqlite3.Connection) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM sqlite_master")]


def write(database: sqlite3.Connection, text: str = "a") -> None:
    with transaction(database):
        database.execute("INSERT INTO notes VALUES (?)", (text,))


def notes(database: sqlite3.Connection) -> list[str]:
    return [text for (text,) in database.execute("SELECT text FROM notes ORDER BY text")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "notes.db"


@pytest.fixture
async def connection(path: Path) -> AsyncIterator[Connection]:
    made = Connection(path, NOTES)
    await made.make()
    yield made
    await made.close()


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (sqlite3.OperationalError("database or disk is full"), "the disk is full; free some space and try again"),
        (sqlite3.OperationalError("database is locked"), "somebody else has written to it for more than 0.2 s"),
        (sqlite3.OperationalError("unable to open database file"), "see that the folder is there"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "this user may write to it"),
        (sqlite3.DatabaseError("database disk image is malformed"), "the file is damaged; put a backup in its place"),
        (sqlite3.DatabaseError("file is not a database"), "the file is damaged; put a backup in its place"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "the file is damaged"),
        (sqlite3.IntegrityError("FOREIGN KEY constraint failed"), "FOREIGN KEY constraint failed; nothing was changed"),
        (msgspec.DecodeError("JSON is malformed"), "a row cannot be read (JSON is malformed); was it made by a newer"),
        (UnusableError("it is not ours; name another"), "it is not ours; name another"),
    ],
)
def test_an_error_names_the_file_and_the_mend(error: Exception, text: str) -> None:
    with pytest.raises(StoreError) as caught, named(PATH, 0.2):
        raise error
    assert str(caught.value).startswith(f"store {PATH}: ")
    assert text in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("text", ["unable to open database file", "disk I/O error"])
def test_a_disk_without_room_for_the_log_is_full_whatever_sqlite_calls_it(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connection, "DISK_FULL_BYTES", 2**80)
    with pytest.raises(StoreError, match=f"{text}; the disk is full; free some space"), named(tmp_path / "a.db", 0.2):
        raise sqlite3.OperationalError(text)


def test_a_disk_that_fails_is_not_called_full(tmp_path: Path) -> None:
    why = "disk I/O error; its disk fails; see the system's log"
    with pytest.raises(StoreError, match=why), named(tmp_path / "a.db", 0.2):
        raise sqlite3.OperationalError("disk I/O error")


def test_a_process_that_may_open_no_more_files_is_not_sent_to_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_connection, "are_used_up", lambda: True)
    with pytest.raises(StoreError, match="as many files open as it may; raise that limit"), named(PATH, 0.2):
        raise sqlite3.OperationalError("unable to open database file")


@pytest.mark.parametrize(
    ("number", "hint"), [(errno.EMFILE, "raise that"), (errno.ENFILE, "raise that"), (errno.ENOSPC, "free some space")]
)
def test_what_the_file_system_has_none_of_any_more_is_not_the_folder(number: int, hint: str) -> None:
    with pytest.raises(StoreError, match=hint), reached(PATH):
        raise OSError(number, os.strerror(number))


def test_what_the_file_system_refuses_names_the_file_and_the_mend() -> None:
    with (
        pytest.raises(StoreError, match=r"^store some/notes\.db: Permission denied; see that the folder"),
        reached(PATH),
    ):
        raise PermissionError(13, "Permission denied")


def test_a_defect_of_ours_is_no_error_of_the_store() -> None:
    with pytest.raises(ZeroDivisionError), named(PATH, 0.2):
        raise ZeroDivisionError


async def test_work_that_fails_tells_its_caller_and_the_next_goes_on(connection: Connection, path: Path) -> None:
    with pytest.raises(StoreError, match=f"store {path}: no such table: letters; nothing was changed"):
        await connection.run(lambda database: database.execute("SELECT * FROM letters").fetchall())
    await connection.run(write)
    assert await connection.run(notes) == ["a"]


async def test_who_opens_a_new_file_waits_until_the_other_one_is_done_with_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite by itself waits for nobody who writes when it goes into WAL mode, whatever its timeout."""
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    assert notes_of_schema(other) == []
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        other.execute("ROLLBACK")

    monkeypatch.setattr(sqlite_connection, "time", types.SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    made = Connection(path, NOTES._replace(busy_seconds=60.0))
    await made.make()
    await made.run(write)
    await made.close()
    other.close()
    assert waits == [limits.SQLITE_LOOK_SECONDS]


# --- files ----------------------------------------------------------------------------------------------------------


async def test_a_new_file_gets_its_folder_its_tables_and_its_version(connection: Connection, path: Path) -> None:
    assert path.is_file()
    assert await connection.run(notes) == []
    assert await connection.run(lambda database: database.execute("PRAGMA user_version").fetchone()) == (3,)
    assert connection.opened == 1


async def test_what_is_committed_outlives_a_power_cut(connection: Connection) -> None:
    names = ("journal_mode", "synchronous")
    found = await connection.run(lambda database: [database.execute(f"PRAGMA {name}").fetchone()[0] for name in names])
    assert found == ["wal", 2]


async def test_another_programs_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE bookcursors (v)")
    other.close()
    before = path.read_bytes()
    stranger = Connection(path, NOTES)
    with pytest.raises(StoreError, match=f"store {path}: it is another program's database; name another file"):
        await stranger.make()
    with pytest.raises(StoreError, match="another program's database"):
        await stranger.run(notes)
    await stranger.close()
    assert path.read_bytes() == before
    assert stranger.opened == 0


@pytest.mark.parametrize("version", [2, 4, 99])
async def test_a_schema_of_another_version_is_left_to_that_version(
    connection: Connection, path: Path, version: int
) -> None:
    await connection.run(write)
    await connection.run(lambda database: database.execute(f"PRAGMA user_version = {version}").fetchall())
    await connection.close()
    later = Connection(path, NOTES)
    why = f"its schema is {version}, this version of Ringway knows 3; use the version that made it"
    with pytest.raises(StoreError, match=why):
        await later.make()
    with pytest.raises(StoreError, match=why):
        await later.run(notes)
    await later.close()


async def test_who_only_works_makes_nothing(path: Path) -> None:
    connection = Connection(path, NOTES)
    with pytest.raises(StoreError, match=f"store {path}: No such file or directory"):
        await connection.run(notes)
    assert not path.parent.exists()
    path.parent.mkdir()
    path.touch()
    with pytest.raises(StoreError, match="its schema is missing; a writer makes it"):
        await connection.run(notes)
    await connection.close()
    assert path.stat().st_size == 0


async def test_two_who_make_it_at_once_make_it_once(path: Path) -> None:
    both = [Connection(path, NOTES._replace(busy_seconds=30.0)) for _ in range(2)]
    await asyncio.gather(*(each.make() for each in both))
    for each in both:
        await each.run(write)
    assert await both[0].run(notes) == ["a", "a"]
    for each in both:
        await each.close()


async def test_tables_that_could_not_be_made_are_made_the_next_time(path: Path) -> None:
    def half(database: sqlite3.Connection) -> None:
        make(database)
        raise sqlite3.OperationalError("database or disk is full")

    first = Connection(path, NOTES._replace(make=half))
    with pytest.raises(StoreError, match="the disk is full"):
        await first.make()
    await first.close()
    second = Connection(path, NOTES)
    await second.make()
    assert await second.run(notes) == []
    await second.close()


async def test_another_file_in_its_place_is_the_one_that_is_used(connection: Connection, path: Path) -> None:
    await connection.run(write)
    new = Connection(path.with_name("new.db"), NOTES)
    await new.make()
    await new.run(lambda database: write(database, "b"))
    await new.close()
    for each in path.parent.glob("notes.db*"):
        each.unlink()
    path.with_name("new.db").rename(path)
    assert await connection.run(notes) == ["b"]
    assert connection.opened == 2
    assert await connection.run(notes) == ["b"]
    assert connection.opened == 2


async def test_a_file_that_is_held_by_somebody_else_is_said_after_the_time_of_its_schema(
    connection: Connection, path: Path
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"somebody else has written to it for more than 0\.01 s; try again"):
        await connection.run(write)
    assert await connection.run(notes) == []  # reading waits for nobody
    other.execute("ROLLBACK")
    other.close()
    await connection.run(write)


async def test_a_file_that_is_made_is_told_from_one_that_was_there(path: Path) -> None:
    for expected in (True, False):
        connection = Connection(path, NOTES)
        assert await connection.make() is expected
        await connection.close()


async def test_an_empty_file_is_a_new_one(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    connection = Connection(path, NOTES)
    assert await connection.make()
    await connection.run(write)
    await connection.close()


@pytest.mark.parametrize("make", [True, False])
async def test_a_file_that_was_emptied_while_it_is_in_use_is_said_at_once_and_left_alone(
    connection: Connection, path: Path, make: bool
) -> None:
    """SQLite itself would wait for whoever has it open to let go, and throw away what the log has."""
    await connection.run(write)
    path.write_bytes(b"")
    log = path.with_name("notes.db-wal").read_bytes()
    other = Connection(path, NOTES._replace(busy_seconds=3_600.0))
    with pytest.raises(
        StoreError, match=f"^store {path}: it was emptied while it is in use: .*load all of the data again$"
    ):
        await (other.make() if make else other.run(notes))
    await other.close()
    assert path.stat().st_size == 0
    assert path.with_name("notes.db-wal").read_bytes() == log != b""


# --- transactions ---------------------------------------------------------------------------------------------------


async def test_a_transaction_is_all_or_nothing(connection: Connection) -> None:
    def fails(database: sqlite3.Connection) -> None:
        with transaction(database):
            database.execute("INSERT INTO notes VALUES ('lost')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await connection.run(fails)
    assert await connection.run(notes) == []
    await connection.run(write)  # nothing is left open
    assert await connection.run(notes) == ["a"]


async def test_a_commit_that_is_refused_leaves_nothing_open(connection: Connection) -> None:
    """A deferred constraint is checked by COMMIT itself."""

    def late(database: sqlite3.Connection) -> None:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("CREATE TABLE keys (k INTEGER PRIMARY KEY)")
        database.execute("CREATE TABLE late (v REFERENCES keys (k) DEFERRABLE INITIALLY DEFERRED)")
        with transaction(database):
            database.execute("INSERT INTO notes VALUES ('lost')")
            database.execute("INSERT INTO late VALUES (1)")

    with pytest.raises(StoreError, match="FOREIGN KEY"):
        await connection.run(late)
    await connection.run(write)
    assert await connection.run(notes) == ["a"]


async def test_a_transaction_that_sqlite_has_ended_itself_keeps_its_own_error(connection: Connection) -> None:
    def full(database: sqlite3.Connection) -> None:
        with transaction(database):
            database.execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(StoreError, match="the disk is full"):
        await connection.run(full)


# --- the thread -----------------------------------------------------------------------------------------------------


async def test_all_work_is_done_in_one_thread_that_is_not_the_event_loops(connection: Connection) -> None:
    threads = await asyncio.gather(*(connection.run(lambda _: threading.current_thread()) for _ in range(20)))
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()


async def test_it_may_be_closed_twice_and_its_thread_ends(connection: Connection) -> None:
    thread = await connection.run(lambda _: threading.current_thread())
    await connection.close()
    await connection.close()
    assert not thread.is_alive()


async def test_a_disk_that_hangs_is_left_to_itself_when_it_is_closed(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connection, "DISK_CLOSE_SECONDS", 0.01)
    began, goes_on = threading.Event(), threading.Event()

    def hang(_: sqlite3.Connection) -> None:
        began.set()
        goes_on.wait(60)

    hanging = asyncio.create_task(connection.run(hang))
    await asyncio.to_thread(began.wait, 60)
    try:
        await connection.close()
        assert not hanging.done()
    finally:
        goes_on.set()
    await hanging
    thread = connection._thread.thread
    assert thread is not None
    await asyncio.to_thread(thread.join, 60)
    assert connection._database is None  # it was closed after all


async def test_one_that_was_never_opened_can_be_closed(path: Path) -> None:
    await Connection(path, NOTES).close()
    assert not path.exists()


async def test_the_log_beside_the_file_is_gone_when_it_is_closed(connection: Connection, path: Path) -> None:
    await connection.run(write)
    assert len(list(path.parent.iterdir())) > 1
    await connection.close()
    assert list(path.parent.iterdir()) == [path]


async def test_a_connection_that_cannot_be_prepared_is_not_left_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def noted(*args: object, **kwargs: object) -> sqlite3.Connection:
        opened.append(connect(*args, check_same_thread=False, **kwargs))  # type: ignore[call-overload] # handed through
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", noted)
    path.parent.mkdir()
    path.write_bytes(b"no database" * 500)
    connection = Connection(path, NOTES)
    with pytest.raises(StoreError, match="damaged"):
        await connection.make()
    await connection.close()
    (left,) = opened
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        left.execute("SELECT 1")
