"""Finds what the Asterisk tests need: Asterisk 22 or 16, and SIPp (`tests/parts/prepare` installs them)."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NEWEST, OLDEST = 22, 16  # the versions that are tested: the one that most sites have, and the oldest that should do
_OWN = {NEWEST: "TESTS_ASTERISK", OLDEST: "TESTS_ASTERISK_16"}
_INSIDE = "/mnt"
# In a mount and process namespace of its own: the run's folder appears as /mnt of the Asterisk folder, and neither a
# mount nor a process outlives the outermost process.
_ENTER = (
    'mount --bind "$1" "$2/mnt"; mount --bind /dev "$2/dev";'
    ' mount -t proc proc "$2/proc" 2>/dev/null || mount --rbind /proc "$2/proc";'
    ' root=$2; shift 2; exec chroot "$root" "$@"'
)


class MissingPartError(Exception):
    """Says in one line what is to be installed."""


@dataclass(frozen=True, slots=True)
class Program:
    """An Asterisk: `root` is the folder it lives in as in a system of its own, or None where it is installed."""

    path: str
    root: Path | None
    version: int

    def folder(self, run: Path) -> Path:
        """Return the path under which Asterisk sees the folder `run`."""
        return run if self.root is None else Path(_INSIDE)

    def start(self, run: Path, *arguments: str) -> list[str]:
        """Return the command line that starts Asterisk; it dies with the thread of Python that ran it."""
        bound_to_us = ["setpriv", "--pdeathsig", "KILL"]
        if self.root is None:
            return [*bound_to_us, self.path, *arguments]
        apart = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--"]
        entered = ["sh", "-ec", _ENTER, "sh", str(run), str(self.root), self.path, *arguments]
        return [*bound_to_us, *apart, *entered]

    def beside(self, started_pid: int, *arguments: str) -> list[str]:
        """Return the command line that runs the program where the one started as `started_pid` lives."""
        if self.root is None:
            return [self.path, *arguments]
        inside = str(self.process(started_pid))
        return ["nsenter", "--target", inside, "--mount", "chroot", str(self.root), self.path, *arguments]

    def process(self, started_pid: int) -> int:
        """Return the process of Asterisk itself, of the one started as `started_pid`."""
        if self.root is None:
            return started_pid
        children = Path(f"/proc/{started_pid}/task/{started_pid}/children").read_text("ascii").split()
        if not children:
            raise ProcessLookupError(f"process {started_pid} has no Asterisk under it")
        return int(children[0])


def by_hand(version: int = NEWEST) -> str:
    """What to do where a part is missing."""
    target = "test-parts" if version == NEWEST else f"test-parts-{version}"
    return (
        f"run `make {target}` as root on Debian, or install SIPp and Asterisk {version} ({_OWN[version]}=/path/to/it)"
    )


def _is(version: int, program: str) -> bool:
    try:
        said = subprocess.run([program, "-V"], capture_output=True, text=True, check=False, timeout=10).stdout
    except OSError:
        return False
    return bool(re.match(rf"Asterisk (certified/)?{version}\.", said))


def find_asterisk(version: int = NEWEST, environ: Mapping[str, str] = os.environ) -> Program:
    """Return the Asterisk to test with, looked for in the order that `tests/parts/prepare` has."""
    own = environ.get(_OWN[version])
    if own:
        if not _is(version, own):
            raise MissingPartError(f"{_OWN[version]}={own} is no Asterisk {version}; {by_hand(version)}")
        return Program(own, None, version)
    caches = environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(environ.get("TESTS_CACHE") or f"{caches}/ringway") / f"asterisk-{version}"
    if (root / ".recipe").exists() and os.geteuid() == 0:
        return Program("asterisk", root, version)
    on_path = shutil.which("asterisk")
    if on_path and _is(version, on_path):
        return Program(on_path, None, version)
    raise MissingPartError(f"no Asterisk {version}; {by_hand(version)}")


def find_sipp() -> str:
    """Return the path of SIPp."""
    path = shutil.which("sipp")
    if path is None:
        raise MissingPartError(f"no SIPp; {by_hand()}")
    return path
