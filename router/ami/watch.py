"""Watches the dialling of one Asterisk for as long as the router runs: session after session, with a pause between."""

import asyncio
import collections
import pathlib
import random
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from dialplan.attempts import Sighting
from router.ami.attempts import DialWatch
from router.ami.client import AmiError, AmiSession, Event, connect
from router.limits import (
    AMI_RETRY_MAX_SECONDS,
    AMI_RETRY_MIN_SECONDS,
    AMI_STEADY_SECONDS,
    RECORD_BATCH_MAX,
    RECORD_QUEUE_MAX,
    RECORD_RETRY_SECONDS,
)
from router.observe.metrics import Metrics
from router.reports import FAMILY, read_kept


class Asterisk(msgspec.Struct, frozen=True):
    """Where to log in. The secret is read anew for each session."""

    name: str
    host: str
    port: int
    username: str
    secret_file: str


class AmiWatch:
    """`see` writes a sighting down, durably; where it says False it is asked again.

    `one_of_several`: calls of other Asterisks are told apart from this one's by their unique ids.
    """

    def __init__(
        self,
        asterisk: Asterisk,
        see: Callable[[Sighting], Awaitable[bool]],
        log: structlog.typing.FilteringBoundLogger,
        metrics: Metrics,
        *,
        one_of_several: bool = False,
    ) -> None:
        self._asterisk = asterisk
        self._one_of_several = one_of_several
        self._take = see
        self._log = log.bind(asterisk=asterisk.name)
        self._connected = metrics.ami_connected.labels(asterisk.name)
        self._connected.set(0)
        self._dials = DialWatch()
        self._told: collections.deque[Sighting] = collections.deque()
        self._work = asyncio.Event()
        self._draw = random.SystemRandom()
        self._said = ""  # why there is no session, as far as the log has it

    async def run(self) -> None:
        """Watch for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hand_over())
            await self._sessions()

    async def _sessions(self) -> None:
        wait = AMI_RETRY_MIN_SECONDS
        while True:
            began = time.monotonic()
            why = await self._session()
            self._connected.set(0)
            if time.monotonic() - began > AMI_STEADY_SECONDS:
                wait = AMI_RETRY_MIN_SECONDS
            if why != self._said:  # the same refusal every few seconds is said once
                self._log.warning("ami_down", why=why)
                self._said = why
            # Spread, so that routers that lost one Asterisk together do not come back together.
            await asyncio.sleep(wait * self._draw.uniform(0.5, 1.0))
            wait = min(wait * 2, AMI_RETRY_MAX_SECONDS)

    async def _session(self) -> str:
        """One session from its beginning to its end; why it ended."""
        here = self._asterisk
        session: AmiSession | None = None
        self._dials = DialWatch()
        try:
            secret = pathlib.Path(here.secret_file).read_text("utf-8").strip()  # noqa: ASYNC240 - one line
            session = await connect(here.host, here.port, self._see, self._log)
            await session.login(here.username, secret)
            self._connected.set(1)
            self._log.info("ami_up")
            self._said = ""
            if self._one_of_several:
                await self._check_name(session)
            await self._take_over(session)
            return await session.keep()
        except AmiError as error:
            return str(error)
        except (OSError, ValueError) as error:  # the latter: no text in it, or no path
            return f"secret_file {here.secret_file}: {getattr(error, 'strerror', None) or error}"
        finally:
            if session is not None:
                session.close()

    async def _check_name(self, session: AmiSession) -> None:
        """Two Asterisks give two calls of the same second the same unique id, unless each puts its name before it."""
        (settings,) = await session.ask("CoreSettings")
        if not settings.get("SystemName"):
            mend = "set systemname in its asterisk.conf, another one on each Asterisk"
            self._log.warning("ami_no_system_name", why="its calls cannot be told from other Asterisks'", mend=mend)

    def _see(self, event: Event) -> None:
        for sighting in self._dials.see(event, time.time()):
            self._tell(sighting)

    def _tell(self, sighting: Sighting) -> None:
        if len(self._told) >= RECORD_QUEUE_MAX:
            self._log.error("attempt_dropped", attempt=sighting.id, why="too many wait to be written down")
            return
        self._told.append(sighting)
        self._work.set()

    async def _take_over(self, session: AmiSession) -> None:
        """What the hangup handler could tell nobody waits in AstDB. It is deleted there when it is told again."""
        try:
            found = await session.ask("DBGetTree", Family=FAMILY)
        except AmiError as error:
            # "Database entry not found" where there is none.
            self._log.debug("ami_nothing_kept", why=str(error))
            return
        for event in found[1:]:
            sighting = read_kept(str(event.get("Key", "")).rpartition("/")[2], str(event.get("Val", "")))
            if sighting is not None:
                self._tell(sighting)

    async def _hand_over(self) -> None:
        """Hand sightings over, those that wait together in one go: a reconnect may bring thousands."""
        while True:
            await self._work.wait()
            while self._told:
                batch = [self._told.popleft() for _ in range(min(len(self._told), RECORD_BATCH_MAX))]
                taken = await asyncio.gather(*map(self._take, batch))
                again = [sighting for sighting, done in zip(batch, taken, strict=True) if not done]
                if again:
                    self._told.extendleft(reversed(again))
                    await asyncio.sleep(RECORD_RETRY_SECONDS)
            self._work.clear()
