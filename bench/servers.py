"""The servers that are measured side by side, all up for the whole run, all on one core."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import processes
from bench.sites import BenchError, Server, Site

_FOLDER = Path(__file__).resolve().parent

BARE = "bare"
BARE_WITH_OPTIONS = "bare+options"
PANORAMISK = "panoramisk"
ROUTER = "router"
ROUTER_SMALL = "router-small"
AT_RATE = (BARE, BARE_WITH_OPTIONS, PANORAMISK, ROUTER, ROUTER_SMALL)
SATURATED = (BARE, BARE_WITH_OPTIONS, PANORAMISK, ROUTER)
CONSTANT = (BARE, BARE_WITH_OPTIONS)  # their answers tell nothing of the number


@contextlib.contextmanager
def running(site: Site, small: Site, core: int | None) -> Iterator[dict[str, Server]]:
    """Run all of them on `core` while the block runs; gives them by their names."""
    with contextlib.ExitStack() as stack:
        scripts = {
            BARE: ["bare.py"],
            BARE_WITH_OPTIONS: ["bare.py", "--socket-options"],
            PANORAMISK: ["panoramisk_app.py", "--numbers", str(site.numbers)],
        }
        found = {name: stack.enter_context(_script(name, words, core)) for name, words in scripts.items()}
        for name, each in ((ROUTER, site), (ROUTER_SMALL, small)):
            found[name] = stack.enter_context(each.router(name, core)).server
        yield found


@contextlib.contextmanager
def _script(name: str, words: Sequence[str], core: int | None) -> Iterator[Server]:
    """Run a script of this folder that prints its port when it listens."""
    command = [sys.executable, str(_FOLDER / words[0]), *words[1:]]
    with processes.started(command, core, subprocess.PIPE) as process:
        said = (process.stdout.readline() if process.stdout else b"").split()
        if said[:1] != [b"listening"]:
            raise BenchError(f"{name} did not start: {' '.join(command)}")
        yield Server(name, int(said[1]), process.pid)
