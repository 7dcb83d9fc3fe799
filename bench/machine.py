"""Where and of what a result was measured: the machine, the commit, the date."""

import contextlib
import datetime as dt
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
_PARTS = ("uvloop", "panoramisk", "ringway")


class Commit(NamedTuple):
    """The commit that is checked out, and whether the tree was what it has."""

    name: str  # short; "unknown" outside of a git repository
    clean: bool


def described() -> dict[str, Any]:
    """Return processor, cores, kernel, versions and the load of the last minute."""
    parts: dict[str, Any] = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
    for name in _PARTS:
        with contextlib.suppress(PackageNotFoundError):
            parts[name] = version(name)
    return {**parts, "load_average": round(os.getloadavg()[0], 2)}


def commit() -> Commit:
    """Return the commit that is checked out."""
    try:
        name = _git("rev-parse", "--short=10", "HEAD").strip()
        return Commit(name, clean=not _git("status", "--porcelain").strip())
    except (OSError, subprocess.SubprocessError):
        return Commit("unknown", clean=False)


def today() -> str:
    """Return the date in UTC."""
    return dt.datetime.now(dt.UTC).date().isoformat()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
