"""What systemd and the router tell each other: sockets handed over, readiness, the watchdog.

Sources: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3). Outside of systemd all of it does nothing.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Mapping

from dialplan.wording import quote

_FIRST_DESCRIPTOR = 3
_COUNT_DIGITS = 4  # of descriptors that are handed over
_MICROSECONDS_DIGITS = 19  # of 64 bits


class UnusableSocketError(Exception):
    """What systemd hands over is no socket to listen on; the text names it and the hint."""


def listening_sockets(environment: Mapping[str, str]) -> list[socket.socket]:
    """The listening sockets that systemd hands over (socket activation), none where it does not.

    Raises UnusableSocketError. They stay open in systemd while the router restarts: connections wait in the kernel for
    the next process.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = environment.get("LISTEN_FDS", "0")
    if not _is_number(count, _COUNT_DIGITS):
        hint = "systemd sets it with LISTEN_PID; unset both where it does not"
        raise UnusableSocketError(f"LISTEN_FDS: {quote(count)} is no number of descriptors; {hint}")
    return [_listening(_FIRST_DESCRIPTOR + place) for place in range(int(count))]


def _listening(descriptor: int) -> socket.socket:
    """The socket under a descriptor. Raises UnusableSocketError, and leaves the descriptor open then."""
    fault, hint = "", "ListenStream=HOST:PORT is what ringway.socket has to have"
    try:
        os.set_inheritable(descriptor, False)
        found = socket.socket(fileno=descriptor)
    except OSError as error:
        fault = "is not open" if error.errno == errno.EBADF else "is no socket"
    else:
        if found.type != socket.SOCK_STREAM:
            fault = "takes single packets"
        elif not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            fault, hint = "is one connection, or does not listen", "Accept=no is what ringway.socket has to have"
        if not fault:
            return found
        found.detach()
    raise UnusableSocketError(f"LISTEN_FDS: descriptor {descriptor} {fault}; {hint}")


def _is_number(text: str, digits: int) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= digits


def notify(environment: Mapping[str, str], *lines: str) -> None:
    """Tell systemd something (`READY=1`, `WATCHDOG=1`, `STATUS=…`), where it wants to hear it. Never waits."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # Linux's abstract names
        address = "\0" + address[1:]
    # systemd's socket may be gone while the machine goes down; there is nobody to tell then.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        out.setblocking(False)  # a systemd that does not read must not hold up calls
        out.connect(address)
        out.sendall("\n".join(lines).encode())


def watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """How often systemd wants a sign of life, None where it does not watch this process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environment.get("WATCHDOG_USEC", "")
    given = _is_number(microseconds, _MICROSECONDS_DIGITS) and int(microseconds)
    return given / 1_000_000 if given else None
