"""Attempts that Redis cannot take wait here and go there; claims are given by Redis alone."""

import asyncio
import contextlib
import pathlib
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from dialplan.attempts import Attempt, Heard, Outcome
from dialplan.callbacks import Verdict
from router.store import outbox
from router.store.base import StoreError
from router.store.outbox import KeptCallbackStore
from router.store.redis_callbacks import RedisCallbackStore
from router.store.redis_connection import Options, parse
from router.store.sqlite_callbacks import SqliteCallbackStore
from tests.fault_proxy import FaultProxy
from tests.redis_server import RedisServer
from tests.unit.router.store.attempts import ANNA, BORIS, OUR, SINCE, attempt, ids


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **details: Any) -> None:
        self.events.append((event, details))

    warning = info

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
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(redis_server.port) as running:
        yield running


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
    ((event, said),) = parts.log.events
    assert (event, said["attempts"]) == ("attempts_kept_here", 2)
    assert said["why"].endswith("; is it running, and there?")
    parts.back()
    await parts.store.news("", 0)
    assert await ids(parts.redis) == ["1.2", "1.1"]
    assert await ids(parts.here) == []
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
    following = await parts.store.news(news.mark, 0)
    assert [each.id for each in following.attempts] == ["1.1"]


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


async def test_closing_twice_is_nothing(parts: Parts) -> None:
    await parts.store.close()
    await parts.store.close()
