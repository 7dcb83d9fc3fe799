"""Attempts that Redis cannot take wait here and go there; claims are given by Redis alone."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from dialplan.campaigns.attempts import Attempt, Heard, Outcome
from dialplan.campaigns.callbacks import ClaimStatus
from dialplan.campaigns.retention import Cutoffs
from router.store.api import Recorded, StoreError
from router.store.local import disk, outbox
from router.store.local.outbox import OutboxCallbackStore
from router.store.sqlite import connection as sqlite_connection
from router.store.sqlite.callbacks import SqliteCallbackStore
from tests.unit.router.rung import NOW, Running
from tests.unit.router.store.attempts import ANNA, BORIS, OUR, SINCE, attempt, ids
from tests.unit.router.store.outboxes import Parts


async def test_attempts_go_to_the_store_where_it_is_there(parts: Parts) -> None:
    (recorded,) = await parts.store.record([attempt("1.1")])
    assert recorded.heard is Heard.NEW
    assert await ids(parts.redis) == ["1.1"]
    assert await ids(parts.here) == []
    assert parts.log.events == []


async def test_attempts_of_a_store_that_is_away_wait_here_and_go_there_when_it_is_back(parts: Parts) -> None:
    parts.away()
    recorded = await parts.store.record([attempt("1.1"), attempt("1.2", at=200)])
    assert [each.heard for each in recorded] == [Heard.NEW] * 2
    with pytest.raises(StoreError, match="is it running, and there"):
        await parts.store.changes("", 0)
    assert await ids(parts.here) == ["1.2", "1.1"]
    assert parts.store.pending_count == 2
    ((event, said),) = parts.log.events
    assert (event, said["attempts"]) == ("attempts_kept_here", 2)
    assert said["why"].endswith("; is it running, and there?")
    parts.back()
    await parts.store.changes("", 0)
    assert await ids(parts.redis) == ["1.2", "1.1"]
    assert await ids(parts.here) == []
    assert parts.store.pending_count == 0
    assert parts.log.events[1:] == [("attempts_handed_over", {"attempts": 2})]


async def test_attempts_of_a_store_that_is_silent_do_not_wait_for_it(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RECORD_SECONDS", 0.05)
    parts.proxy.swallow()
    await parts.store.record([attempt("1.1")])
    assert parts.log.events == [("attempts_kept_here", {"why": "no answer in time", "attempts": 1})]
    parts.proxy.pass_on()
    await parts.store.changes("", 0)
    (kept,) = await parts.redis.attempts(None, None, 10)  # whether or not the first word arrived late
    assert kept == attempt("1.1")


async def test_what_waits_outlives_the_router_and_goes_there_at_the_first_look(parts: Parts) -> None:
    parts.away()
    await parts.store.record([attempt("1.1")])
    await parts.restarted()
    with pytest.raises(StoreError):
        await parts.store.changes("", 0)
    parts.back()
    changes = await parts.store.changes("", 0)
    assert await ids(parts.redis) == ["1.1"]
    # Memory is never without what it knew while Redis was away.
    assert [each.id for each in changes.attempts] == ["1.1"]


async def test_a_word_that_both_have_counts_once(parts: Parts) -> None:
    """Another router saw the end of the same call, and has told of it meanwhile."""
    parts.away()
    await parts.store.record([attempt("1.1", outcome=Outcome.FAILED), attempt("1.2", outcome=Outcome.ANSWERED)])
    await parts.redis.record([attempt("1.1"), attempt("1.2")])
    parts.back()
    await parts.store.changes("", 0)
    found = {each.id: each.outcome for each in await parts.redis.attempts(None, None, 10)}
    assert found == {"1.1": Outcome.MISSED, "1.2": Outcome.ANSWERED}


async def test_an_entitlement_is_given_by_the_store_alone(parts: Parts) -> None:
    await parts.store.record([attempt("1.1")])
    parts.away()
    await parts.store.record([attempt("2.1", subscriber=BORIS)])
    for subscriber in (ANNA, BORIS):
        with pytest.raises(StoreError, match="is it running, and there"):
            await parts.store.claim(OUR, subscriber, "call", 150.0, SINCE)
    for asked in (
        parts.store.history(OUR, ANNA, 150.0),
        parts.store.attempts(None, None, 10),
        parts.store.purge(Cutoffs(SINCE, 0.0)),
    ):
        with pytest.raises(StoreError):
            await asked
    parts.back()
    await parts.store.changes("", 0)
    claims = [await parts.store.claim(OUR, subscriber, "call", 150.0, SINCE) for subscriber in (ANNA, BORIS)]
    assert [claim.status for claim in claims] == [ClaimStatus.GRANTED] * 2
    assert not any(claim.again for claim in claims)


async def test_what_the_store_knows_of_calls_and_purges_is_asked_there(parts: Parts) -> None:
    await parts.store.record([attempt("1.1")])
    await parts.store.claim(OUR, ANNA, "call", 150.0, SINCE)
    (use,) = await parts.store.uses(OUR, ANNA, 160.0)
    assert use.call_id == "call"
    await parts.store.note_purge(170.0)
    assert await parts.store.purged_at() == await parts.redis.purged_at() == 170.0


async def test_where_neither_takes_it_the_source_is_told(parts: Parts) -> None:
    parts.away()
    with contextlib.closing(sqlite3.connect(parts.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=str(parts.path)):
            await parts.store.record([attempt("1.1")])
    assert parts.log.events == []


async def test_what_waits_of_a_pair_goes_there_before_its_callback_asks(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hiccup that only the attempt felt: the store counts as being there, and it knows nothing of the attempt."""
    monkeypatch.setattr(outbox, "RECORD_SECONDS", 0.05)
    await parts.store.changes("", 0)
    parts.proxy.refuse()
    parts.proxy.cut()
    await parts.store.record([attempt("1.1"), attempt("2.1", subscriber=BORIS)])
    parts.back()
    assert (await parts.store.claim(OUR, ANNA, "call", 150.0, SINCE)).status is ClaimStatus.GRANTED
    assert await ids(parts.redis) == ["1.1"]
    await parts.store.changes("", 0)
    assert await ids(parts.redis) == ["2.1", "1.1"]
    assert (await parts.store.claim(OUR, ANNA, "later", 160.0, SINCE)).status is ClaimStatus.CONSUMED


