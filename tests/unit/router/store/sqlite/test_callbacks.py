"""What is SQLite's own in the store of attempts: the file, locks, damage, and changes that share a transaction."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dialplan.campaigns.attempts import Heard, Outcome
from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.campaigns.retention import Cutoffs
from router.store.api import AttemptPlace, Recorded, StoreError
from router.store.sqlite import callbacks as sqlite_callbacks
from router.store.sqlite.callbacks import SqliteCallbackStore, beside, page_query
from tests.unit.router.store.attempts import ALSO_OURS, ANNA, BORIS, OUR, SINCE, attempt, ids
from tests.unit.router.store.conftest import PATIENCE_SECONDS


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteCallbackStore]:
    opened = SqliteCallbackStore(tmp_path / "calls" / "ringway-callbacks.db")
    await opened.open()
    yield opened
    await opened.close()


def execute(path: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    """What somebody with a shell does to the file."""
    with sqlite3.connect(path) as other:
        found: list[tuple[object, ...]] = other.execute(statement, values).fetchall()
    other.close()
    return found


async def said_to(store: SqliteCallbackStore) -> list[str]:
    """From now on, every statement that the store's own connection executes."""
    said: list[str] = []
    await store._connection.run(lambda database: database.set_trace_callback(said.append))
    return said


@contextmanager
def busy(store: SqliteCallbackStore) -> Iterator[None]:
    """While the thread of the store's connection does something else."""
    free = threading.Event()
    working = asyncio.ensure_future(store._connection.run(lambda _: free.wait(PATIENCE_SECONDS)))
    try:
        yield
    finally:
        free.set()
    assert not working.done()


async def until_handed_over(store: SqliteCallbackStore) -> None:
    """Until the store's connection has been given what waits to be written."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while store._writes:  # noqa: ASYNC110 - there is no event for what nobody else has to know
            await asyncio.sleep(0)


# --- the file -------------------------------------------------------------------------------------------------------


def test_the_file_stands_beside_the_data_sets() -> None:
    assert beside(Path("/var/lib/ringway/ringway.db")).path == Path("/var/lib/ringway/ringway-callbacks.db")


async def test_what_is_acknowledged_is_on_the_disk(store: SqliteCallbackStore) -> None:
    """FULL in WAL mode: a commit waits for the disk."""
    settings = [
        await store._connection.run(lambda database, name=name: database.execute(f"PRAGMA {name}").fetchone())  # type: ignore[misc]
        for name in ("synchronous", "journal_mode")
    ]
    assert settings == [(2,), ("wal",)]


async def test_a_store_that_is_not_there_is_not_made_for_a_look(tmp_path: Path) -> None:
    missing = SqliteCallbackStore(tmp_path / "none.db")
    with pytest.raises(StoreError, match=r"none\.db: there is none"):
        await missing.open(make=False)
    await missing.close()
    assert list(tmp_path.iterdir()) == []


async def test_nothing_is_made_in_an_empty_file_for_a_look(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    empty = SqliteCallbackStore(path)
    with pytest.raises(StoreError, match=r"empty\.db: its schema is missing; a router makes it when it starts"):
        await empty.open(make=False)
    await empty.close()
    assert [(each.name, each.stat().st_size) for each in tmp_path.iterdir()] == [("empty.db", 0)]


async def test_a_place_that_cannot_be_looked_into_is_named(tmp_path: Path) -> None:
    hidden = SqliteCallbackStore(tmp_path / ("x" * 300) / "ringway.db")
    with pytest.raises(StoreError, match=r"ringway\.db: File name too long; see that the folder is there"):
        await hidden.open(make=False)
    await hidden.close()


async def test_a_file_of_an_older_version_is_told_apart(store: SqliteCallbackStore) -> None:
    execute(store.path, "PRAGMA user_version = 1")
    again = SqliteCallbackStore(store.path)
    with pytest.raises(StoreError, match=r"its schema is 1, this version of Ringway knows 2"):
        await again.open()
    await again.close()


async def test_another_file_in_its_place_is_read_as_a_whole(store: SqliteCallbackStore, tmp_path: Path) -> None:
    """However alike the two are: the cursor is of the file that it came from."""
    other = SqliteCallbackStore(tmp_path / "other.db")
    await other.open()
    for each in (store, other):
        await each.record([attempt()])
    cursor = (await store.changes("", 0)).cursor
    assert not (await store.changes(cursor, 0)).full
    assert (await other.changes(cursor, 0)).full
    await other.close()


async def test_a_file_that_was_put_back_is_read_as_a_whole(store: SqliteCallbackStore) -> None:
    cursor = (await store.changes("", 0)).cursor
    await store.record([attempt("1"), attempt("2")])
    later = (await store.changes(cursor, 0)).cursor
    execute(store.path, "DELETE FROM attempts WHERE id = '2'")
    execute(store.path, "UPDATE meta SET seq = 1")
    changes = await store.changes(later, 0)
    assert (changes.full, [each.id for each in changes.attempts]) == (True, ["1"])


async def test_no_look_takes_up_more_news_than_its_bound(
    store: SqliteCallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_callbacks, "ATTEMPT_CHANGES_MAX", 2)
    cursor = (await store.changes("", 0)).cursor
    await store.record([attempt(str(place)) for place in range(5)])
    heard: list[list[str]] = []
    for _ in range(4):
        changes = await store.changes(cursor, 0)
        cursor = changes.cursor
        heard.append([each.id for each in changes.attempts])
    assert heard == [["0", "1"], ["2", "3"], ["4"], []]


class Waits:
    """asyncio, where each wait is noted and over at once."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __getattr__(self, name: str) -> object:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


