"""A manager interface that says what a test makes it say, over real sockets."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

BANNER = b"Asterisk Call Manager/11.0.0\r\n"
SECRET = "s3cret of the account"  # noqa: S105 - a test's
Serve = Callable[["Peer"], Awaitable[None]]


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
