"""A router with a store of its own: its data loaded, started until it answers, and ended."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench import calls, dataset, processes
from bench.loadgen import Generator
from bench.tally import Tally

ROOT = Path(__file__).resolve().parent.parent
LOAD_SECONDS = 900  # until `ringway load` of one file is given up
START_SECONDS = 60  # until a router that does not answer is given up, and as much again for each million numbers
_LOOK_SECONDS = 0.02
_LAST_WORDS = 2000


class BenchError(Exception):
    """A part of the benchmark did not do its work; the text says which, and its last words."""


class Server(NamedTuple):
    """A server under load: what the report calls it, where it listens, its first process."""

    name: str
    port: int
    pid: int


class Started(NamedTuple):
    """A router that answers, and what it took from its start to its first right answer."""

    server: Server
    took: processes.Used


class Site:
    """A router's folder and its store, `numbers` numbers in it after `load`.

    Everything is as it ships but for the ports and the places; metrics and the log are on.
    """

    def __init__(self, folder: Path, numbers: int, store_url: str | None = None) -> None:
        self.folder = folder
        self.numbers = numbers
        self.store_url = store_url or f"sqlite:///{folder / 'ringway.db'}"
        self.log = folder / "router.log"
        self.folder.mkdir(exist_ok=True)

    @property
    def snapshot(self) -> Path:
        """Where the router keeps its snapshot of a shared store."""
        return self.folder / "snapshot.db"

    def load(self, form: dataset.Format) -> processes.Used:
        """Load all numbers by `ringway load`, a million at a time; returns what all loads together took."""
        took = processes.NOTHING
        base = dataset.write_base(self.folder)
        for part in dataset.parts(self.numbers):
            numbers = dataset.write_numbers(self.folder, part, form)
            took = took.plus(self._load([base, numbers]))
            numbers.unlink()
        return took

    def clear(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder)

    def _load(self, files: list[Path]) -> processes.Used:
        meter = processes.Meter(os.getpid())
        done = subprocess.run(
            [sys.executable, "-m", "router", "load", *map(str, files)],
            env=self._environment(0, 0),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=LOAD_SECONDS,
        )
        if done.returncode:
            raise BenchError(f"`ringway load` failed: {done.stderr.strip()[-_LAST_WORDS:]}")
        return meter.read()

    @contextlib.contextmanager
    def router(self, name: str, core: int | None) -> Iterator[Started]:
        """Run the router on `core` while the block runs, from its first right answer on."""
        port, metrics_port = processes.free_port(), processes.free_port()
        give_up = time.monotonic() + START_SECONDS * (1 + self.numbers / 1e6)
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(self.log.open("wb"))
            command = [sys.executable, "-m", "router", "serve"]
            environment = self._environment(port, metrics_port)
            meter = processes.Meter(os.getpid())
            process = stack.enter_context(processes.started(command, core, output, environment))
            while not (probe := _probe(port)).right:
                if process.poll() is not None or probe.wrong or time.monotonic() > give_up:
                    last_words = self.log.read_text("utf-8", "replace")[-_LAST_WORDS:]
                    raise BenchError(f"the router did not start to answer rightly {probe.wrong_example}\n{last_words}")
                time.sleep(_LOOK_SECONDS)
            yield Started(Server(name, port, process.pid), meter.read())

    def comes_to_say(self, text: str) -> bool:
        """Whether the router's log has `text`, soon: its lines may come a moment behind its first answer."""
        give_up = time.monotonic() + START_SECONDS
        while text not in self.log.read_text("utf-8", "replace"):
            if time.monotonic() > give_up:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def _environment(self, port: int, metrics_port: int) -> dict[str, str]:
        """This process's environment with the settings of the site alone; ports only where there are some."""
        # An installed router has its bytecode: a start does not compile it.
        left_out = ("RINGWAY_", "PYTHONDONTWRITEBYTECODE")
        mine = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
        ports = {"RINGWAY_AGI__PORT": str(port), "RINGWAY_METRICS__PORT": str(metrics_port)} if port else {}
        return {
            **mine,
            **ports,
            "RINGWAY_STORE__URL": self.store_url,
            "RINGWAY_STORE__SNAPSHOT": str(self.snapshot),
        }


def _probe(port: int) -> Tally:
    starts = calls.arrivals(1, 1, 1, poisson=False)
    return Generator(("127.0.0.1", port), starts, iter([0]), rate=1, check=calls.is_right_answer).run()
