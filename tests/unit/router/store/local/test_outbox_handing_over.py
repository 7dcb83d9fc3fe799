"""Handing over what waited here: whole, in order, and to its end, whatever comes in between."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.campaigns.callbacks import ClaimStatus
from router.store.api import AttemptChanges, Recorded, StoreError
from router.store.local import outbox
from tests.unit.router.rung import Running, report, until, working
from tests.unit.router.store.attempts import ANNA, OUR, SINCE, attempt, ids
from tests.unit.router.store.outboxes import Parts


async def test_many_that_wait_go_there_in_portions(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "OUTBOX_AT_ONCE", 3)
    parts.away()
    names = [f"1.{place}" for place in range(8)]
    await parts.store.record([attempt(name, at=100.0 + place) for place, name in enumerate(names)])
    parts.back()
    await parts.store.changes("", 0)
    assert await ids(parts.redis) == names[::-1]
    assert await ids(parts.here) == []
    assert parts.log.events[-1] == ("attempts_handed_over", {"attempts": 8})


async def test_a_handing_over_that_breaks_off_is_done_again(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "OUTBOX_AT_ONCE", 2)
    parts.away()
    await parts.store.record([attempt(f"1.{place}", at=100.0 + place) for place in range(5)])
    parts.back()
    looks: list[int] = []

    def second_look() -> None:
        looks.append(1)
        if len(looks) == 2:
            parts.away()

    parts.here.looked = second_look
    with pytest.raises(StoreError):
        await parts.store.changes("", 0)
    assert len(await ids(parts.redis)) == 2
    assert parts.store.pending_count == 3
    parts.here.looked = None
    parts.back()
    await parts.store.changes("", 0)
    assert len(await ids(parts.redis)) == 5
    assert await ids(parts.here) == []


async def test_a_handing_over_that_is_called_off_is_done_again(parts: Parts) -> None:
    parts.away()
    await parts.store.record([attempt("1.1")])
    parts.back()
    looked = asyncio.Event()

    def look() -> None:
        parts.proxy.swallow()
        looked.set()

    parts.here.looked = look
    handing = asyncio.create_task(parts.store.changes("", 0))
    await looked.wait()
    handing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await handing
    parts.here.looked = None
    parts.proxy.pass_on()
    await parts.store.changes("", 0)
    assert await ids(parts.redis) == ["1.1"]
    assert await ids(parts.here) == []


async def test_a_later_word_that_comes_here_during_the_handing_over_is_not_lost(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first word says missed; that it was answered is told while the first is on its way."""
    monkeypatch.setattr(outbox, "RECORD_SECONDS", 0.05)
    parts.away()
    await parts.store.record([attempt("1.1"), attempt("1.2")])
    parts.back()
    looked = asyncio.Event()

    def look() -> None:
        parts.proxy.swallow()
        looked.set()

    parts.here.looked = look
    handing = asyncio.create_task(parts.store.changes("", 0))
    await looked.wait()
    parts.here.looked = None
    await parts.store.record([attempt("1.1", outcome=Outcome.ANSWERED)])  # in vain, and so here
    parts.proxy.pass_on()
    await handing
    await parts.store.changes("", 0)
    found = {each.id: each.outcome for each in await parts.redis.attempts(None, None, 10)}
    assert found == {"1.1": Outcome.ANSWERED, "1.2": Outcome.MISSED}
    assert await ids(parts.here) == []


