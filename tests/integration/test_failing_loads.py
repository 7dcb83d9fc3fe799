"""Loads that go wrong: refused, killed, interrupted. What is stored is the old set or the new one, and is told so."""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.integration import large
from tests.processes import (
    PATIENCE_SECONDS,
    RINGWAY,
    Finished,
    clean_environment,
    load,
    ringway,
    wait_until,
    write_config,
)


def test_one_bad_row_among_100_000_is_named_and_changes_nothing(demo: pathlib.Path, tmp_path: pathlib.Path) -> None:
    before = ringway("dump", config=demo).out
    path = large.write(tmp_path / "many.json", 100_000, 0)
    text = path.read_text().replace(f'"{large.number(77_776)}", "company"', f'"{large.number(77_776)}", "compony"')
    path.write_text(text)
    done = ringway("load", path, config=demo)
    assert (done.status, done.out) == (1, "")
    where = f'{path}: numbers[77777] "{large.number(77_776)}"'
    assert f"{where}: compony: is not known here; did you mean company?" in done.err
    assert done.err.splitlines()[-1].endswith("nothing was changed")
    assert all(line.startswith(where) for line in done.err.splitlines()[:-1])
    assert ringway("dump", config=demo).out == before


NUMBERS = 6_000


class Loads:
    """A store with one set in it, and loads of another set that are killed."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.config = write_config(folder)
        self.store = folder / "ringway.db"
        self.wal = folder / "ringway.db-wal"
        self.new = large.write(folder / "new.json", NUMBERS, 1)
        load(self.config, large.write(folder / "old.json", NUMBERS, 0))
        shutil.copy(self.store, folder / "template.db")
        self.template = folder / "template.db"

    def reset(self) -> None:
        for path in self.store.parent.glob("ringway.db*"):
            path.unlink()
        shutil.copy(self.template, self.store)

    @contextlib.contextmanager
    def loading(self) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [RINGWAY, "load", self.new, "-c", self.config],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(),
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        with process.stdout, process.stderr:
            yield process
            process.wait(PATIENCE_SECONDS)

    def killed_when(self, moment: Callable[[subprocess.Popen[bytes]], bool]) -> str:
        """Kill a load as soon as `moment` holds (or it has ended); returns what it had acknowledged by then."""
        with self.loading() as process:
            while process.poll() is None and not moment(process):
                pass
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            assert process.stdout is not None
            return process.stdout.read().decode()

    def interrupted_when(
        self, moment: Callable[[], bool], times: int, number: signal.Signals = signal.SIGINT
    ) -> Finished:
        """Press Ctrl-C (or so), so many times, as soon as `moment` holds; returns what the load said of it."""
        with self.loading() as process:
            while process.poll() is None and not moment():
                pass
            for _ in range(times):
                process.send_signal(number)
            out, err = process.communicate(timeout=PATIENCE_SECONDS)
            return Finished(process.returncode, out.decode(), err.decode())

    def outcome(self) -> str:
        """Which set is there: all of the old one or all of the new one, in a database that is sound."""
        with contextlib.closing(sqlite3.connect(self.store)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            (version,) = database.execute("SELECT version FROM meta").fetchone()
        dumped = ringway("dump", "--json", config=self.config).json()
        flows = {each["call_flow"] for each in dumped["numbers"]}
        assert len(dumped["numbers"]) == NUMBERS
        assert (version, flows) in [(1, {"f0"}), (2, {"f1"})]
        return "old" if version == 1 else "new"

    def wal_bytes(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return self.wal.stat().st_size
        return -1


@pytest.fixture(scope="module")
def loads(tmp_path_factory: pytest.TempPathFactory) -> Loads:
    return Loads(tmp_path_factory.mktemp("loads"))


@pytest.mark.parametrize("size", [0, 1, 400_000])
def test_a_load_killed_while_its_log_grows_leaves_the_old_set_or_the_new_one(loads: Loads, size: int) -> None:
    loads.reset()
    loads.killed_when(lambda _: loads.wal_bytes() >= size)
    loads.outcome()


def test_a_load_killed_at_any_time_leaves_the_old_set_or_the_new_one(loads: Loads) -> None:
    loads.reset()
    started = time.monotonic()
    with loads.loading() as process:
        assert process.stdout is not None
        assert b"version 2" in process.stdout.read()
    whole = time.monotonic() - started
    assert loads.outcome() == "new"
    seen = []
    for _ in range(5):
        loads.reset()
        end = time.monotonic() + whole * random.uniform(0.4, 1.1)
        acknowledged = loads.killed_when(lambda _, end=end: time.monotonic() >= end)  # type: ignore[misc] # bound now
        seen.append(loads.outcome())
        assert seen[-1] == "new" or not acknowledged
    assert set(seen) <= {"old", "new"}


def test_an_acknowledged_load_survives_the_kill_that_follows(loads: Loads) -> None:
    loads.reset()
    with loads.loading() as process:
        assert process.stdout is not None
        assert b"version 2" in process.stdout.readline()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert loads.outcome() == "new"


@pytest.mark.parametrize(("size", "times"), [(0, 1), (0, 3), (1, 1), (1_000_000, 1), (1_000_000, 3)])
def test_an_interrupted_load_says_which_set_it_left(loads: Loads, size: int, times: int) -> None:
    loads.reset()
    said = loads.interrupted_when(lambda: loads.wal_bytes() >= size, times)
    if loads.outcome() == "old":
        assert said == (1, "", "ringway: interrupted; nothing was changed\n")
    else:
        assert said.out.endswith("version 2\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("size", [0, 1_000_000])
def test_so_does_one_that_is_ended_by_whoever_started_it(loads: Loads, size: int, number: signal.Signals) -> None:
    loads.reset()
    said = loads.interrupted_when(lambda: loads.wal_bytes() >= size, 1, number)
    if loads.outcome() == "old":
        assert said == (1, "", "ringway: interrupted; nothing was changed\n")
    else:
        assert said.out.endswith("version 2\n")


def test_one_that_waits_for_its_data_says_so_too(loads: Loads) -> None:
    with subprocess.Popen(
        [RINGWAY, "load", "-", "-c", loads.config],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        start_new_session=True,
    ) as process:
        status = pathlib.Path(f"/proc/{process.pid}/status")

        def has_begun() -> bool:
            handled = int(status.read_text().partition("SigCgt:")[2].split()[0], 16)
            return bool(handled >> (signal.SIGTERM - 1) & 1)

        wait_until(has_begun, "it has begun")
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert process.stderr.read() == b"ringway: interrupted; nothing was changed\n"
        assert process.wait(PATIENCE_SECONDS) == 1


@pytest.mark.long
def test_after_a_killed_load_the_next_one_goes_through(loads: Loads) -> None:
    loads.reset()
    loads.killed_when(lambda _: loads.wal_bytes() > 0)
    loads.outcome()
    load(loads.config, loads.new)
    assert loads.outcome() == "new"
