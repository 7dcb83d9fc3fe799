"""Calls that this router has decided, for manager links that have yet to find out whether such calls are theirs."""

import asyncio


class DecidedCalls:
    """Hands the unique ids on to whoever waits for one; nothing is kept of those that nobody waits for.

    Shared by all links. `recognised`: one of them has found such a call in its Asterisk. `away` has the names of those
    without a session.
    """

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[str]] = []
        self.recognised = False
        self.away: set[str] = set()

    def add(self, unique_id: str) -> None:
        """A call has been decided. Never waits."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                if not each.done():  # whoever waited may be going
                    each.set_result(unique_id)

    async def next(self) -> str:
        """The next one that is decided."""
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        finally:
            if waiting in self._waiting:  # whoever waited is going
                self._waiting.remove(waiting)