async def test_what_comes_while_others_go_there_waits_behind_them(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the moment of a second word would stand, and that of the first one would come too late."""
    monkeypatch.setattr(outbox, "RECORD_SECONDS", 0.05)
    parts.away()
    await parts.store.record([attempt("1.1", at=100)])
    await parts.restarted()
    parts.back()
    record = parts.store._store.record
    began: list[int] = []

    async def first(attempts: Sequence[Attempt]) -> list[Recorded]:
        began.append(len(attempts))
        if len(began) == 1:
            await parts.store.record([attempt("1.1", at=101, outcome=Outcome.ANSWERED)])
        return await record(attempts)

    parts.store._store.record = first  # type: ignore[method-assign]
    await parts.store.changes("", 0)
    assert await parts.redis.attempts(None, None, 10) == [attempt("1.1", at=100, outcome=Outcome.ANSWERED)]
    assert await ids(parts.here) == []


async def test_what_comes_while_the_first_of_many_go_there_does_not_wait_for_the_others(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its source waits for the answer, and there may be 200,000 of them."""
    monkeypatch.setattr(outbox, "OUTBOX_AT_ONCE", 2)
    parts.away()
    await parts.store.record([attempt(f"1.{place}") for place in range(3)])
    parts.back()
    monkeypatch.setattr(outbox, "RECORD_SECONDS", None)  # for ever
    record = parts.store._store.record
    began: list[int] = []

    async def first(attempts: Sequence[Attempt]) -> list[Recorded]:
        began.append(len(attempts))
        if len(began) == 1:
            await parts.store.record([attempt("2.1", at=50)])
        return await record(attempts)

    parts.store._store.record = first  # type: ignore[method-assign]
    await parts.store.changes("", 0)
    assert began == [2, 2]
    assert await ids(parts.redis) == ["1.2", "1.1", "1.0", "2.1"]


async def test_what_is_kept_during_a_look_is_no_less_waited_behind(parts: Parts) -> None:
    """The look began before the store went away, and has its answer."""
    changes = parts.store._store.changes

    async def during(cursor: str, seconds: float) -> AttemptChanges:
        found = await changes(cursor, seconds)
        parts.away()
        await parts.store.record([attempt("1.1", at=100)])
        parts.back()
        return found

    parts.store._store.changes = during  # type: ignore[method-assign]
    await parts.store.changes("", 0)
    await parts.store.record([attempt("1.1", at=101, outcome=Outcome.ANSWERED)])
    parts.store._store.changes = changes  # type: ignore[method-assign]
    await parts.store.changes("", 0)
    assert await parts.redis.attempts(None, None, 10) == [attempt("1.1", at=100, outcome=Outcome.ANSWERED)]


async def test_what_is_being_kept_when_a_handing_over_ends_is_waited_behind(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.away()
    with pytest.raises(StoreError):
        await parts.store.changes("", 0)
    parts.back()
    record = parts.here.record
    begun, handed = asyncio.Event(), asyncio.Event()

    async def slowly(attempts: Sequence[Attempt]) -> list[Recorded]:
        begun.set()
        await handed.wait()
        return await record(attempts)

    monkeypatch.setattr(parts.here, "record", slowly)
    keeping = asyncio.create_task(parts.store.record([attempt("1.1", at=100)]))
    await begun.wait()
    await parts.store.changes("", 0)
    handed.set()
    await keeping
    await parts.store.record([attempt("1.1", at=101, outcome=Outcome.ANSWERED)])
    await parts.store.changes("", 0)
    assert await parts.redis.attempts(None, None, 10) == [attempt("1.1", at=100, outcome=Outcome.ANSWERED)]
    assert await ids(parts.here) == []


async def test_what_is_kept_while_the_last_look_finds_nothing_is_handed_over_at_the_next_one(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look has read the file before, and its answer comes afterwards."""
    monkeypatch.setattr(outbox, "RECORD_SECONDS", 0.05)
    parts.away()
    await parts.store.record([attempt("1.0")])
    parts.back()
    look = parts.here.attempts

    async def during(number: str | None, subscriber: str | None, limit: int) -> list[Attempt]:
        found = await look(number, subscriber, limit)
        if not found:
            await parts.store.record([attempt("1.1", at=100)])
        return found

    with monkeypatch.context() as once:
        once.setattr(parts.here, "attempts", during)
        await parts.store.changes("", 0)
    assert await ids(parts.here) == ["1.1"]
    assert parts.store.pending_count == 1
    await parts.store.record([attempt("1.1", at=101, outcome=Outcome.ANSWERED)])
    await parts.store.changes("", 0)
    told = [attempt("1.1", at=100, outcome=Outcome.ANSWERED), attempt("1.0")]
    assert await parts.redis.attempts(None, None, 10) == told
    assert await ids(parts.here) == []


async def test_a_handing_over_ends_however_many_come_meanwhile(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else callbacks would go by the declared policy for as long as the disk is slower than the dialler."""
    monkeypatch.setattr(outbox, "RECORD_SECONDS", 60)
    parts.away()
    await parts.store.record([attempt("1.0")])
    parts.back()
    drop = parts.here.drop
    more: list[asyncio.Task[list[Recorded]]] = []

    async def slowly(attempts: Sequence[Attempt]) -> None:
        more.append(asyncio.create_task(parts.store.record([attempt(f"1.{len(more) + 1}")])))
        await asyncio.wait(more, timeout=0.1)
        await drop(attempts)
        assert len(more) < 5, "it does not end"

    monkeypatch.setattr(parts.here, "drop", slowly)
    await parts.store.changes("", 0)
    await asyncio.gather(*more)
    assert sorted(await ids(parts.redis)) == ["1.0", *(f"1.{place + 1}" for place in range(len(more)))]
    assert await ids(parts.here) == []


async def test_a_callback_that_comes_while_its_attempt_is_handed_over_has_its_entitlement(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await parts.store.changes("", 0)
    parts.away()
    await parts.store.record([attempt("1.1")])
    parts.back()
    record = parts.store._store.record
    verdicts: list[ClaimStatus] = []

    async def first(attempts: Sequence[Attempt]) -> list[Recorded]:
        with monkeypatch.context() as straight:
            straight.setattr(parts.store._store, "record", record)
            verdicts.append((await parts.store.claim(OUR, ANNA, "call", 150.0, SINCE)).status)
        return await record(attempts)

    monkeypatch.setattr(parts.store._store, "record", first)
    await parts.store.changes("", 0)
    assert verdicts == [ClaimStatus.GRANTED]


async def test_attempts_go_there_as_soon_as_the_store_is_back(parts: Parts) -> None:
    running: Any = Running(parts.store, shared=True)  # type: ignore[arg-type]
    await running.made.load()
    async with working(running.made):
        parts.away()
        assert await running.made.report(report("1.1"))
        await until(lambda: running.said("callbacks_down"))
        assert (await running.claim()).declared
        assert await running.made.report(report("1.2"))
        parts.back()
        await until(lambda: running.said("callbacks_up"))
        assert await ids(parts.redis) == ["1.2", "1.1"]
        assert running.knows()
        claim = await running.claim("another")
        assert (claim.status, claim.declared) == (ClaimStatus.GRANTED, False)
