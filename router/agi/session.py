"""One FastAGI connection as a state machine: bytes in, events and bytes out, no IO.

    ENVIRONMENT --request--> ANSWERING --send()--> WAITING --reply--> ANSWERING ...
         |                                            |
         +--refused--> REFUSED (send() still works) <-+  CLOSED after EOF, and after send_last()

Feed what arrives, in pieces of any size, with `receive`, and take events with `next_event` until it gives None.
A peer's bytes never raise anything but AgiError, and each byte that is kept is bounded by `router.config.limits`.
"""

import re
from enum import Enum, auto
from typing import TypeAlias

from router.agi.messages import (
    USUAL_REPLY,
    AgiError,
    AgiReply,
    AgiRequest,
    Hangup,
    Refused,
    parse_environment,
    parse_reply,
)
from router.config.limits import AGI_HANGUPS_MAX, ENVIRONMENT_MAX_BYTES, REPLY_MAX_BYTES, USAGE_MAX_BYTES

Event: TypeAlias = AgiRequest | AgiReply | Hangup

_FIRST_KEY = b"agi_"
_HANGUP = b"HANGUP\n"
_REPLY_OR_HANGUP = re.compile(rb"^(?:HANGUP|[0-9]{3}(?:[ -][^\n]*)?)\n", re.MULTILINE)
# A line that may end a block of usage text, or that no such text has: replies, and what an environment says.
_IN_USAGE = re.compile(rb"^(?:agi_|[0-9]{3}[ \n-])", re.MULTILINE)
_SUCCESS = AgiReply(200, "result=0")


class State(Enum):
    """Where a session stands."""

    ENVIRONMENT = auto()  # the peer sends its agi_* block
    ANSWERING = auto()  # it is our turn to send a command, or to close
    WAITING = auto()  # a command is out, its reply is due
    REFUSED = auto()  # the environment was hostile; only a fallback response may still be sent
    CLOSED = auto()


# Looking a member up in its class costs more than comparing with it, and every call does it some twenty times.
_ENVIRONMENT, _ANSWERING, _WAITING, _REFUSED, _CLOSED = State


