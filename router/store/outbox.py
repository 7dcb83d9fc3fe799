"""Attempts of a shared store that is away wait on this machine, and are handed over when it is back."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from dialplan.attempts import Attempt
from dialplan.callbacks import Claim, History
from router.limits import OUTBOX_AT_ONCE, RECORD_SECONDS
from router.store.base import CallbackStore, News, Recorded, StoreError
from router.store.sqlite_callbacks import SqliteCallbackStore


class KeptCallbackStore:
    """`store`, and `here` for the attempts that it cannot take; see `router.store.base.CallbackStore`.

    Claims are the store's alone: only it can give a right away once.
    """

    def __init__(
        self, store: CallbackStore, here: SqliteCallbackStore, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self._store = store
        self._here = here
        self._log = log
        self._waiting = True  # for all that is known before the first look
        self._later: set[tuple[str, str, str]] | None = None  # what is kept here while others are handed over

    async def open(self, *, make: bool = True) -> None:
        """Open the place here; the store is opened by whoever asks it first. Raises StoreError."""
        await self._here.open(make=make)

    async def close(self) -> None:
        """Close both."""
        await self._store.close()
        await self._here.close()

    async def record(self, attempts: Sequence[Attempt]) -> list[Recorded]:
        """Write attempts down in the store, else here. Raises StoreError where neither can."""
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                return await self._store.record(attempts)
        except (StoreError, TimeoutError) as error:
            if self._later is not None:
                self._later.update(map(_name, attempts))
            recorded = await self._here.record(attempts)
            self._log.warning("attempts_kept_here", why=str(error) or "no answer in time", attempts=len(attempts))
            self._waiting = True
            return recorded

    async def news(self, mark: str, seconds: float) -> News:
        """Of the store; when it answers, what waits here goes there. Raises StoreError."""
        news = await self._store.news(mark, 0 if self._waiting else seconds)
        if self._waiting:
            self._waiting = False
            try:
                await self._hand_over()
            except BaseException:
                self._waiting = True
                raise
        return news

    async def _hand_over(self) -> None:
        handed = 0
        try:
            self._later = set()
            while attempts := await self._here.attempts(None, None, OUTBOX_AT_ONCE):
                await self._store.record(attempts)
                # A later word about one of them, kept here meanwhile, is still to be handed over.
                later, self._later = self._later, set()
                done = [each for each in attempts if _name(each) not in later]
                await self._here.drop(done)
                handed += len(done)
        finally:
            self._later = None
        if handed:
            self._log.info("attempts_handed_over", attempts=handed)

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        """Of the store. Raises StoreError."""
        return await self._store.claim(number, subscriber, call_id, began, since)

    async def history(self, number: str, subscriber: str, until: float) -> History:
        """Of the store. Raises StoreError."""
        return await self._store.history(number, subscriber, until)

    async def attempts(self, number: str | None, subscriber: str | None, limit: int) -> list[Attempt]:
        """Of the store. Raises StoreError."""
        return await self._store.attempts(number, subscriber, limit)

    async def forget(self, since: Mapping[str, float], otherwise: float) -> int:
        """Of the store. Raises StoreError."""
        return await self._store.forget(since, otherwise)

    async def turn(self, whose: str) -> int | None:
        """Of the store. Raises StoreError."""
        return await self._store.turn(whose)


def _name(attempt: Attempt) -> tuple[str, str, str]:
    return attempt.number, attempt.subscriber, attempt.id
