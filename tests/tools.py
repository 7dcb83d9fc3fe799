"""Programs of others that judge what Ringway ships; `make test-parts` installs them."""

import os
import pathlib
import shutil

import pytest


def needed(name: str) -> str:
    """The path of the program `name`. Without it the test skips, saying what to install; with CI=true it fails."""
    cache = os.environ.get("TESTS_CACHE") or (
        pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "ringway"
    )
    found = shutil.which(name) or shutil.which(name, path=str(cache))
    if found is None:
        text = f"{name} is missing: run `make test-parts` as root on Debian, or install it"
        if os.environ.get("CI") == "true":
            pytest.fail(text, pytrace=False)
        pytest.skip(text)
    return found
