import asyncio
import os
import pathlib
import random
import shutil
import sqlite3
import types
from collections.abc import AsyncIterator

import pytest

from dialplan.kinds.registry import RowKind
from router.store.api import StoreError
from router.store.sqlite import store as sqlite
from router.store.sqlite.store import SqliteStore, from_url
from tests.unit.router.store import content as data


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "ringway.db"


@pytest.fixture
async def store(path: pathlib.Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(path)
    await made.open()
    yield made
    await made.close()


async def made(path: pathlib.Path, *names: str) -> pathlib.Path:
    """A store in a file of its own, closed, with call flows of these names."""
    each = SqliteStore(path)
    await each.open()
    await each.commit(data.flows(*names))
    await each.close()
    return path


def remove(path: pathlib.Path) -> None:
    """Take a database away with what SQLite keeps beside it."""
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/ringway/ringway.db", "/var/lib/ringway/ringway.db"),
        ("sqlite:////var/lib/ringway.db", "/var/lib/ringway.db"),
        ("sqlite:var/ringway.db", "var/ringway.db"),
        ("sqlite:///a/../b.db", "/b.db"),
        ("sqlite:///srv/my data/50%/a~1$.db", "/srv/my data/50%/a~1$.db"),
    ],
)
def test_an_address_names_a_file(url: str, path: str) -> None:
    assert from_url(url).path == pathlib.Path(path)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:///tmp",
        "sqlite:///tmp/",
        "sqlite://var/ringway.db",
        "sqlite",
        "sqlite:a\0b",
        "sqlite::memory:",
        "sqlite:///:memory:",
        "sqlite:file:ringway.db",
        "sqlite:///srv/ringway.db?timeout=5",
        "sqlite:///srv/ringway.db?mode=ro",
        "sqlite:///srv/ringway.db#1",
        "sqlite:~/ringway.db",
        "sqlite:///~/ringway.db",
        "sqlite:$HOME/ringway.db",
        "sqlite:///srv/${SITE}.db",
        "sqlite:///srv/my%20data.db",
        "sqlite:///srv/ringway.db ",
        "sqlite: /srv/ringway.db",
        "sqlite:///srv/ringway.db\n",
        "sqlite:///no/such/..",
        "sqlite:..",
    ],
)
def test_an_address_without_a_file_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(StoreError, match="write sqlite:///var/lib"):
        from_url(url)


async def test_folders_are_made_on_the_way(tmp_path: pathlib.Path) -> None:
    assert (await made(tmp_path / "a" / "b" / "ringway.db", "a")).is_file()


async def test_a_power_cut_is_thought_of(store: SqliteStore) -> None:
    settings = await store._writing.run(
        lambda database: [database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    )
    assert settings == ["wal", 2]  # 2 is FULL: the log is on the disk before a commit is acknowledged


@pytest.mark.parametrize("junk", [b"no database" * 500, b"SQLite format 3\0" + b"\xff" * 4096])
async def test_a_file_that_is_no_database_is_named_with_the_mend(path: pathlib.Path, junk: bytes) -> None:
    path.write_bytes(junk)
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="damaged") as caught:
        await store.open()
    await store.close()
    assert str(path) in str(caught.value)
    assert path.read_bytes() == junk


async def test_a_store_of_a_newer_version_is_left_alone(path: pathlib.Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="99"):
        await store.open()
    await store.close()


@pytest.mark.parametrize("make", [True, False])
async def test_another_programs_database_is_left_alone(path: pathlib.Path, make: bool) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE bookcursors (v)")
    database.close()
    before = path.read_bytes()
    store = SqliteStore(path)
    with pytest.raises(StoreError, match=r"another program's database; name another file in \[store\] url"):
        await store.open(make=make)
    await store.close()
    assert path.read_bytes() == before


async def test_who_only_looks_makes_nothing_of_an_empty_file(path: pathlib.Path) -> None:
    path.touch()
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="schema is missing; load data into it first"):
        await store.open(make=False)
    await store.close()
    assert path.stat().st_size == 0


async def test_a_path_that_cannot_be_looked_at_is_named(tmp_path: pathlib.Path) -> None:
    store = SqliteStore(tmp_path / ("x" * 300))
    with pytest.raises(StoreError, match="File name too long; see that"):
        await store.open(make=False)
    await store.close()


