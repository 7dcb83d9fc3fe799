import asyncio
import contextlib
import pathlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from dialplan.kinds.number import Number
from dialplan.kinds.registry import RowKind
from dialplan.shards import SHARDS, Steps
from router.observe.metrics import Metrics
from router.store import table_sync as sync
from router.store.api import ChangedRow, Commit, Prepare, Store, StoreError, TableRead, Unfit, UnfitError
from router.store.sqlite.store import SqliteStore
from router.store.table_sync import TableSync
from tests.unit.router.store import content as data


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **details: Any) -> None:
        self.events.append((event, details))

    warning = error = info

    def exception(self, event: str, **details: Any) -> None:
        self.events.append((f"defect: {event}", details))

    def names(self) -> list[str]:
        return [name for name, _ in self.events]


class Parts:
    """A follower with all that it was handed."""

    def __init__(self, store: Store) -> None:
        self.log = Log()
        self.metrics = Metrics()
        self.sync = TableSync(store, self.log, self.metrics)  # type: ignore[arg-type] # as much of a logger as it needs

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"ringway_{name}", labels)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.sync.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for is state of the code, which knows no events
            await asyncio.sleep(0.001)


def contexts(table: Any) -> dict[str, str]:
    return {key: row.destination.context for key, row in table.flows.items()}


@pytest.fixture
async def store(tmp_path: pathlib.Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "ringway.db")
    await made.open()
    yield made
    await made.close()


async def test_the_first_load_fills_the_table_and_says_so(store: SqliteStore) -> None:
    await store.commit(data.flows("a", "b"))
    parts = Parts(store)
    await parts.sync.load()
    assert set(parts.sync.table.flows) == {"a", "b"}
    assert parts.sync.table.version == 1
    assert parts.log.events == [("table", {"version": 1, "numbers": 0, "changed": 2, "full": True})]
    assert parts.sample("table_version") == 1
    assert parts.sample("store_up", store="sqlite") == 1


async def test_an_empty_store_is_a_start_too(store: SqliteStore) -> None:
    parts = Parts(store)
    await parts.sync.load()
    assert (parts.sync.table.version, parts.sync.table.flows) == (0, {})


async def test_commits_are_taken_up_in_order(store: SqliteStore) -> None:
    parts = Parts(store)
    await parts.sync.load()
    async with parts.following():
        for version in range(1, 6):
            await store.commit(data.flows("a", f"b{version}", context=f"c{version}"))
            await until(lambda wanted=version: parts.sync.table.version == wanted)  # type: ignore[misc] # bound now
            assert contexts(parts.sync.table)["a"] == f"c{version}"
        await store.commit(data.removal("a"))
        await until(lambda: "a" not in parts.sync.table.flows)
    assert set(parts.sync.table.flows) == {f"b{version}" for version in range(1, 6)}


async def test_each_change_gives_a_new_table_and_the_one_before_stays_as_it_was(store: SqliteStore) -> None:
    await store.commit(data.flows("a"))
    parts = Parts(store)
    await parts.sync.load()
    first = parts.sync.table
    async with parts.following():
        await store.commit(data.flows("b"))
        await until(lambda: parts.sync.table.version == 2)
    assert (set(first.flows), set(parts.sync.table.flows)) == ({"a"}, {"a", "b"})


# --- a store that does as it is told ----------------------------------------------------------------------------------


class Scripted:
    """A store whose answers a test sets: what `wait` and `read` give, or raise."""

    name = "scripted"

    def __init__(self) -> None:
        self.version = 1
        self.epoch = "first"
        self.full = True
        self.rows: list[ChangedRow] = []
        self.fails: Exception | None = None
        self.fails_in_the_middle: Exception | None = None
        self.asked: list[tuple[int | None, str]] = []
        self.told: tuple[int, str] | None = None
        self.waits = 0
        self.seen_at: float | None = None
        self.instead_of: StoreError | None = None
        self.moves_on_to: int | None = None  # the version, while the rows are read

    async def open(self, *, make: bool = True) -> None: ...

    async def close(self) -> None: ...

    async def wait(self, version: int, epoch: str, seconds: float) -> bool:  # noqa: ARG002 - the protocol's
        self.waits += 1
        await asyncio.sleep(0)
        if self.fails:
            raise self.fails
        return (version, epoch) != (self.version, self.epoch)

    async def read(self, version: int | None, epoch: str) -> TableRead:
        if self.fails:
            raise self.fails
        self.asked.append((version, epoch))
        reading = TableRead(self.version, self.epoch, self.full, self._batches(), self.seen_at, self.instead_of)
        reading.batches = self._moving_on(reading, reading.batches)
        return reading

    async def _moving_on(
        self, reading: TableRead, batches: AsyncIterator[list[ChangedRow]]
    ) -> AsyncIterator[list[ChangedRow]]:
        async for rows in batches:
            yield rows
        if self.moves_on_to is not None:
            self.version = reading.version = self.moves_on_to

    async def _batches(self) -> AsyncIterator[list[ChangedRow]]:
        for place, row in enumerate(self.rows):
            if place == 1 and self.fails_in_the_middle:
                raise self.fails_in_the_middle
            yield [row]

    async def commit(self, prepare: Prepare, *, whole: bool = False) -> Commit:
        raise NotImplementedError

    async def view(self, use: Any) -> int:
        raise NotImplementedError


