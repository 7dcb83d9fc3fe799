"""What the tests of the watch share."""

import asyncio
import types
from pathlib import Path

import pytest

from router.ami import monitor as watch
from tests.unit.router.ami.peers import SECRET
from tests.unit.router.ami.watching import (
    Watched,
)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    secret_file = tmp_path / "ami.secret"
    secret_file.write_text(f"{SECRET}\n")
    made = Watched(secret_file)
    clock = types.SimpleNamespace(
        TaskGroup=asyncio.TaskGroup,
        Event=asyncio.Event,
        gather=asyncio.gather,
        create_task=asyncio.create_task,
        CancelledError=asyncio.CancelledError,
        sleep=made.pause,
    )
    monkeypatch.setattr(watch, "asyncio", clock)
    return made
