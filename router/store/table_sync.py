"""The store -> the table: every committed change, in order, without a moment in which a number is missing."""

import asyncio
import time
from contextlib import aclosing

import structlog

from dialplan.routing.entries import Entries
from dialplan.routing.later_rows import LaterRows
from dialplan.routing.table import Patch, RoutingTable
from dialplan.shards import let_go
from router.config.limits import STORE_RETRY_MAX_SECONDS, STORE_RETRY_MIN_SECONDS
from router.observe.metrics import Metrics
from router.store.api import Store, StoreError, Unfit, UnfitError, rebuilt
from router.store.later_rows import Teller
from router.util.backoff import Backoff
from router.util.turns import in_turns

_LOOK_SECONDS = 1.0  # how long one wait for a change may last: the age of a table in step stays below this


class TableSync:
    """Keeps a table in step with a store. `table` is the current one: take it once, use it for one call.

    `without_store`: the last reading was of what is kept here for when the store is away.
    """

    def __init__(self, store: Store, log: structlog.typing.FilteringBoundLogger, metrics: Metrics) -> None:
        self.table = RoutingTable()
        self.without_store = False
        self._store = store
        self._log = log
        self._metrics = metrics
        self._epoch = ""
        self._version: int | None = None
        self._entries = Entries()
        self._later, self._teller = LaterRows(), Teller(log, metrics)
        self._unfit: UnfitError | None = None
        self._in_step_at = time.monotonic()
        metrics.in_step_at(lambda: self._in_step_at)

    @property
    def unfit(self) -> str:
        """Why what the store has is not taken up, with what to do; empty where nothing is wrong with it.

        It answers, but a part of its data set is missing, or it may throw rows away. The table goes on serving.
        """
        return str(self._unfit) if self._unfit is not None else ""

    def _is_fit(self, error: UnfitError | None = None) -> None:
        """Note that what the store has can be taken up, or why not. One that does not answer is neither."""
        self._unfit = error
        for cause in Unfit:
            self._metrics.store_unfit.labels(cause).set(self._unfit is not None and self._unfit.cause is cause)

    async def load(self) -> None:
        """Fill the table for the first time. Raises StoreError.

        A reading that breaks off is begun once more: what is kept here for when the store is away may do then.
        """
        self._metrics.store_up.labels(self._store.name).set(1)
        try:
            await self._read()
        except StoreError as error:
            self._log.error("first_reading_failed", error=str(error))
            await self._read()

    async def run(self) -> None:
        """Follow the store for ever. Where it fails, the last good table goes on serving, and says how old it is."""
        backoff, said = Backoff(STORE_RETRY_MIN_SECONDS, STORE_RETRY_MAX_SECONDS), ""
        up = self._metrics.store_up.labels(self._store.name)
        while True:
            try:
                if await self._store.wait(self.table.version, self._epoch, _LOOK_SECONDS):
                    await self._read()
                self._in_step_at = time.monotonic()
            except Exception as error:  # noqa: BLE001 - whatever it is, the last good table goes on serving
                if isinstance(error, UnfitError):
                    self._is_fit(error)
                if str(error) != said:  # the same one every few seconds is said once
                    said = str(error)
                    say = self._log.error if isinstance(error, StoreError) else self._log.exception
                    say("store_down", error=str(error), table_version=self.table.version)
                up.set(0)
                await asyncio.sleep(backoff.next_seconds())
                continue
            if backoff.failing:
                self._log.info("store_up", table_version=self.table.version)
            backoff.reset()
            self._is_fit()
            said = ""
            up.set(1)

    async def _read(self) -> None:
        reading = await self._store.read(self._version, self._epoch)
        if reading.version == 0 and self.table.version:
            raise rebuilt()
        patch = Patch(reading.version, full=reading.full, entries=self._entries)
        later = LaterRows(None if reading.full else self._later)
        if reading.image is not None:
            patch.digest += reading.image.digest
            async with aclosing(reading.image.pieces) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    await in_turns(patch.restoring(piece))
        async with aclosing(reading.batches) as batches:  # type: ignore[type-var] # every store's is a generator
            async for rows in batches:
                await in_turns(patch.adding(later.understood(rows)))
        patch.version = reading.version
        changed = len(patch)
        table = await in_turns(self.table.patching(patch))
        table.left_out = later.left_out
        leaving = [*patch.leaving(table), *self.table.leaving(table)]
        self.table = table
        self._version, self._epoch, self._later = reading.version, reading.epoch, later
        self._in_step_at = time.monotonic()
        self.without_store = reading.seen_at is not None
        if reading.seen_at is not None:  # a snapshot, since the store is away
            self._in_step_at -= max(0.0, time.time() - reading.seen_at)
            self._metrics.store_up.labels(self._store.name).set(0)
            if isinstance(reading.instead_of, UnfitError):
                self._is_fit(reading.instead_of)
        self._metrics.table_numbers.set(len(self.table.numbers))
        self._metrics.table_version.set(self.table.version)
        self._metrics.table_digest.set(self.table.digest)
        if reading.full:
            self._metrics.table_full_reads.inc()
        self._log.info(
            "table",
            version=self.table.version,
            numbers=len(self.table.numbers),
            changed=changed,
            full=reading.full,
        )
        self._teller.tell(later)
        if reading.keep is not None:
            reading.keep(table, later.numbers)
        del patch
        await in_turns(let_go(leaving))
