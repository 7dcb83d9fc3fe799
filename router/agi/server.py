"""The FastAGI server: sockets, the deadline, caps and the orderly end around the sans-IO session.

A connection is one call. It has one deadline for all of it, kept by one timer for the whole server: deadlines are
equal, so the connection that was accepted first is always the next to expire.
"""

import _socket
import asyncio
import contextlib
import functools
import ipaddress
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
import structlog

from router.agi.accounting import Accounts
from router.agi.causes import CAPACITY, CAUSES, DEADLINE, EVERYDAY, PEER
from router.agi.connection import AgiConnection
from router.agi.usual import UsualCall, UsualCalls
from router.agi.verbs.verb import Verbs
from router.config.limits import (
    AGI_BACKLOG,
    AGI_FIRST_READ_BYTES,
    AGI_MAX_CONNECTIONS,
    AGI_SILENT_SECONDS,
    PEER_CACHE_MAX,
)
from router.observe.log import CallRecord
from router.observe.metrics import Metrics
from router.util.rate_limited_log import RepeatsLog

_INTERNET = (socket.AF_INET, socket.AF_INET6)


class Limits(msgspec.Struct, frozen=True):
    """What this server allows: peers' networks, the deadline of a call, connections at a time."""

    allow: tuple[str, ...]
    deadline_seconds: float
    max_connections: int = AGI_MAX_CONNECTIONS
    mask_callers: bool = False


