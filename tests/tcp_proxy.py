"""A TCP proxy of the test's own in front of a server: what its kinds have in common."""

import asyncio
import contextlib
import errno
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from tests.ports import free_port
from tests.processes import PATIENCE_SECONDS

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class Link:
    """One client's connection, and the one to the server that was made for it."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.server: asyncio.StreamWriter | None = None

    def writers(self) -> list[asyncio.StreamWriter]:
        """Those that are there."""
        return [writer for writer in (self.client, self.server) if writer is not None]

    def reset(self) -> None:
        """End both connections by RST."""
        for writer in self.writers():
            if not writer.is_closing():
                own: socket.socket = writer.get_extra_info("socket")
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                writer.transport.abort()

    async def close(self) -> None:
        """End both, and wait until they are."""
        for writer in self.writers():  # both before any wait: the proxy's end may come in between
            writer.transport.abort()
        for writer in self.writers():
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class TcpProxy:
    """Listens on `port` and passes each connection on to `target_port` of 127.0.0.1; a context manager.

    `target_port` may be set anew: it counts for the connections to come. Where nobody listens there, the client is
    reset. `connections` is how many came. An error in the proxy itself fails the test at the end.
    """

    def __init__(self, target_port: int = 0) -> None:
        self.target_port = target_port
        self.port = 0
        self.connections = 0
        self._tasks: dict[asyncio.Task[None], Link] = {}
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy")
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

    def _link(self, client: asyncio.StreamWriter) -> Link:
        """What is known of a connection that comes."""
        return Link(client)

    async def _pass_on(self, link: Any, requests: asyncio.StreamReader) -> None:
        """Make the connection to the server, and pass on until both have ended. An OSError resets both."""
        raise NotImplementedError

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
        for task, link in self._tasks.items():
            link.reset()
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = self._link(writer)
        task = self._loop.create_task(self._serve(link, reader))
        self._tasks[task] = link
        task.add_done_callback(self._tasks.pop)

    async def _serve(self, link: Link, requests: asyncio.StreamReader) -> None:
        try:
            await self._pass_on(link, requests)
        except* OSError:
            link.reset()  # as the one side ended, so does the other
        except* Exception as error:  # noqa: BLE001  # told at the end, when nobody asks for this task any more
            self._errors.append(error)
            link.reset()
        finally:
            await link.close()
