"""Ports of loopback for servers of tests: no other test process draws the same, as long as this one lives.

A server that a test ends and starts again would else find its port taken, now and then, by a run beside it.
"""

import contextlib
import fcntl
import functools
import itertools
import os
import pathlib
import random
import socket
import tempfile
from collections.abc import Iterator
from typing import IO

# Below the range from which Linux takes the ports of outgoing connections, so that none of these is in the way; above
# those of the calls' sound (rtp.conf).
_PORTS = range(20_000, 32_000)
_SHARE = 400  # of one process: one that it has drawn does not come again soon
_held: list[IO[str]] = []


def free_port() -> int:
    """A port of 127.0.0.1, TCP and UDP, that nobody has."""
    for port in _share():
        with contextlib.suppress(OSError), socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a share of ports has no end")


@functools.cache
def _share() -> Iterator[int]:
    """The ports of this process, round and round. It has them by a lock on a file, which ends with the process."""
    folder = pathlib.Path(tempfile.gettempdir()) / f"ringway-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    firsts = list(_PORTS[::_SHARE])
    random.shuffle(firsts)
    for first in firsts:
        file = (folder / str(first)).open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
        else:
            _held.append(file)
            return itertools.cycle(range(first, first + _SHARE))
    raise AssertionError(f"{len(firsts)} test processes have all ports: see {folder}")
