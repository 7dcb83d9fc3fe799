"""A connection and all that is read from it, within one time: a peer that says a byte now and then gets no more."""

import socket
import time


def left(until: float) -> float:
    """The seconds until a moment of `time.monotonic()`. Raises TimeoutError."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds


def connected(host: str, port: int, until: float) -> socket.socket:
    """A connection to the first address of the host that takes one; `until` is for all of them together.

    The look-up of the name has the system's own bounds. Raises OSError, and UnicodeError: a host that no name can be.
    """
    failed: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(left(until))
            connection.connect(address)
        except OSError as error:
            connection.close()
            failed = error
        else:
            return connection
    raise failed or OSError("the host has no address")
