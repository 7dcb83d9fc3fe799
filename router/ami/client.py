"""One session with an Asterisk's manager interface. The only module that imports panoramisk, whose holes it closes.

From panoramisk come the framing of actions, the matching of replies and the messages. What is done otherwise, and why:

- bytes are gathered before they are decoded, so that a character may lie across two segments; a message without an end
  ends the session;
- an action has a deadline, and its reply is not waited for any longer; none is ever sent again in another session;
- CR and LF in an action are refused;
- pings are checked: a link whose other half has gone is noticed;
- a consumer's exception ends neither the connection nor the reading of the next message;
- login is by challenge where the server knows it; a refused one is tried again later, with all else.
"""

import asyncio
import collections
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.message import Message

from router.limits import (
    AMI_ACTION_SECONDS,
    AMI_CONNECT_SECONDS,
    AMI_LIST_MAX,
    AMI_MESSAGE_MAX_BYTES,
    AMI_PING_SECONDS,
)

_BANNER = b"Asterisk Call Manager/"
_END = b"\r\n\r\n"

Event = Mapping[str, str | list[str]]


class AmiError(Exception):
    """The session cannot be had, or has ended; the text says why."""


class _Owner:
    """What panoramisk's protocol expects of its manager. Nothing waits here to be sent again."""

    forgetable_actions: tuple[str, ...] = ()
    save_stream = None

    def __init__(self, dispatch: Callable[[Event], None], ended: asyncio.Future[str]) -> None:
        self.awaiting_actions: collections.deque[object] = collections.deque(maxlen=0)
        self.dispatch = dispatch
        self._ended = ended

    def connection_lost(self, error: object) -> None:
        if not self._ended.done():
            self._ended.set_result(str(error) if isinstance(error, Exception) else "Asterisk closed the session")


class _Protocol(AMIProtocol):  # type: ignore[misc] # panoramisk has no types
    def __init__(self, dispatch: Callable[[Event], None], log: structlog.typing.FilteringBoundLogger) -> None:
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.banner: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = _Owner(dispatch, self.ended)
        self._log = log
        self._bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.encoding = "utf-8"
        self.factory = self._owner

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        if not self.banner.done():
            line, found, rest = self._bytes.partition(b"\r\n")
            if not found:
                if len(self._bytes) > AMI_MESSAGE_MAX_BYTES:
                    self._give_up("what answered is no manager interface")
                return
            if not line.startswith(_BANNER):
                self._give_up("what answered is no manager interface")
                return
            self._bytes = rest
            self.banner.set_result(None)
        *messages, self._bytes = self._bytes.split(_END)
        for each in messages:
            self._one(each)
        if len(self._bytes) > AMI_MESSAGE_MAX_BYTES:
            self._give_up(f"a message has more than {AMI_MESSAGE_MAX_BYTES} bytes")

    def _one(self, data: bytes) -> None:
        try:
            message = Message.from_line(data.strip(b"\r\n").decode("utf-8", "replace"))
            if message is not None and not self._is_flood(message):
                self.handle_message(message)
        except Exception:  # noqa: BLE001 - whatever a message or its consumer does, the next one is read
            self._log.exception("ami_message_failed")

    def _is_flood(self, message: Any) -> bool:
        """A list that never ends would be kept by its action for ever."""
        action = self.responses.get(message.id)
        if action is None or len(action.responses) < AMI_LIST_MAX:
            return False
        self._give_up(f"a list has more than {AMI_LIST_MAX} entries")
        return True

    def _give_up(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)
        self.transport.abort()

    def eof_received(self) -> None:
        """The transport closes."""

    def forget(self, action: Any) -> None:
        """Wait no longer for a reply."""
        for key in [key for key, waiting in self.responses.items() if waiting is action]:
            del self.responses[key]


class AmiSession:
    """A session that is logged in. `ended` is done, with the reason, as soon as it is over."""

    def __init__(self, protocol: _Protocol) -> None:
        self._protocol = protocol
        self.ended = protocol.ended

    async def ask(self, action: str, **fields: str) -> list[Event]:
        """Do an action; the messages of its reply. Raises AmiError where it is refused or the deadline is over."""
        for value in (action, *fields.values()):
            if "\r" in value or "\n" in value:
                raise AmiError(f"{action}: a value holds a line end")
        if self.ended.done():
            raise AmiError(self.ended.result())
        protocol = self._protocol
        waiting: asyncio.Future[Any] = protocol.send({"Action": action, **fields}, as_list=None)
        sent = next(each for each in protocol.responses.values() if each.future is waiting)
        try:
            both: set[asyncio.Future[Any]] = {waiting, self.ended}
            done, _ = await asyncio.wait(both, timeout=AMI_ACTION_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            protocol.forget(sent)
        if waiting not in done:
            why = self.ended.result() if self.ended.done() else f"no reply within {AMI_ACTION_SECONDS} s"
            raise AmiError(f"{action}: {why}")
        found = waiting.result()
        messages: list[Event] = list(found) if isinstance(found, list) else [found]
        if messages[0].get("Response") not in ("Success", "Goodbye"):
            raise AmiError(f"{action} was refused: {messages[0].get('Message', 'no reason given')}")
        return messages

    async def login(self, username: str, secret: str) -> None:
        """Log in: by challenge, so that the secret does not travel; else in clear. Raises AmiError."""
        try:
            (reply,) = await self.ask("Challenge", AuthType="MD5")
            challenge = str(reply.get("Challenge", ""))
        except AmiError:
            challenge = ""
        if challenge:
            key = hashlib.md5(f"{challenge}{secret}".encode(), usedforsecurity=False).hexdigest()
            await self.ask("Login", AuthType="MD5", Username=username, Key=key)
        else:
            await self.ask("Login", Username=username, Secret=secret)

    async def keep(self) -> str:
        """Ping until the session has ended; why it has."""
        while not self.ended.done():
            done, _ = await asyncio.wait({self.ended}, timeout=AMI_PING_SECONDS)
            if not done:
                try:
                    await self.ask("Ping")
                except AmiError as error:
                    return str(error)
        return self.ended.result()

    def close(self) -> None:
        """End it at once; nothing is said any more."""
        if not self.ended.done():
            self.ended.set_result("closed")
        self._protocol.closed = True
        self._protocol.transport.abort()


async def connect(
    host: str, port: int, dispatch: Callable[[Event], None], log: structlog.typing.FilteringBoundLogger
) -> AmiSession:
    """Connect, and wait for the banner; `dispatch` gets each event. Raises AmiError."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(AMI_CONNECT_SECONDS):
            transport, protocol = await loop.create_connection(lambda: _Protocol(dispatch, log), host, port)
            try:
                both: set[asyncio.Future[Any]] = {protocol.banner, protocol.ended}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            except BaseException:
                transport.abort()
                raise
    except TimeoutError:
        raise AmiError(f"no answer within {AMI_CONNECT_SECONDS} s") from None
    except (OSError, ValueError) as error:  # the latter: a host that no name can be
        raise AmiError(getattr(error, "strerror", None) or str(error)) from error
    if protocol.ended.done():
        raise AmiError(protocol.ended.result())
    return AmiSession(protocol)
