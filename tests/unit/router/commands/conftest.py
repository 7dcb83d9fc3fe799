"""The commands called in this process, on a store in a folder of the test's own."""

import json
import pathlib
import signal
from collections.abc import Callable, Iterator
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


@pytest.fixture(autouse=True)
def usual_signals() -> Iterator[None]:
    """Signals as in a terminal: where the tests run in the background some may be ignored."""
    usual: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler}
    usual |= {signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


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
