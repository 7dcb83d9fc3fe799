"""A router's callbacks for tests: campaigns that rang somebody, a real store that fails when a test wants it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from dialplan.campaigns.attempts import Attempt, AttemptReport, Outcome
from dialplan.campaigns.callbacks import Claim
from dialplan.numbering.numbers import Bare
from dialplan.routing.table import RoutingTable
from router.callbacks.service import CallbackService, StoreDown
from router.config.limits import PURGE_MARGIN_SECONDS
from router.observe.metrics import Metrics
from router.store.api import AttemptChanges, Recorded, StoreError
from router.store.sqlite.callbacks import SqliteCallbackStore
from tests.samples import campaign, company, number
from tests.tables import table_of

OUR, ALSO_OURS, POOL, THEIRS = "+442079460000", "+442079460001", "+442079460002", "+442079460003"
ANNA, BORIS, VERA = "+447700900123", "+447700900456", "+447700900789"
HOUR = 3600.0
NOW = 1_700_000_000.0  # long ago: no attempt of a test is ahead of the clock
OVER = NOW + 2 * HOUR + PURGE_MARGIN_SECONDS + 1  # an attempt of the first campaign is purged then
PATIENCE_SECONDS = 30.0


def routes(*, active: bool = True) -> RoutingTable:
    """Two outbound campaigns, one with a window of two hours and one of a day, an inbound one, and a stranger's."""
    return table_of(
        company(identified=True),
        company("globex", identified=True),
        campaign("win-back", direction="outbound", callback_window_hours=2, active=active),
        campaign("survey", direction="outbound", callback_window_hours=24),
        campaign("offer"),
        campaign("theirs", company="globex", direction="outbound"),
        number(OUR),
        number(ALSO_OURS),
        number(POOL, company=None, kind="pool"),
        number(THEIRS, company="globex"),
    )


def report(name: str = "1.1", at: float = NOW, outcome: Outcome = Outcome.MISSED, **fields: str) -> AttemptReport:
    """What a source tells of a missed attempt to Anna."""
    values = {"campaign": "win-back", "number": "02079460000", "subscriber": "07700900123"} | fields
    return AttemptReport(name, at=at, outcome=outcome, **values)


def attempt(name: str = "1.1", at: float = NOW, outcome: Outcome = Outcome.MISSED, **fields: str) -> Attempt:
    """The same as it is written down."""
    values = {"campaign": "win-back", "number": OUR, "subscriber": ANNA} | fields
    return Attempt(name, at=at, outcome=outcome, **values)


class Store(SqliteCallbackStore):
    """The real one, which waits where `held` is not set, and fails where `broken` says why.

    Changes is read and not told while `telling` is not set; `read` says that some was.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.broken = ""
        self.held, self.telling = asyncio.Event(), asyncio.Event()
        self.held.set()
        self.telling.set()
        self.asked, self.read = asyncio.Event(), asyncio.Event()
        self.batches: list[list[str]] = []
        self.claims = 0
        self.looks = 0
        self.turns = 0

    async def _wait(self) -> None:
        self.asked.set()
        await self.held.wait()
        self._may_break()

    def _may_break(self) -> None:
        if self.broken:
            raise StoreError(self.broken)

    async def record(self, attempts: Sequence[Attempt]) -> list[Recorded]:
        self.batches.append([each.id for each in attempts])
        await self._wait()
        return await super().record(attempts)

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        self.claims += 1
        await self._wait()
        return await super().claim(number, subscriber, call_id, began, since)

    async def changes(self, cursor: str, seconds: float) -> AttemptChanges:
        self.looks += 1
        self._may_break()
        found = await super().changes(cursor, seconds)
        self.read.set()
        await self.telling.wait()
        self._may_break()
        return found

    async def next(self, sequence_key: str) -> int:
        """As a store of counters: those of all keys together."""
        del sequence_key
        self.turns += 1
        await self._wait()
        return self.turns

    async def everything(self) -> list[Attempt]:
        """All attempts, newest first."""
        return await self.attempts(None, None, 1_000)


class Running:
    """A router's callbacks, their store, and what they said and counted."""

    def __init__(
        self,
        store: Store,
        store_down: StoreDown = "own-flow",
        *,
        mask_callers: bool = False,
        claim_seconds: float = PATIENCE_SECONDS,
        shared: bool = False,
    ) -> None:
        self.store = store
        self.table = routes()
        self.capture = structlog.testing.LogCapture()
        self.metrics = Metrics()
        self.made = CallbackService(
            store,
            lambda: self.table,
            store_down,
            ("GB", Bare.E164),
            structlog.wrap_logger(None, processors=[self.capture], wrapper_class=structlog.BoundLogger),
            self.metrics,
            mask_callers=mask_callers,
            claim_seconds=claim_seconds,
            shared=shared,
            counters=store if shared else None,
        )

    def said(self, event: str) -> list[Any]:
        return [entry for entry in self.capture.entries if entry["event"] == event]

    def counted(self, name: str) -> dict[str, float]:
        """A counter by its label, where it counted something."""
        found = getattr(self.metrics, name).collect()[0].samples
        return {next(iter(sample.labels.values())): sample.value for sample in found if sample.value}

    def knows(self, subscriber: str = ANNA) -> bool:
        return self.made.knows(OUR, subscriber)

    def since(self, subscriber: str = ANNA, number: str = OUR) -> Mapping[str, float]:
        return self.made.since(number, subscriber, self.table.numbers[number], NOW)

    def claim(self, call_id: str = "call-1", since: Mapping[str, float] | None = None) -> Awaitable[Claim]:
        wanted = {"win-back": 0.0, "survey": 0.0} if since is None else since
        return self.made.claim(OUR, ANNA, call_id, NOW, wanted)


@contextlib.asynccontextmanager
async def working(*made: CallbackService) -> AsyncIterator[None]:
    """While they write down what they are told, and hear what others write."""
    tasks = [asyncio.create_task(each.run()) for each in made]
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def until(condition: Callable[[], object]) -> None:
    """Return in the very turn of the event loop in which it holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what memory knows has no event
            await asyncio.sleep(0)
