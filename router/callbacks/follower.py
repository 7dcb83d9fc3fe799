"""Follows the store of attempts: what other routers wrote comes into memory here, and whether the store is up."""

import asyncio
import contextlib
from collections.abc import Iterable

import structlog

from dialplan.campaigns.attempts import Attempt
from router.callbacks.index import AttemptIndex
from router.config.limits import (
    DISK_ANSWER_SECONDS,
    STORE_RETRY_MAX_SECONDS,
    STORE_RETRY_MIN_SECONDS,
)
from router.observe.metrics import Metrics
from router.store.api import CallbackStore, StoreError
from router.util.backoff import Backoff
from router.util.turns import in_turns

_LOOK_SECONDS = 1.0  # how long one wait for what other routers write may last


class Follower:
    """Keeps an index of attempts in step with a store. `index` is the current one, another after a full read.

    `up`: whether the store answered last time. `store_down`: what is declared meanwhile, for the log.
    """

    def __init__(
        self, store: CallbackStore, store_down: str, log: structlog.typing.FilteringBoundLogger, metrics: Metrics
    ) -> None:
        self.index = AttemptIndex()
        self.up = True
        self._store = store
        self._store_down = store_down
        self._log = log
        self._full_reads = metrics.attempts_full_reads
        self._shown_up = metrics.store_up.labels("callbacks")
        self._fresh = AttemptIndex()  # what is written down while all of it is read again
        self._cursor = ""
        self._read_all = False

    def remember(self, attempts: Iterable[Attempt]) -> None:
        """Take in what this router itself has written down."""
        known = list(attempts)
        for each in (self.index, self._fresh):
            each.remember(known)

    def read_all(self) -> None:
        """Read everything the next time: memory has room for it again."""
        self._read_all = True

    async def load(self, *, away: bool) -> None:
        """Open the store, and fill the index from it; where it is `away`, or cannot be opened, calls go on without it.

        Then the index knows the attempts that wait for the store here, and `run` goes on trying.
        """
        why: Exception | None = None
        try:
            async with asyncio.timeout(DISK_ANSWER_SECONDS):
                await self._store.open()
            if away:
                why = StoreError("the store is away")
            else:
                await self._catch_up(0)
        except (StoreError, TimeoutError) as error:
            why = error
        if why is not None:
            self._say_down(why)
            with contextlib.suppress(StoreError):  # whoever hands them over later tells of it
                self.index.remember(await self._store.pending())
        else:
            self._set_up(up=True)

    async def run(self) -> None:
        """Follow the store for ever."""
        backoff = Backoff(STORE_RETRY_MIN_SECONDS, STORE_RETRY_MAX_SECONDS)
        while True:
            try:
                await self._catch_up(_LOOK_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever it is, calls go on
                if self.up:
                    self._say_down(error)
                await asyncio.sleep(backoff.next_seconds())
                with contextlib.suppress(Exception):  # whatever it is, the next look comes upon it too
                    await self._store.open()  # its file was deleted, or what stood in its place is gone
                continue
            if not self.up:
                self._log.info("callbacks_up")
            self._set_up(up=True)
            backoff.reset()

    def _say_down(self, error: Exception) -> None:
        self._set_up(up=False)
        expected = isinstance(error, StoreError | TimeoutError)
        text = str(error) or f"no answer within {DISK_ANSWER_SECONDS:g} s; see to its disk"
        say = self._log.error if expected else self._log.exception
        say("callbacks_down", error=text, declared=self._store_down)

    def _set_up(self, *, up: bool) -> None:
        self.up = up
        self._shown_up.set(up)

    async def _catch_up(self, seconds: float) -> None:
        fresh = self._fresh = AttemptIndex()
        asked_for_all = self._read_all
        changes = await self._store.changes("" if self._read_all else self._cursor, seconds)
        if not changes.full:
            self.index.remember(changes.attempts)
        else:
            self._read_all = False
            changes.pages.reverse()
            while changes.pages:
                fresh.remember(changes.pages.pop(), relevant=True)  # let go of all at once they would hold up calls
                await asyncio.sleep(0)  # calls go first
            replaced, self.index = self.index, fresh
            self._full_reads.inc()
            if self._cursor and not asked_for_all:
                # Its last writes were lost, in a failover or with a backup; or this router was too far behind.
                self._log.warning("attempts_full_read", before=len(replaced), pairs=len(fresh))
            await in_turns(replaced.leaving())
        self._cursor = changes.cursor
