"""Deletes attempts that are past, every hour, in the store and in memory.

What is deleted is gone: a clock that jumps ahead is believed only as far as time has really passed.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from dialplan.campaigns.retention import believed, cutoffs
from dialplan.dataset import times
from dialplan.routing.table import RoutingTable
from router.callbacks.follower import Follower
from router.config.limits import (
    ATTEMPT_KEEP_SECONDS,
    CALLBACK_PAIRS_MAX,
    PURGE_JUMP_SECONDS,
    PURGE_MARGIN_SECONDS,
    PURGE_PACE,
    PURGE_SECONDS,
)
from router.store.api import CallbackStore, StoreError
from router.util.turns import in_turns


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
        self._last: float | None = None  # by which moment the last purge went, epoch seconds
        self._looked_at = time.monotonic()  # when that was; at first when this router began
        self._said = False

    async def run(self) -> None:
        """Purge every PURGE_SECONDS, for ever."""
        while True:
            await asyncio.sleep(PURGE_SECONDS)
            try:
                await self.purge(time.time())
            except Exception as error:  # noqa: BLE001 - whatever it is, calls go on
                say = self._log.error if isinstance(error, StoreError) else self._log.exception
                say("attempts_not_purged", error=str(error))

    async def purge(self, now: float, passed_seconds: float | None = None) -> None:
        """Delete what is past at `now` (epoch seconds), in the store and in memory. Raises StoreError.

        `passed_seconds`: what has really passed since the last purge; None: by a clock that nobody sets.
        """
        moment = await self._believed(now, passed_seconds)
        moments = cutoffs(self._table().campaigns, moment, PURGE_MARGIN_SECONDS, ATTEMPT_KEEP_SECONDS)
        gone = await self._store.purge(moments)
        await self._store.note_purge(moment)
        await in_turns(self._follower.index.purging(moments))
        index = self._follower.index
        if index.overflowing and len(index) < CALLBACK_PAIRS_MAX:
            self._follower.read_all()  # what did not fit comes with all the rest
        if gone:
            self._log.info("attempts_purged", attempts=gone, pairs=len(index))

    async def _believed(self, now: float, passed_seconds: float | None) -> float:
        """By which moment to purge, and tell where that is not the clock's. Raises StoreError."""
        last = self._last if self._last is not None else await self._before(now)
        looked_at = time.monotonic()
        passed = looked_at - self._looked_at if passed_seconds is None else passed_seconds
        moment = believed(now, last, passed, PURGE_PACE)
        self._last, self._looked_at = moment, looked_at
        off = max(now - moment, last - now)
        if off > PURGE_JUMP_SECONDS and not self._said:
            self._log.error(
                "attempts_purge_held_back",
                clock=times.shown_at(now),
                purged_until=times.shown_at(moment),
                last_purge=times.shown_at(last),
                hint="set this machine's clock; where it is right, no router ran for so long, and the purge catches up",
            )
        self._said = off > PURGE_JUMP_SECONDS
        return moment

    async def _before(self, now: float) -> float:
        """By which moment the last purge went before this router began.

        Where there was none, the newest attempt tells what the time was. Raises StoreError.
        """
        noted = await self._store.purged_at()
        if noted is not None:
            return noted
        newest = await self._store.attempts(None, None, 1)
        return newest[0].at if newest else now
