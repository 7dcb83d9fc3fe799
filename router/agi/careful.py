"""A call that is not usual, or has not been so to its end: the session's events, and what is done about each."""

import asyncio
import time
from collections.abc import Awaitable, Coroutine
from typing import Any, Protocol

import structlog

from router.agi.accounting import Accounts, Decided
from router.agi.causes import FORGED, HANGUP, INTERNAL, SCRIPT
from router.agi.messages import AgiError, AgiReply, AgiRequest, Refused
from router.agi.session import AgiSession, State
from router.agi.usual import UsualCall
from router.agi.verbs.verb import Response, UnknownVerbError, Verbs
from router.config.limits import DIALLED_LOG_MAX_CHARS, LAST_WORDS_SECONDS, UNIQUE_ID_LOG_MAX_CHARS

_CLOSED = State.CLOSED
# What Asterisk replies to MSet, and what it says where the caller has gone (16 and newer, older ones).
_DONE, _DONE_TEXT = 200, "result=0"
_DEAD_CHANNEL = 511
_DEAD_TEXTS = (
    "Command Not Permitted on a dead channel or intercept routine",
    "Command Not Permitted on a dead channel",
)


class Server(Protocol):
    """What a call needs of its server; see `router.agi.server`."""

    verbs: Verbs
    log: structlog.typing.FilteringBoundLogger
    accounts: Accounts

    def wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        """Let a call's answer come later."""
        ...

    def count_empty(self) -> None:
        """Count a connection in which nothing was asked."""
        ...

    def reject(self, cause: str, peer: object, **details: object) -> None:
        """Count a connection that got no ordinary answer, and say so."""
        ...


class CarefulCall:
    """One call: what its session says, and what goes to its transport.

    `accepted_at`: when its connection was, by the performance counter. With `usual` it begins behind an answer that is
    out already.
    """

    __slots__ = (
        *("_accepted_at", "_answer", "_began", "_cut", "_decided", "_server", "_transport", "_unsent"),
        "session",
    )

    def __init__(
        self, server: Server, transport: asyncio.Transport, accepted_at: float, usual: UsualCall | None = None
    ) -> None:
        self._server = server
        self._transport = transport
        self._accepted_at = accepted_at
        self._began = time.time() - (time.perf_counter() - accepted_at)
        self._answer: Response | None = None
        self._decided: Decided | None = None  # counted when the call ends: until then it may be revoked
        self._cut = False
        self._unsent: list[bytes] = []
        self.session = AgiSession()
        if usual is not None:
            self._answer = usual.response()
            self._decided = Decided(usual.unique_id, self._answer, accepted_at, usual.duration)
            self.session.state = State.WAITING

    def data_received(self, data: bytes) -> None:
        """Feed the session and act on what comes out."""
        session = self.session
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

    def connection_lost(self) -> None:
        """The connection has ended, whoever ended it."""
        try:
            self.session.receive_eof()
        except AgiError as error:
            if self._answer is None:  # else it was decided all the same, and its caller has hung up
                self._reject(error.cause)
        self._count()

    def abort(self, cause: str) -> None:
        """Cut the connection off; an answer that was perhaps asked for by forged lines is revoked before."""
        session = self.session
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
            response = self._server.verbs.answer(request, self._began)
        except UnknownVerbError:
            hint = f"this router serves {', '.join(self._server.verbs.names)}: use agi://HOST:PORT/route"
            self._close(SCRIPT, script=request.script[:DIALLED_LOG_MAX_CHARS], hint=hint)
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
        if self.session.state is not State.ANSWERING:
            self._gone()
        elif self.session.forged:
            self._reject(FORGED)
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
        if self.session.state is not State.ANSWERING:
            self._gone()
            return
        self._reject(INTERNAL, unique_id=unique_id)
        self._send(self._server.verbs.failed_response(request), request.unique_id)

    def _send(self, response: Response, unique_id: str) -> None:
        self._answer = response
        first, *self._unsent = response.commands
        self._transport.write(self.session.send(first))
        self._decided = Decided(unique_id, response, self._accepted_at, time.perf_counter() - self._accepted_at)

    def _send_last(self, response: Response, unique_id: str) -> None:
        """Send all of a response without waiting for replies, which may be forged, and close our side.

        The peer's side stays open until it has read that, or to the deadline: closed at once, with its bytes unread,
        the connection would be reset, and what we have sent might be lost.
        """
        self.session.send_last()
        for command in response.commands:
            self._transport.write(command)
        self._transport.write_eof()
        duration = time.perf_counter() - self._accepted_at
        self._server.accounts.add(Decided(unique_id, response, self._accepted_at, duration))

    def _replied(self, reply: AgiReply) -> None:
        if reply.forged:
            # What we answered was asked by forged lines: revoke it before Asterisk goes on.
            self._reject(FORGED)
            self._revoke()
        elif reply.code == _DONE and reply.text == _DONE_TEXT:
            if self._unsent:
                self._transport.write(self.session.send(self._unsent.pop(0)))
            else:
                self._finish()
        else:
            self._not_taken(reply)

    def _not_taken(self, reply: AgiReply) -> None:
        """A reply that Asterisk gives to a caller who has gone, or that it never gives to MSet.

        The answer is revoked then: unlike the usual reply, such a one may have any length. A caller may fill a TCP
        segment with it, and what follows, from which the forgery is seen, would come too late.
        """
        details = {"code": reply.code, "text": reply.text[:DIALLED_LOG_MAX_CHARS]}
        if reply.code == _DEAD_CHANNEL and reply.text in _DEAD_TEXTS:
            self._close(HANGUP, **details)
        else:
            self._reject(Refused.BAD_REPLY, **details)
            self._revoke()

    def _revoke(self) -> None:
        """Take back what was answered, whole or in part; the call is counted once, by what it has now."""
        given, self._unsent = self._answer, []
        unique_id = self._decided.unique_id if self._decided is not None else ""
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
        self.session.state = _CLOSED
        self._transport.close()
        self._count()

    def _count(self) -> None:
        if self._decided is not None:
            self._server.accounts.add(self._decided)
            self._decided = None

    def _close(self, cause: str, **details: object) -> None:
        self._finish()
        self._reject(cause, **details)
