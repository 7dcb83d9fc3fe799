"""Numbers that all routers show round-robin: which index comes next, as far as the store can say."""

import asyncio
from collections.abc import Callable

import structlog

from router.store.api import CounterStore, StoreError


class SharedRoundRobin:
    """The order in which routers that share a store show numbers.

    `counters`: None where each router counts for itself. `is_up`: whether the store answered last time; where it did
    not, nobody waits for it. `seconds`: how long a call waits for its index.
    """

    def __init__(
        self,
        counters: CounterStore | None,
        is_up: Callable[[], bool],
        seconds: float,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self.shared = counters is not None
        self._counters = counters
        self._is_up = is_up
        self._seconds = seconds
        self._log = log

    async def next_index(self, sequence_key: str) -> int | None:
        """One more than the last time, for whichever router asked; None where the store cannot say in time.

        `sequence_key`: which list of numbers, a campaign's or the pool's. Never raises.
        """
        if self._counters is None or not self._is_up():
            return None
        try:
            async with asyncio.timeout(self._seconds):
                return await self._counters.next(sequence_key)
        except (TimeoutError, StoreError) as error:
            self._log.warning("round_robin_failed", error=str(error) or "no answer in time")
            return None
