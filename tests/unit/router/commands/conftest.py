"""The commands called in this process, on a store in a folder of the test's own."""

import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from router import cli
from tests.processes import DEMO_DATA, write_config


class Ran(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command with the test's configuration; `check` needs none."""
    config = write_config(tmp_path)

    def use(command: str, *words: str | pathlib.Path) -> Ran:
        configured = [] if command == "check" else ["-c", str(config)]
        status = cli.main([command, *map(str, words), *configured])
        return Ran(status, *capsys.readouterr())

    return use


@pytest.fixture
def demo(run: Run) -> Run:
    """The same, with the demo data loaded."""
    assert run("load", DEMO_DATA).status == 0
    return run
