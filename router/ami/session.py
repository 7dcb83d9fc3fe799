"""A session with an Asterisk's manager interface: actions with a deadline, the login, and pings that are checked."""

import asyncio
import hashlib
import ipaddress
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Protocol

from router.ami.dial_tracker import Event
from router.config.limits import AMI_ACTION_SECONDS, AMI_PING_SECONDS, AMI_TURN_MESSAGES, DIALLED_LOG_MAX_CHARS


class AmiError(Exception):
    """The session cannot be had, or has ended, or does not do an action; the text says why."""


class AmiRefusedError(AmiError):
    """Asterisk refuses an action, in so many words."""


class Reply(Protocol):
    """The reply to an action that was sent."""

    @property
    def future(self) -> asyncio.Future[Event]:
        """The first message."""


class ListReply(Reply, Protocol):
    """A reply that is a list. `arrived` is done when there is something new; `too_long` says why no more is taken."""

    arrived: asyncio.Future[None]
    complete: bool
    too_long: str

    def entries(self) -> Iterator[Event]:
        """Take those that wait."""


class Link(Protocol):
    """A connection. `ended` is done, with the reason, as soon as it is over."""

    ended: asyncio.Future[str]

    @property
    def peer(self) -> str:
        """The other side's IP address."""

    def asked(self, fields: Mapping[str, str]) -> Reply:
        """Send an action that has one reply."""

    def listed(self, fields: Mapping[str, str]) -> ListReply:
        """Send an action whose reply is a list."""

    def forget(self, reply: Reply) -> None:
        """Wait no longer for a reply."""

    def end(self) -> None:
        """End it at once."""


class AmiSession:
    """What may be done over a link. `ended` is done, with the reason, as soon as it is over."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.ended = link.ended

    @property
    def peer(self) -> str:
        """Asterisk's IP address."""
        return self._link.peer

    async def ask(self, action: str, **fields: str) -> Event:
        """Do an action that has one reply; the reply.

        Raises AmiRefusedError where Asterisk refuses it, AmiError where the deadline is over or the session.
        """
        reply = self._link.asked(self._checked(action, fields))
        try:
            return await self._first(reply, action)
        finally:
            self._link.forget(reply)

    async def entries(self, action: str, **fields: str) -> AsyncGenerator[Event, None]:
        """Do an action whose reply is a list; its entries, as they come. Raises as `ask`, after those that came.

        Whoever does not take them all closes the iterator.
        """
        reply = self._link.listed(self._checked(action, fields))
        try:
            await self._first(reply, action)
            while True:
                for place, entry in enumerate(reply.entries(), 1):
                    yield entry
                    if place % AMI_TURN_MESSAGES == 0:
                        await asyncio.sleep(0)  # calls go first
                if reply.complete:
                    return
                if reply.too_long:
                    raise AmiError(f"{action}: {reply.too_long}")
                await self._within(reply.arrived, action)
                reply.arrived = asyncio.get_running_loop().create_future()
        finally:
            self._link.forget(reply)

    def _checked(self, action: str, fields: Mapping[str, str]) -> dict[str, str]:
        for value in (action, *fields.values()):
            if "\r" in value or "\n" in value:
                raise AmiError(f"{action}: a value holds a line end")
        if self.ended.done():
            raise AmiError(self.ended.result())
        return {"Action": action, **fields}

    async def _within(self, arriving: asyncio.Future[Event] | asyncio.Future[None], action: str) -> None:
        """Wait for something of a reply. Raises AmiError."""
        both: set[asyncio.Future[object]] = {arriving, self.ended}  # type: ignore[arg-type]
        await asyncio.wait(both, timeout=AMI_ACTION_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not arriving.done():
            why = self.ended.result() if self.ended.done() else f"no reply within {AMI_ACTION_SECONDS} s"
            raise AmiError(f"{action}: {why}")

    async def _first(self, reply: Reply, action: str) -> Event:
        await self._within(reply.future, action)
        first = reply.future.result()
        said = first.get("Response")
        if said in ("Success", "Goodbye"):
            return first
        text = str(first.get("Message", "no reason given"))[:DIALLED_LOG_MAX_CHARS]
        if said == "Error":
            raise AmiRefusedError(f"{action} was refused: {text}")
        raise AmiError(f"{action}: its reply cannot be read: {text}")

    async def login(self, username: str, secret: str) -> None:
        """Log in by challenge, so that the secret does not travel. Raises AmiError.

        It goes in clear only to this machine itself, and only where Asterisk refuses to give a challenge.
        """
        try:
            challenge = (await self.ask("Challenge", AuthType="MD5")).get("Challenge")
        except AmiRefusedError as error:
            if not _is_loopback(self._link.peer):
                raise AmiError(f"{error}; the secret is not sent in clear to another machine") from error
            await self.ask("Login", Username=username, Secret=secret)
            return
        if not challenge or not isinstance(challenge, str):
            raise AmiError("Challenge: there is none in the reply")
        key = hashlib.md5(f"{challenge}{secret}".encode(), usedforsecurity=False).hexdigest()
        await self.ask("Login", AuthType="MD5", Username=username, Key=key)

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
        self._link.end()


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
