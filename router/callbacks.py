"""Attempts and callback claims in a running router: what memory knows, what the store is asked, what is declared.

Memory knows which pairs of number and subscriber have a missed attempt, so that all other calls cost nothing extra. The
store has the last word, since only it can give a right away once.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import structlog

from dialplan.attempts import Attempt, Outcome, Sighting, read_attempt
from dialplan.callbacks import Claim, History, Verdict, claim_of, earliest
from dialplan.decide import Decision
from dialplan.numbers import Bare
from dialplan.table import RoutingTable
from router.limits import (
    ATTEMPT_KEEP_SECONDS,
    CALLBACK_CLAIM_SECONDS,
    CALLBACK_CLAIMS_MAX,
    CALLBACK_PAIRS_MAX,
    FORGET_MARGIN_SECONDS,
    FORGET_PAIRS_AT_ONCE,
    FORGET_SECONDS,
    RECORD_BATCH_MAX,
    RECORD_QUEUE_MAX,
)
from router.observe.log import mask
from router.observe.metrics import Metrics
from router.store.base import CallbackStore, StoreError

StoreDown: TypeAlias = Literal["own-flow", "campaign"]
_Pair: TypeAlias = tuple[str, str]


class Callbacks:
    """The attempts and claims of one router.

    `table` gives the current routing table; `reading` is how numbers are read where nothing else says it: the region,
    and bare digits.
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
    ) -> None:
        self._region, self._bare = reading
        self._masked = mask_callers
        self._store = store
        self._table = table
        self._store_down = store_down
        self._log = log
        self._metrics = metrics
        self._missed: dict[_Pair, dict[str, Attempt]] = {}  # the newest attempt of each campaign
        self._full = False
        self._claiming = 0
        self._waiting: list[tuple[Attempt, asyncio.Future[bool]]] = []
        self._work = asyncio.Event()

    async def load(self) -> None:
        """Fill the memory from the store. Raises StoreError."""
        self._remember(await self._store.missed(), stored=True)

    def knows(self, number: str, subscriber: str) -> bool:
        """Whether there may be an attempt of that pair; where not, there is nothing to wait for."""
        return (number, subscriber) in self._missed or self._full

    def since(self, number: str, subscriber: str, began: float) -> Mapping[str, float]:
        """The campaigns whose attempts may give a right to a callback that began then.

        See `dialplan.callbacks.earliest`.
        """
        table = self._table()
        return earliest(table.campaigns if self._full else self._missed.get((number, subscriber), ()), table, began)

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        """What the call gets. Where the store cannot say in time, what [callbacks] store_down declares."""
        if self._claiming >= CALLBACK_CLAIMS_MAX:
            return self._declared(number, subscriber, began, since, "too many callbacks wait for the store already")
        self._claiming += 1
        try:
            async with asyncio.timeout(CALLBACK_CLAIM_SECONDS):
                return await self._store.claim(number, subscriber, call_id, began, since)
        except TimeoutError:
            return self._declared(number, subscriber, began, since, f"no answer within {CALLBACK_CLAIM_SECONDS} s")
        except StoreError as error:
            return self._declared(number, subscriber, began, since, str(error))
        finally:
            self._claiming -= 1

    def _declared(self, number: str, subscriber: str, began: float, since: Mapping[str, float], why: str) -> Claim:
        self._log.error("claim_failed", error=why, number=number, declared=self._store_down)
        self._metrics.callbacks.labels("store-down").inc()
        if self._store_down == "own-flow":
            return Claim(Verdict.NONE, declared=True)
        missed = self._missed.get((number, subscriber), {})
        claim = claim_of(History(tuple(missed.values())), since, began=began)
        return Claim(claim.verdict, claim.attempt, declared=True)

    def count(self, claim: Claim, decision: Decision) -> None:
        """Count what became of a callback."""
        if claim.verdict is not Verdict.NONE and not claim.declared:
            self._metrics.callbacks.labels(decision.reason.removeprefix("callback-")).inc()

    async def see(self, sighting: Sighting) -> bool:
        """Write down what a witness saw, if it is an attempt; returns when it is durable.

        False: it could not be written, and has to be told again.
        """
        attempt = read_attempt(sighting, self._table(), self._region, self._bare)
        if isinstance(attempt, str):
            self._log.warning("attempt_ignored", why=attempt, attempt=sighting.id, campaign=sighting.campaign)
            return True
        if len(self._waiting) >= RECORD_QUEUE_MAX:
            self._log.error("attempts_not_recorded", error="too many wait to be written down", attempts=1)
            return False
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((attempt, written))
        self._work.set()
        return await written

    async def run(self) -> None:
        """Write down what is recorded, together what came together; delete now and then what is too old."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write_for_ever())
            tasks.create_task(self._forget_for_ever())

    async def _write_for_ever(self) -> None:
        while True:
            await self._work.wait()
            batch, self._waiting = self._waiting[:RECORD_BATCH_MAX], self._waiting[RECORD_BATCH_MAX:]
            if not self._waiting:
                self._work.clear()
            await self._write(batch)

    async def _write(self, batch: Sequence[tuple[Attempt, asyncio.Future[bool]]]) -> None:
        try:
            news = await self._store.record([attempt for attempt, _ in batch])
        except StoreError as error:
            self._log.error("attempts_not_recorded", error=str(error), attempts=len(batch))
            _tell(batch, taken=False)
            return
        self._remember(news)
        for attempt in news:
            self._metrics.attempts.labels(attempt.outcome).inc()
            self._log.info(
                "attempt",
                attempt=attempt.id,
                campaign=attempt.campaign,
                number=attempt.number,
                subscriber=mask(attempt.subscriber) if self._masked else attempt.subscriber,
                outcome=attempt.outcome,
            )
        _tell(batch, taken=True)

    def _remember(self, attempts: Iterable[Attempt], *, stored: bool = False) -> None:
        """Keep the newest attempt of each campaign to a pair where one was missed.

        `stored`: the store gave them, and knows why those that were answered matter.
        """
        for attempt in attempts:
            if attempt.outcome is Outcome.FAILED:
                continue
            pair = (attempt.number, attempt.subscriber)
            missed = self._missed.get(pair)
            if missed is None:
                if attempt.outcome is not Outcome.MISSED and not stored:
                    continue
                if len(self._missed) >= CALLBACK_PAIRS_MAX:
                    self._full = True
                    continue
                missed = self._missed[pair] = {}
            known = missed.get(attempt.campaign)
            if known is None or known.at <= attempt.at:
                missed[attempt.campaign] = attempt

    def _drop(self, pair: _Pair, until: Mapping[str, float], otherwise: float = 0.0) -> None:
        """Forget the pair's missed attempts of each campaign up to a moment, of any other one up to `otherwise`."""
        missed = self._missed.get(pair, {})
        for campaign in [name for name, attempt in missed.items() if attempt.at <= until.get(name, otherwise)]:
            del missed[campaign]
        if not missed:
            self._missed.pop(pair, None)

    async def _forget_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FORGET_SECONDS)
            try:
                await self.forget(time.time())
            except StoreError as error:
                self._log.error("attempts_not_forgotten", error=str(error))

    async def forget(self, now: float) -> None:
        """Delete what is past its campaign's window, in the store and in memory. Raises StoreError."""
        campaigns = self._table().campaigns
        # A call may ask again for as long as it lasts, and gets the same answer.
        over = now - FORGET_MARGIN_SECONDS
        until = {name: over - campaign.callback_window_hours * 3600.0 for name, campaign in campaigns.items()}
        oldest = now - ATTEMPT_KEEP_SECONDS
        gone = await self._store.forget(until, oldest)
        for place, pair in enumerate(list(self._missed)):
            self._drop(pair, until, oldest)
            if place % FORGET_PAIRS_AT_ONCE == 0:
                await asyncio.sleep(0)  # calls go first
        if self._full and len(self._missed) < CALLBACK_PAIRS_MAX:
            missed = await self._store.missed()
            self._full = len(self._missed) >= CALLBACK_PAIRS_MAX  # not sooner: calls go on meanwhile
            self._remember(missed, stored=True)
        if gone:
            self._log.info("attempts_forgotten", attempts=gone, pairs=len(self._missed))


def _tell(batch: Sequence[tuple[Attempt, asyncio.Future[bool]]], *, taken: bool) -> None:
    for _, written in batch:
        if not written.done():  # whoever waited may have gone
            written.set_result(taken)