def rows_of(prepare: Prepare) -> list[ChangedRow]:
    return [(kind, key, row) for kind, rows in prepare(None).rows.items() for key, row in rows.items()]  # type: ignore[arg-type] # looks at nothing


@pytest.fixture
def scripted() -> Scripted:
    made = Scripted()
    made.rows = rows_of(data.flows("a", "b"))
    return made


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again at once: these tests count attempts and wait for nothing."""
    monkeypatch.setattr(sync, "STORE_RETRY_MIN_SECONDS", 0.0005)
    monkeypatch.setattr(sync, "STORE_RETRY_MAX_SECONDS", 0.002)


async def test_it_asks_for_what_has_changed_since_its_own_version(scripted: Scripted) -> None:
    parts = Parts(scripted)
    await parts.sync.load()
    async with parts.following():
        scripted.version, scripted.full, scripted.rows = 4, False, [(RowKind.CALL_FLOW, "a", None)]
        await until(lambda: parts.sync.table.version == 4)
    assert scripted.asked == [(None, ""), (1, "first")]
    assert set(parts.sync.table.flows) == {"b"}


async def test_a_gap_gives_the_whole_set_and_no_empty_moment(scripted: Scripted) -> None:
    parts = Parts(scripted)
    await parts.sync.load()
    before = parts.sync.table
    scripted.version, scripted.epoch, scripted.rows = 9, "second", rows_of(data.flows("b", "c"))
    async with parts.following():
        await until(lambda: parts.sync.table.version == 9)
    assert set(parts.sync.table.flows) == {"b", "c"}
    assert set(before.flows) == {"a", "b"}


async def test_while_the_store_is_away_the_last_good_table_stays_and_its_age_grows(scripted: Scripted) -> None:
    parts = Parts(scripted)
    await parts.sync.load()
    async with parts.following():
        scripted.fails = StoreError("away")
        await until(lambda: parts.sample("store_up", store="scripted") == 0)
        young = parts.sample("table_age_seconds") or 0.0
        waits = scripted.waits
        await until(lambda: scripted.waits > waits + 3)
        assert (parts.sample("table_age_seconds") or 0.0) > young
        assert set(parts.sync.table.flows) == {"a", "b"}
        assert parts.log.names().count("store_down") == 1  # said once, however long it lasts
        scripted.fails = None
        scripted.version, scripted.rows = 2, rows_of(data.flows("c"))
        await until(lambda: parts.sample("store_up", store="scripted") == 1)
        assert set(parts.sync.table.flows) == {"c"}
        assert parts.log.names()[-1] == "store_up"
        assert (parts.sample("table_age_seconds") or 0.0) < 30


async def test_each_time_away_is_told_again(scripted: Scripted) -> None:
    parts = Parts(scripted)
    await parts.sync.load()
    async with parts.following():
        for times in (1, 2):
            scripted.fails = StoreError("away")
            await until(lambda: parts.sample("store_up", store="scripted") == 0)
            scripted.fails = None
            await until(lambda: parts.sample("store_up", store="scripted") == 1)
            assert parts.log.names().count("store_down") == times
            assert parts.log.names().count("store_up") == times


async def test_a_reading_that_breaks_off_changes_nothing(scripted: Scripted) -> None:
    parts = Parts(scripted)
    await parts.sync.load()
    scripted.version, scripted.rows = 2, rows_of(data.flows("c", "d"))
    scripted.fails_in_the_middle = StoreError("torn")
    async with parts.following():
        await until(lambda: parts.sample("store_up", store="scripted") == 0)
        assert (parts.sync.table.version, set(parts.sync.table.flows)) == (1, {"a", "b"})
        scripted.fails_in_the_middle = None
        await until(lambda: parts.sync.table.version == 2)
    assert set(parts.sync.table.flows) == {"c", "d"}


async def test_a_rebuilt_store_does_not_empty_the_table(scripted: Scripted) -> None:
    """Version 0 has never been loaded: somebody is about to, or has lost the file."""
    parts = Parts(scripted)
    await parts.sync.load()
    scripted.version, scripted.epoch, scripted.rows = 0, "second", []
    async with parts.following():
        await until(lambda: parts.sample("store_up", store="scripted") == 0)
        assert set(parts.sync.table.flows) == {"a", "b"}
        assert "load the data" in parts.log.events[-1][1]["error"]
        scripted.version, scripted.rows = 1, rows_of(data.flows("c"))
        await until(lambda: set(parts.sync.table.flows) == {"c"})


async def test_a_set_that_was_emptied_on_purpose_is_taken(scripted: Scripted) -> None:
    parts = Parts(scripted)
    await parts.sync.load()
    scripted.version, scripted.rows = 2, []
    async with parts.following():
        await until(lambda: parts.sync.table.version == 2)
    assert parts.sync.table.flows == {}


async def test_a_reading_is_of_the_version_that_it_ends_with(scripted: Scripted) -> None:
    scripted.moves_on_to = 5
    parts = Parts(scripted)
    await parts.sync.load()
    assert (parts.sync.table.version, parts.sample("table_version")) == (5, 5)
    async with parts.following():
        await until(lambda: scripted.waits > 2)
    assert len(scripted.asked) == 1


async def test_readings_of_everything_are_counted_and_equal_tables_show_the_same_digest(scripted: Scripted) -> None:
    parts, other = Parts(scripted), Parts(scripted)
    for each in (parts, other):
        await each.sync.load()
        assert each.sample("table_full_reads_total") == 1
    assert parts.sample("table_digest") == other.sample("table_digest") == parts.sync.table.digest != 0
    async with parts.following():
        scripted.version, scripted.full, scripted.rows = 2, False, [(RowKind.CALL_FLOW, "a", None)]
        await until(lambda: parts.sync.table.version == 2)
        assert parts.sample("table_full_reads_total") == 1
        assert parts.sample("table_digest") == parts.sync.table.digest != other.sync.table.digest
        scripted.version, scripted.full = 3, True
        await until(lambda: parts.sync.table.version == 3)
        assert parts.sample("table_full_reads_total") == 2


async def test_a_snapshot_shows_its_age_and_that_the_store_is_away(scripted: Scripted) -> None:
    scripted.seen_at = time.time() - 7200
    parts = Parts(scripted)
    await parts.sync.load()
    assert parts.sample("store_up", store="scripted") == 0
    assert 7200 <= (parts.sample("table_age_seconds") or 0) < 7300
    async with parts.following():  # the store answers that there is nothing newer
        await until(lambda: parts.sample("store_up", store="scripted") == 1)
        await until(lambda: (parts.sample("table_age_seconds") or 0) < 100)


async def test_a_defect_of_ours_is_told_as_one_and_the_last_good_table_goes_on(scripted: Scripted) -> None:
    parts = Parts(scripted)
    await parts.sync.load()
    scripted.fails = ZeroDivisionError("ours")
    async with parts.following():
        await until(lambda: parts.sample("store_up", store="scripted") == 0)
        assert parts.log.names()[-1] == "defect: store_down"
        assert set(parts.sync.table.flows) == {"a", "b"}
        scripted.fails = None
        await until(lambda: parts.sample("store_up", store="scripted") == 1)


async def test_a_first_load_that_fails_says_why(scripted: Scripted) -> None:
    scripted.fails = StoreError("away")
    with pytest.raises(StoreError, match="away"):
        await Parts(scripted).sync.load()


async def test_a_first_load_that_breaks_off_is_begun_once_more(scripted: Scripted) -> None:
    parts = Parts(scripted)
    scripted.fails_in_the_middle = StoreError("torn")
    asked = scripted.read

    async def read(version: int | None, epoch: str) -> TableRead:
        if scripted.asked:
            scripted.fails_in_the_middle = None
        return await asked(version, epoch)

    scripted.read = read  # type: ignore[method-assign]
    await parts.sync.load()
    assert scripted.asked == [(None, ""), (None, "")]
    assert set(parts.sync.table.flows) == {"a", "b"}
    assert ("first_reading_failed", {"error": "torn"}) in parts.log.events


def numbers(*keys: str, flow: str = "menu") -> list[ChangedRow]:
    return [(RowKind.NUMBER, key, Number(key, company="acme", call_flow=flow)) for key in keys]


async def test_calls_have_their_turns_while_a_table_is_made_and_each_sees_all_of_one_commit(
    scripted: Scripted,
) -> None:
    """Version v has all numbers on flow f<v>."""
    keys = [f"+44207946{place:04}" for place in range(3_000)]
    parts = Parts(scripted)
    scripted.rows = numbers(*keys, flow="f1")
    await parts.sync.load()
    turns: list[int] = []

    async def call() -> None:
        while parts.sync.table.version < 3:
            table = parts.sync.table
            entries = [table.find(key) for key in keys[:: len(keys) // 50]]
            assert {entry.base.flow for entry in entries if entry is not None} == {f"f{table.version}"}  # type: ignore[union-attr] # all have one
            turns.append(table.version)
            await asyncio.sleep(0)

    calls = asyncio.create_task(call())
    async with parts.following():
        for version, full in ((2, False), (3, True)):
            scripted.rows, scripted.full = numbers(*keys, flow=f"f{version}"), full
            scripted.version = version
            await until(lambda wanted=version: parts.sync.table.version == wanted)  # type: ignore[misc] # bound now
        await calls
    assert set(turns) == {1, 2}
    assert len(parts.sync.table.numbers) == len(keys)


async def test_a_replaced_table_is_freed(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit by bit, by `let_go`, and by nothing else: it is the last that holds its pieces."""
    freed: list[int] = []

    def let_go(groups: list[list[Any]]) -> Steps[None]:
        while groups:
            pieces = groups.pop()
            freed.extend(sys.getrefcount(pieces.pop()) for _ in range(len(pieces)))
            yield

    scripted.rows = numbers("+1", "+2")
    parts = Parts(scripted)
    await parts.sync.load()
    monkeypatch.setattr(sync, "let_go", let_go)
    async with parts.following():
        scripted.version = 2
        await until(lambda: len(freed) >= 2 * SHARDS)
    assert set(freed) == {1}


