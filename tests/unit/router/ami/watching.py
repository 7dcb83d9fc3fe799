"""A watch over an Asterisk that behaves as a test makes it, session by session, over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from dialplan.campaigns.attempts import AttemptReport
from router.ami.monitor import AmiMonitor, Asterisk
from router.observe.metrics import Metrics
from tests.unit.router.ami.peers import BANNER, Peer, Serve, capturing, dial_text, hangup_text, server_of

PATIENCE_SECONDS = 30.0
REFUSED = "Login was refused: Authentication failed"
CLOSED = "Asterisk closed the session"
BEGIN = dial_text(
    "DialBegin",
    "+447700900123@trunk",
    ("CAMPAIGN_ID=win-back", "RINGWAY_ATTEMPT={name}"),
    Uniqueid="{name}",
    DestUniqueid="leg-{name}",
    DestLinkedid="{name}",
)
RINGING = dial_text("DialState", "RINGING", Uniqueid="{name}", DestUniqueid="leg-{name}", DestLinkedid="{name}")
HANGUP = hangup_text(Uniqueid="leg-{name}")


class Watched:
    """A watch, what it has handed over, said and counted, and how long it paused."""

    def __init__(self, secret_file: Path) -> None:
        self.secret_file = secret_file
        self.log, self.lines = capturing()
        self.metrics = Metrics()
        self.seen: list[AttemptReport] = []
        self.told = asyncio.Event()
        self.refusals: dict[str, int] = {}  # how often each report is not taken before it is
        self.pauses: list[float] = []
        self.waits: dict[int, asyncio.Event] = {}
        self.sessions = 0
        self.made: AmiMonitor | None = None
        self.system_names: dict[str, str] | None = None

    async def take(self, report: AttemptReport) -> bool:
        self.seen.append(report)
        self.told.set()
        left = self.refusals.get(report.id, 0)
        self.refusals[report.id] = left - 1
        return left <= 0

    async def pause(self, seconds: float) -> None:
        """Stands for asyncio.sleep: notes how long, and waits for nothing."""
        self.pauses.append(seconds)
        for count, event in self.waits.items():
            if len(self.pauses) >= count:
                event.set()
        await asyncio.sleep(0)

    async def paused(self, count: int) -> None:
        """Return when it has paused so often."""
        event = self.waits.setdefault(count, asyncio.Event())
        if len(self.pauses) < count:
            await event.wait()

    async def until_told(self, count: int) -> list[str]:
        """The ids of what was handed over, when there are so many."""
        while len(self.seen) < count:
            self.told.clear()
            await self.told.wait()
        return [each.id for each in self.seen]

    def said(self, event: str) -> list[Any]:
        return [entry for entry in self.lines if entry["event"] == event]

    def dropped(self, cause: str) -> float | None:
        return self.metrics.registry.get_sample_value("ringway_attempts_dropped_total", {"cause": cause})

    @property
    def connected(self) -> float | None:
        return self.metrics.registry.get_sample_value("ringway_ami_connected", {"asterisk": "pbx1"})

    @contextlib.asynccontextmanager
    async def over(self, *scripts: Serve) -> AsyncIterator[None]:
        """Watch an Asterisk whose sessions go by these scripts, one after the other; further ones end at once."""
        left = list(scripts)

        async def serve(peer: Peer) -> None:
            self.sessions += 1
            await peer.say(BANNER)
            if left:
                await left.pop(0)(peer)

        async with server_of(serve) as port:
            here = Asterisk("pbx1", "127.0.0.1", port, "ringway", str(self.secret_file))
            made = AmiMonitor(here, self.take, self.log, self.metrics, system_names=self.system_names)
            self.made = made
            running = asyncio.create_task(made.run())
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    yield
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running


async def nothing_kept(peer: Peer) -> None:
    """The beginning of every session: the login, and no attempt that waits in AstDB."""
    assert await peer.let_in()
    asked = await peer.action()
    assert (asked["action"], asked["family"]) == ("DBGetTree", "ringway-attempts")
    await peer.reply(asked, "Response: Error\nMessage: Database entry not found")


def kept(*entries: tuple[str, str]) -> Serve:
    """The same, with attempts that wait there."""

    async def serve(peer: Peer) -> None:
        assert await peer.let_in()
        await peer.list(await peer.action(), [(f"/ringway-attempts/{key}", value) for key, value in entries])
        await peer.hold()

    return serve


def rings(*names: str) -> Callable[[Peer], Awaitable[None]]:
    """A session in which these calls ring and are not answered."""

    async def serve(peer: Peer) -> None:
        await nothing_kept(peer)
        for name in names:
            await peer.say((BEGIN + RINGING + HANGUP).format(name=name))
        await peer.hold()

    return serve


async def refuses(peer: Peer) -> None:
    await peer.reply(await peer.action(), "Response: Error\nMessage: Permission denied")
    await peer.reply(await peer.action(), "Response: Error\nMessage: Authentication failed")
    await peer.hold()
