"""Attempts and callback claims in a running router: what memory knows, what the store is asked, what is declared.

Memory knows which pairs of number and subscriber have a missed attempt, so that all other calls cost nothing extra. The
store has the last word, since only it can give a right away once.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec
import structlog

from dialplan.campaigns.attempts import Attempt, AttemptReport, Heard, read_attempt
from dialplan.campaigns.callbacks import CLOCKS_APART_SECONDS, Claim, ClaimStatus, History, claim_of, earliest
from dialplan.campaigns.retention import cutoffs
from dialplan.numbering.numbers import Bare
from dialplan.routing.decide import Decision
from dialplan.routing.table import Entry, RoutingTable
from router.callbacks.index import AttemptIndex
from router.callbacks.round_robin import RoundRobin
from router.config.limits import (
    ATTEMPT_KEEP_SECONDS,
    CALLBACK_CLAIM_SECONDS,
    CALLBACK_CLAIMS_MAX,
    CALLBACK_DECLARED_MAX,
    CALLBACK_PAIRS_MAX,
    DIALLED_LOG_MAX_CHARS,
    PURGE_MARGIN_SECONDS,
    PURGE_PAIRS_AT_ONCE,
    PURGE_SECONDS,
    RECORD_BATCH_MAX,
    RECORD_QUEUE_MAX,
    STORE_RETRY_MAX_SECONDS,
    STORE_RETRY_MIN_SECONDS,
)
from router.observe.log import mask
from router.observe.metrics import CALLBACK_OUTCOMES, Metrics
from router.store.api import CallbackStore, CounterStore, Recorded, StoreError
from router.util.backoff import Backoff

_LOOK_SECONDS = 1.0  # how long one wait for what other routers write may last
StoreDown: TypeAlias = Literal["own-flow", "campaign"]


class CallbackService:
    """The attempts and claims of one router.

    `table` gives the current routing table; `reading` is how numbers are read where nothing else says it: the region,
    and bare digits. `claim_seconds`: how long a callback waits for its right. `shared`: other routers use the store.
    `counters`: those that they share with this one.
    """

    def __init__(
        self,
        store: CallbackStore,
        table: Callable[[], RoutingTable],
        store_down: StoreDown,
        reading: tuple[str, Bare],
        log: structlog.typing.FilteringBoundLogger,
        metrics: Metrics,
        *,
        mask_callers: bool = False,
        claim_seconds: float = CALLBACK_CLAIM_SECONDS,
        shared: bool = False,
        counters: CounterStore | None = None,
    ) -> None:
        self._region, self._bare = reading
        self._masked = mask_callers
        self._store = store
        self._table = table
        self._store_down = store_down
        self._log = log
        self._metrics = metrics
        self.shared = shared
        self._claim_seconds = claim_seconds
        self._missed = AttemptIndex()
        self._fresh = AttemptIndex()  # what is written down while all of it is read anew
        self._cursor = ""
        self._read_all = False
        self._up = True
        self._shown_up = metrics.store_up.labels("callbacks")
        metrics.attempts_pending.set_function(lambda: store.pending_count)
        self._answered: dict[tuple[str, str, str], Claim] = {}  # without the store, to calls that may ask again
        self._claiming = 0
        self._round_robin = RoundRobin(counters, lambda: self._up, claim_seconds, log)
        self._waiting: list[tuple[Attempt, asyncio.Future[bool]]] = []
        self._work = asyncio.Event()

    async def load(self) -> None:
        """Fill the memory from the store. Raises StoreError, unless it is shared: it may be back any moment.

        Without it memory knows the attempts that wait for it here.
        """
        try:
            await self._catch_up(0)
        except StoreError as error:
            if not self.shared:
                raise
            self._set_up(up=False)
            self._log.error("callbacks_down", error=str(error), declared=self._store_down)
            with contextlib.suppress(StoreError):  # whoever hands them over later tells of it
                self._missed.remember(await self._store.pending())
        else:
            self._set_up(up=True)

    def knows(self, number: str, subscriber: str) -> bool:
        """Whether there may be an attempt of that pair; where not, there is nothing to wait for."""
        return bool(self._missed.of(number, subscriber)) or self._missed.overflowing

    def since(self, number: str, subscriber: str, entry: Entry, began: float) -> Mapping[str, float]:
        """The campaigns whose attempts may give a right to a callback that began then.

        See `dialplan.campaigns.callbacks.earliest`.
        """
        table = self._table()
        campaigns = table.campaigns if self._missed.overflowing else self._missed.of(number, subscriber)
        return earliest(campaigns, table, entry, began)

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        """What the call gets. Where the store cannot say in time, what [callbacks] store_down declares."""
        call = (number, subscriber, call_id)
        if call in self._answered:
            return msgspec.structs.replace(self._answered[call], again=True)
        why = ""
        if not self._up:
            why = "the store is away"
        elif self._claiming >= CALLBACK_CLAIMS_MAX:
            why = "too many callbacks wait for the store already"
        if why:
            return self._declared(call, began, since, why)
        self._claiming += 1
        try:
            async with asyncio.timeout(self._claim_seconds):
                return await self._store.claim(number, subscriber, call_id, began, since)
        except TimeoutError:
            return self._declared(call, began, since, f"no answer within {self._claim_seconds:g} s")
        except StoreError as error:
            return self._declared(call, began, since, str(error))
        finally:
            self._claiming -= 1

    def _declared(self, call: tuple[str, str, str], began: float, since: Mapping[str, float], why: str) -> Claim:
        number, subscriber, _ = call
        self._log.error("claim_failed", error=why, number=number, declared=self._store_down)
        self._metrics.callbacks.labels("store-down").inc()
        claim = Claim(ClaimStatus.NONE)
        if self._store_down == "campaign":
            claim = claim_of(History(tuple(self._missed.of(number, subscriber).values())), since, began=began)
        claim = msgspec.structs.replace(claim, declared=True)
        while len(self._answered) >= CALLBACK_DECLARED_MAX:
            del self._answered[next(iter(self._answered))]
        self._answered[call] = claim
        return claim

    def count(self, claim: Claim, decision: Decision) -> None:
        """Count what became of a callback, once a call."""
        if claim.status is ClaimStatus.NONE or claim.declared or claim.again:
            return
        became = decision.reason.removeprefix("callback-")
        # Otherwise its campaign was taken away while it waited, and the number's own destination stands.
        self._metrics.callbacks.labels(became if became in CALLBACK_OUTCOMES else "no-destination").inc()

    async def turn(self, sequence_key: str) -> int | None:
        """The next place in a list of numbers that all routers show in turn; None where that cannot be said in time."""
        return await self._round_robin.next_place(sequence_key)

    async def see(self, report: AttemptReport) -> bool:
        """Write down what a witness saw, if it is an attempt; returns when it is durable.

        False: it could not be written, and has to be told again.
        """
        attempt = read_attempt(report, self._table(), self._region, self._bare)
        if isinstance(attempt, str):
            campaign = report.campaign[:DIALLED_LOG_MAX_CHARS]
            self._log.warning("attempt_ignored", why=attempt, attempt=report.id, campaign=campaign)
            self._metrics.attempts_dropped.labels("ignored").inc()
            return True
        latest = time.time() + CLOCKS_APART_SECONDS
        if attempt.at > latest:  # it would be the newest one for as long
            self._log.warning(
                "attempt_ahead", attempt=attempt.id, seconds=round(attempt.at - latest), hint="set the clocks"
            )
            attempt = msgspec.structs.replace(attempt, at=latest)
        if len(self._waiting) >= RECORD_QUEUE_MAX:
            self._log.error("attempts_not_recorded", error="too many wait to be written down", attempts=1)
            self._metrics.attempts_dropped.labels("not-recorded").inc()
            return False
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((attempt, written))
        self._work.set()
        return await written

    async def run(self) -> None:
        """Write down what is recorded, together what came together; hear what others write; forget what is too old."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write_for_ever())
            tasks.create_task(self._follow_for_ever())
            tasks.create_task(self._purge_for_ever())

    async def _follow_for_ever(self) -> None:
        backoff = Backoff(STORE_RETRY_MIN_SECONDS, STORE_RETRY_MAX_SECONDS)
        while True:
            try:
                await self._catch_up(_LOOK_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever it is, calls go on
                if self._up:
                    say = self._log.error if isinstance(error, StoreError) else self._log.exception
                    say("callbacks_down", error=str(error), declared=self._store_down)
                self._set_up(up=False)
                await asyncio.sleep(backoff.next_seconds())
                continue
            if not self._up:
                self._log.info("callbacks_up")
            self._set_up(up=True)
            backoff.reset()

    def _set_up(self, *, up: bool) -> None:
        self._up = up
        self._shown_up.set(up)

    async def _catch_up(self, seconds: float) -> None:
        fresh = self._fresh = AttemptIndex()
        asked_for_all = self._read_all
        changes = await self._store.changes("" if self._read_all else self._cursor, seconds)
        if not changes.full:
            self._missed.remember(changes.attempts)
        else:
            self._read_all = False
            for place in range(0, len(changes.attempts), PURGE_PAIRS_AT_ONCE):
                fresh.remember(changes.attempts[place : place + PURGE_PAIRS_AT_ONCE], relevant=True)
                await asyncio.sleep(0)  # calls go first
            replaced, self._missed = self._missed, fresh
            self._metrics.attempts_full_reads.inc()
            if self._cursor and not asked_for_all:
                # Its last writes were lost, in a failover or with a backup; or this router was too far behind.
                self._log.warning("attempts_full_read", before=len(replaced), pairs=len(fresh))
            await asyncio.to_thread(replaced.release)
        self._cursor = changes.cursor

    async def _write_for_ever(self) -> None:
        while True:
            await self._work.wait()
            batch, self._waiting = self._waiting[:RECORD_BATCH_MAX], self._waiting[RECORD_BATCH_MAX:]
            if not self._waiting:
                self._work.clear()
            await self._write(batch)

    async def _write(self, batch: Sequence[tuple[Attempt, asyncio.Future[bool]]]) -> None:
        try:
            recorded = await self._store.record([attempt for attempt, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, the next batch is tried
            say = self._log.error if isinstance(error, StoreError) else self._log.exception
            say("attempts_not_recorded", error=str(error), attempts=len(batch))
            self._metrics.attempts_dropped.labels("not-recorded").inc(len(batch))
            _tell(batch, taken=False)
            return
        for memory in (self._missed, self._fresh):
            memory.remember(each.attempt for each in recorded)
        for each in recorded:
            self._say(each)
        _tell(batch, taken=True)

    def _say(self, recorded: Recorded) -> None:
        attempt, heard = recorded
        if heard is Heard.KNOWN:
            return
        if heard is Heard.NEW:
            self._metrics.attempts.labels(attempt.outcome).inc()
        self._log.info(
            "attempt",
            attempt=attempt.id,
            campaign=attempt.campaign,
            number=attempt.number,
            subscriber=mask(attempt.subscriber) if self._masked else attempt.subscriber,
            outcome=attempt.outcome,
        )

    async def _purge_for_ever(self) -> None:
        while True:
            await asyncio.sleep(PURGE_SECONDS)
            try:
                await self.purge(time.time())
            except Exception as error:  # noqa: BLE001 - as above
                say = self._log.error if isinstance(error, StoreError) else self._log.exception
                say("attempts_not_purged", error=str(error))

    async def purge(self, now: float) -> None:
        """Delete what is past its campaign's window, in the store and in memory. Raises StoreError."""
        moments = cutoffs(self._table().campaigns, now, PURGE_MARGIN_SECONDS, ATTEMPT_KEEP_SECONDS)
        gone = await self._store.purge(moments)
        for place, pair in enumerate(self._missed.pairs()):
            self._missed.purge(pair, moments)
            if place % PURGE_PAIRS_AT_ONCE == 0:
                await asyncio.sleep(0)  # calls go first
        if self._missed.overflowing and len(self._missed) < CALLBACK_PAIRS_MAX:
            self._read_all = True  # what did not fit comes with all the rest
        if gone:
            self._log.info("attempts_purged", attempts=gone, pairs=len(self._missed))


def _tell(batch: Sequence[tuple[Attempt, asyncio.Future[bool]]], *, taken: bool) -> None:
    for _, written in batch:
        if not written.done():  # whoever waited may have gone
            written.set_result(taken)
