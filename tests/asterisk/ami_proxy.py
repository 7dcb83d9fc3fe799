"""Something of the test's own between a router and its Asterisk's manager interface, that can break the link.

What came from Asterisk goes on message by message, so that events of the test's own can be put in between.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from tests.processes import PATIENCE_SECONDS
from tests.tcp_proxy import Link, TcpProxy

_END = b"\r\n\r\n"
_MESSAGE_MAX_BYTES = 1024 * 1024


class _Session(Link):
    """One session of a router."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        super().__init__(client)
        self.swallowed = False  # nothing is passed on any more, either way, not even an end
        self.begun = False  # the router has had the banner
        self.writing = asyncio.Lock()  # to the router

    async def tell(self, data: bytes) -> None:
        """Write to the router, in two segments: a message may lie across both."""
        for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
            self.client.write(piece)
            await self.client.drain()
            await asyncio.sleep(0)


class AmiProxy(TcpProxy):
    """Passes each session on to the manager's port; `events` is how many of the test's own were put into sessions.

    `rewrite` may change what Asterisk says, message by message.
    """

    def __init__(self) -> None:
        super().__init__()
        self.events = 0
        self.rewrite: Callable[[bytes], bytes] = lambda message: message
        self._swallowing = False
        self._sessions: set[_Session] = set()

    def pass_on(self) -> None:
        """Take new sessions, and pass on what is said in them. What was swallowed stays so."""
        self._do(self._set_swallowing(swallowing=False))

    def swallow(self) -> None:
        """Let nothing through in either direction, as if each packet was lost. New connections find silence."""
        self._do(self._set_swallowing(swallowing=True))

    @contextlib.contextmanager
    def flood(self, event: Callable[[int], bytes], per_second: int) -> Iterator[None]:
        """While the block runs, put so many events into each session; `event` makes the one of that place."""
        stop = asyncio.Event()
        running = asyncio.run_coroutine_threadsafe(self._flood(event, per_second, stop), self._loop)
        try:
            yield
            assert not running.done(), running.exception()
        finally:  # not cancelled: that would leave the half of an event in a session
            self._loop.call_soon_threadsafe(stop.set)
            running.result(PATIENCE_SECONDS)

    async def _set_swallowing(self, *, swallowing: bool) -> None:
        self._swallowing = swallowing
        for session in self._sessions:
            session.swallowed = session.swallowed or swallowing
        await self._accept()

    def _link(self, client: asyncio.StreamWriter) -> _Session:
        return _Session(client)

    async def _pass_on(self, link: _Session, requests: asyncio.StreamReader) -> None:
        link.swallowed = self._swallowing
        self._sessions.add(link)
        try:
            if link.swallowed:
                await self._up(link, requests)
                return
            replies, link.server = await asyncio.open_connection(
                "127.0.0.1", self.target_port, limit=_MESSAGE_MAX_BYTES
            )
            async with asyncio.TaskGroup() as both:
                both.create_task(self._up(link, requests))
                both.create_task(self._down(link, replies))
        finally:
            self._sessions.discard(link)

    async def _up(self, link: _Session, reader: asyncio.StreamReader) -> None:
        """What the router says, to Asterisk; a router that goes leaves no swallowed link's other half."""
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if link.server is not None and not link.swallowed:
                    link.server.write(data)
                    await link.server.drain()
        self._ended(link)

    async def _down(self, link: _Session, reader: asyncio.StreamReader) -> None:
        """What Asterisk says, to the router, message by message."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = await reader.readuntil(_END if link.begun else b"\r\n")
                async with link.writing:
                    if not link.swallowed:
                        await link.tell(self.rewrite(message))
                        link.begun = True
        self._ended(link)

    def _ended(self, link: _Session) -> None:
        """One side has gone: the other goes too, unless that is not to be heard."""
        if not link.swallowed:
            for writer in link.writers():
                writer.transport.abort()

    async def _flood(self, event: Callable[[int], bytes], per_second: int, stop: asyncio.Event) -> None:
        began, made = self._loop.time(), 0
        while not stop.is_set():
            due = int((self._loop.time() - began) * per_second)
            block = b"".join(event(place) for place in range(made, due))
            for link in [each for each in self._sessions if each.begun and not each.swallowed]:
                with contextlib.suppress(OSError):
                    async with link.writing:
                        await link.tell(block)
                    self.events += due - made
            made = due
            await asyncio.sleep(0.005)
