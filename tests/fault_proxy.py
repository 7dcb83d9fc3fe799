"""A TCP proxy of the test's own in front of a server, that breaks the connections as networks do."""

import asyncio

from tests.tcp_proxy import Link, TcpProxy

_CHUNK_BYTES = 64 * 1024
_CHUNKS_ON_THE_WAY = 256  # more than that, and the one who sends has to wait
_Chunk = tuple[float, bytes | OSError]  # when it came, and what: nothing is an end, an error a reset


class _Link(Link):
    left: int | None = None  # bytes that the client still gets before the reset that it is marked for


class FaultProxy(TcpProxy):
    """Delays, swallows, and resets in the middle of a reply."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self._delay_seconds = 0.0
        self._reset_after: int | None = None
        self._asking, self._answering = asyncio.Event(), asyncio.Event()
        for way in (self._asking, self._answering):
            way.set()

    def swallow(self) -> None:
        """Let nothing through, as if each packet was lost: no byte, no end, no reset. New connections find silence."""
        self._do(self._open(asking=False, answering=False))

    def swallow_replies(self) -> None:
        """The same for what the server says alone: it hears everything."""
        self._do(self._open(asking=True, answering=False))

    def pass_on(self) -> None:
        """Let everything through again. What was held back arrives late, as TCP would send it again."""
        self._do(self._open(asking=True, answering=True))

    def delay(self, seconds: float) -> None:
        """Pass on each chunk so much later, in each direction: an answer takes twice that. Zero ends it."""
        self._delay_seconds = seconds

    def reset_in_reply(self, after_bytes: int) -> None:
        """Cut off the reply that the server sends next, whoever gets it: so many bytes of it, then a reset, once.

        With 0 the client does not even see the beginning. A shorter reply passes, and the next one counts on.
        """
        self._reset_after = after_bytes

    async def _open(self, *, asking: bool, answering: bool) -> None:
        for way, is_open in ((self._asking, asking), (self._answering, answering)):
            if is_open:
                way.set()
            else:
                way.clear()

    def _link(self, client: asyncio.StreamWriter) -> _Link:
        return _Link(client)

    async def _pass_on(self, link: _Link, requests: asyncio.StreamReader) -> None:
        await self._asking.wait()
        replies, link.server = await asyncio.open_connection("127.0.0.1", self.target_port)
        for writer in link.writers():
            writer.transport.set_write_buffer_limits(0)  # drained is then sent, also before a reset
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass(link, requests, link.server))
            both.create_task(self._pass(link, replies, link.client))

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
            await (self._answering if writer is link.client else self._asking).wait()
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
