"""Attempts that Redis cannot take wait here and go there; claims are given by Redis alone."""

import asyncio
import contextlib
import pathlib
import sqlite3
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from dialplan.attempts import Attempt, Heard, Outcome
from dialplan.callbacks import Verdict
from router.store import disk, outbox
from router.store.base import News, Recorded, StoreError
from router.store.outbox import KeptCallbackStore
from router.store.redis_address import Options, parse
from router.store.redis_callbacks import RedisCallbackStore
from router.store.sqlite_callbacks import SqliteCallbackStore
from tests.fault_proxy import FaultProxy
from tests.redis_server import RedisServer
from tests.unit.router.rung import NOW, Running, sighting, until, working
from tests.unit.router.store.attempts import ANNA, BORIS, OUR, SINCE, attempt, ids


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **details: Any) -> None:
        self.events.append((event, details))

    warning = error = info

    def names(self) -> list[str]:
        return [event for event, _ in self.events]


class Here(SqliteCallbackStore):
    """The place on this machine, and what a test does when somebody has looked what waits in it."""

    looked: Callable[[], None] | None = None

    async def attempts(self, number: str | None, subscriber: str | None, limit: int) -> list[Attempt]:
        found = await super().attempts(number, subscriber, limit)
        if self.looked is not None:
            self.looked()
        return found


class Parts:
    """A kept store behind a proxy, the same Redis by a straight way, and the place here."""

    def __init__(self, server: RedisServer, proxy: FaultProxy, folder: pathlib.Path) -> None:
        options = Options(prefix=uuid.uuid4().hex)
        self.proxy = proxy
        self.path = folder / "calls.db"
        self.log = Log()
        self.redis = RedisCallbackStore(parse(server.url), options)
        self._options = options
        self.here = Here(self.path)
        self.store = self._kept()

    def _kept(self) -> KeptCallbackStore:
        far = RedisCallbackStore(parse(f"redis://127.0.0.1:{self.proxy.port}/0"), self._options)
        log: Any = self.log
        return KeptCallbackStore(far, self.here, log)

    async def restarted(self) -> None:
        """The router ended, and is there again."""
        await self.store.close()
        self.here = Here(self.path)
        self.store = self._kept()
        await self.store.open()

    def away(self) -> None:
        self.proxy.refuse()
        self.proxy.cut()

    def back(self) -> None:
        self.proxy.accept()


@pytest.fixture
async def parts(redis_server: RedisServer, proxy: FaultProxy, tmp_path: pathlib.Path) -> AsyncIterator[Parts]:
    made = Parts(redis_server, proxy, tmp_path)
    await made.store.open()
    yield made
    await made.store.close()
    await made.redis.close()


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
        await parts.store.news("", 0)
    assert await ids(parts.here) == ["1.2", "1.1"]
    assert parts.store.waiting == 2
    ((event, said),) = parts.log.events
    assert (event, said["attempts"]) == ("attempts_kept_here", 2)
    assert said["why"].endswith("; is it running, and there?")
    parts.back()
    await parts.store.news("", 0)
    assert await ids(parts.redis) == ["1.2", "1.1"]
    assert await ids(parts.here) == []
    assert parts.store.waiting == 0
    assert parts.log.events[1:] == [("attempts_handed_over", {"attempts": 2})]


