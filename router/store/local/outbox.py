"""Attempts of a shared store that is away wait on this machine, and are handed over when it is back."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence

import structlog

from dialplan.campaigns.attempts import Attempt, Heard
from dialplan.campaigns.callbacks import Claim, History
from dialplan.campaigns.retention import Cutoffs
from router.config.limits import HISTORY_ATTEMPTS_MAX, OUTBOX_AT_ONCE, OUTBOX_MAX, RECORD_SECONDS
from router.store.api import AttemptChanges, AttemptPlace, CallbackStore, Recorded, StoreError, Use
from router.store.local.disk import Disk
from router.store.sqlite.callbacks import SqliteCallbackStore


class _HereError(Exception):
    """It is the place here that cannot do it, and not the store."""


class OutboxCallbackStore:
    """`store`, and `here` for the attempts that it cannot take; see `router.store.api.CallbackStore`.

    Claims are the store's alone: only it can grant an entitlement once.
    """

    def __init__(
        self, store: CallbackStore, here: SqliteCallbackStore, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self._store = store
        self._here = here
        self._log = log
        self._away = False  # attempts come here at once: the store did not answer, or others wait here before them
        self._waiting = True  # for all that is known before the first look
        self._comings = 0  # how often somebody wanted to keep others here
        self._settled = asyncio.Event()  # not while the last ones are handed over
        self._settled.set()
        self._disk = Disk(here.path)
        self._open = False  # the place here
        self._kept = 0
        self._said = ""

    async def open(self, *, make: bool = True) -> None:
        """Open the place here; the store is opened by whoever asks it first.

        A damaged file or a full disk is told, and tried again when the place is needed: the store may do without it.
        Raises StoreError where nothing is to be made.
        """
        try:
            await self._made(make=make)
        except StoreError as error:
            if not make:
                raise
            self._log.error("attempts_cannot_wait_here", error=str(error))

    async def _made(self, *, make: bool = True) -> None:
        """Have the place here. Raises StoreError."""
        if not self._open:
            await self._disk.answer(self._here.open(make=make))
            self._kept = await self._disk.answer(self._here.count())
            self._open = True

    async def close(self) -> None:
        """Close both."""
        await self._store.close()
        with contextlib.suppress(StoreError):  # its disk hangs
            await self._disk.answer(self._here.close())

    async def record(self, attempts: Sequence[Attempt]) -> list[Recorded]:
        """Write attempts down in the store, else here. Raises StoreError where neither can."""
        why = "the store is away"
        with contextlib.suppress(TimeoutError):
            # Else the handing over finds another one at each look, and with a slow disk never comes to its end.
            async with asyncio.timeout(RECORD_SECONDS):
                await self._settled.wait()
        if not self._away:
            try:
                async with asyncio.timeout(RECORD_SECONDS):
                    return await self._store.record(attempts)
            except (StoreError, TimeoutError) as error:
                why = str(error) or "no answer in time"
                self._away = True  # until it answers `changes`
        await self._made()
        if self._kept >= OUTBOX_MAX:
            text = f"{self._kept} attempts wait for the store here already, and no more can; see that it comes back"
            raise StoreError(f"store {self._here.path}: {text} ({why})")
        try:
            recorded = await self._record_here(attempts)
        finally:  # a disk that hangs may do it later
            self._comings += 1
            self._waiting = self._away = True  # a handing over may have come to its end meanwhile
        self._kept += sum(each.heard is Heard.NEW for each in recorded)
        self._log.warning("attempts_kept_here", why=why, attempts=len(attempts))
        return recorded

    async def _record_here(self, attempts: Sequence[Attempt]) -> list[Recorded]:
        """Write attempts down here, in another place where this one was deleted meanwhile. Raises StoreError."""
        try:
            return await self._disk.answer(self._here.record(attempts))
        except StoreError:
            self._open = False
            with contextlib.suppress(StoreError):
                await self._made()
            if not self._open:
                raise
            return await self._disk.answer(self._here.record(attempts))

    async def changes(self, cursor: str, seconds: float) -> AttemptChanges:
        """Of the store. What waits here goes there before: whoever reads all of it has that, too. Raises StoreError."""
        try:
            if self._waiting:
                await self._hand_over()
            changes = await self._store.changes(cursor, seconds)
        except StoreError:
            self._away = True
            raise
        if not self._waiting:  # else somebody kept another one meanwhile
            self._away = False
        return changes

    async def _hand_over(self) -> None:
        """Raises StoreError where the store does not take them."""
        handed = 0
        try:
            while True:
                comings = self._comings
                with _here():
                    await self._made()
                    attempts = await self._disk.answer(self._here.attempts(None, None, OUTBOX_AT_ONCE))
                if not attempts:
                    break
                self._away = True  # a second word about one of them is to come behind the first
                if len(attempts) < OUTBOX_AT_ONCE:
                    self._settled.clear()
                await self._store.record(attempts)
                with _here():
                    # A later word about one of them, kept here meanwhile, is still to be handed over.
                    await self._disk.answer(self._here.drop(attempts))
                handed += len(attempts)
                self._kept = max(0, self._kept - len(attempts))
            self._said = ""
            if comings == self._comings:  # else others have come since the look
                self._kept, self._waiting, self._away = 0, False, False
        except _HereError as error:
            self._away = self._open = False
            if str(error) != self._said:  # callbacks go on: the store is there
                self._said = str(error)
                self._log.warning("attempts_stay_here", error=str(error))
        finally:
            self._settled.set()
        if handed:
            self._log.info("attempts_handed_over", attempts=handed)

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        """Of the store, which is told first what waits here of the pair. Raises StoreError."""
        if self._waiting:
            attempts: list[Attempt] = []
            with contextlib.suppress(StoreError):  # of the place here; `changes` tells of it
                attempts = await self._disk.answer(self._here.attempts(number, subscriber, HISTORY_ATTEMPTS_MAX))
            if attempts:
                await self._store.record(attempts)
        return await self._store.claim(number, subscriber, call_id, began, since)

    async def history(self, number: str, subscriber: str, until: float) -> History:
        """Of the store. Raises StoreError."""
        return await self._store.history(number, subscriber, until)

    async def uses(self, number: str, subscriber: str, until: float) -> list[Use]:
        """Of the store. Raises StoreError."""
        return await self._store.uses(number, subscriber, until)

    async def attempts(
        self,
        number: str | None,
        subscriber: str | None,
        limit: int,
        *,
        campaign: str | None = None,
        after: AttemptPlace | None = None,
    ) -> list[Attempt]:
        """Of the store. Raises StoreError."""
        return await self._store.attempts(number, subscriber, limit, campaign=campaign, after=after)

    async def purge(self, cutoffs: Cutoffs) -> int:
        """Of the store. Raises StoreError."""
        return await self._store.purge(cutoffs)

    async def purged_at(self) -> float | None:
        """Of the store. Raises StoreError."""
        return await self._store.purged_at()

    async def note_purge(self, moment: float) -> None:
        """Of the store. Raises StoreError."""
        await self._store.note_purge(moment)

    @property
    def pending_count(self) -> int:
        """How many attempts wait here, about: another router may have the same place."""
        return self._kept

    async def pending(self) -> list[Attempt]:
        """What waits here. Raises StoreError."""
        return await self._disk.answer(self._here.attempts(None, None, OUTBOX_MAX))


@contextlib.contextmanager
def _here() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise _HereError(str(error)) from error
