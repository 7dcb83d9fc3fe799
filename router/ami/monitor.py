"""Watches the dialling of one Asterisk for as long as the router runs: session after session, with a pause between."""

import asyncio
import collections
import contextlib
import time
from collections.abc import Awaitable, Callable, MutableMapping

import msgspec
import structlog

from dialplan.campaigns.attempts import AttemptReport
from router.ami.astdb_reports import collect_astdb_reports
from router.ami.client import connect
from router.ami.credentials import CredentialFiles, CredentialsError
from router.ami.decided_calls import DecidedCalls
from router.ami.dial_tracker import DialTracker, Event
from router.ami.hearing_watch import HearingWatch
from router.ami.session import AmiError, AmiSession
from router.config.limits import (
    AMI_RETRY_MAX_SECONDS,
    AMI_RETRY_MIN_SECONDS,
    AMI_STEADY_SECONDS,
    RECORD_BATCH_MAX,
    RECORD_QUEUE_MAX,
    RECORD_RETRY_SECONDS,
)
from router.observe.metrics import Metrics
from router.util.backoff import Backoff
from router.util.rate_limited_log import RateLimitedLog


class Asterisk(msgspec.Struct, frozen=True):
    """Where to log in. The files are read anew for each session."""

    name: str
    host: str
    port: int
    username: str
    secret_file: str
    tls: bool = False
    tls_ca_file: str = ""


