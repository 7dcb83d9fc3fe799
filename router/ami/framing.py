"""Bytes of a manager session -> whole messages. Sans-IO: bytes in, messages out, in slices of the caller's size.

A session begins with one line, the banner. Messages end with a blank line; one that never ends, and what begins with
another line, is no manager interface.
"""

from router.config.limits import AMI_MESSAGE_MAX_BYTES

_BANNER = b"Asterisk Call Manager/"
_END = b"\r\n\r\n"
_ACTION_ID = b"\r\nActionID: "


class FramingError(Exception):
    """What came is no manager session; the text says why."""


class Framer:
    """The bytes that have come and not been taken yet. `introduced`: the banner has come."""

    def __init__(self) -> None:
        self._bytes = b""
        self.introduced = False

    def feed(self, data: bytes) -> None:
        """Add what has come."""
        self._bytes += data

    def take(self, count: int) -> list[bytes]:
        """The next whole messages, at most `count`, without their line ends; fewer: no more has come.

        Raises FramingError.
        """
        if not self.introduced and not self._introduce():
            return []
        *messages, self._bytes = self._bytes.split(_END, count)
        if len(messages) < count and len(self._bytes) > AMI_MESSAGE_MAX_BYTES:
            raise FramingError(f"a message has more than {AMI_MESSAGE_MAX_BYTES} bytes")
        return [each.strip(b"\r\n") for each in messages]

    def _introduce(self) -> bool:
        line, found, rest = self._bytes.partition(b"\r\n")
        if (found and not line.startswith(_BANNER)) or (not found and len(line) > AMI_MESSAGE_MAX_BYTES):
            raise FramingError("what answered is no manager interface")
        if found:
            self._bytes = rest
            self.introduced = True
        return self.introduced


def action_id(message: bytes) -> str:
    """The action that a message says it replies to, "" where it says none."""
    _, found, rest = message.partition(_ACTION_ID)
    return rest.partition(b"\r\n")[0].decode("ascii", "replace") if found else ""
