"""One call's connection: the usual call's short way, and a careful one for all others."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from router.agi import careful
from router.agi.careful import CarefulCall
from router.agi.messages import USUAL_REPLY
from router.agi.usual import UsualCall
from router.config.limits import ENVIRONMENT_MAX_BYTES


class Server(careful.Server, Protocol):
    """What a connection needs of its server; see `router.agi.server`."""

    answer_usual: Callable[[bytes], UsualCall | None]

    def admit(self, connection: "AgiConnection", transport: asyncio.Transport) -> bool:
        """Take a connection in; False where it is turned away."""
        ...

    def first_read(self, transport: asyncio.Transport) -> None:
        """Its first bytes have come: from now on each byte counts."""
        ...

    def remove(self, connection: "AgiConnection") -> None:
        """Forget a connection that has ended."""
        ...


class AgiConnection(asyncio.Protocol):
    """One connection.

    A usual call is over in two steps: its block has come and is answered, the usual reply has come. At anything else
    it gets careful: the session begins where the short way has come to.
    """

    __slots__ = ("_careful", "_received", "_server", "_usual", "accepted_at", "transport")

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._received: bytes | None = b""  # of a block that is not whole yet; None: no block is expected any more
        self._usual: UsualCall | None = None  # answered; its reply is due
        self._careful: CarefulCall | None = None

    @property
    def is_silent(self) -> bool:
        """Whether nothing has come from the peer yet."""
        return self._received == b""

    @property
    def is_over(self) -> bool:
        """Whether its usual call has ended, or it was turned away."""
        return self._received is None and self._usual is None and self._careful is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept, unless the peer is not welcome."""
        self.accepted_at = time.perf_counter()
        self.transport = transport  # type: ignore[assignment] # a stream's transport is a Transport
        if not self._server.admit(self, self.transport):
            self._received = None
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer a usual block, end at the usual reply; anything else is for careful hands."""
        received = self._received
        if received is None:
            usual = self._usual
            if usual is not None and data == USUAL_REPLY:
                self.transport.close()
                self._usual = None
                self._server.accounts.add(usual)
            elif not self.is_over:
                self._careful_call().data_received(data)
            return
        if received:
            data = received + data
        else:
            self._server.first_read(self.transport)
        if data.endswith(b"\n\n"):
            try:
                usual = self._server.answer_usual(data)
            except Exception as error:
                self._server.log.exception("decision_failed", exc_info=error)
                usual = None
            if usual is not None:
                self.transport.write(usual.command)
                usual.accepted_at = accepted_at = self.accepted_at
                usual.duration = time.perf_counter() - accepted_at
                self._usual = usual
                self._received = None
                return
        elif data.startswith(b"agi_") and len(data) <= ENVIRONMENT_MAX_BYTES and b"\n\n" not in data:
            self._received = data
            return
        self._received = data
        self._careful_call()

    def eof_received(self) -> None:
        """The peer has closed its side; the transport closes ours."""

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection, whoever ended it."""
        self._server.remove(self)
        if self._received == b"":
            self._received = None
            self._server.count_empty()
        elif self._usual is not None:  # answered, and its caller has hung up
            self._server.accounts.add(self._usual)
            self._usual = None
        elif not self.is_over:
            self._careful_call().connection_lost()

    def abort(self, cause: str) -> None:
        """Cut the connection off, and say so where its call is not over."""
        if self.is_over:
            self.transport.abort()
        else:
            self._careful_call().abort(cause)

    def _careful_call(self) -> CarefulCall:
        """The careful hands, with all that has come so far."""
        call = self._careful
        if call is None:
            call = self._careful = CarefulCall(self._server, self.transport, self.accepted_at, self._usual)
            received, self._received, self._usual = self._received, None, None
            if received:
                call.data_received(received)
        return call
