"""The connection to an Asterisk's manager interface. The only module that imports panoramisk, whose holes it closes.

From panoramisk come the actions, how they are sent, and the messages of replies. What is done otherwise, and why:

- bytes are gathered before they are decoded (router.ami.framing), and a burst is read in slices: calls go first;
- of events only the four of a dialled call are taken, and only as Asterisk writes them (router.ami.events). What says
  that Asterisk shuts down is not acted on: callers can write that. The connection's end tells it;
- an action has a name that nobody can guess, and a deadline; its reply is not waited for any longer, and none is ever
  sent again in another session;
- the entries of a list are handed on as they come; one that is too long ends the action and not the session;
- CR and LF in an action are refused, and pings are checked (router.ami.session);
- a consumer's exception ends neither the connection nor the reading of the next message;
- nothing is logged by panoramisk itself, which would write down the secret.
"""

import asyncio
import collections
import logging
import secrets
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog
from panoramisk.actions import Action
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.message import Message

from router.ami.dial_tracker import Event
from router.ami.events import EventReader
from router.ami.framing import Framer, FramingError, action_id
from router.ami.session import AmiError, AmiSession
from router.config.limits import (
    AMI_CONNECT_SECONDS,
    AMI_LIST_MAX,
    AMI_LIST_MAX_BYTES,
    AMI_TURN_MESSAGES,
)
from router.util.rate_limited_log import RateLimitedLog

# Stands in no hierarchy: nobody's configuration of logging can give it a voice.
_SILENT = logging.Logger("panoramisk", logging.CRITICAL + 1)  # noqa: LOG001 - that is what it is for


def _read(data: bytes) -> Event:
    """A message of a reply; an empty one where there is nothing to read."""
    message: Event | None = Message.from_line(data.decode("utf-8", "replace"))
    return message if message is not None else {}


class _Asked(Action):  # type: ignore[misc] # panoramisk has no types
    """An action with one reply."""

    def take(self, data: bytes) -> bool:
        """A message that replies to it; whether that was the last one."""
        if not self.future.done():
            self.future.set_result(_read(data))
        return True


class _Listed(Action):  # type: ignore[misc]
    """An action whose reply is a list: its entries wait, unread, until they are taken."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: collections.deque[bytes] = collections.deque()
        self.arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.complete = False
        self.too_long = ""
        self._count = self._bytes = 0

    def take(self, data: bytes) -> bool:
        if not self.future.done():
            self.future.set_result(_read(data))
            return False
        self._count += 1
        self._bytes += len(data)
        if data.partition(b"\r\n")[0].endswith(b"Complete"):
            self.complete = True
        elif self._count > AMI_LIST_MAX:
            self.too_long = f"a list has more than {AMI_LIST_MAX} entries"
        elif self._bytes > AMI_LIST_MAX_BYTES:
            self.too_long = f"a list has more than {AMI_LIST_MAX_BYTES} bytes"
        else:
            self._waiting.append(data)
        if not self.arrived.done():
            self.arrived.set_result(None)
        return self.complete or bool(self.too_long)

    def entries(self) -> Iterator[Event]:
        """Take those that wait."""
        while self._waiting:
            yield _read(self._waiting.popleft())


def _named(fields: Mapping[str, str]) -> dict[str, str]:
    """An action's fields, with a name for it that no caller can write into an event."""
    return {**fields, "ActionID": secrets.token_hex(16)}


class _Owner:
    """What panoramisk's protocol expects of its manager. Nothing waits here to be sent again."""

    forgetable_actions: tuple[str, ...] = ()
    save_stream = None

    def __init__(self, ended: asyncio.Future[str]) -> None:
        self.awaiting_actions: collections.deque[object] = collections.deque(maxlen=0)
        self._ended = ended

    def connection_lost(self, error: object) -> None:
        if not self._ended.done():
            self._ended.set_result(str(error) if isinstance(error, Exception) else "Asterisk closed the session")


