"""What a running router hears of its store: what others wrote, that it is away, and more than memory holds."""

import asyncio
import contextlib
import math
import os
import random
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.campaigns.callbacks import Claim, ClaimStatus
from router.callbacks import follower, index, purge
from router.config.limits import STORE_RETRY_MAX_SECONDS, STORE_RETRY_MIN_SECONDS
from router.store.api import StoreError
from router.store.sqlite import callbacks
from tests.unit.router.rung import (
    ALSO_OURS,
    ANNA,
    BORIS,
    HOUR,
    NOW,
    OUR,
    OVER,
    PATIENCE_SECONDS,
    VERA,
    Running,
    Store,
    attempt,
    report,
    until,
    working,
)


@pytest.fixture
async def there(store: Store) -> AsyncIterator[Running]:
    """Another router on the same file."""
    opened = Store(store.path)
    await opened.open()
    yield Running(opened, "campaign")
    await opened.close()


async def test_a_router_that_starts_knows_what_the_last_one_wrote(store: Store) -> None:
    await store.record([attempt(), attempt("2", subscriber=BORIS, outcome=Outcome.FAILED)])
    started = Running(store)
    await started.made.load()
    assert set(started.since()) == {"win-back"}
    assert started.since(BORIS) == {}


# What may stand in the place of the file, and what is said of it.
SPOILT = {
    "bytes": "the file is damaged; move it away",
    "newer": "its schema is 3, this version of Ringway knows 2",
    "stranger": "it is another program's database; move it away",
    "dangling": "No such file or directory",
    "folder": "unable to open database file",
    "fifo": "store ",
    "locked": "somebody else has written to it",
}


def spoil(path: Path, how: str, stack: contextlib.ExitStack) -> None:
    """Put something in the place of the file that is no file of attempts."""
    path.unlink(missing_ok=True)
    if how == "bytes":
        path.write_bytes(random.Random(7).randbytes(65_536))
    elif how == "dangling":
        path.symlink_to(path.parent / "not mounted" / "file")
    elif how == "folder":
        path.mkdir()
    elif how == "fifo":
        os.mkfifo(path)
    else:
        database = stack.enter_context(contextlib.closing(sqlite3.connect(path, isolation_level=None)))
        if how == "locked":
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("BEGIN EXCLUSIVE")
        else:
            database.execute("CREATE TABLE theirs (one)")
            database.execute(f"PRAGMA user_version = {3 if how == 'newer' else 0}")


@pytest.mark.parametrize("how", SPOILT)
async def test_whatever_stands_in_the_place_of_the_file_calls_go_on_and_once_it_is_gone_callbacks_too(
    tmp_path: Path, how: str
) -> None:
    path = tmp_path / "spoilt.db"
    started = Running(Store(path))
    with contextlib.ExitStack() as stack:
        spoil(path, how, stack)
        await started.made.load()
        (entry,) = started.said("callbacks_down")
        assert SPOILT[how] in entry["error"]
        assert str(path) in entry["error"]
        assert "load the data" not in entry["error"]
        async with working(started.made):
            assert not await started.made.report(report()), "its source tells again"
        stack.close()
        path.rmdir() if how == "folder" else path.unlink()
    async with working(started.made):
        await until(lambda: started.said("callbacks_up"))
        assert await started.made.report(report())
        assert started.knows()
    await started.store.close()


@pytest.mark.parametrize("how", ["deleted", "another"])
async def test_a_file_that_goes_while_the_router_runs_is_made_again_without_a_restart(here: Running, how: str) -> None:
    async with working(here.made):
        assert await here.made.report(report())
        here.store.path.unlink()
        if how == "another":
            here.store.path.write_bytes(b"")
        await until(lambda: here.said("callbacks_up"))
        (down,) = here.said("callbacks_down")
        assert str(here.store.path) in down["error"]
        assert [(entry["before"], entry["pairs"]) for entry in here.said("attempts_full_read")] == [(1, 0)]
        assert await here.made.report(report("2", subscriber="07700900456"))
        assert here.knows(BORIS)


