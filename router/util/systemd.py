"""What systemd and the router tell each other: sockets handed over, readiness, the watchdog.

Sources: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3). Outside of systemd all of it does nothing.
"""

import contextlib
import os
import socket
from collections.abc import Mapping

_FIRST_DESCRIPTOR = 3


def listening_sockets(environment: Mapping[str, str]) -> list[socket.socket]:
    """The listening sockets that systemd hands over (socket activation), none where it does not.

    They stay open in systemd while the router restarts: connections wait in the kernel for the next process.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(environment.get("LISTEN_FDS", "0"))
    sockets = []
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + count):
        os.set_inheritable(descriptor, False)
        sockets.append(socket.socket(fileno=descriptor))
    return sockets


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
    return int(microseconds) / 1_000_000 if microseconds.isdecimal() and int(microseconds) else None
