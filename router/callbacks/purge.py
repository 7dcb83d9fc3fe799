"""Deletes attempts that are past, every hour, in the store and in memory."""

import asyncio
import time
from collections.abc import Callable

import structlog

from dialplan.campaigns.retention import cutoffs
from dialplan.routing.table import RoutingTable
from router.callbacks.follower import Follower
from router.config.limits import (
    ATTEMPT_KEEP_SECONDS,
    CALLBACK_PAIRS_MAX,
    PURGE_MARGIN_SECONDS,
    PURGE_PAIRS_AT_ONCE,
    PURGE_SECONDS,
)
from router.store.api import CallbackStore, StoreError


class Purge:
    """The hourly purge of one router. `table` gives the current routing table, whose campaigns say what is past."""

    def __init__(
        self,
        store: CallbackStore,
        follower: Follower,
        table: Callable[[], RoutingTable],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._store = store
        self._follower = follower
        self._table = table
        self._log = log

    async def run(self) -> None:
        """Purge every PURGE_SECONDS, for ever."""
        while True:
            await asyncio.sleep(PURGE_SECONDS)
            try:
                await self.purge(time.time())
            except Exception as error:  # noqa: BLE001 - whatever it is, calls go on
                say = self._log.error if isinstance(error, StoreError) else self._log.exception
                say("attempts_not_purged", error=str(error))

    async def purge(self, now: float) -> None:
        """Delete what is past at `now` (epoch seconds), in the store and in memory. Raises StoreError."""
        moments = cutoffs(self._table().campaigns, now, PURGE_MARGIN_SECONDS, ATTEMPT_KEEP_SECONDS)
        gone = await self._store.purge(moments)
        for place, pair in enumerate(self._follower.index.pairs()):
            self._follower.index.purge(pair, moments)
            if place % PURGE_PAIRS_AT_ONCE == 0:
                await asyncio.sleep(0)  # calls go first
        index = self._follower.index
        if index.overflowing and len(index) < CALLBACK_PAIRS_MAX:
            self._follower.read_all()  # what did not fit comes with all the rest
        if gone:
            self._log.info("attempts_purged", attempts=gone, pairs=len(index))