async def test_a_disk_that_hangs_does_not_keep_the_router_from_starting(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "DISK_ANSWER_SECONDS", 0.05)
    goes_on, asked = threading.Event(), threading.Event()

    def hang(_: sqlite3.Connection) -> None:
        asked.set()
        goes_on.wait(PATIENCE_SECONDS)

    hanging = asyncio.create_task(store._connection.run(hang))
    try:
        await asyncio.to_thread(asked.wait, PATIENCE_SECONDS)
        started = Running(store)
        await started.made.load()
        (entry,) = started.said("callbacks_down")
        assert entry["error"] == "no answer within 0.05 s; see to its disk"
    finally:
        goes_on.set()
    await hanging
    async with working(started.made):
        await until(lambda: started.said("callbacks_up"))


async def test_a_store_that_is_known_to_be_away_is_not_waited_for(store: Store) -> None:
    started = Running(store, shared=True)
    await started.made.load(away=True)
    assert store.looks == 0
    assert [entry["error"] for entry in started.said("callbacks_down")] == ["the store is away"]
    async with working(started.made):
        await until(lambda: started.said("callbacks_up"))


async def test_a_router_starts_without_a_store_that_it_shares_and_hears_of_it_later(store: Store) -> None:
    await store.record([attempt()])
    store.broken = "no route to host"
    started = Running(store, shared=True)
    await started.made.load()
    (entry,) = started.said("callbacks_down")
    assert entry["error"] == "no route to host"
    assert (await started.claim("call-1")).declared
    assert store.claims == 0
    store.broken = ""
    async with working(started.made):
        await until(started.knows)
        await until(lambda: started.said("callbacks_up"))
        assert await started.claim("call-2") == Claim(ClaimStatus.GRANTED, attempt())


async def test_an_attempt_that_one_router_is_told_of_gives_its_entitlement_at_the_other_and_once(
    here: Running, there: Running
) -> None:
    async with working(here.made, there.made):
        await here.made.report(report())
        await until(there.knows)
        assert await there.claim("call-1", there.since()) == Claim(ClaimStatus.GRANTED, attempt())
        assert await here.claim("call-2", here.since()) == Claim(ClaimStatus.CONSUMED, attempt())
    assert (here.counted("attempts"), there.counted("attempts")) == ({"missed": 1}, {})
    assert there.said("attempt") == []


async def test_an_answer_that_one_router_is_told_of_ends_the_entitlement_at_the_other(
    here: Running, there: Running
) -> None:
    """Also where that one has to do without the store."""
    async with working(here.made, there.made):
        await here.made.report(report("1", at=NOW - 20))
        await until(there.knows)
        await here.made.report(report("2", at=NOW - 10, outcome=Outcome.ANSWERED))
        await until(lambda: there.made._follower.index.of(OUR, ANNA)["win-back"].outcome is Outcome.ANSWERED)
        there.store.broken = "gone"
        assert await there.claim() == Claim(ClaimStatus.NONE, declared=True)


