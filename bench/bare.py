"""The bare uvloop responder: what a FastAGI call costs when nothing is decided.

It waits for the blank line, writes one constant command of the size of a real answer, reads one reply and closes.
It parses nothing, checks nothing, counts nothing, and has no deadline: never more than a yardstick. It is written as
people write it. `--socket-options` adds the two that save reads: see the README.
"""

import argparse
import asyncio
import socket
from typing import cast

import uvloop

BACKLOG = 4096
ANSWER_BYTES = 300  # a route to a flow with two parameters
SHORTEST_BLOCK_BYTES = 339  # the 22 keys of Asterisk alone: no block is shorter, so none waits below the mark


def answer_of(size: int) -> bytes:
    """Return a constant command of `size` bytes that ends as a real answer does."""
    head, tail = b'EXEC MSet "ROUTE_CONTEXT=bare,ROUTE_ID=', b',ROUTE_STATUS=OK"\n'
    return head + b"x" * max(1, size - len(head) - len(tail)) + tail


class Bare(asyncio.Protocol):
    """One call: bytes until the blank line in, the constant out, one reply in, close."""

    __slots__ = ("_answer", "_answered", "_seen", "_transport")

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._answered = False
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # A cast, for uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer at the blank line; close at the reply."""
        if self._answered:
            self._transport.close()
            return
        self._seen += data
        if self._seen.endswith(b"\n\n"):
            self._answered = True
            self._transport.write(self._answer)


class BareWithOptions(Bare):
    """The same: acknowledges at once, and is not woken before the block can be whole (SO_RCVLOWAT of the listener)."""

    __slots__ = ("_marked", "_socket")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Acknowledge at once."""
        super().connection_made(transport)
        self._marked = True
        self._socket = transport.get_extra_info("socket")
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def data_received(self, data: bytes) -> None:
        """Take the mark away at the first read: what follows, such as a reply, is shorter."""
        if self._marked:
            self._marked = False
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        super().data_received(data)


async def serve(host: str, port: int, size: int, *, socket_options: bool) -> None:
    """Listen and print the port; ends with the process."""
    answer = answer_of(size)
    made = BareWithOptions if socket_options else Bare
    with socket.create_server((host, port)) as listener:
        if socket_options:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, SHORTEST_BLOCK_BYTES)  # accepted ones inherit it
        server = await asyncio.get_running_loop().create_server(lambda: made(answer), sock=listener, backlog=BACKLOG)
        print(f"listening {listener.getsockname()[1]}", flush=True)
        await server.serve_forever()


def main() -> None:
    """Run until killed."""
    parser = argparse.ArgumentParser(description="The bare responder that the router is measured beside.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one, printed")
    parser.add_argument("--bytes", type=int, default=ANSWER_BYTES, help="size of the answer")
    parser.add_argument("--socket-options", action="store_true", help="SO_RCVLOWAT and TCP_QUICKACK")
    options = parser.parse_args()
    uvloop.run(serve(options.host, options.port, options.bytes, socket_options=options.socket_options))


if __name__ == "__main__":
    main()