async def test_who_waits_for_news_leaves_the_file_alone_between_two_looks(
    store: SqliteCallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = (await store.changes("", 0)).cursor
    for look_seconds, seconds in ((0.25, 0.001), (0.001, 0.002)):
        monkeypatch.setattr(sqlite_callbacks, "CALLBACK_LOOK_SECONDS", look_seconds)
        waits = Waits()
        with monkeypatch.context() as noted:
            noted.setattr(sqlite_callbacks, "asyncio", waits)
            said = await said_to(store)
            assert await store.changes(cursor, seconds) == (cursor, False, [])
        looks = sum(line.startswith("SELECT epoch") for line in said)
        assert waits.seconds == [0.001] * (looks - 1)


@pytest.mark.parametrize(
    ("question", "index"),
    [
        (sqlite_callbacks._REACHED_OF_PAIR, "attempts_of_pair"),
        (sqlite_callbacks._DELETE_OLD, "attempts_by_time"),
        (sqlite_callbacks._DELETE_UNANSWERED, "attempts_of_campaign"),
        (sqlite_callbacks._CHANGED, "attempts_by_change"),
        (sqlite_callbacks._DELETE_OLD_CLAIMS, "claims_by_time"),
    ],
    ids=["claim", "old", "unanswered", "changes", "old claims"],
)
async def test_no_question_goes_through_all_of_the_file(store: SqliteCallbackStore, question: str, index: str) -> None:
    steps = execute(store.path, f"EXPLAIN QUERY PLAN {question}", *[None] * question.count("?"))
    plan = "; ".join(str(step[-1]) for step in steps)
    assert index in plan
    assert "SCAN attempts" not in plan
    assert "SCAN claims" not in plan
    assert "ORDER BY" not in plan, "what is asked for first lies first"


@pytest.mark.parametrize("after", [None, AttemptPlace(100.0, OUR, ANNA, "1.1")], ids=["first page", "a later one"])
@pytest.mark.parametrize(
    ("number", "subscriber", "campaign", "index"),
    [
        (None, None, None, "attempts_by_time"),
        (OUR, None, None, "attempts_of_number"),
        (None, ANNA, None, "attempts_of_subscriber"),
        (None, None, "win-back", "attempts_of_campaign"),
        (OUR, ANNA, None, "attempts_of_pair"),
        (OUR, None, "win-back", "attempts_of_number"),
        (None, ANNA, "win-back", "attempts_of_subscriber"),
        (OUR, ANNA, "win-back", "attempts_of_pair"),
    ],
)
async def test_a_page_is_found_by_an_index_and_lies_there_in_its_order(
    store: SqliteCallbackStore,
    number: str | None,
    subscriber: str | None,
    campaign: str | None,
    index: str,
    after: AttemptPlace | None,
) -> None:
    query, values = page_query(number, subscriber, campaign, after)
    (step,) = execute(store.path, f"EXPLAIN QUERY PLAN {query}", *values, 10)
    how = "SCAN" if (number, subscriber, campaign, after) == (None,) * 4 else "SEARCH"
    assert str(step[-1]).startswith(f"{how} attempts USING INDEX {index}")


async def test_a_file_of_the_release_before_gets_its_indexes_when_a_router_opens_it(store: SqliteCallbackStore) -> None:
    """A command that only looks changes nothing in it, and finds the same without them."""
    for name in sqlite_callbacks._LISTS:
        execute(store.path, f"DROP INDEX {name}")
    await store.record([attempt("1"), attempt("2", subscriber=BORIS)])
    for make, indexes in ((False, []), (True, sorted(sqlite_callbacks._LISTS))):
        another = SqliteCallbackStore(store.path)
        await another.open(make=make)
        assert await ids(another, None, BORIS) == ["2"]
        await another.close()
        found = execute(store.path, "SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY name")
        assert [name for (name,) in found if name in sqlite_callbacks._LISTS] == indexes


async def test_a_file_that_is_held_is_opened_without_its_indexes(
    store: SqliteCallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.record([attempt()])
    for name in sqlite_callbacks._LISTS:
        execute(store.path, f"DROP INDEX {name}")
    monkeypatch.setattr(sqlite_callbacks, "_SCHEMA", sqlite_callbacks._SCHEMA._replace(busy_seconds=0.001))
    another = SqliteCallbackStore(store.path)
    with sqlite3.connect(store.path, isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        await another.open()
        assert await ids(another, OUR) == ["1.1"]
    holder.close()
    await another.close()


async def test_strangers_do_not_fill_the_file(store: SqliteCallbackStore) -> None:
    """A claim of a pair that no campaign reached is answered, and not written."""
    await store.record([attempt(outcome=Outcome.FAILED)])
    for subscriber in (ANNA, BORIS):
        await store.claim(OUR, subscriber, "call-1", 150.0, SINCE)
    assert execute(store.path, "SELECT count(*) FROM claims") == [(0,)]


# --- others who hold or damage it -----------------------------------------------------------------------------------


async def test_a_robot_that_rings_on_fills_nothing(store: SqliteCallbackStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_callbacks, "CALLBACK_PAIR_CLAIMS_MAX", 3)
    await store.record([attempt("1")])
    for place in range(9):
        claim = await store.claim(OUR, ANNA, f"call-{place}", 150.0 + place, SINCE)
        assert claim.status is (ClaimStatus.CONSUMED if place else ClaimStatus.GRANTED)
    found = await store._connection.run(lambda database: database.execute("SELECT call_id FROM claims").fetchall())
    assert sorted(found) == [("call-0",), ("call-1",), ("call-2",)]
    await store.record([attempt("2", at=170.0)])
    for again in (False, True):  # an entitlement is remembered, however many have rung
        claim = await store.claim(OUR, ANNA, "call-9", 180.0, SINCE)
        assert (claim.status, claim.again) == (ClaimStatus.GRANTED, again)


async def test_what_was_handed_on_goes_unless_more_was_heard_of_it(store: SqliteCallbackStore) -> None:
    """Whoever heard it: routers may share the place where attempts wait."""
    missed, answered = attempt("1"), attempt("1", outcome=Outcome.ANSWERED)
    await store.record([missed, attempt("2")])
    await store.record([answered])
    await store.drop([missed, attempt("2")])
    assert (await store.attempts(None, None, 10), await store.count()) == ([answered], 1)
    await store.drop([answered])
    assert (await ids(store), await store.count(), await store.pending()) == ([], 0, [])


async def test_somebody_who_holds_the_file_is_named_as_the_reason(store: SqliteCallbackStore) -> None:
    with sqlite3.connect(store.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"somebody else has written to it for more than 0\.2 s"):
            await store.record([attempt()])
        other.execute("ROLLBACK")
    other.close()
    assert await store.record([attempt()]) == [Recorded(attempt(), Heard.NEW)]


async def test_of_those_who_come_together_to_a_held_file_each_waits_once(store: SqliteCallbackStore) -> None:
    """Each by itself would fail after as long a wait as all of them together."""
    await store.record([attempt()])
    with sqlite3.connect(store.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        said = await said_to(store)
        asked = (store.claim(OUR, ANNA, f"call-{place}", 150.0, SINCE) for place in range(20))
        errors = await asyncio.gather(*asked, return_exceptions=True)
        other.execute("ROLLBACK")
    other.close()
    assert {type(error) for error in errors} == {StoreError}
    assert said.count("BEGIN IMMEDIATE") == 1


async def test_damaged_content_is_an_error_and_not_a_crash(store: SqliteCallbackStore) -> None:
    execute(store.path, "INSERT INTO attempts VALUES (?, ?, '1', 'win-back', 1.0, 'lost', 1)", OUR, ANNA)
    with pytest.raises(StoreError, match="the file is damaged"):
        await store.claim(OUR, ANNA, "call", 1.0, SINCE)
    with pytest.raises(StoreError, match="the file is damaged"):
        await store.attempts(None, None, 10)


# --- changes that come together -------------------------------------------------------------------------------------


async def test_claims_and_records_of_a_burst_wait_for_the_disk_together(store: SqliteCallbackStore) -> None:
    await store.record([attempt()])
    said = await said_to(store)
    await asyncio.gather(
        *(store.claim(OUR, ANNA, f"call-{place}", 150.0, SINCE) for place in range(100)),
        *(store.record([attempt(f"2.{place}", subscriber=BORIS)]) for place in range(100)),
    )
    assert said.count("COMMIT") == 1
    assert len(await ids(store, OUR, BORIS)) == 100


async def test_what_comes_one_by_one_while_another_is_written_shares_the_next_transaction(
    store: SqliteCallbackStore,
) -> None:
    said = await said_to(store)
    with busy(store):
        waiting = [asyncio.ensure_future(store.record([attempt("1")]))]
        await asyncio.sleep(0)
        await until_handed_over(store)
        for name in ("2", "3"):
            waiting.append(asyncio.ensure_future(store.record([attempt(name)])))
            for _ in range(5):  # a turn of its own, and enough for somebody else to begin with it
                await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert said.count("COMMIT") == 2


async def test_a_transaction_has_its_bound(store: SqliteCallbackStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_callbacks, "CALLBACK_WRITES_MAX", 2)
    said = await said_to(store)
    await asyncio.gather(*(store.record([attempt(str(place))]) for place in range(5)))
    assert said.count("COMMIT") == 3
    assert len(await ids(store)) == 5


async def test_one_that_fails_takes_none_of_the_others_with_it(store: SqliteCallbackStore) -> None:
    await store.record([attempt()])
    execute(store.path, "INSERT INTO attempts VALUES (?, ?, '1', 'win-back', 1.0, 'lost', 1)", OUR, BORIS)
    first, damaged, recorded, second = await asyncio.gather(
        store.claim(OUR, ANNA, "call-1", 150.0, SINCE),
        store.claim(OUR, BORIS, "call-2", 150.0, SINCE),
        store.record([attempt(number=ALSO_OURS)]),
        store.claim(OUR, ANNA, "call-3", 150.0, SINCE),
        return_exceptions=True,
    )
    assert isinstance(damaged, StoreError)
    assert (first, second) == (Claim(ClaimStatus.GRANTED, attempt()), Claim(ClaimStatus.CONSUMED, attempt()))
    assert recorded == [Recorded(attempt(number=ALSO_OURS), Heard.NEW)]


async def test_of_two_that_come_together_one_that_fails_does_not_take_the_other_with_it(
    store: SqliteCallbackStore,
) -> None:
    await store.record([attempt()])
    execute(store.path, "INSERT INTO attempts VALUES (?, ?, '1', 'win-back', 1.0, 'lost', 1)", OUR, BORIS)
    damaged, claim = await asyncio.gather(
        store.claim(OUR, BORIS, "call-1", 150.0, SINCE),
        store.claim(OUR, ANNA, "call-2", 150.0, SINCE),
        return_exceptions=True,
    )
    assert isinstance(damaged, StoreError)
    assert claim == Claim(ClaimStatus.GRANTED, attempt())


async def test_one_that_fails_after_its_source_went_disturbs_nobody_behind_it(store: SqliteCallbackStore) -> None:
    execute(store.path, "INSERT INTO attempts VALUES (?, ?, '1', 'win-back', 1.0, 'lost', 1)", OUR, BORIS)
    with busy(store):
        damaged = asyncio.ensure_future(store.claim(OUR, BORIS, "call-1", 150.0, SINCE))
        await asyncio.sleep(0)
        await until_handed_over(store)
        behind = asyncio.ensure_future(store.record([attempt()]))
        await asyncio.sleep(0)
        damaged.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await behind == [Recorded(attempt(), Heard.NEW)]
    assert damaged.cancelled()


async def test_a_callback_that_does_not_wait_any_longer_consumes_nothing(store: SqliteCallbackStore) -> None:
    await store.record([attempt(), attempt(number=ALSO_OURS)])
    with busy(store):
        ahead = asyncio.ensure_future(store.claim(ALSO_OURS, ANNA, "call-1", 150.0, SINCE))
        await asyncio.sleep(0)
        await until_handed_over(store)
        impatient = asyncio.ensure_future(store.claim(OUR, ANNA, "call-2", 150.0, SINCE))
        patient = asyncio.ensure_future(store.claim(OUR, ANNA, "call-3", 150.0, SINCE))
        await asyncio.sleep(0)
        impatient.cancel()
    assert (await ahead).status is ClaimStatus.GRANTED
    assert await patient == Claim(ClaimStatus.GRANTED, attempt())
    assert impatient.cancelled()


async def test_one_that_was_called_off_is_not_done_where_each_is_done_by_itself(store: SqliteCallbackStore) -> None:
    """Another one of its transaction failed, and it went while that was found out."""
    await store.record([attempt()])
    execute(store.path, "INSERT INTO attempts VALUES (?, ?, '1', 'win-back', 1.0, 'lost', 1)", OUR, BORIS)
    with busy(store):
        damaged = asyncio.ensure_future(store.claim(OUR, BORIS, "call-1", 150.0, SINCE))
        impatient = asyncio.ensure_future(store.claim(OUR, ANNA, "call-2", 150.0, SINCE))
        await asyncio.sleep(0)
        await until_handed_over(store)
        impatient.cancel()
    with pytest.raises(StoreError):
        await damaged
    assert await store.claim(OUR, ANNA, "call-3", 150.0, SINCE) == Claim(ClaimStatus.GRANTED, attempt())


async def test_who_went_too_late_is_done_and_disturbs_nobody(store: SqliteCallbackStore) -> None:
    with busy(store):
        gone, stays = (asyncio.ensure_future(store.record([attempt(name)])) for name in ("1", "2"))
        await asyncio.sleep(0)
        await until_handed_over(store)
        gone.cancel()
    assert await stays == [Recorded(attempt("2"), Heard.NEW)]
    assert sorted(await ids(store)) == ["1", "2"]


async def test_a_store_that_is_closed_writes_down_what_waits_and_lets_go_of_its_file(
    store: SqliteCallbackStore,
) -> None:
    with busy(store):
        handed_over = asyncio.ensure_future(store.record([attempt("1")]))
        await asyncio.sleep(0)
        await until_handed_over(store)
        waits = asyncio.ensure_future(store.record([attempt("2")]))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(store.close())
        await asyncio.sleep(0)
    await asyncio.gather(closing, handed_over, waits)
    assert store._connection._database is None
    assert execute(store.path, "SELECT id FROM attempts ORDER BY id") == [("1",), ("2",)]


async def test_a_store_in_which_nothing_waits_lets_go_of_its_file(store: SqliteCallbackStore) -> None:
    await store.record([attempt()])
    await store.close()
    assert store._connection._database is None


async def test_purging_goes_in_steps_and_lets_callbacks_in_between(
    store: SqliteCallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_callbacks, "PURGE_ROWS_AT_ONCE", 10)
    old = [attempt(str(place), subscriber=f"+447700900{place:03}") for place in range(35)]
    await store.record([*old, attempt("new", at=900.0)])
    said = await said_to(store)
    purging = asyncio.ensure_future(store.purge(Cutoffs({"win-back": 500.0}, 0.0)))
    await asyncio.sleep(0)
    claim = await store.claim(OUR, ANNA, "call", 950.0, SINCE)
    assert (claim.status, await purging) == (ClaimStatus.GRANTED, 35)
    done = [line for line in said if line.startswith(("COMMIT", "INSERT INTO claims"))]
    assert done.index("COMMIT") <= 1
    assert [line.partition(" ")[0] for line in done].index("INSERT") <= 1  # after the first step at the latest
    assert done.count("COMMIT") >= 5  # four steps, and the claims that are too old


async def test_a_step_of_a_purge_has_one_bound_for_all_that_it_deletes(
    store: SqliteCallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is past its campaign's window, and what is too old for all."""
    monkeypatch.setattr(sqlite_callbacks, "PURGE_ROWS_AT_ONCE", 10)
    await store.record([attempt(f"past {place}") for place in range(6)])
    await store.record([attempt(f"old {place}", campaign="removed") for place in range(16)])
    transact = store._transact
    results: list[Any] = []

    async def noted(work: Callable[[sqlite3.Connection], Any]) -> Any:
        results.append(await transact(work))
        return results[-1]

    monkeypatch.setattr(store, "_transact", noted)
    assert await store.purge(Cutoffs({"win-back": 500.0}, 500.0)) == 22
    assert results == [10, 10, 2, []]


async def test_claims_that_are_too_old_go_in_steps_as_well(
    store: SqliteCallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_callbacks, "PURGE_ROWS_AT_ONCE", 10)
    await store.record([attempt(at=900.0)])
    for place in range(35):
        await store.claim(OUR, ANNA, f"call-{place}", 100.0 + place, SINCE)
    said = await said_to(store)
    assert await store.purge(Cutoffs({"win-back": 0.0}, 130.0)) == 0
    assert execute(store.path, "SELECT count(*) FROM claims") == [(5,)]
    assert said.count("COMMIT") >= 4


async def test_a_file_of_before_gets_the_moment_of_its_last_purge_under_the_same_schema(
    store: SqliteCallbackStore,
) -> None:
    await store._connection.run(lambda database: database.execute("DROP TABLE purges"))
    assert await store.purged_at() is None
    await store.note_purge(5.0)
    assert await store.purged_at() == 5.0