class Waits:
    """asyncio, where waits for the store's return are noted and over at once."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __getattr__(self, name: str) -> object:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        if 0 < seconds <= STORE_RETRY_MAX_SECONDS:
            self.seconds.append(seconds)
        await asyncio.sleep(seconds if seconds > STORE_RETRY_MAX_SECONDS else 0)


async def test_a_store_that_is_away_is_asked_ever_more_rarely_and_after_its_return_soon_again(
    here: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = Waits()
    monkeypatch.setattr(follower, "asyncio", waits)
    here.store.broken = "no route to host"
    async with working(here.made):
        await until(lambda: len(waits.seconds) >= 8)
        assert waits.seconds[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
        here.store.broken = ""
        await until(lambda: here.said("callbacks_up"))
        waits.seconds.clear()
        here.store.broken = "gone again"
        await until(lambda: waits.seconds)
    assert waits.seconds[0] == STORE_RETRY_MIN_SECONDS


async def test_a_store_that_cannot_be_opened_again_is_tried_again(
    here: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    async def fails() -> None:
        tries.append(here.store.broken)
        raise StoreError(here.store.broken)

    monkeypatch.setattr(follower, "asyncio", Waits())
    monkeypatch.setattr(here.store, "open", fails)
    here.store.broken = "no route to host"
    async with working(here.made):
        await until(lambda: len(tries) >= 2)
        here.store.broken = ""
        await until(lambda: here.said("callbacks_up"))


async def test_another_history_of_the_store_is_told_and_the_usual_full_reads_are_not(
    here: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a failover has lost shows: by the cursor, of which the new master knows nothing."""
    await here.store.record([attempt()])
    await here.made.load()
    here.made._follower.read_all()  # memory has room again
    async with working(here.made):
        await until(lambda: not here.made._follower._read_all)
        assert here.said("attempts_full_read") == []
    here.made._follower._cursor = "lost:1"
    await here.store.record([attempt("2", subscriber=BORIS)])
    async with working(here.made):
        await until(lambda: here.knows(BORIS))
    assert [(entry["before"], entry["pairs"]) for entry in here.said("attempts_full_read")] == [(1, 2)]
    assert here.metrics.registry.get_sample_value("ringway_attempts_full_reads_total") == 3  # the start included


async def test_the_metrics_say_whether_the_store_of_callbacks_is_there(store: Store) -> None:
    def up(of: Running) -> float | None:
        return of.metrics.registry.get_sample_value("ringway_store_up", {"store": "callbacks"})

    here = Running(store, shared=True)
    store.broken = "no route to host"
    await here.made.load()
    assert up(here) == 0
    store.broken = ""
    async with working(here.made):
        await until(lambda: up(here) == 1)
        store.broken = "gone again"
        await until(lambda: up(here) == 0)
    store.broken = ""
    other = Running(store)
    await other.made.load()
    assert up(other) == 1


async def test_what_is_written_down_while_all_of_it_is_read_is_known_with_the_rest(here: Running) -> None:
    await here.store.record([attempt("1", subscriber=BORIS)])
    here.store.telling.clear()
    async with working(here.made):
        await here.store.read.wait()
        await here.made.report(report("2"))
        assert not here.knows(BORIS)
        here.store.telling.set()
        await until(lambda: here.knows(BORIS))
        assert here.knows(ANNA)


async def test_calls_have_their_turn_while_all_of_it_is_read(here: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "PURGE_PAIRS_AT_ONCE", 1)
    pairs = 20
    await here.store.record([attempt(str(place), subscriber=f"+4477009001{place:02}") for place in range(pairs)])
    here.store.telling.clear()
    loading = asyncio.ensure_future(here.made.load())
    await here.store.read.wait()
    here.store.telling.set()
    turns = 0
    while not here.made.knows(OUR, "+447700900119"):
        turns += 1
        await asyncio.sleep(0)
    await loading
    assert turns >= pairs


