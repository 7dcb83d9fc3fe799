"""Counters in Redis that all routers share: each gives every number once, whichever router asks."""

from router.config.limits import COUNTER_KEEP_SECONDS
from router.store.redis import callback_scripts as scripts
from router.store.redis.connection import Link


class RedisCounterStore:
    """Counters below the prefix of `link`, each under `turn:KEY`; see `router.store.api.CounterStore`.

    The link is somebody else's, who closes it.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def next(self, sequence_key: str) -> int:
        """Count for all routers. Raises StoreError."""
        key = f"{self._link.prefix}:turn:{sequence_key}"
        (count,) = await self._link.script(scripts.NEXT, (key,), int(COUNTER_KEEP_SECONDS))
        return int(count)
