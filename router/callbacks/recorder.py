"""Writes attempts down in the store: together what came together, and durably before its source hears so."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec
import structlog

from dialplan.campaigns.attempts import Attempt, AttemptReport, Heard
from dialplan.campaigns.callbacks import CLOCKS_APART_SECONDS
from dialplan.campaigns.reports import read_attempt, read_number
from dialplan.kinds.registry import RowKind
from dialplan.numbering.numbers import Bare
from dialplan.routing.table import RoutingTable
from router.config.limits import DIALLED_LOG_MAX_CHARS, RECORD_BATCH_MAX, RECORD_QUEUE_MAX
from router.observe.log import mask
from router.observe.metrics import Metrics
from router.store.api import CallbackStore, Recorded, StoreError


class Recorder:
    """`remember` takes what was written into memory, before its source hears of it.

    `table` gives the current routing table; `reading` is how numbers are read where nothing else says it: the region,
    and bare digits.
    """

    def __init__(
        self,
        store: CallbackStore,
        table: Callable[[], RoutingTable],
        reading: tuple[str, Bare],
        remember: Callable[[Iterable[Attempt]], None],
        log: structlog.typing.FilteringBoundLogger,
        metrics: Metrics,
        *,
        mask_callers: bool,
    ) -> None:
        self._store = store
        self._table = table
        self._region, self._bare = reading
        self._remember = remember
        self._log = log
        self._metrics = metrics
        self._masked = mask_callers
        self._queue: list[tuple[Attempt, asyncio.Future[bool]]] = []
        self._work = asyncio.Event()

    async def report(self, report: AttemptReport) -> bool:
        """Write down what a source reports, if it is an attempt; returns when it is durable.

        False: it could not be written, and has to be told again.
        """
        table = self._table()
        if not table.version:  # which campaigns there are is not known yet
            return False
        attempt = read_attempt(report, table, self._region, self._bare)
        if isinstance(attempt, str) and table.left_out:
            number = read_number(report, table, self._region, self._bare)
            named = {(RowKind.CAMPAIGN, report.campaign), (RowKind.NUMBER, str(number))}
            if not table.left_out.isdisjoint(named):  # a router of the version that wrote them can take it
                return False
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
        if len(self._queue) >= RECORD_QUEUE_MAX:
            self._log.error("attempts_not_recorded", error="too many wait to be written down", attempts=1)
            self._metrics.attempts_dropped.labels("not-recorded").inc()
            return False
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append((attempt, written))
        self._work.set()
        return await written

    async def run(self) -> None:
        """Write down what is reported, for ever."""
        while True:
            await self._work.wait()
            batch, self._queue = self._queue[:RECORD_BATCH_MAX], self._queue[RECORD_BATCH_MAX:]
            if not self._queue:
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
        self._remember(each.attempt for each in recorded)
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


def _tell(batch: Sequence[tuple[Attempt, asyncio.Future[bool]]], *, taken: bool) -> None:
    for _, written in batch:
        if not written.done():  # whoever waited may have gone
            written.set_result(taken)