async def test_what_is_read_is_taken_in_piece_by_piece(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million pairs in one piece would hold up calls for longer than they wait."""
    pieces: list[int] = []

    class Noted(index.AttemptIndex):
        def remember(self, attempts: Iterable[Attempt], *, relevant: bool = False) -> None:
            told = list(attempts)
            pieces.append(len(told))
            super().remember(told, relevant=relevant)

    monkeypatch.setattr(callbacks, "PURGE_PAIRS_AT_ONCE", 2)
    monkeypatch.setattr(follower, "AttemptIndex", Noted)
    await store.record([attempt(str(place), subscriber=f"+4477009001{place:02}") for place in range(5)])
    started = Running(store)
    await started.made.load()
    assert pieces == [2, 2, 1]
    assert started.knows("+447700900104")


async def test_what_a_full_read_replaces_is_let_go_of(store: Store) -> None:
    """In pieces: freeing a million pairs at once takes a while."""
    await store.record([attempt()])
    started = Running(store)
    for _ in range(2):
        before = started.made._follower.index
        started.made._follower.read_all()
        await started.made.load()
        assert (len(before), before._shards, started.knows()) == (0, [], True)


async def test_a_store_that_goes_away_and_comes_back_is_said_once_each_and_asked_again(here: Running) -> None:
    await here.store.record([attempt()])
    here.store.broken = "the disk is on fire"
    async with working(here.made):
        await until(lambda: here.store.looks >= 3)
        (entry,) = here.said("callbacks_down")
        assert (entry["error"], entry["declared"]) == ("the disk is on fire", "own-flow")
        assert (await here.claim("call-1")).declared
        assert here.store.claims == 0
        here.store.broken = ""
        await until(lambda: here.said("callbacks_up"))
        assert await here.claim("call-2") == Claim(ClaimStatus.GRANTED, attempt())
    assert (len(here.said("callbacks_down")), len(here.said("callbacks_up"))) == (1, 1)


async def test_nothing_is_missed_of_what_others_wrote_while_the_store_was_away(here: Running, there: Running) -> None:
    async with working(here.made):
        here.store.broken = "gone"
        await until(lambda: here.said("callbacks_down"))
        await there.store.record([attempt()])
        here.store.broken = ""
        await until(here.knows)


# --- more pairs than memory holds -----------------------------------------------------------------------------------


@pytest.fixture
async def full(here: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """Memory holds two pairs; the store has a third one."""
    for module in (purge, index):
        monkeypatch.setattr(module, "CALLBACK_PAIRS_MAX", 2)
    async with working(here.made):
        for place, subscriber in enumerate((ANNA, BORIS)):
            await here.made.report(report(str(place), subscriber=subscriber))
        assert not here.knows(VERA)
        await here.made.report(report("2", at=NOW + HOUR, subscriber=VERA))
    return here


async def test_beyond_the_cap_the_store_is_asked_for_everybody(full: Running) -> None:
    assert full.knows(VERA)
    everybody = full.since(VERA)
    assert everybody == {"win-back": NOW - 2 * HOUR, "survey": NOW - 24 * HOUR}  # those that may ring out of the number
    assert full.since(VERA, ALSO_OURS) == everybody
    claim = await full.made.claim(OUR, VERA, "call", NOW + HOUR, everybody)
    assert claim.attempt is not None
    assert (claim.status, claim.attempt.id) == (ClaimStatus.GRANTED, "2")
    assert (await full.made.claim(ALSO_OURS, VERA, "call", NOW + HOUR, everybody)).status is ClaimStatus.NONE


async def test_with_room_again_memory_knows_all_that_the_store_knows(full: Running) -> None:
    await full.made.purge(OVER, math.inf)
    async with working(full.made):
        await until(lambda: not full.knows(BORIS))
    assert set(full.since(VERA)) == {"win-back"}
    assert full.since(ANNA) == {}


async def test_a_purge_that_makes_no_room_has_nothing_read_again(full: Running) -> None:
    """A million pairs would be, every hour."""
    await full.made.purge(NOW + HOUR, math.inf)
    assert not full.made._follower._read_all


async def test_a_purge_of_a_memory_that_holds_all_has_nothing_read_again(here: Running) -> None:
    await here.store.record([attempt()])
    await here.made.load()
    await here.made.purge(OVER, math.inf)
    assert not here.knows()
    assert not here.made._follower._read_all


async def test_nobody_loses_an_entitlement_while_memory_is_filled_again(full: Running) -> None:
    full.store.telling.clear()
    await full.made.purge(OVER, math.inf)
    full.store.read.clear()
    async with working(full.made):
        await full.store.read.wait()
        assert full.knows(VERA)
        full.store.broken = "gone"
        full.store.telling.set()
        await until(lambda: full.said("callbacks_down"))
        assert full.knows(VERA)
        full.store.broken = ""
        await until(lambda: not full.knows(BORIS))
        assert full.knows(VERA)


async def test_more_than_memory_holds_is_known_from_the_start(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (purge, index):
        monkeypatch.setattr(module, "CALLBACK_PAIRS_MAX", 2)
    await store.record([attempt(str(place), subscriber=f"+44770090010{place}") for place in range(3)])
    started = Running(store)
    await started.made.load()
    assert set(started.since("+447700900199")) == {"win-back", "survey"}