async def test_attempts_of_a_store_that_is_silent_do_not_wait_for_it(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RECORD_SECONDS", 0.05)
    parts.proxy.swallow()
    await parts.store.record([attempt("1.1")])
    assert parts.log.events == [("attempts_kept_here", {"why": "no answer in time", "attempts": 1})]
    parts.proxy.pass_on()
    await parts.store.news("", 0)
    (kept,) = await parts.redis.attempts(None, None, 10)  # whether or not the first word arrived late
    assert kept == attempt("1.1")


async def test_what_waits_outlives_the_router_and_goes_there_at_the_first_look(parts: Parts) -> None:
    parts.away()
    await parts.store.record([attempt("1.1")])
    await parts.restarted()
    with pytest.raises(StoreError):
        await parts.store.news("", 0)
    parts.back()
    news = await parts.store.news("", 0)
    assert await ids(parts.redis) == ["1.1"]
    assert [each.id for each in news.attempts] == ["1.1"]  # memory is never without what it knew while Redis was away


async def test_many_that_wait_go_there_in_portions(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "OUTBOX_AT_ONCE", 3)
    parts.away()
    names = [f"1.{place}" for place in range(8)]
    await parts.store.record([attempt(name, at=100.0 + place) for place, name in enumerate(names)])
    parts.back()
    await parts.store.news("", 0)
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
        await parts.store.news("", 0)
    assert len(await ids(parts.redis)) == 2
    parts.here.looked = None
    parts.back()
    await parts.store.news("", 0)
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
    handing = asyncio.create_task(parts.store.news("", 0))
    await looked.wait()
    handing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await handing
    parts.here.looked = None
    parts.proxy.pass_on()
    await parts.store.news("", 0)
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
    handing = asyncio.create_task(parts.store.news("", 0))
    await looked.wait()
    parts.here.looked = None
    await parts.store.record([attempt("1.1", outcome=Outcome.ANSWERED)])  # in vain, and so here
    parts.proxy.pass_on()
    await handing
    await parts.store.news("", 0)
    found = {each.id: each.outcome for each in await parts.redis.attempts(None, None, 10)}
    assert found == {"1.1": Outcome.ANSWERED, "1.2": Outcome.MISSED}
    assert await ids(parts.here) == []


async def test_a_word_that_both_have_counts_once(parts: Parts) -> None:
    """Another router saw the end of the same call, and has told of it meanwhile."""
    parts.away()
    await parts.store.record([attempt("1.1", outcome=Outcome.FAILED), attempt("1.2", outcome=Outcome.ANSWERED)])
    await parts.redis.record([attempt("1.1"), attempt("1.2")])
    parts.back()
    await parts.store.news("", 0)
    found = {each.id: each.outcome for each in await parts.redis.attempts(None, None, 10)}
    assert found == {"1.1": Outcome.MISSED, "1.2": Outcome.ANSWERED}


async def test_a_right_is_given_by_the_store_alone(parts: Parts) -> None:
    await parts.store.record([attempt("1.1")])
    parts.away()
    await parts.store.record([attempt("2.1", subscriber=BORIS)])
    for subscriber in (ANNA, BORIS):
        with pytest.raises(StoreError, match="is it running, and there"):
            await parts.store.claim(OUR, subscriber, "call", 150.0, SINCE)
    for asked in (
        parts.store.history(OUR, ANNA, 150.0),
        parts.store.attempts(None, None, 10),
        parts.store.forget(SINCE, 0.0),
        parts.store.turn("numbers"),
    ):
        with pytest.raises(StoreError):
            await asked
    parts.back()
    await parts.store.news("", 0)
    claims = [await parts.store.claim(OUR, subscriber, "call", 150.0, SINCE) for subscriber in (ANNA, BORIS)]
    assert [claim.verdict for claim in claims] == [Verdict.RIGHT] * 2
    assert not any(claim.again for claim in claims)


async def test_where_neither_takes_it_the_witness_is_told(parts: Parts) -> None:
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
    await parts.store.news("", 0)
    parts.proxy.refuse()
    parts.proxy.cut()
    await parts.store.record([attempt("1.1"), attempt("2.1", subscriber=BORIS)])
    parts.back()
    assert (await parts.store.claim(OUR, ANNA, "call", 150.0, SINCE)).verdict is Verdict.RIGHT
    assert await ids(parts.redis) == ["1.1"]
    await parts.store.news("", 0)
    assert await ids(parts.redis) == ["2.1", "1.1"]
    assert (await parts.store.claim(OUR, ANNA, "later", 160.0, SINCE)).verdict is Verdict.USED


async def test_a_store_that_is_known_to_be_away_is_not_asked_before_it_answers(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    record = parts.store._store.record

    async def counted(attempts: Sequence[Attempt]) -> list[Recorded]:
        asked.append(attempts[0].id)
        return await record(attempts)

    monkeypatch.setattr(parts.store._store, "record", counted)
    parts.away()
    for name in ("1", "2", "3"):
        await parts.store.record([attempt(name)])
    assert asked == ["1"]
    parts.back()
    await parts.store.record([attempt("4")])  # nobody has seen yet that it is back
    assert asked == ["1"]
    await parts.store.news("", 0)
    assert asked == ["1", "4"]  # the newest of those that wait, and all with it
    await parts.store.record([attempt("5")])
    assert (await ids(parts.redis), await ids(parts.here)) == (["5", "4", "3", "2", "1"], [])
    assert asked == ["1", "4", "5"]


async def test_a_store_that_fails_a_look_is_known_to_be_away(parts: Parts) -> None:
    parts.away()
    with pytest.raises(StoreError):
        await parts.store.news("", 0)
    parts.back()
    await parts.store.record([attempt()])
    assert parts.log.events == [("attempts_kept_here", {"why": "the store is away", "attempts": 1})]
    await parts.store.news("", 0)
    assert await ids(parts.redis) == ["1.1"]


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
    told: list[Recorded] = []

    async def first(attempts: Sequence[Attempt]) -> list[Recorded]:
        if not told:
            told.extend(await parts.store.record([attempt("1.1", at=101, outcome=Outcome.ANSWERED)]))
        return await record(attempts)

    parts.store._store.record = first  # type: ignore[method-assign]
    await parts.store.news("", 0)
    assert await parts.redis.attempts(None, None, 10) == [attempt("1.1", at=100, outcome=Outcome.ANSWERED)]
    assert await ids(parts.here) == []


async def test_what_is_kept_during_a_look_is_no_less_waited_behind(parts: Parts) -> None:
    """The look began before the store went away, and has its answer."""
    news = parts.store._store.news

    async def during(mark: str, seconds: float) -> News:
        found = await news(mark, seconds)
        parts.away()
        await parts.store.record([attempt("1.1", at=100)])
        parts.back()
        return found

    parts.store._store.news = during  # type: ignore[method-assign]
    await parts.store.news("", 0)
    await parts.store.record([attempt("1.1", at=101, outcome=Outcome.ANSWERED)])
    parts.store._store.news = news  # type: ignore[method-assign]
    await parts.store.news("", 0)
    assert await parts.redis.attempts(None, None, 10) == [attempt("1.1", at=100, outcome=Outcome.ANSWERED)]


async def test_what_is_being_kept_when_a_handing_over_ends_is_waited_behind(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.away()
    with pytest.raises(StoreError):
        await parts.store.news("", 0)
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
    await parts.store.news("", 0)
    handed.set()
    await keeping
    await parts.store.record([attempt("1.1", at=101, outcome=Outcome.ANSWERED)])
    await parts.store.news("", 0)
    assert await parts.redis.attempts(None, None, 10) == [attempt("1.1", at=100, outcome=Outcome.ANSWERED)]
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
    await parts.store.news("", 0)
    await asyncio.gather(*more)
    assert sorted(await ids(parts.redis)) == ["1.0", *(f"1.{place + 1}" for place in range(len(more)))]
    assert await ids(parts.here) == []


async def test_a_callback_that_comes_while_its_attempt_is_handed_over_has_its_right(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await parts.store.news("", 0)
    parts.away()
    await parts.store.record([attempt("1.1")])
    parts.back()
    record = parts.store._store.record
    verdicts: list[Verdict] = []

    async def first(attempts: Sequence[Attempt]) -> list[Recorded]:
        with monkeypatch.context() as straight:
            straight.setattr(parts.store._store, "record", record)
            verdicts.append((await parts.store.claim(OUR, ANNA, "call", 150.0, SINCE)).verdict)
        return await record(attempts)

    monkeypatch.setattr(parts.store._store, "record", first)
    await parts.store.news("", 0)
    assert verdicts == [Verdict.RIGHT]


async def test_attempts_go_there_as_soon_as_the_store_is_back(parts: Parts) -> None:
    running: Any = Running(parts.store, shared=True)  # type: ignore[arg-type]
    await running.made.load()
    async with working(running.made):
        parts.away()
        assert await running.made.see(sighting("1.1"))
        await until(lambda: running.said("callbacks_down"))
        assert (await running.claim()).declared
        assert await running.made.see(sighting("1.2"))
        parts.back()
        await until(lambda: running.said("callbacks_up"))
        assert await ids(parts.redis) == ["1.2", "1.1"]
        assert running.knows()
        claim = await running.claim("another")
        assert (claim.verdict, claim.declared) == (Verdict.RIGHT, False)


async def test_a_router_that_starts_without_the_store_knows_what_waits_here(parts: Parts) -> None:
    parts.away()
    await parts.store.record([attempt(at=NOW)])
    await parts.restarted()
    started: Any = Running(parts.store, "campaign", shared=True)  # type: ignore[arg-type]
    await started.made.load()
    assert started.knows()
    claim = await started.claim()
    assert (claim.verdict, claim.declared) == (Verdict.RIGHT, True)


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
            assert len((await parts.store.news("", 0)).attempts) == 1
        await parts.store.record([attempt("1.2")])
        assert await ids(parts.redis) == ["1.2", "1.1"]
        assert parts.log.events[1:] == [("attempts_stay_here", {"error": "the disk is full"})]
    await parts.store.news("", 0)
    assert await ids(parts.here) == []


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
        await parts.store.news("", 0)
        await parts.store.record([attempt("1.2", at=200)])
        assert await ids(parts.redis) == ["1.2"]
        assert (await parts.store.claim(OUR, ANNA, "call", 250.0, SINCE)).verdict is Verdict.RIGHT
        assert parts.log.names() == ["attempts_stay_here"]
        await KeptCallbackStore(parts.redis, parts.here, parts.store._log).open()
        assert parts.log.names()[1:] == ["attempts_cannot_wait_here"]
    finally:
        goes_on.set()
        await hanging
    monkeypatch.setattr(disk, "DISK_ANSWER_SECONDS", 60)
    assert parts.store._disk.hanging is not None
    await asyncio.wait([parts.store._disk.hanging])
    await parts.store.news("", 0)
    assert await ids(parts.redis) == ["1.2", "1.1"]  # it was written after all


async def test_more_than_may_wait_here_stay_with_their_witnesses(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "OUTBOX_MAX", 2)
    parts.away()
    for name in ("1", "2"):
        await parts.store.record([attempt(name)])
    await parts.restarted()
    with pytest.raises(StoreError, match="2 attempts wait for the store here already"):
        await parts.store.record([attempt("3")])
    assert await ids(parts.here) == ["2", "1"]
    parts.back()
    await parts.store.news("", 0)
    parts.away()
    await parts.store.record([attempt("3")])
    assert await ids(parts.here) == ["3"]


async def test_a_damaged_place_here_stops_no_router(parts: Parts) -> None:
    """Nor does it once it is sound again."""
    await parts.store.close()
    parts.path.write_bytes(b"no database" * 1_000)
    await parts.restarted()
    (told,) = parts.log.events
    assert told[0] == "attempts_cannot_wait_here"
    assert "the file is damaged" in told[1]["error"]
    await parts.store.news("", 0)
    await parts.store.record([attempt("1.1")])
    assert (await parts.store.claim(OUR, ANNA, "call", 150.0, SINCE)).verdict is Verdict.RIGHT
    parts.away()
    with pytest.raises(StoreError, match=str(parts.path)):
        await parts.store.record([attempt("1.2")])
    parts.path.unlink()
    await parts.store.record([attempt("1.2")])
    parts.back()
    await parts.store.news("", 0)
    assert await ids(parts.redis) == ["1.2", "1.1"]
    with pytest.raises(StoreError, match="there is none"):
        await KeptCallbackStore(parts.redis, SqliteCallbackStore(parts.path / "none"), parts.store._log).open(
            make=False
        )


async def test_closing_twice_is_nothing(parts: Parts) -> None:
    await parts.store.close()
    await parts.store.close()
