"""A TCP proxy of the test's own in front of a server, that breaks the connections as networks do."""

import asyncio
import contextlib
import errno
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from tests.processes import PATIENCE_SECONDS, free_port

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time
_CHUNK_BYTES = 64 * 1024
_CHUNKS_ON_THE_WAY = 256  # more than that, and the one who sends has to wait
_Chunk = tuple[float, bytes | OSError]  # when it came, and what: nothing is an end, an error a reset


class _Link:
    """One client's connection, and the one to the server that was made for it."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.server: asyncio.StreamWriter | None = None
        self.left: int | None = None  # bytes that the client still gets before the reset that it is marked for

    def writers(self) -> list[asyncio.StreamWriter]:
        return [writer for writer in (self.client, self.server) if writer is not None]

    def reset(self) -> None:
        """End both connections by RST."""
        for writer in self.writers():
            if not writer.is_closing():
                own: socket.socket = writer.get_extra_info("socket")
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                writer.transport.abort()

    async def close(self) -> None:
        for writer in self.writers():  # both before any wait: the proxy's end may come in between
            writer.transport.abort()
        for writer in self.writers():
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class FaultProxy:
    """Listens on `port` and passes each connection on to `target_port` of 127.0.0.1; a context manager.

    `target_port` may be set anew: it counts for the connections to come. Where nobody listens there, the client is
    reset. `connections` is how many came. An error in the proxy itself fails the test at the end.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.connections = 0
        self._delay_seconds = 0.0
        self._reset_after: int | None = None
        self._links: dict[asyncio.Task[None], _Link] = {}
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy")
        self._errors: list[BaseException] = []

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._do(self._begin())
        except BaseException:
            self._end_thread()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._do(self._end())
        finally:
            self._end_thread()
        assert not self._errors, self._errors[:1]

    def cut(self) -> None:
        """Reset all present connections, on both sides. What they held back is lost."""
        self._do(self._cut())

    def refuse(self) -> None:
        """Refuse new connections. Present ones go on."""
        self._do(self._refuse())

    def accept(self) -> None:
        """Take new connections again."""
        self._do(self._accept())

    def swallow(self) -> None:
        """Let nothing through, as if each packet was lost: no byte, no end, no reset. New connections find silence."""
        self._do(self._set_passing(passing=False))

    def pass_on(self) -> None:
        """Let everything through again. What was held back arrives late, as TCP would send it again."""
        self._do(self._set_passing(passing=True))

    def delay(self, seconds: float) -> None:
        """Pass on each chunk so much later, in each direction: an answer takes twice that. Zero ends it."""
        self._delay_seconds = seconds

    def reset_in_reply(self, after_bytes: int) -> None:
        """Cut off the reply that the server sends next, whoever gets it: so many bytes of it, then a reset, once.

        With 0 the client does not even see the beginning. A shorter reply passes, and the next one counts on.
        """
        self._reset_after = after_bytes

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    async def _begin(self) -> None:
        self._loop.set_exception_handler(self._note)
        for attempts_left in reversed(range(5)):
            self.port = free_port()
            try:
                await self._accept()
            except OSError as error:
                if error.errno != errno.EADDRINUSE or not attempts_left:
                    raise
            else:
                break

    async def _end(self) -> None:
        await self._refuse()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:  # also those of connections just being taken
            for task in others:
                task.cancel()
            await asyncio.wait(others)

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._errors.append(context.get("exception") or RuntimeError(context["message"]))

    async def _accept(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._meet, "127.0.0.1", self.port)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _cut(self) -> None:
        for task, link in self._links.items():
            link.reset()
            task.cancel()
        if self._links:
            await asyncio.wait(list(self._links))

    async def _set_passing(self, *, passing: bool) -> None:
        if passing:
            self._passing.set()
        else:
            self._passing.clear()

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = _Link(writer)
        task = self._loop.create_task(self._serve(link, reader))
        self._links[task] = link
        task.add_done_callback(self._links.pop)

    async def _serve(self, link: _Link, requests: asyncio.StreamReader) -> None:
        try:
            await self._passing.wait()
            replies, link.server = await asyncio.open_connection("127.0.0.1", self.target_port)
            for writer in link.writers():
                writer.transport.set_write_buffer_limits(0)  # drained is then sent, also before a reset
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(link, requests, link.server))
                both.create_task(self._pass(link, replies, link.client))
        except* OSError:
            link.reset()  # as the one side ended, so does the other
        except* Exception as error:  # noqa: BLE001  # told at the end, when nobody asks for this task any more
            self._errors.append(error)
            link.reset()
        finally:
            await link.close()

    async def _pass(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, until its end: what is on the way lies between the two tasks."""
        way: asyncio.Queue[_Chunk] = asyncio.Queue(_CHUNKS_ON_THE_WAY)
        async with asyncio.TaskGroup() as ends:
            ends.create_task(self._take(reader, way))
            ends.create_task(self._give(link, way, writer))

    async def _take(self, reader: asyncio.StreamReader, way: asyncio.Queue[_Chunk]) -> None:
        chunk: bytes | OSError = b"-"
        while chunk and not isinstance(chunk, OSError):
            try:
                chunk = await reader.read(_CHUNK_BYTES)
            except OSError as error:
                chunk = error
            await way.put((self._loop.time(), chunk))

    async def _give(self, link: _Link, way: asyncio.Queue[_Chunk], writer: asyncio.StreamWriter) -> None:
        while True:
            came, chunk = await way.get()
            if (early := came + self._delay_seconds - self._loop.time()) > 0:
                await asyncio.sleep(early)
            await self._passing.wait()
            if isinstance(chunk, OSError):
                raise chunk
            if not chunk:
                writer.write_eof()
                return
            if writer is link.client:
                chunk = self._cut_short(link, chunk)
            writer.write(chunk)
            await writer.drain()
            if link.left == 0:
                raise ConnectionResetError

    def _cut_short(self, link: _Link, reply: bytes) -> bytes:
        """As much of a reply as its client may have."""
        if link.left is None:
            link.left, self._reset_after = self._reset_after, None
        if link.left is None:
            return reply
        reply = reply[: link.left]
        link.left -= len(reply)
        return reply