async def test_a_name_that_sqlite_reads_in_its_own_way_is_a_file_all_the_same(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await made(pathlib.Path(":memory:"), "a")
    again = SqliteStore(pathlib.Path(":memory:"))
    await again.open(make=False)
    assert set(await data.everything(again)) == {(RowKind.CALL_FLOW, "a")}
    await again.close()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    store = SqliteStore(tmp_path / "file" / "ringway.db")
    with pytest.raises(StoreError, match=r"file/ringway\.db: .*see that the folder is there"):
        await store.open()
    await store.close()


async def test_a_full_disk_is_named_and_the_store_goes_on_afterwards(store: SqliteStore) -> None:
    await store.commit(data.flows("a"))
    pages = await store._writing.run(
        lambda database: [database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "max_page_count")]
    )
    await store._writing.run(lambda database: database.execute(f"PRAGMA max_page_count = {pages[0]}"))
    with pytest.raises(StoreError, match="the disk is full; free some space"):
        await store.commit(data.flows(*map(str, range(5_000))))
    assert set(await data.everything(store)) == {(RowKind.CALL_FLOW, "a")}
    await store._writing.run(lambda database: database.execute(f"PRAGMA max_page_count = {pages[1]}"))
    assert (await store.commit(data.flows(*map(str, range(5_000))))).version == 2