# --- a store that answers, and is not to be relied on -----------------------------------------------------------------


def unfit(parts: Parts) -> tuple[float | None, float | None]:
    return parts.sample("store_unfit", cause="incomplete"), parts.sample("store_unfit", cause="evicts")


async def test_what_is_wrong_with_the_store_is_told_until_it_is_right_again(scripted: Scripted) -> None:
    parts = Parts(scripted)
    await parts.sync.load()
    assert (parts.sync.unfit, unfit(parts)) == ("", (0, 0))
    async with parts.following():
        scripted.fails = UnfitError("a part of it is gone", Unfit.INCOMPLETE)
        await until(lambda: parts.sync.unfit == "a part of it is gone")
        assert unfit(parts) == (1, 0)
        assert ("store_down", {"error": "a part of it is gone", "table_version": 1}) in parts.log.events
        assert set(parts.sync.table.flows) == {"a", "b"}
        scripted.fails = StoreError("away")  # which says nothing of what it has
        await until(lambda: any(fields.get("error") == "away" for _, fields in parts.log.events))
        assert parts.sync.unfit == "a part of it is gone"
        scripted.fails = UnfitError("it throws away keys", Unfit.EVICTS)
        await until(lambda: parts.sync.unfit == "it throws away keys")
        assert unfit(parts) == (0, 1)
        scripted.fails = None
        await until(lambda: parts.sync.unfit == "")
        assert unfit(parts) == (0, 0)


async def test_a_snapshot_that_serves_instead_of_an_incomplete_store_says_so_at_once(scripted: Scripted) -> None:
    scripted.seen_at = time.time()
    scripted.instead_of = UnfitError("a part of it is gone", Unfit.INCOMPLETE)
    parts = Parts(scripted)
    await parts.sync.load()
    assert (parts.sync.unfit, unfit(parts)) == ("a part of it is gone", (1, 0))


async def test_a_store_that_came_back_empty_is_an_incomplete_one(scripted: Scripted) -> None:
    parts = Parts(scripted)
    await parts.sync.load()
    async with parts.following():
        scripted.version, scripted.epoch = 0, "another"
        await until(lambda: "nothing has been loaded into it" in parts.sync.unfit)
        assert unfit(parts) == (1, 0)
    assert set(parts.sync.table.flows) == {"a", "b"}