class AgiSession:
    """The state of one connection. `forged` tells that lines came which no Asterisk sends by itself."""

    __slots__ = ("_buffer", "_hangups", "_searched", "_strays", "forged", "state")

    def __init__(self) -> None:
        self.state = _ENVIRONMENT
        self.forged = False
        self._buffer = b""
        self._hangups = 0  # notices of a hangup so far
        self._searched = 0  # bytes of the buffer known to hold no blank line
        self._strays = 0  # bytes of lines that were no reply

    def receive(self, data: bytes) -> bool:
        """Take bytes from the peer; False when they cannot make an event yet, and `next_event` need not be asked.

        An empty `data` changes nothing; EOF is `receive_eof`.
        """
        buffer = self._buffer = self._buffer + data if self._buffer else data
        # Asterisk's block comes in several pieces: all but the last end here.
        if (
            self.state is _ENVIRONMENT
            and buffer.find(b"\n\n", self._searched) < 0
            and buffer.startswith(_FIRST_KEY)
            and len(buffer) <= ENVIRONMENT_MAX_BYTES
        ):
            self._searched = len(buffer) - 1
            return False
        if self.state is _CLOSED:
            self._buffer = b""
            return False
        return True

    def receive_eof(self) -> None:
        """The peer has closed its side. Raises AgiError where its call had not been answered yet."""
        before, self.state = self.state, _CLOSED
        if before in (_ENVIRONMENT, _WAITING):
            raise AgiError(Refused.EOF)

    def next_event(self) -> Event | None:
        """The next whole event in what was received, None when more bytes are needed.

        Raises AgiError: for a hostile or broken environment (the state is REFUSED then, and the peer may still be
        sent the fallback response), or for a reply without an end.
        """
        if not self._buffer:
            return None
        if self.state is _ENVIRONMENT:
            return self._environment()
        if self.state is _WAITING:
            return self._reply()
        if self.state is not _CLOSED:
            self._unasked()
        return None

    @property
    def suspect(self) -> bool:
        """Whether anything has come that is no whole reply and no notice of a hangup."""
        return self.forged or bool(self._buffer)

    def send(self, command: bytes) -> bytes:
        """Declare that `command`, one whole line, is being sent; gives the bytes back for the transport.

        Asterisk does not take a second command before it has replied to the first. Raises RuntimeError for that.
        """
        if self.state not in (_ANSWERING, _REFUSED):
            raise RuntimeError(f"a command is sent in {self.state}; wait for the reply first")
        self.state = _WAITING
        return command

    def send_last(self) -> None:
        """Declare that commands are being sent one behind the other, and our side closed after them.

        Asterisk runs them all: with each, and at last with the end of the stream, it looks for what it has read already
        (run_agi in res_agi.c). What the peer still says, true or forged, changes nothing any more.
        Raises RuntimeError after the end.
        """
        if self.state is _CLOSED:
            raise RuntimeError("commands are sent after the end")
        self.state = _CLOSED
        self._buffer = b""

    def _environment(self) -> AgiRequest | None:
        buffer = self._buffer
        end = buffer.find(b"\n\n", self._searched)
        if end < 0:
            if len(buffer) > ENVIRONMENT_MAX_BYTES:
                raise self._refuse(Refused.TOO_LONG)
            if not _FIRST_KEY.startswith(buffer[:4]):
                raise self._refuse(Refused.NOT_AGI)
            return None
        self._buffer = buffer[end + 2 :]
        if end > ENVIRONMENT_MAX_BYTES:
            raise self._refuse(Refused.TOO_LONG)
        if not buffer.startswith(_FIRST_KEY):
            raise self._refuse(Refused.NOT_AGI)
        # A caller who has gone already is told of at once; nothing else comes before our command.
        if self._buffer and not _HANGUP.startswith(self._buffer):
            self.forged = True
            raise self._refuse(Refused.AFTER_ENVIRONMENT)
        try:
            request = parse_environment(buffer[:end])
        except AgiError as error:
            raise self._refuse(error.cause) from None
        self.state = _ANSWERING
        return request

    def _refuse(self, cause: Refused) -> AgiError:
        self.state = _REFUSED
        self._buffer = b""
        return AgiError(cause)

    def _reply(self) -> AgiReply | Hangup | None:
        if self._buffer == USUAL_REPLY and not self.forged:
            self._buffer = b""
            self.state = _ANSWERING
            return _SUCCESS
        buffer = self._buffer
        if self._strays + len(buffer) > REPLY_MAX_BYTES:
            raise self._refuse(Refused.BAD_REPLY)
        at, hung_up = 0, False
        while (found := _REPLY_OR_HANGUP.search(buffer, at)) is not None:
            if found.start() > at:
                # What follows a forged end of the environment: it came before our command and is no reply.
                self.forged = True
            at = found.start()
            reply = parse_reply(found[0][:-1])
            if reply is None:
                hung_up, at = True, found.end()
                self._hung_up(1)
                continue
            end, usage = _end_of_reply(buffer, found)
            if not usage:
                self.forged, at = True, end
                continue
            if hung_up or end < 0:
                break  # the hangup is told of first, or lines of usage are still due
            self._buffer = buffer[end:]
            self.state = _ANSWERING
            if self._buffer:
                self._unasked()  # a forged reply is followed by what really came next
            return AgiReply(reply.code, reply.text, self.forged)
        else:
            whole = buffer.rfind(b"\n") + 1
            if whole > at:
                self.forged, at = True, whole
        self._strays += at
        self._buffer = buffer[at:]
        return Hangup() if hung_up else None

    def _unasked(self) -> None:
        """Bytes that nobody asked for: a HANGUP notice is Asterisk's own, anything else is not."""
        *lines, begun = self._buffer.split(b"\n")
        if not _HANGUP.startswith(begun) or any(line != b"HANGUP" for line in lines):
            self.forged = True
            begun = b""
        self._hung_up(len(lines))
        self._buffer = begun

    def _hung_up(self, notices: int) -> None:
        self._hangups += notices
        if self._hangups > AGI_HANGUPS_MAX:
            self.forged = True


def _end_of_reply(buffer: bytes, first: re.Match[bytes]) -> tuple[int, bool]:
    """Where the reply ends whose first line is `first`, -1 where that has not come yet; and whether it is one at all.

    A block of usage text has a - behind the code; its last line has the same code and a space. What only begins like
    one goes on with the rest of an environment, or with the reply that really came: it is none up to there.
    """
    code, joint = first[0][:3], first[0][3:4]
    if joint != b"-":
        return first.end(), True
    for line in _IN_USAGE.finditer(buffer, first.end()):
        if line[0] == code + b" ":
            return buffer.find(b"\n", line.end()) + 1 or -1, True
        if line[0] != code + b"-":
            return line.start(), False
    if len(buffer) - first.start() > USAGE_MAX_BYTES:
        return buffer.rfind(b"\n") + 1, False
    return -1, True
