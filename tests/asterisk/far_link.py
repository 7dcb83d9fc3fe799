"""A link with a delay between this machine and a network namespace, in which a router may run.

Two TUN devices, one of them in the namespace, and a process that passes packets on between them, each after the same
time. On both sides it is the kernel's own TCP that sends small writes and acknowledges them.
"""

import contextlib
import fcntl
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.processes import REPOSITORY

_TUNSETIFF = 0x400454CA
_TUN_WITHOUT_HEADER = 0x0001 | 0x1000  # IFF_TUN | IFF_NO_PI
_PACKET_BYTES = 65_536

CAN_BE_MADE = os.geteuid() == 0 and shutil.which("ip") is not None and Path("/dev/net/tun").exists()


class FarLink(NamedTuple):
    """`here` and `far` are the addresses of its ends; what `prefix` begins with runs at the far one."""

    here: str
    far: str
    prefix: tuple[str, ...]


@contextlib.contextmanager
def far_link(delay_seconds: float) -> Iterator[FarLink]:
    """A link on which each packet takes so long, as long as the block runs. Needs root, and `ip` of iproute2."""
    number = random.randrange(2**14)
    name = f"rwt{number}"
    here, far = (f"10.77.{number >> 6}.{(number & 63) * 4 + end}" for end in (1, 2))
    with contextlib.ExitStack() as stack:
        _ip("netns", "add", name)
        stack.callback(_ip, "netns", "del", name)
        _ip("-n", name, "link", "set", "lo", "up")
        ends = [_device(f"{name}-{end}") for end in "ab"]
        for each in ends:
            stack.callback(os.close, each)
        _ip("link", "set", f"{name}-b", "netns", name)
        for inside, end, address, other in (((), "a", here, far), (("-n", name), "b", far, here)):
            _ip(*inside, "address", "add", address, "peer", other, "dev", f"{name}-{end}")
            _ip(*inside, "link", "set", f"{name}-{end}", "up")
        words = [sys.executable, "-m", "tests.asterisk.far_link", *map(str, ends), str(delay_seconds)]
        passing = stack.enter_context(subprocess.Popen(words, cwd=REPOSITORY, pass_fds=ends))
        stack.callback(passing.kill)
        yield FarLink(here, far, ("ip", "netns", "exec", name))


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _device(name: str) -> int:
    made = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(made, _TUNSETIFF, struct.pack("16sH", name.encode(), _TUN_WITHOUT_HEADER))
    return made


def pass_on(one: int, other: int, delay_seconds: float) -> None:
    """Until it is killed."""
    under_way: deque[tuple[float, int, bytes]] = deque()  # when it is there, where that is, and a packet
    while True:
        wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for end in select.select([one, other], [], [], wait)[0]:
            packet = os.read(end, _PACKET_BYTES)
            under_way.append((time.monotonic() + delay_seconds, other if end == one else one, packet))
        while under_way and under_way[0][0] <= time.monotonic():
            _, end, packet = under_way.popleft()
            os.write(end, packet)


if __name__ == "__main__":
    pass_on(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
