"""A manager interface that says what a test makes it say, over real sockets; and events as Asterisk 22 writes them."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog

from router.ami.client import connect
from router.ami.dial_tracker import Event
from router.ami.session import AmiSession

BANNER = b"Asterisk Call Manager/11.0.0\r\n"
SECRET = "s3cret of the account"  # noqa: S105 - a test's
Serve = Callable[["Peer"], Awaitable[None]]
VARIABLES = ("CAMPAIGN_ID=win-back", "RINGWAY_ATTEMPT=")
# A channel as an event has it, in Asterisk's order.
CHANNEL = {
    "Channel": "PJSIP/trunk-00000001",
    "ChannelState": "5",
    "ChannelStateDesc": "Ringing",
    "CallerIDNum": "447700900123",
    "CallerIDName": "<unknown>",
    "ConnectedLineNum": "+442079460000",
    "ConnectedLineName": "<unknown>",
    "Language": "en",
    "AccountCode": "",
    "Context": "ringway-inbound",
    "Exten": "447700900123",
    "Priority": "1",
    "Uniqueid": "1.2",
    "Linkedid": "1.0",
}


def hangup_text(variables: Sequence[str] = VARIABLES, more: str = "", **fields: str) -> str:
    """A Hangup event; `fields` over those of CHANNEL and its cause, `more` lines after it."""
    outcome = {"Cause": fields.pop("Cause", "16"), "Cause-txt": "Normal Clearing"}
    return _text("Hangup", [*_channel("", fields, variables), *_lines(outcome)], more)


def dial_text(
    kind: str, outcome: str, variables: Sequence[str] = VARIABLES, *, originated: bool = False, **fields: str
) -> str:
    """A DialBegin, DialState or DialEnd; `fields` over those of the dialling channel, and Dest… of the dialled one.

    `originated`: without a dialling channel.
    """
    dest = {name.removeprefix("Dest"): value for name, value in fields.items() if name.startswith("Dest")}
    own = {"Channel": "Local/s@out-00000000;2", "CallerIDNum": "+442079460000", "Uniqueid": "1.1"}
    own |= {name: value for name, value in fields.items() if not name.startswith("Dest")}
    lines = [] if originated else _channel("", own, variables)
    lines += _channel("Dest", dest, variables)
    return _text(kind, [*lines, f"{'DialString' if kind == 'DialBegin' else 'DialStatus'}: {outcome}"])


def _channel(prefix: str, fields: Mapping[str, str], variables: Sequence[str]) -> list[str]:
    named = [f"{prefix}{line}" for line in _lines(CHANNEL | dict(fields))]
    return named + [f"{prefix}ChanVariable: {each}" for each in variables]


def _lines(fields: Mapping[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in fields.items()]


def _text(kind: str, lines: Sequence[str], more: str = "") -> str:
    return "\n".join([f"Event: {kind}", "Privilege: call,all", *lines, ""]) + more + "\n"


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def action(self) -> dict[str, str]:
        """The next action, by the keys' lower-case names."""
        data = await self._reader.readuntil(b"\r\n\r\n")
        lines = data.decode().strip().split("\r\n")
        return {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}

    async def say(self, text: str | bytes) -> None:
        self._writer.write(text if isinstance(text, bytes) else text.replace("\n", "\r\n").encode())
        await self._writer.drain()

    async def reply(self, action: dict[str, str], text: str = "Response: Success") -> None:
        head, _, rest = text.partition("\n")
        await self.say(f"{head}\nActionID: {action['actionid']}\n{rest}{chr(10) if rest else ''}\n")

    async def let_in(self) -> bool:
        """Take a login by challenge; whether the secret was the right one."""
        asked = await self.action()
        assert (asked["action"], asked["authtype"]) == ("Challenge", "MD5")
        await self.reply(asked, "Response: Success\nChallenge: 123456")
        login = await self.action()
        assert "secret" not in login
        right = login["key"] == hashlib.md5(f"123456{SECRET}".encode(), usedforsecurity=False).hexdigest()
        await self.reply(login, "Response: Success" if right else "Response: Error\nMessage: Authentication failed")
        return right

    async def list(self, action: dict[str, str], entries: Sequence[tuple[str, str]], *, ends: bool = True) -> None:
        """Reply with a list of AstDB's entries."""
        name = action["actionid"]
        await self.reply(action, "Response: Success\nEventList: start\nMessage: Result will follow")
        for key, value in entries:
            await self.say(f"Event: DBGetTreeResponse\nActionID: {name}\nKey: {key}\nVal: {value}\n\n")
        if ends:
            await self.say(f"Event: DBGetTreeComplete\nActionID: {name}\nEventList: Complete\nListItems: 9\n\n")

    async def hold(self) -> None:
        """Stay until the client goes."""
        while await self._reader.read(65536):
            pass


@asynccontextmanager
async def server_of(serve: Serve) -> AsyncIterator[int]:
    """A server that does with each connection what `serve` does; gives its port. Ends when its clients have gone."""
    served: list[asyncio.Task[None]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(Peer(reader, writer))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.ensure_future(handle(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*served)


@asynccontextmanager
async def session_with(
    serve: Serve,
    events: list[Event] | None = None,
    dispatch: Callable[[Event], None] | None = None,
    log: structlog.typing.FilteringBoundLogger | None = None,
) -> AsyncIterator[AmiSession]:
    """A session, not logged in, with a server that has sent its banner and goes on with `serve`."""

    async def introduce(peer: Peer) -> None:
        await peer.say(BANNER)
        await serve(peer)

    taken: list[Event] = [] if events is None else events
    async with server_of(introduce) as port:
        session = await connect("127.0.0.1", port, dispatch or taken.append, log or structlog.get_logger())
        try:
            yield session
        finally:
            session.close()


def capturing() -> tuple[structlog.typing.FilteringBoundLogger, list[structlog.typing.EventDict]]:
    """A log, and its lines as they come."""
    capture = structlog.testing.LogCapture()
    log = structlog.wrap_logger(None, processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0))
    return log, capture.entries
