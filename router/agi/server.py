"""The FastAGI server: sockets, the deadline, caps and the orderly end around the sans-IO session.

A connection is one call. It has one deadline for all of it, kept by one timer for the whole server: deadlines are
equal, so the connection that was accepted first is always the next to expire.
"""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec
import structlog

from dialplan.numbering.parsing import is_withheld
from router.agi.messages import AgiError, AgiReply, AgiRequest, Refused
from router.agi.session import AgiSession, State
from router.agi.verbs.dispatcher import UnknownVerbError
from router.agi.verbs.verb import Response
from router.config.limits import (
    ACCOUNT_MAX_CALLS,
    ACCOUNT_SECONDS,
    AGI_BACKLOG,
    AGI_MAX_CONNECTIONS,
    CALLER_LOG_MAX_CHARS,
    DIALLED_LOG_MAX_CHARS,
    LAST_WORDS_SECONDS,
    PEER_CACHE_MAX,
    UNIQUE_ID_LOG_MAX_CHARS,
)
from router.observe.log import CallRecord, mask
from router.observe.metrics import Metrics
from router.util.rate_limited_log import RepeatsLog

# A call that has its answer: when it was accepted (epoch seconds), how long it took (seconds), its id, the answer.
_Decided: TypeAlias = tuple[float, float, str, Response]

_CLOSED = State.CLOSED
# What Asterisk replies to MSet, and what it says where the caller has gone (16 and newer, older ones).
_DONE, _DONE_TEXT = 200, "result=0"
_DEAD_CHANNEL = 511
_DEAD_TEXTS = (
    "Command Not Permitted on a dead channel or intercept routine",
    "Command Not Permitted on a dead channel",
)
# Causes of agi_rejected_total besides those of router.agi.messages.Refused.
_PEER, _CAPACITY, _DEADLINE, _SCRIPT, _FORGED, _HANGUP, _INTERNAL = (
    "peer",
    "capacity",
    "deadline",
    "unknown-script",
    "forged",
    "hangup",
    "internal",
)
CAUSES = (*Refused, _PEER, _CAPACITY, _DEADLINE, _SCRIPT, _FORGED, _HANGUP, _INTERNAL)
# Everyday causes: a peer goes before it has asked, a caller hangs up while we decide.
_NO_WARNING = (Refused.EOF, _HANGUP)


class Verbs(Protocol):
    """What the server asks for responses; see router.agi.verbs.dispatcher."""

    @property
    def names(self) -> Sequence[str]:
        """The verbs that there are."""

    def answer(self, request: AgiRequest, now: float) -> Response | Awaitable[Response]:
        """Answer a request; it is awaited where a store has to be asked. Raises UnknownVerbError."""
        ...

    def fallback_response(self, revoked: Response | None = None) -> Response:
        """Answer a call whose data cannot be trusted, after the response `revoked` if there was one."""
        ...

    def failed_response(self, request: AgiRequest) -> Response:
        """Answer a request whose verb has failed."""
        ...


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
    ) -> None:
        self.verbs = verbs
        self.limits = limits
        self.log = log
        self.record = record
        self._tell_decided = tell_decided
        self._observe_decision = metrics.decision_seconds.of().add
        self._observe_verb = {name: metrics.agi_seconds.of(name).add for name in verbs.names}
        self._counted = metrics.decided
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
        self._draining = False
        self._cut_off = 0
        self._decided: list[_Decided] = []
        self._waiting: set[asyncio.Task[None]] = set()
        metrics.agi_connections.set_function(lambda: float(len(self.connections)))

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Begin to accept on sockets that are bound already."""
        loop = asyncio.get_running_loop()
        self._sockets = list(sockets)
        for each in sockets:
            each.setblocking(False)
            each.listen(AGI_BACKLOG)  # uvloop listens too, but keeps to itself that it could not
            self._servers.append(await loop.create_server(self._connection, sock=each, backlog=AGI_BACKLOG))

    def _connection(self) -> "AgiConnection":
        return AgiConnection(self)

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
            with contextlib.suppress(OSError):  # none waits any more, or no descriptor is left for one that does
                while len(waiting) < AGI_BACKLOG:
                    waiting.append(listener.accept()[0])
            server.close()
        for each in waiting:
            each.setblocking(False)
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
        self.account()
        self._say_rejected.flush()
        return self._cut_off - cut_off_before

    def admits(self, peer: object) -> str | None:
        """The cause for which a peer's connection is turned away, None where it is welcome."""
        host = peer[0] if isinstance(peer, tuple) else ""
        allowed = self._peers.get(host)
        if allowed is None:
            if len(self._peers) >= PEER_CACHE_MAX:
                self._peers.clear()
            allowed = self._peers[host] = self._is_allowed(host)
        if not allowed:
            return _PEER
        return _CAPACITY if len(self.connections) >= self.limits.max_connections else None

    def _is_allowed(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)

    def add(self, connection: "AgiConnection") -> None:
        """Take a connection in, and see to its deadline."""
        self.connections[connection] = None
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.limits.deadline_seconds, self._expire)

    def remove(self, connection: "AgiConnection") -> None:
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

    def _cut(self, connection: "AgiConnection") -> None:
        self._cut_off += 1
        connection.abort(_DEADLINE)

    def decided(self, call: "_Decided") -> None:
        """Count and log a call that has its answer, a moment later and with others: it costs a third then."""
        if not self._decided:
            asyncio.get_running_loop().call_later(ACCOUNT_SECONDS, self.account)
        self._decided.append(call)
        if len(self._decided) >= ACCOUNT_MAX_CALLS:
            self.account()

    def account(self) -> None:
        """Count and log what has been decided since the last time."""
        calls, self._decided = self._decided, []
        if calls:
            self._tell_decided(calls[-1][2])
        masked = self.limits.mask_callers
        for started_at, duration, unique_id, response in calls:
            decision = response.decision
            if response.verb is not None:
                self._observe_verb[response.verb.name](duration)
            if decision is None:
                continue
            self._observe_decision(duration)
            self._counted[decision.reason, decision.kind].inc()
            target, destination = decision.target, decision.destination
            self.record(
                CallRecord(
                    dt.datetime.fromtimestamp(started_at, dt.UTC),
                    unique_id[:UNIQUE_ID_LOG_MAX_CHARS],
                    response.call.dialled[:DIALLED_LOG_MAX_CHARS],
                    decision.number,
                    mask(decision.caller) if masked else decision.caller,
                    decision.reason,
                    decision.kind,
                    target.id if target is not None else "",
                    decision.company,
                    f"{destination.context},{destination.exten},{destination.priority}",
                    decision.version,
                    round(duration * 1000, 3),
                    response.attempt,
                    msgspec.UNSET if decision.caller else _caller_sent(response.call.caller, masked=masked),
                )
            )

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
        say = self.log.info if cause in _NO_WARNING else self.log.warning
        self._say_rejected((cause, host), say, cause=cause, peer=host, **details)


