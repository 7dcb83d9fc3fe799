"""Attempts and callback claims in a running router: what memory knows, what the store is asked, what is declared.

Memory knows which pairs of number and subscriber have a missed attempt, so that all other calls cost nothing extra. The
store has the last word, since only it can grant an entitlement once.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import msgspec
import structlog

from dialplan.campaigns.attempts import AttemptReport
from dialplan.campaigns.callbacks import Claim, ClaimStatus, History, claim_of, earliest
from dialplan.numbering.numbers import Bare
from dialplan.routing.decide import Decision
from dialplan.routing.steps.step import Numbered
from dialplan.routing.table import RoutingTable
from router.callbacks.follower import Follower
from router.callbacks.purge import Purge
from router.callbacks.recorder import Recorder
from router.callbacks.round_robin import SharedRoundRobin
from router.config.limits import CALLBACK_CLAIM_SECONDS, CALLBACK_CLAIMS_MAX, CALLBACK_DECLARED_MAX
from router.observe.metrics import CALLBACK_OUTCOMES, Metrics
from router.store.api import CallbackStore, CounterStore, StoreError

StoreDown: TypeAlias = Literal["own-flow", "campaign"]


class CallbackService:
    """The attempts and claims of one router.

    `table` gives the current routing table; `reading` is how numbers are read where nothing else says it: the region,
    and bare digits. `claim_seconds`: how long a callback waits for its entitlement. `shared`: other routers use the
    store. `counters`: those that they share with this one.
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
        self.shared = shared
        self._store = store
        self._table = table
        self._store_down = store_down
        self._claim_seconds = claim_seconds
        self._log = log
        self._metrics = metrics
        metrics.attempts_pending.set_function(lambda: store.pending_count)
        self._follower = Follower(store, store_down, log, metrics)
        self._recorder = Recorder(
            store, table, reading, self._follower.remember, log, metrics, mask_callers=mask_callers
        )
        self._purge = Purge(store, self._follower, table, log)
        self.round_robin = SharedRoundRobin(counters, lambda: self._follower.up, claim_seconds, log)
        self._declared: dict[tuple[str, str, str], Claim] = {}  # without the store, to calls that may ask again
        self._claiming = 0

    async def load(self, *, away: bool = False) -> None:
        """Open the store, and fill the memory from it. Where that cannot be, the log says so, and calls go on.

        `away`: the store is known not to answer, and is not waited for.
        """
        await self._follower.load(away=away)

    async def run(self) -> None:
        """Write down what is reported, hear what other routers write, and purge what is past, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for each in (self._recorder, self._follower, self._purge):
                tasks.create_task(each.run())

    async def report(self, report: AttemptReport) -> bool:
        """Write down what a source saw, if it is an attempt; see `Recorder.report`."""
        return await self._recorder.report(report)

    async def purge(self, now: float, passed_seconds: float | None = None) -> None:
        """Delete what is past at `now` (epoch seconds), in the store and in memory; see `Purge.purge`."""
        await self._purge.purge(now, passed_seconds)

    # --- claims -------------------------------------------------------------------------------------------------------

    def knows(self, number: str, subscriber: str) -> bool:
        """Whether there may be an attempt of that pair; where not, there is nothing to wait for."""
        return self._follower.index.knows(number, subscriber)

    def since(self, number: str, subscriber: str, entry: Numbered, began: float) -> Mapping[str, float]:
        """The campaigns whose attempts may give an entitlement to a callback that began then.

        See `dialplan.campaigns.callbacks.earliest`.
        """
        table, index = self._table(), self._follower.index
        campaigns = table.campaigns if index.overflowing else index.of(number, subscriber)
        return earliest(campaigns, table.campaigns, entry.company, began)

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        """What the call gets. Where the store cannot say in time, what [callbacks] store_down declares."""
        call = (number, subscriber, call_id)
        if call in self._declared:
            return msgspec.structs.replace(self._declared[call], again=True)
        why = ""
        if not self._follower.up:
            why = "the store is away"
        elif self._claiming >= CALLBACK_CLAIMS_MAX:
            why = "too many callbacks wait for the store already"
        if why:
            return self._declare(call, began, since, why)
        self._claiming += 1
        try:
            async with asyncio.timeout(self._claim_seconds):
                return await self._store.claim(number, subscriber, call_id, began, since)
        except TimeoutError:
            return self._declare(call, began, since, f"no answer within {self._claim_seconds:g} s")
        except StoreError as error:
            return self._declare(call, began, since, str(error))
        finally:
            self._claiming -= 1

    def _declare(self, call: tuple[str, str, str], began: float, since: Mapping[str, float], why: str) -> Claim:
        """The installation's own answer, without the store."""
        number, subscriber, _ = call
        self._log.error("claim_failed", error=why, number=number, declared=self._store_down)
        self._metrics.callbacks.labels("store-down").inc()
        claim = Claim(ClaimStatus.NONE)
        if self._store_down == "campaign":
            known = self._follower.index.of(number, subscriber)
            claim = claim_of(History(tuple(known.values())), since, began=began)
        claim = msgspec.structs.replace(claim, declared=True)
        while len(self._declared) >= CALLBACK_DECLARED_MAX:
            del self._declared[next(iter(self._declared))]
        self._declared[call] = claim
        return claim

    def count(self, claim: Claim, decision: Decision) -> None:
        """Count what became of a callback, once a call."""
        if claim.status is ClaimStatus.NONE or claim.declared or claim.again:
            return
        became = decision.reason.removeprefix("callback-")
        # Otherwise its campaign was taken away while it waited, and the number's own destination stands.
        self._metrics.callbacks.labels(became if became in CALLBACK_OUTCOMES else "no-destination").inc()
