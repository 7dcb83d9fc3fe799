"""Something of the test's own between a router and its Asterisk's manager interface, that can break the link.

What came from Asterisk goes on message by message, so that events of the test's own can be put in between.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self

from tests.processes import PATIENCE_SECONDS, free_port

_END = b"\r\n\r\n"
_MESSAGE_MAX_BYTES = 1024 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class _Link:
    """One connection of a router, and the one to Asterisk that was made for it."""

    def __init__(self, router: asyncio.StreamWriter) -> None:
        self.router = router
        self.asterisk: asyncio.StreamWriter | None = None
        self.swallowed = False  # nothing is passed on any more, either way, not even an end
        self.begun = False  # the router has had the banner
        self.writing = asyncio.Lock()  # to the router

    async def tell(self, data: bytes) -> None:
        """Write to the router, in two segments: a message may lie across both."""
        for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
            self.router.write(piece)
            await self.router.drain()
            await asyncio.sleep(0)

    def close(self, *, reset: bool = False) -> None:
        for writer in (self.router, self.asterisk):
            if writer is not None and not writer.is_closing():
                if reset:
                    own: socket.socket = writer.get_extra_info("socket")
                    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                writer.transport.abort()


class AmiProxy:
    """Listens on `port` and passes each session on to `target`, the manager's port; a context manager.

    `met` is how many connections came, `events` how many events of the test's own were put into sessions.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.target = 0
        self.met = 0
        self.events = 0
        self._swallowing = False
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._errors: list[BaseException] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self.pass_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._do(self._end())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE_SECONDS)
            self._loop.close()
        assert not self._errors, self._errors[:1]

    def pass_on(self) -> None:
        """Take new sessions, and pass on what is said in them. What was swallowed stays so."""
        self._do(self._pass_on())

    def swallow(self) -> None:
        """Let nothing through in either direction, as if each packet was lost. New connections find silence."""
        self._do(self._swallow())

    def refuse(self) -> None:
        """Refuse new connections."""
        self._do(self._stop_listening())

    def cut(self) -> None:
        """Reset each connection, on both sides."""
        self._do(self._cut())

    @contextlib.contextmanager
    def flood(self, event: Callable[[int], bytes], per_second: int) -> Iterator[None]:
        """While the block runs, put so many events into each session; `event` makes the one of that place."""
        running = asyncio.run_coroutine_threadsafe(self._flood(event, per_second), self._loop)
        try:
            yield
            assert not running.done(), running.exception()
        finally:
            running.cancel()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    async def _pass_on(self) -> None:
        self._swallowing = False
        await self._listen()

    async def _swallow(self) -> None:
        self._swallowing = True
        for link in self._links:
            link.swallowed = True
        await self._listen()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=_MESSAGE_MAX_BYTES)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _cut(self) -> None:
        for link in self._links:
            link.close(reset=True)

    async def _end(self) -> None:
        await self._stop_listening()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.met += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        link.swallowed = self._swallowing
        self._links.add(link)
        try:
            if link.swallowed:
                await self._up(link, reader)
                return
            try:
                answers, link.asterisk = await asyncio.open_connection(
                    "127.0.0.1", self.target, limit=_MESSAGE_MAX_BYTES
                )
            except OSError:
                link.close(reset=True)
                return
            await asyncio.gather(self._up(link, reader), self._down(link, answers))
        finally:
            self._links.discard(link)
            link.close()
            for each in (link.router, link.asterisk):
                if each is not None:
                    with contextlib.suppress(OSError):
                        await each.wait_closed()

    async def _up(self, link: _Link, reader: asyncio.StreamReader) -> None:
        """What the router says, to Asterisk; a router that goes leaves no swallowed link's other half."""
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if link.asterisk is not None and not link.swallowed:
                    link.asterisk.write(data)
                    await link.asterisk.drain()
        if not link.swallowed:
            link.close()

    async def _down(self, link: _Link, reader: asyncio.StreamReader) -> None:
        """What Asterisk says, to the router, message by message."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = await reader.readuntil(_END if link.begun else b"\r\n")
                async with link.writing:
                    if not link.swallowed:
                        await link.tell(message)
                        link.begun = True
        if not link.swallowed:
            link.close()

    async def _flood(self, event: Callable[[int], bytes], per_second: int) -> None:
        began, made = self._loop.time(), 0
        while True:
            due = int((self._loop.time() - began) * per_second)
            block = b"".join(event(place) for place in range(made, due))
            for link in [each for each in self._links if each.begun and not each.swallowed]:
                with contextlib.suppress(OSError):
                    async with link.writing:
                        await link.tell(block)
                    self.events += due - made
            made = due
            await asyncio.sleep(0.005)