class AmiMonitor:
    """`report` writes a report down, durably; where it says False it is asked again.

    `system_names` is shared by the watches of several Asterisks, whose calls are told apart by their unique ids: the
    name of each [[ami]] -> what its Asterisk calls itself. None where there is one Asterisk only. They share
    `decided` too: the calls that this router decides.
    """

    def __init__(
        self,
        asterisk: Asterisk,
        report: Callable[[AttemptReport], Awaitable[bool]],
        log: structlog.typing.FilteringBoundLogger,
        metrics: Metrics,
        *,
        system_names: MutableMapping[str, str] | None = None,
        decided: DecidedCalls | None = None,
    ) -> None:
        self._asterisk = asterisk
        self._files = CredentialFiles(asterisk.secret_file, tls=asterisk.tls, tls_ca_file=asterisk.tls_ca_file)
        self._system_names = system_names
        self._take = report
        self._log = log.bind(asterisk=asterisk.name)
        self._connected = metrics.ami_connected.labels(asterisk.name)
        self._connected.set(0)
        self._hearing = HearingWatch(asterisk.name, decided or DecidedCalls(), self._log, metrics)
        self._queue_full = metrics.attempts_dropped.labels("queue-full")
        self._not_recorded = metrics.attempts_dropped.labels("not-recorded")
        self._dropped = RateLimitedLog(self._log.error, "attempt_dropped")
        self._tracker = DialTracker()
        self._told: collections.deque[AttemptReport] = collections.deque()
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._handed = asyncio.Event()  # all that was told is written down
        self._handed.set()
        self._watching: asyncio.Task[None] | None = None
        self._said = ""  # why there is no session, as far as the log has it

    async def run(self) -> None:
        """Watch for ever. Whatever goes wrong with one Asterisk, the router and the other watches go on."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hand_over())
            self._watching = tasks.create_task(self._sessions())

    async def finish(self) -> None:
        """Watch no longer, and return when all that was seen is written down: nobody else may have seen it."""
        if self._watching is not None:
            self._watching.cancel()
        self._down()
        await self._handed.wait()

    @property
    def waiting(self) -> int:
        """How many reports are not written down yet."""
        return len(self._told)

    async def _sessions(self) -> None:
        # Spread, so that routers that lost one Asterisk together do not come back together.
        backoff = Backoff(AMI_RETRY_MIN_SECONDS, AMI_RETRY_MAX_SECONDS, spread=True)
        while True:
            began = time.monotonic()
            try:
                why = await self._session()
            except Exception as error:  # noqa: BLE001 - a defect: the router has calls to answer
                why = f"a defect of the router: {error!r}"
            self._down()
            if time.monotonic() - began > AMI_STEADY_SECONDS:
                backoff.reset()
            if why != self._said:  # the same refusal every few seconds is said once
                self._log.warning("ami_down", why=why)
                self._said = why
            await asyncio.sleep(backoff.next_seconds())

    async def _session(self) -> str:
        """One session from its beginning to its end; why it ended."""
        here = self._asterisk
        session: AmiSession | None = None
        self._tracker = DialTracker()
        try:
            credentials = await self._files.read()
            session = await connect(here.host, here.port, self._feed, self._log, credentials.tls, self._hearing.refused)
            await session.login(here.username, credentials.secret)
            self._connected.set(1)
            self._hearing.up()
            self._log.info("ami_up")
            self._said = ""
            await self._check_name(session)
            return await self._keep(session)
        except (AmiError, CredentialsError) as error:
            return str(error)
        finally:
            if session is not None:
                session.close()

    async def _keep(self, session: AmiSession) -> str:
        """Take over what waited, and watch. Taking over may have to wait for the store; the pings do not."""
        beside = [
            asyncio.create_task(collect_astdb_reports(session, self._tell_with_room, self._log)),
            asyncio.create_task(self._hearing.watch(session)),
        ]
        try:
            return await session.keep()
        finally:
            for each in beside:
                each.cancel()
            for each in beside:
                with contextlib.suppress(asyncio.CancelledError):
                    await each

    def _down(self) -> None:
        self._connected.set(0)
        self._hearing.down()

    async def _check_name(self, session: AmiSession) -> None:
        """Two Asterisks give two calls of the same second the same unique id, unless each puts its name before it.

        This only advises: nothing else depends on it.
        """
        if self._system_names is None:
            return
        hint = "set systemname in its asterisk.conf, another one on each Asterisk"
        try:
            name = (await session.ask("CoreSettings")).get("SystemName")
        except AmiError as error:
            self._log.warning("ami_system_name_unknown", why=str(error))
            return
        own = self._asterisk.name
        same = [each for each, its in self._system_names.items() if name and its == name and each != own]
        self._system_names[own] = str(name or "")
        if not name:
            self._log.warning("ami_no_system_name", why="its calls cannot be told from other Asterisks'", hint=hint)
        elif same:
            self._log.warning(
                "ami_same_system_name", why=f"its calls cannot be told from those of {same[0]}", hint=hint
            )

    def _feed(self, event: Event) -> None:
        for report in self._tracker.feed(event, time.time()):
            self._tell(report)
        self._hearing.event(event)

    def _tell(self, report: AttemptReport) -> None:
        if len(self._told) >= RECORD_QUEUE_MAX:
            self._queue_full.inc()
            self._dropped(attempt=report.id, why="too many wait to be written down")
            return
        self._told.append(report)
        self._handed.clear()
        self._work.set()

    async def _tell_with_room(self, report: AttemptReport) -> None:
        """Wait until little else waits: what is seen now has the rest of the room."""
        while len(self._told) >= RECORD_BATCH_MAX:
            self._room.clear()
            await self._room.wait()
        self._tell(report)

    async def _hand_over(self) -> None:
        """Hand reports over, those that wait together in one go: a reconnect may bring thousands."""
        while True:
            await self._work.wait()
            while self._told:
                batch = [self._told.popleft() for _ in range(min(len(self._told), RECORD_BATCH_MAX))]
                again = await self._hand_over_batch(batch)
                self._told.extendleft(reversed(again))
                self._room.set()
                if again:
                    await asyncio.sleep(RECORD_RETRY_SECONDS)
            self._work.clear()
            self._handed.set()

    async def _hand_over_batch(self, batch: list[AttemptReport]) -> list[AttemptReport]:
        """Those that were not taken and are to be told again."""
        again = []
        taken = await asyncio.gather(*map(self._take, batch), return_exceptions=True)
        for report, done in zip(batch, taken, strict=True):
            if isinstance(done, BaseException):  # a defect, which the next try would meet again
                self._not_recorded.inc()
                self._dropped(attempt=report.id, why=f"a defect of the router: {done!r}", exc_info=done)
            elif not done:
                again.append(report)
        return again
