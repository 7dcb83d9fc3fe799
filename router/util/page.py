"""A page of a router that runs on this machine, over HTTP. Whoever listens there may be anybody."""

import http.client
import io
import socket
import time
from typing import cast
from urllib.parse import urlsplit

from dialplan.wording import printable
from router.config.limits import PAGE_MAX_BYTES
from router.util.listening import from_here
from router.util.until import connected, left

_READ_BYTES = 65_536


class PageError(Exception):
    """Nobody answered as HTTP has it; the text says why. `refused`: nobody listens there."""

    def __init__(self, text: str, *, refused: bool = False) -> None:
        self.refused = refused
        super().__init__(text)


class _Received:
    """What was received, as http.client wants a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def address_of(host: str, port: int) -> str:
    """Where the pages of a router are that serves them on `host`, as somebody on this machine reaches it."""
    shown = from_here(host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"


def page_of(address: str, seconds: float) -> tuple[int, str]:
    """The status and the text of a page; all of it, but for the look-up of the host's name, takes `seconds` at most.

    Nobody else is asked: no proxy of the environment, and not whom a redirection names. Raises PageError.
    """
    place = urlsplit(address)
    host = place.hostname or ""
    try:
        data = _got(host, place.port or http.client.HTTP_PORT, place.path, seconds)
        with http.client.HTTPResponse(cast("socket.socket", _Received(data))) as answer:
            answer.begin()
            return answer.status, answer.read().decode("utf-8", "replace")
    except TimeoutError:
        raise PageError(f"no end of it within {seconds:g} s") from None
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: a length or a host that is none
        why = getattr(error, "strerror", None) or str(error).strip() or "it said nothing that HTTP knows"
        raise PageError(printable(why), refused=isinstance(error, ConnectionRefusedError)) from error


def _got(host: str, port: int, path: str, seconds: float) -> bytes:
    """All that is answered. Raises PageError, OSError, ValueError."""
    until = time.monotonic() + seconds
    received = bytearray()
    with connected(host, port, until) as connection:
        asked = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
        connection.sendall(asked.encode("ascii", "replace"))
        while data := connection.recv(_READ_BYTES):
            received += data
            if len(received) > PAGE_MAX_BYTES:
                raise PageError(f"more than {PAGE_MAX_BYTES} bytes came, and a router's page has fewer")
            connection.settimeout(left(until))
    return bytes(received)