class AgiServer:
    """Serves FastAGI on one or more listening sockets.

    `tell_decided` gets the unique id of one call of those that are counted together.
    """

    def __init__(
        self,
        verbs: Verbs,
        limits: Limits,
        metrics: Metrics,
        log: structlog.typing.FilteringBoundLogger,
        record: Callable[[CallRecord], None],
        tell_decided: Callable[[str], None] = lambda _: None,
        usual: UsualCalls | None = None,
    ) -> None:
        self.verbs = verbs
        self.limits = limits
        self.log = log
        self.accounts = Accounts(verbs.names, metrics, record, tell_decided, mask_callers=limits.mask_callers)
        self.answer_usual: Callable[[bytes], UsualCall | None] = usual.answer if usual is not None else _none_is_usual
        self.connections: dict[AgiConnection, None] = {}  # in the order in which they were accepted
        self._empty_ones = metrics.agi_empty
        self._say_rejected = RepeatsLog("agi_rejected")
        self._rejected = {str(cause): metrics.agi_rejected.labels(str(cause)) for cause in CAUSES}
        self._networks = [ipaddress.ip_network(network) for network in limits.allow]
        self._peers: dict[str, bool] = {}
        self._servers: list[asyncio.Server] = []
        self._sockets: list[socket.socket] = []
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._marked = False  # whether the kernel wakes us for no less than a whole block
        self._accepted: list[AgiConnection] = []  # since the last look at those who are silent
        self._draining = False
        self._connection = functools.partial(AgiConnection, self)
        self._cut_off = 0
        self._waiting: set[asyncio.Task[None]] = set()
        metrics.agi_connections.set_function(lambda: float(len(self.connections)))

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Begin to accept on sockets that are bound already."""
        loop = asyncio.get_running_loop()
        self._sockets = list(sockets)
        self._marked = all(each.family in _INTERNET for each in sockets)
        for each in sockets:
            if self._marked:  # a connection inherits it
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, AGI_FIRST_READ_BYTES)
            each.listen(AGI_BACKLOG)  # uvloop listens too, but keeps to itself that it could not
            self._servers.append(await loop.create_server(self._connection, sock=each, backlog=AGI_BACKLOG))

    async def stop_accepting(self) -> None:
        """Close the listening sockets: a new connection is refused at once, and Asterisk fails over.

        Connections in the kernel's queue are taken in first, since their peers have been told that they are connected,
        as far as this process may open descriptors.
        """
        loop = asyncio.get_running_loop()
        waiting: list[socket.socket] = []
        listening = list(zip(self._sockets, self._servers, strict=True))
        self._sockets, self._servers = [], []
        for listener, server in listening:
            if self._marked:  # one of systemd's is the next process's, and that may be an older router
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            with contextlib.suppress(OSError):  # none waits any more, or no descriptor is left for one that does
                while len(waiting) < AGI_BACKLOG:
                    waiting.append(listener.accept()[0])
            server.close()
        for each in waiting:
            await loop.connect_accepted_socket(self._connection, each)
        await asyncio.sleep(0)  # uvloop tells of what it accepted itself one turn later

    async def drain(self, seconds: float) -> int:
        """Wait until the calls in flight have ended, at most `seconds`.

        Returns how many were cut off meanwhile, at their own deadline or at the end of the wait.
        """
        cut_off_before = self._cut_off
        await self.stop_accepting()
        self._draining = True  # not sooner: between two that are taken in there may be none for a moment
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)
        for connection in list(self.connections):
            self._cut(connection)
        if self._timer is not None:
            self._timer.cancel()
        if self._waiting:  # of peers that have gone: what they claimed is written down all the same
            await asyncio.wait(self._waiting, timeout=seconds)
        self.accounts.settle()
        self._say_rejected.flush()
        return self._cut_off - cut_off_before

    def admit(self, connection: AgiConnection, transport: asyncio.Transport) -> bool:
        """Take a connection in, and see to its deadline; False where it is turned away."""
        peer = transport.get_extra_info("peername")
        host = peer[0] if type(peer) is tuple else ""
        allowed = self._peers.get(host)
        if allowed is None:
            if len(self._peers) >= PEER_CACHE_MAX:
                self._peers.clear()
            allowed = self._peers[host] = self._is_allowed(host)
        connections = self.connections
        if allowed and len(connections) < self.limits.max_connections:
            connections[connection] = None
            if self._marked:
                if not self._accepted:
                    asyncio.get_running_loop().call_later(AGI_SILENT_SECONDS, self._look)
                self._accepted.append(connection)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(self.limits.deadline_seconds, self._expire)
            return True
        if peer is None:  # reset before it was accepted: the kernel knows no peer any more
            self.count_empty()
        else:
            self.reject(CAPACITY if allowed else PEER, peer)
        return False

    def first_read(self, transport: asyncio.Transport) -> None:
        """Its first bytes have come: from now on each byte counts, be it of the block's rest or of a reply."""
        if self._marked:
            # A socket of our own for a moment: uvloop's would make a copy of the descriptor for each option.
            handle = _socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, transport.get_extra_info("socket").fileno())
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            handle.detach()

    def _look(self) -> None:
        """Hear those of whom less has come than a block is long: it may be all that comes."""
        accepted, self._accepted = self._accepted, []
        for connection in accepted:
            if connection.is_silent:
                self.first_read(connection.transport)

    def _is_allowed(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)

    def remove(self, connection: AgiConnection) -> None:
        """Forget a connection that has ended."""
        self.connections.pop(connection, None)
        if self._draining and not self.connections:
            self._empty.set()

    def _expire(self) -> None:
        """Cut off what is past its deadline, and sleep until the next one may be."""
        self._timer = None
        latest = time.perf_counter() - self.limits.deadline_seconds
        while self.connections:
            oldest = next(iter(self.connections))
            if oldest.accepted_at > latest:
                wait = oldest.accepted_at - latest
                self._timer = asyncio.get_running_loop().call_later(wait, self._expire)
                return
            self._cut(oldest)
            self.remove(oldest)

    def _cut(self, connection: AgiConnection) -> None:
        self._cut_off += 1
        connection.abort(DEADLINE)

    def wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        """Let a call's answer come later. The store's own deadline bounds how many there are."""
        task = asyncio.get_running_loop().create_task(work)
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    def count_empty(self) -> None:
        """Count a connection in which nothing was asked, as those of health checks: nothing is said of it."""
        self._empty_ones.inc()

    def reject(self, cause: str, peer: object, **details: object) -> None:
        """Count a connection that got no ordinary answer, and say so; the same of the same peer once, with a count."""
        self._rejected[cause].inc()
        host = str(peer[0] if isinstance(peer, tuple) else peer or "")
        say = self.log.info if cause in EVERYDAY else self.log.warning
        self._say_rejected((cause, host), say, cause=cause, peer=host, **details)


def _none_is_usual(_block: bytes) -> None:
    """Every call goes through its session."""
