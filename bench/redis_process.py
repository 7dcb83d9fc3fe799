"""A redis-server for one run of the benchmark: on loopback, in memory alone, ended with it."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench import processes
from bench.sites import BenchError

_START_SECONDS = 20.0
_LOOK_SECONDS = 0.05


def program() -> str | None:
    """Return the path of a redis-server: of PATH, or of the cache that `make test-parts` fills; None without one."""
    cache = os.environ.get("TESTS_CACHE") or str(
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ringway"
    )
    return shutil.which("redis-server") or shutil.which("redis-server", path=cache)


@contextlib.contextmanager
def running(path: str, folder: Path) -> Iterator[str]:
    """Run `path` while the block runs; gives its address as `[store] url` has it."""
    port = processes.free_port()
    options = {"bind": "127.0.0.1", "port": str(port), "dir": str(folder), "save": "", "appendonly": "no"}
    command = [path, *(part for name, value in options.items() for part in (f"--{name}", value))]
    with processes.started(command, None, subprocess.DEVNULL) as process:
        give_up = time.monotonic() + _START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > give_up:
                raise BenchError(f"{path} did not start")
            time.sleep(_LOOK_SECONDS)
        yield f"redis://127.0.0.1:{port}/0"


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.sendall(b"PING\r\n")
            return sock.recv(16).startswith(b"+PONG")
    except OSError:
        return False