async def test_a_commit_that_fails_at_its_very_end_leaves_the_next_one_free(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deferred constraint is refused by COMMIT itself, as a full disk may be."""

    def spoil(database: sqlite3.Connection) -> None:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("CREATE TABLE other (v INTEGER PRIMARY KEY)")
        database.execute("CREATE TABLE late (v REFERENCES other (v) DEFERRABLE INITIALLY DEFERRED)")

    await store._writing.run(spoil)
    write = sqlite._write

    def write_and_spoil(database: sqlite3.Connection, *rest: object) -> None:
        database.execute("INSERT INTO late VALUES (1)")
        write(database, *rest)  # type: ignore[arg-type] # handed through

    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "_write", write_and_spoil)
        with pytest.raises(StoreError, match="FOREIGN KEY"):
            await store.commit(data.flows("a"))
    assert await data.everything(store) == {}
    assert (await store.commit(data.flows("b"))).version == 1


async def test_who_waits_too_long_for_another_writer_is_told(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_SCHEMA", sqlite._SCHEMA._replace(busy_seconds=0.01))
    await made(path, "a")
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    store = SqliteStore(path)
    await store.open()
    with pytest.raises(StoreError, match="somebody else"):
        await store.commit(data.flows("b"))
    assert len(await data.everything(store)) == 1  # reading goes on
    blocker.execute("ROLLBACK")
    blocker.close()
    await store.commit(data.flows("b"))
    await store.close()


async def test_tombstones_are_cleared_away_and_late_readers_compare_in_full(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "TOMBSTONES_MAX", 3)
    await store.commit(data.flows("a", "b", "c", "d", "e"))
    epoch = (await store.read(None, "")).epoch
    await store.commit(data.removal("a", "b"))
    await store.commit(data.removal("c", "d"))
    newest = await store.read(2, epoch)
    assert not newest.full
    assert set(await data.content(newest)) == {(RowKind.CALL_FLOW, "c"), (RowKind.CALL_FLOW, "d")}
    late = await store.read(1, epoch)
    assert late.full
    assert set(await data.content(late)) == {(RowKind.CALL_FLOW, "e")}


# --- the file under a running router --------------------------------------------------------------------------------


async def test_a_commit_is_noticed_even_where_the_files_times_tell_nothing(
    store: SqliteStore, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is written, and stamped, before its commit can be seen: who trusts its time may miss the commit."""
    reading = await store.read(None, "")
    await data.content(reading)
    frozen = path.stat()
    monkeypatch.setattr(sqlite, "os", types.SimpleNamespace(stat=lambda _: frozen, path=os.path))
    waiting = asyncio.create_task(store.wait(reading.version, reading.epoch, 20))
    await asyncio.sleep(0)
    await made(path, "a")
    assert await waiting


async def test_a_store_whose_file_is_gone_says_so_and_makes_none(store: SqliteStore, path: pathlib.Path) -> None:
    await store.commit(data.flows("a"))
    reading = await store.read(None, "")
    await data.content(reading)
    remove(path)
    for _ in range(2):
        with pytest.raises(StoreError, match="No such file"):
            await store.wait(reading.version, reading.epoch, 0)
        with pytest.raises(StoreError, match="No such file"):
            await store.read(None, "")
    assert not path.exists()


@pytest.mark.parametrize("repeats", [1, 6])
async def test_another_file_in_its_place_is_noticed_every_time(
    store: SqliteStore, path: pathlib.Path, tmp_path: pathlib.Path, repeats: int
) -> None:
    """Also where its version and SQLite's own change counter happen to be the same."""
    await store.commit(data.flows("a"))
    reading = await store.read(None, "")
    await data.content(reading)
    for step in range(repeats):
        assert not await store.wait(reading.version, reading.epoch, 0)
        new = await made(tmp_path / "new.db", f"b{step}")
        remove(path)
        new.rename(path)
        assert await store.wait(reading.version, reading.epoch, 0)
        reading = await store.read(reading.version, reading.epoch)
        assert reading.full
        assert set(await data.content(reading)) == {(RowKind.CALL_FLOW, f"b{step}")}


async def test_a_restored_backup_is_read_as_a_whole_even_at_the_version_that_was_read(
    path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Restored and loaded again between two looks: the same epoch, the same version, and another content."""
    await made(path, "a")
    backup = shutil.copy(path, tmp_path / "backup.db")
    await made(path, "lost")
    store = SqliteStore(path)
    reading = await store.read(None, "")
    await data.content(reading)
    remove(path)
    shutil.copy(backup, path)
    await made(path, "new")
    assert await store.wait(reading.version, reading.epoch, 0)
    torn = await store.read(reading.version, reading.epoch)
    await torn.batches.aclose()  # type: ignore[attr-defined] # a generator
    assert await store.wait(reading.version, reading.epoch, 0)  # it has not been read yet
    again = await store.read(reading.version, reading.epoch)
    assert (again.version, again.epoch, again.full) == (reading.version, reading.epoch, True)
    assert set(await data.content(again)) == {(RowKind.CALL_FLOW, "a"), (RowKind.CALL_FLOW, "new")}
    assert not await store.wait(again.version, again.epoch, 0)
    await made(path, "more")
    assert not (await store.read(again.version, again.epoch)).full
    await store.close()


async def test_an_empty_file_in_its_place_is_no_empty_store(store: SqliteStore, path: pathlib.Path) -> None:
    """A reader that made tables in it would tell a running router that every number is gone."""
    await store.commit(data.flows("a"))
    await data.everything(store)
    remove(path)
    path.touch()
    with pytest.raises(StoreError, match="schema is missing"):
        await store.read(None, "")
    assert path.stat().st_size == 0


async def test_a_writer_too_makes_a_store_only_when_it_is_opened(store: SqliteStore, path: pathlib.Path) -> None:
    await store.commit(data.flows("a"))
    remove(path)
    with pytest.raises(StoreError, match="No such file"):
        await store.commit(data.flows("b"))
    assert not path.exists()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM meta",
        "UPDATE meta SET version = 'many'",
        "UPDATE meta SET floor = x'00'",
        "UPDATE rows SET kind = 99",
        "UPDATE rows SET body = 'not JSON'",
        "UPDATE rows SET body = x'ff'",
        "UPDATE rows SET body = 5",
        "UPDATE rows SET body = '{}'",
        "UPDATE rows SET key = CAST(x'ff' AS TEXT)",
        "DROP TABLE rows",
    ],
)
async def test_content_that_nobody_has_written_is_an_error_of_the_store(
    store: SqliteStore, path: pathlib.Path, damage: str
) -> None:
    await store.commit(data.flows("a"))
    with sqlite3.connect(path) as database:
        database.execute(damage)
    database.close()
    with pytest.raises(StoreError, match=str(path)):
        await data.everything(store)


@pytest.mark.parametrize("seed", range(40))
async def test_flipped_bytes_are_an_error_of_the_store_or_harmless(
    path: pathlib.Path, tmp_path: pathlib.Path, seed: int
) -> None:
    await made(path, *(f"flow-{place}" for place in range(200)))
    content = bytearray(path.read_bytes())
    chance = random.Random(seed)
    for _ in range(chance.choice([1, 8, 200])):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(content)
    store = SqliteStore(damaged)
    try:
        await store.open()
        reading = await store.read(None, "")
        await data.content(reading)
        await store.wait(reading.version, reading.epoch, 0)
        await store.commit(data.flows("new"))
    except StoreError as error:
        assert str(damaged) in str(error)  # noqa: PT017 - either outcome is right
    finally:
        await store.close()


async def test_a_copied_file_is_the_same_history(
    store: SqliteStore, path: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    await made(path, "a")
    epoch = (await store.read(None, "")).epoch
    await store.close()
    copy = SqliteStore(pathlib.Path(shutil.copy(path, tmp_path / "copy.db")))
    await copy.open()
    assert (await copy.read(None, "")).epoch == epoch
    await copy.close()