def asked_to_record(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first attempt of each writing that the store beyond is asked for from now on."""
    asked: list[str] = []
    record = parts.store._store.record

    async def counted(attempts: Sequence[Attempt]) -> list[Recorded]:
        asked.append(attempts[0].id)
        return await record(attempts)

    monkeypatch.setattr(parts.store._store, "record", counted)
    return asked


async def test_a_store_that_is_known_to_be_away_is_not_asked_before_it_answers(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asked_to_record(parts, monkeypatch)
    parts.away()
    for name in ("1", "2", "3"):
        await parts.store.record([attempt(name)])
    assert asked == ["1"]
    parts.back()
    await parts.store.record([attempt("4")])  # nobody has seen yet that it is back
    assert asked == ["1"]
    await parts.store.changes("", 0)
    assert asked == ["1", "4"]  # the newest of those that wait, and all with it
    await parts.store.record([attempt("5")])
    assert (await ids(parts.redis), await ids(parts.here)) == (["5", "4", "3", "2", "1"], [])
    assert asked == ["1", "4", "5"]


async def test_a_store_that_fails_a_look_is_known_to_be_away(parts: Parts) -> None:
    parts.away()
    with pytest.raises(StoreError):
        await parts.store.changes("", 0)
    parts.back()
    await parts.store.record([attempt()])
    assert parts.log.events == [("attempts_kept_here", {"why": "the store is away", "attempts": 1})]
    await parts.store.changes("", 0)
    assert await ids(parts.redis) == ["1.1"]


async def test_after_a_look_that_failed_and_one_that_did_not_attempts_go_to_the_store_again(parts: Parts) -> None:
    await parts.store.changes("", 0)
    parts.away()
    with pytest.raises(StoreError):
        await parts.store.changes("", 0)
    parts.back()
    await parts.store.changes("", 0)
    await parts.store.record([attempt("1.1")])
    assert (await ids(parts.redis), parts.log.events) == (["1.1"], [])


async def test_where_nothing_waits_no_look_costs_the_disk_anything(parts: Parts) -> None:
    looks: list[int] = []
    parts.here.looked = lambda: looks.append(1)
    for _ in range(3):
        await parts.store.changes("", 0)
    await parts.store.claim(OUR, ANNA, "call", 150.0, SINCE)
    assert len(looks) == 1


async def test_a_router_that_starts_without_the_store_knows_what_waits_here(parts: Parts) -> None:
    parts.away()
    await parts.store.record([attempt(at=NOW)])
    await parts.restarted()
    started: Any = Running(parts.store, "campaign", shared=True)  # type: ignore[arg-type]
    await started.made.load()
    assert started.knows()
    claim = await started.claim()
    assert (claim.status, claim.declared) == (ClaimStatus.GRANTED, True)


async def test_a_place_here_that_fails_does_not_take_the_store_away(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, on which nothing can be deleted either."""
    parts.away()
    await parts.store.record([attempt("1.1")])
    parts.back()
    with monkeypatch.context() as full:

        async def drop(_: Sequence[Attempt]) -> None:
            raise StoreError("the disk is full")

        full.setattr(parts.here, "drop", drop)
        for _ in range(2):
            assert len((await parts.store.changes("", 0)).attempts) == 1
        await parts.store.record([attempt("1.2")])
        assert await ids(parts.redis) == ["1.2", "1.1"]
        assert parts.log.events[1:] == [("attempts_stay_here", {"error": "the disk is full"})]
    await parts.store.changes("", 0)
    assert await ids(parts.here) == []


async def test_the_same_fault_of_the_place_here_is_told_again_after_it_was_well(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drop(_: Sequence[Attempt]) -> None:
        raise StoreError("the disk is full")

    for name in ("1", "2"):
        parts.away()
        await parts.store.record([attempt(name)])
        parts.back()
        with monkeypatch.context() as full:
            full.setattr(parts.here, "drop", drop)
            await parts.store.changes("", 0)
        await parts.store.changes("", 0)
    assert len(parts.log.of("attempts_stay_here")) == 2


async def test_a_disk_that_hangs_under_it_stops_neither_attempts_nor_callbacks(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "DISK_ANSWER_SECONDS", 0.05)
    goes_on, asked = threading.Event(), threading.Event()

    def hang(_: sqlite3.Connection) -> None:
        asked.set()
        goes_on.wait(60)

    hanging = asyncio.create_task(parts.here._connection.run(hang))
    try:
        await asyncio.to_thread(asked.wait, 60)
        parts.away()
        for told in ("its disk does not answer within 0.05 s; see to that disk", "its disk has not answered yet"):
            with pytest.raises(StoreError, match=told):
                await parts.store.record([attempt("1.1")])
        parts.back()
        await parts.store.changes("", 0)
        await parts.store.record([attempt("1.2", at=200)])
        assert await ids(parts.redis) == ["1.2"]
        assert (await parts.store.claim(OUR, ANNA, "call", 250.0, SINCE)).status is ClaimStatus.GRANTED
        assert parts.log.names() == ["attempts_stay_here"]
        await OutboxCallbackStore(parts.redis, parts.here, parts.store._log).open()
        assert parts.log.names()[1:] == ["attempts_cannot_wait_here"]
    finally:
        goes_on.set()
        await hanging
    monkeypatch.setattr(disk, "DISK_ANSWER_SECONDS", 60)
    assert parts.store._disk.hanging is not None
    await asyncio.wait([parts.store._disk.hanging])
    await parts.store.changes("", 0)
    assert await ids(parts.redis) == ["1.2", "1.1"]  # it was written after all


async def test_more_than_may_wait_here_stay_with_their_sources(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "OUTBOX_MAX", 2)
    parts.away()
    for name in ("1", "2"):
        await parts.store.record([attempt(name)])
    await parts.restarted()
    with pytest.raises(StoreError, match="2 attempts wait for the store here already"):
        await parts.store.record([attempt("3")])
    assert await ids(parts.here) == ["2", "1"]
    parts.back()
    await parts.store.changes("", 0)
    parts.away()
    await parts.store.record([attempt("3")])
    assert await ids(parts.here) == ["3"]


async def test_a_store_that_is_away_is_not_asked_again_where_no_more_may_wait_here_either(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each report would wait for the store's answer, which does not come."""
    monkeypatch.setattr(outbox, "OUTBOX_MAX", 0)
    asked = asked_to_record(parts, monkeypatch)
    parts.away()
    for name in ("1", "2"):
        with pytest.raises(StoreError, match="no more can"):
            await parts.store.record([attempt(name)])
    assert asked == ["1"]


async def test_what_waits_in_a_place_that_could_not_be_opened_at_first_counts_when_it_can(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "OUTBOX_MAX", 2)
    parts.away()
    await parts.store.record([attempt("1"), attempt("2")])
    await parts.store.close()

    async def count() -> int:
        raise StoreError("its disk does not answer")

    with monkeypatch.context() as hanging:
        hanging.setattr(SqliteCallbackStore, "count", staticmethod(count))
        await parts.restarted()
    assert parts.log.names()[-1] == "attempts_cannot_wait_here"
    assert parts.store.pending_count == 0
    with pytest.raises(StoreError, match="2 attempts wait for the store here already"):
        await parts.store.record([attempt("3")])
    assert parts.store.pending_count == 2


async def test_a_damaged_place_here_stops_no_router(parts: Parts) -> None:
    """Nor does it once it is sound again."""
    await parts.store.close()
    parts.path.write_bytes(b"no database" * 1_000)
    await parts.restarted()
    (told,) = parts.log.events
    assert told[0] == "attempts_cannot_wait_here"
    assert "the file is damaged" in told[1]["error"]
    assert parts.store.pending_count == 0
    await parts.store.changes("", 0)
    await parts.store.record([attempt("1.1")])
    assert (await parts.store.claim(OUR, ANNA, "call", 150.0, SINCE)).status is ClaimStatus.GRANTED
    parts.away()
    with pytest.raises(StoreError, match=str(parts.path)):
        await parts.store.record([attempt("1.2")])
    parts.path.unlink()
    await parts.store.record([attempt("1.2")])
    parts.back()
    await parts.store.changes("", 0)
    assert await ids(parts.redis) == ["1.2", "1.1"]
    with pytest.raises(StoreError, match="there is none"):
        await OutboxCallbackStore(parts.redis, SqliteCallbackStore(parts.path / "none"), parts.store._log).open(
            make=False
        )


async def test_a_router_ends_while_the_disk_under_it_hangs(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "DISK_ANSWER_SECONDS", 0.05)
    goes_on = threading.Event()
    hanging = asyncio.create_task(parts.here._connection.run(lambda _: goes_on.wait(60)))
    try:
        parts.away()
        with pytest.raises(StoreError, match="its disk does not answer"):
            await parts.store.record([attempt("1.1")])
        await parts.store.close()
        assert not hanging.done()
    finally:
        goes_on.set()
        await hanging


async def test_a_router_starts_while_the_store_is_away_and_the_disk_here_hangs(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "DISK_ANSWER_SECONDS", 0.05)
    goes_on = threading.Event()
    hanging = asyncio.create_task(parts.here._connection.run(lambda _: goes_on.wait(60)))
    try:
        parts.away()
        started: Any = Running(parts.store, shared=True)  # type: ignore[arg-type]
        await started.made.load()
        assert started.said("callbacks_down")
    finally:
        goes_on.set()
        await hanging


async def test_closing_twice_is_nothing(parts: Parts) -> None:
    await parts.store.close()
    await parts.store.close()


async def test_a_place_here_that_is_deleted_while_the_router_runs_is_made_again(parts: Parts) -> None:
    parts.away()
    await parts.store.record([attempt("1")])
    parts.path.unlink()
    await parts.store.record([attempt("2")])
    assert await ids(parts.here) == ["2"]
    parts.path.unlink()
    parts.back()
    for _ in range(2):
        await parts.store.changes("", 0)
    (told,) = parts.log.of("attempts_stay_here")
    assert "No such file" in told["error"]
    assert parts.store.pending_count == 0
    assert not parts.store._waiting


async def test_a_disk_that_hangs_under_it_holds_up_the_end_no_longer_than_a_close_may_take(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where it hangs in what is being written, for which a close waits too."""
    monkeypatch.setattr(sqlite_connection, "DISK_CLOSE_SECONDS", 0.01)
    began, goes_on = threading.Event(), threading.Event()

    def hang(_: sqlite3.Connection) -> None:
        began.set()
        goes_on.wait(60)

    hanging = asyncio.create_task(parts.here._transact(hang))
    await asyncio.to_thread(began.wait, 60)
    try:
        await parts.store.close()
        assert not hanging.done()
    finally:
        goes_on.set()
    await hanging