def _caller_sent(text: str, *, masked: bool) -> str | msgspec.UnsetType:
    """What came as the caller's number, for the log: nothing where that was withheld."""
    if is_withheld(text):
        return msgspec.UNSET
    return mask(text) if masked else text[:CALLER_LOG_MAX_CHARS]


class AgiConnection(asyncio.Protocol):
    """One call's connection: bytes between a transport and a session."""

    __slots__ = (
        *("_answer", "_cut", "_decided", "_server", "_session", "_started_at", "_transport", "_unsent"),
        "accepted_at",
    )

    _transport: asyncio.Transport

    def __init__(self, server: AgiServer) -> None:
        self._server = server
        self._session = AgiSession()
        self._answer: Response | None = None
        self._decided: _Decided | None = None  # counted when the call ends: until then it may be revoked
        self._cut = False
        self._unsent: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept, unless the peer is not welcome."""
        self.accepted_at = time.perf_counter()
        self._started_at = time.time()
        self._transport = transport  # type: ignore[assignment] # a stream's transport is a Transport
        server = self._server
        peer = transport.get_extra_info("peername")
        cause = server.admits(peer)
        if cause is None:
            server.add(self)
            return
        self._session.state = _CLOSED
        if peer is None:  # reset before it was accepted: the kernel knows no peer any more
            server.count_empty()
        else:
            server.reject(cause, peer)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Feed the session and act on what comes out."""
        session = self._session
        if not session.receive(data):
            return
        try:
            while (event := session.next_event()) is not None:
                if type(event) is AgiRequest:
                    self._decide(event)
                elif type(event) is AgiReply:
                    self._replied(event)
        except AgiError as error:
            self._refuse(error)

    def eof_received(self) -> None:
        """The peer has closed its side; the transport closes ours."""

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection, whoever ended it."""
        self._server.remove(self)
        if self._session.state is _CLOSED:
            return
        if self._session.is_untouched:
            self._session.state = _CLOSED
            self._server.count_empty()
            return
        try:
            self._session.receive_eof()
        except AgiError as error:
            if self._answer is None:  # else it was decided all the same, and its caller has hung up
                self._reject(error.cause)
        self._count()

    def abort(self, cause: str) -> None:
        """Cut the connection off; an answer that was perhaps asked for by forged lines is revoked before."""
        session = self._session
        if session.state is not _CLOSED:
            self._cut = True
            self._reject(cause, answered=self._answer is not None)
            if self._answer is not None and session.suspect and not self._transport.is_closing():
                self._revoke()
                asyncio.get_running_loop().call_later(LAST_WORDS_SECONDS, self._transport.abort)
                return
            session.state = _CLOSED
            self._count()
        self._transport.abort()

    def _reject(self, cause: str, **details: object) -> None:
        self._server.reject(cause, self._transport.get_extra_info("peername"), **details)

    def _decide(self, request: AgiRequest) -> None:
        try:
            response = self._server.verbs.answer(request, self._started_at)
        except UnknownVerbError:
            hint = f"this router serves {', '.join(self._server.verbs.names)}: use agi://HOST:PORT/route"
            self._close(_SCRIPT, script=request.script[:DIALLED_LOG_MAX_CHARS], hint=hint)
        except Exception as error:  # noqa: BLE001 - whatever it is: this call gets the fallback, and the others go on
            self._failed(request, error)
        else:
            if isinstance(response, Response):
                self._send(response, request.unique_id)
            else:
                self._server.wait_for(self._answer_later(response, request))

    async def _answer_later(self, awaited: Awaitable[Response], request: AgiRequest) -> None:
        """Send a response that the store had a part in, if the peer is still there."""
        try:
            response = await awaited
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(request, error)
            return
        if self._session.state is not State.ANSWERING:
            self._gone()
        elif self._session.forged:
            self._reject(_FORGED)
            self._send_last(self._server.verbs.fallback_response(), request.unique_id)
        else:
            self._send(response, request.unique_id)

    def _gone(self) -> None:
        if not self._cut:
            self._reject(Refused.EOF)

    def _failed(self, request: AgiRequest, error: Exception) -> None:
        """Say so, and send the fallback, if the peer is still there."""
        unique_id = request.unique_id[:UNIQUE_ID_LOG_MAX_CHARS]
        self._server.log.error("decision_failed", unique_id=unique_id, exc_info=error)
        if self._session.state is not State.ANSWERING:
            self._gone()
            return
        self._reject(_INTERNAL, unique_id=unique_id)
        self._send(self._server.verbs.failed_response(request), request.unique_id)

    def _send(self, response: Response, unique_id: str) -> None:
        self._answer = response
        commands = response.commands
        self._transport.write(self._session.send(commands[0]))
        if len(commands) > 1:
            self._unsent = list(commands[1:])
        duration = time.perf_counter() - self.accepted_at
        self._decided = (self._started_at, duration, unique_id, response)

    def _send_last(self, response: Response, unique_id: str) -> None:
        """Send all of a response without waiting for replies, which may be forged, and close our side.

        The peer's side stays open until it has read that, or to the deadline: closed at once, with its bytes unread,
        the connection would be reset, and what we have sent might be lost.
        """
        self._answer = response
        self._session.send_last()
        for command in response.commands:
            self._transport.write(command)
        self._transport.write_eof()
        duration = time.perf_counter() - self.accepted_at
        self._server.decided((self._started_at, duration, unique_id, response))

    def _replied(self, reply: AgiReply) -> None:
        if reply.forged:
            # What we answered was asked by forged lines: revoke it before Asterisk goes on.
            self._reject(_FORGED)
            self._revoke()
        elif reply.code == _DONE and reply.text == _DONE_TEXT:
            if self._unsent:
                self._transport.write(self._session.send(self._unsent.pop(0)))
            else:
                self._finish()
        else:
            self._not_taken(reply)

    def _not_taken(self, reply: AgiReply) -> None:
        """A reply that Asterisk gives to a caller who has gone, or that it never gives to MSet.

        Of an answer without its last command nothing is trusted. One that is out is revoked: unlike the usual reply,
        such a one may have any length. A caller may fill a TCP segment with it, and what follows would come too late.
        """
        details = {"code": reply.code, "text": reply.text[:DIALLED_LOG_MAX_CHARS]}
        if reply.code == _DEAD_CHANNEL and reply.text in _DEAD_TEXTS:
            self._close(_HANGUP, **details)
        elif self._unsent:
            self._close(Refused.BAD_REPLY, **details)
        else:
            self._reject(Refused.BAD_REPLY, **details)
            self._revoke()

    def _revoke(self) -> None:
        """Take back what was answered, whole or in part; the call is counted once, by what it has now."""
        given, self._unsent = self._answer, []
        unique_id = self._decided[2] if self._decided is not None else ""
        self._decided = None
        self._send_last(self._server.verbs.fallback_response(given), unique_id)

    def _refuse(self, error: AgiError) -> None:
        """Hostile or broken bytes: one that speaks AGI gets the fallback response, never a guess."""
        if error.cause in (Refused.NOT_AGI, Refused.TOO_LONG):
            self._close(error.cause)
            return
        self._reject(error.cause)
        self._revoke()

    def _finish(self) -> None:
        self._session.state = _CLOSED
        self._transport.close()
        self._count()

    def _count(self) -> None:
        if self._decided is not None:
            self._server.decided(self._decided)
            self._decided = None

    def _close(self, cause: str, **details: object) -> None:
        self._finish()
        self._reject(cause, **details)