class _Protocol(AMIProtocol):  # type: ignore[misc]
    """The link of an AmiSession."""

    def __init__(
        self,
        dispatch: Callable[[Event], None],
        log: structlog.typing.FilteringBoundLogger,
        refused: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self.banner: asyncio.Future[None] = self._loop.create_future()
        self._owner = _Owner(self.ended)
        self._dispatch = dispatch
        self._refused = refused
        self._framer = Framer()
        self._events = EventReader()
        self._not_believed = RateLimitedLog(log.warning, "ami_event_refused")
        self._failed = RateLimitedLog(log.exception, "ami_message_failed")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.encoding = "utf-8"
        self.factory = self._owner
        self.log = _SILENT

    def data_received(self, data: bytes) -> None:
        self._framer.feed(data)
        self.transport.pause_reading()  # until this has been looked through: what comes fast waits in the kernel
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """One slice of what has come; the others have their turn between two slices."""
        if self.ended.done():
            return
        try:
            messages = self._framer.take(AMI_TURN_MESSAGES)
        except FramingError as error:
            self._give_up(str(error))
            return
        if self._framer.introduced and not self.banner.done():
            self.banner.set_result(None)
        for each in messages:
            self._one(each)
        if len(messages) == AMI_TURN_MESSAGES:
            self._loop.call_soon(self._turn)
        else:
            self.transport.resume_reading()

    def _one(self, data: bytes) -> None:
        try:
            name = action_id(data) if self.responses else ""
            action = self.responses.get(name)
            if action is not None:
                if action.take(data):
                    self.forget(action)
                return
            refused = self._events.refused
            event = self._events.read(data)
            if event is not None:
                self._dispatch(event)
            elif self._events.refused != refused:
                self._not_believed(why="it is not as Asterisk writes it: a caller's text stands in it")
                self._refused()
        except Exception:  # noqa: BLE001 - whatever a message or its consumer does, the next one is read
            self._failed()

    def _give_up(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)
        self.transport.abort()

    def eof_received(self) -> None:
        """The transport closes."""

    def asked(self, fields: Mapping[str, str]) -> _Asked:
        action = _Asked(_named(fields))
        self.send(action)
        return action

    def listed(self, fields: Mapping[str, str]) -> _Listed:
        action = _Listed(_named(fields))
        self.send(action)
        return action

    @property
    def peer(self) -> str:
        return str((self.transport.get_extra_info("peername") or [""])[0])

    def forget(self, reply: Any) -> None:
        self.responses.pop(reply.id, None)

    def end(self) -> None:
        if not self.ended.done():
            self.ended.set_result("closed")
        self.closed = True
        self.transport.abort()


async def connect(
    host: str,
    port: int,
    dispatch: Callable[[Event], None],
    log: structlog.typing.FilteringBoundLogger,
    tls: ssl.SSLContext | None = None,
    refused: Callable[[], None] = lambda: None,
) -> AmiSession:
    """Connect, and wait for the banner; `dispatch` gets each event. Raises AmiError.

    `refused` is told of each event that is not believed.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(AMI_CONNECT_SECONDS):
            transport, protocol = await loop.create_connection(
                lambda: _Protocol(dispatch, log, refused), host, port, ssl=tls
            )
            try:
                both: set[asyncio.Future[Any]] = {protocol.banner, protocol.ended}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            except BaseException:
                transport.abort()
                raise
    except TimeoutError:
        raise AmiError(f"no answer within {AMI_CONNECT_SECONDS} s") from None
    except ssl.SSLCertVerificationError as error:
        raise AmiError(f"its certificate is not trusted: {error.verify_message}") from error
    except (OSError, ValueError) as error:  # the latter: a host that no name can be
        raise AmiError(getattr(error, "strerror", None) or str(error)) from error
    if protocol.ended.done():
        raise AmiError(protocol.ended.result())
    return AmiSession(protocol)
