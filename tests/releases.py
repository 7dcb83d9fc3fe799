"""The last release beside this one: its files, out of the repository's own history, run by the same Python.

`tests/last_release` names the commit. Whoever makes a release writes its commit there.
"""

import pathlib
import subprocess
import tarfile
from collections.abc import Mapping
from io import BytesIO

import pytest

from tests.processes import REPOSITORY

COMMIT = (REPOSITORY / "tests" / "last_release").read_text("ascii").strip()


class Release:
    """Code in `folder`. `environment` is what makes a command run that code."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    @property
    def environment(self) -> Mapping[str, str]:
        """Its folder stands ahead of where this version is installed."""
        return {"PYTHONPATH": str(self.folder)}

    @property
    def asterisk_files(self) -> pathlib.Path:
        """The folder that a site includes."""
        return self.folder / "deploy" / "asterisk"


def unpacked(folder: pathlib.Path) -> Release:
    """The last release, unpacked into `folder`; skips the test where the history does not reach so far."""
    archive = subprocess.run(
        ["git", "-C", str(REPOSITORY), "archive", COMMIT, "router", "dialplan", "deploy/asterisk"],
        capture_output=True,
        check=False,
    )
    if archive.returncode:
        pytest.skip(f"the history here has no commit {COMMIT[:7]} of the last release: {archive.stderr.decode()[:200]}")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return Release(folder)


THIS = Release(REPOSITORY)
