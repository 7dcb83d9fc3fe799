"""Finds what the Asterisk tests need: an Asterisk 22 and SIPp (`tests/parts/prepare` installs them)."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BY_HAND = "run `make test-parts` as root on Debian, or install SIPp and Asterisk 22 (TESTS_ASTERISK=/path/to/it)"
_VERSION_22 = re.compile(r"^Asterisk (certified/)?22\.")
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
    """An Asterisk 22: `root` is the folder it lives in as in a system of its own, or None where it is installed."""

    path: str
    root: Path | None

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
        children = Path(f"/proc/{started_pid}/task/{started_pid}/children").read_text("ascii").split()
        if not children:
            raise ProcessLookupError(f"process {started_pid} has no Asterisk under it")
        return ["nsenter", "--target", children[0], "--mount", "chroot", str(self.root), self.path, *arguments]


def _is_22(program: str) -> bool:
    try:
        said = subprocess.run([program, "-V"], capture_output=True, text=True, check=False, timeout=10).stdout
    except OSError:
        return False
    return bool(_VERSION_22.match(said))


def find_asterisk(environ: Mapping[str, str] = os.environ) -> Program:
    """Return the Asterisk 22 to test with, looked for in the order that `tests/parts/prepare` has."""
    own = environ.get("TESTS_ASTERISK")
    if own:
        if not _is_22(own):
            raise MissingPartError(f"TESTS_ASTERISK={own} is no Asterisk 22; {BY_HAND}")
        return Program(own, None)
    caches = environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(environ.get("TESTS_CACHE") or f"{caches}/ringway") / "asterisk-22"
    if (root / ".recipe").exists() and os.geteuid() == 0:
        return Program("asterisk", root)
    on_path = shutil.which("asterisk")
    if on_path and _is_22(on_path):
        return Program(on_path, None)
    raise MissingPartError(f"no Asterisk 22; {BY_HAND}")


def find_sipp() -> str:
    """Return the path of SIPp."""
    path = shutil.which("sipp")
    if path is None:
        raise MissingPartError(f"no SIPp; {BY_HAND}")
    return path
