"""Real `ringway` processes for tests: commands that run to their end, and routers that run for a while.

Nothing here guesses a time: a router is ready when its log says so, and everything that is waited for has one
generous bound (`PATIENCE_SECONDS`), which only a broken test reaches. Whatever was started is ended with its whole
process group, and a process that is left over is an error.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import tomli_w
from prometheus_client.parser import text_string_to_metric_families

from router.agi.client import ask_route
from tests.ports import free_port

PATIENCE_SECONDS = 60.0
REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
RINGWAY = pathlib.Path(sys.executable).with_name("ringway")
DEMO_DATA = REPOSITORY / "config" / "demo.toml"

Settings = Mapping[str, Mapping[str, Any] | list[dict[str, Any]]]  # a list: [[ami]]
Data = str | pathlib.Path | list[pathlib.Path]


class Finished(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without any setting of Ringway's, and `extra` over it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RINGWAY_")}
    return kept | dict(extra or {})


def wait_until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Return as soon as `condition` holds; a test that waits in vain fails and says for what.

    Pauses as long as a look takes, so that the looking does not keep a core from what is waited for.
    """
    end = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        assert now < end, f"waited {seconds} s in vain: {what}"
        time.sleep(max(0.005, now - began))


def write_config(
    folder: pathlib.Path, settings: Settings | None = None, *, agi_port: int = 0, metrics_port: int = 0
) -> pathlib.Path:
    """A configuration with a store in `folder`, and `settings` (section -> key -> value) over it."""
    sections: dict[str, Any] = {
        "agi": {"port": agi_port} if agi_port else {},
        "metrics": {"port": metrics_port},
        "store": {"url": f"sqlite://{folder / 'ringway.db'}"},
    }
    for section, values in (settings or {}).items():
        sections[section] = values if isinstance(values, list) else sections.get(section, {}) | dict(values)
    path = folder / "ringway.toml"
    path.write_text(tomli_w.dumps(sections))
    return path


def ringway(
    *words: str | pathlib.Path,
    config: pathlib.Path | None = None,
    stdin: str | bytes = b"",
    environment: Mapping[str, str] | None = None,
    seconds: float = PATIENCE_SECONDS,
    prefix: Sequence[str] = (),
    program: str = "ringway",
) -> Finished:
    """Run a `ringway` command to its end. `config` is handed over with -c, `prefix` stands before all of it.

    `program`: another one beside `ringway`, such as its `python`.
    """
    command: list[str | pathlib.Path] = [*prefix, RINGWAY.with_name(program), *words]
    if config is not None:
        command += ["-c", config]
    done = subprocess.run(
        command,
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        env=clean_environment(environment),
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


def load(config: pathlib.Path, data: Data, *words: str) -> Finished:
    """`ringway load` a TOML text, a file or several files, and insist that it is done."""
    if isinstance(data, str):
        done = ringway("load", "-", *words, config=config, stdin=data)
    else:
        paths = [data] if isinstance(data, pathlib.Path) else list(data)
        done = ringway("load", *paths, *words, config=config)
    assert done.status == 0, done.err
    return done


class Router:
    """A `ringway serve`. `log` holds its JSON log lines as far as they have come, `err` its standard error."""

    def __init__(
        self,
        config: pathlib.Path,
        agi_port: int,
        metrics_port: int,
        environment: Mapping[str, str] | None = None,
        popen: Mapping[str, Any] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self._command = [*prefix, str(RINGWAY), "serve", "-c", str(config)]
        self.config = config
        self.agi_port = agi_port
        self.metrics_port = metrics_port
        self.log: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self.err = ""
        self._environment = clean_environment(environment)
        self._popen = dict(popen or {})
        self._news = threading.Condition()
        self._readers: list[threading.Thread] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process of the present (or last) start."""
        assert self._process is not None, "the router was never started"
        return self._process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def store_path(self) -> pathlib.Path:
        """The store's file, as `write_config` places it."""
        return self.config.parent / "ringway.db"

    def start(self, *, wait: bool = True) -> Self:
        """Start, and with `wait` return when the log says ready. May be called again after an end: same ports."""
        seen = len(self.log)
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **self._popen,
        )
        self._readers = [
            threading.Thread(target=self._read_log, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_errors, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        if wait:
            self.wait_for("ready", after=seen)
        return self

    def _read_log(self, stream: Any) -> None:
        for raw in stream:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            with self._news:
                self.lines.append(line)
                with contextlib.suppress(json.JSONDecodeError):
                    self.log.append(json.loads(line))
                self._news.notify_all()

    def _read_errors(self, stream: Any) -> None:
        for raw in stream:
            with self._news:
                self.err += raw.decode("utf-8", "replace")
                self._news.notify_all()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one event, so far."""
        with self._news:
            return [line for line in self.log if line.get("event") == name]

    def wait_for(
        self, event: str, *, after: int = 0, patience_seconds: float = PATIENCE_SECONDS, **fields: Any
    ) -> dict[str, Any]:
        """Wait for a log line of that event with those fields, among the lines from position `after` on."""
        end = time.monotonic() + patience_seconds
        with self._news:
            while True:
                for line in self.log[after:]:
                    if line.get("event") == event and all(line.get(key) == value for key, value in fields.items()):
                        return line
                ended = self.process.poll()
                assert ended is None or any(reader.is_alive() for reader in self._readers), (
                    f"the router ended with {ended} before {event}: {self.err or self.lines[-5:]}"
                )
                assert time.monotonic() < end, f"no {event} {fields} in the log: {self.lines[-20:]}"
                self._news.wait(0.05)

    def ask(self, did: str, caller: str = "", unique_id: str = "test.1") -> dict[str, str]:
        """One call's decision over FastAGI, as Asterisk would ask for it."""
        return ask_route("127.0.0.1", self.agi_port, did, caller, unique_id, PATIENCE_SECONDS)

    def metrics(self) -> dict[str, float]:
        """The metrics page: sample name, with its labels as in `ringway_store_up{store="sqlite"}` -> value."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=PATIENCE_SECONDS
        ) as answer:
            page = answer.read().decode()
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the router."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; returns the exit status. All of its log has been read then."""
        status = self.process.wait(PATIENCE_SECONDS)
        for reader in self._readers:
            reader.join(PATIENCE_SECONDS)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return status

    def terminate(self) -> int:
        """SIGTERM, and wait for the orderly end; returns the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL, as a crash would be."""
        self.signal(signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        """End what still runs, and insist that nothing is left."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self.signal(signal.SIGCONT)  # a stopped process would never see what follows
            self.terminate()
        elif any(reader.is_alive() for reader in self._readers):
            self.wait()
        end_group(self._process.pid)


def end_group(group: int) -> None:
    """See that a process group (that this test started) has nobody left in it: kill the rest and fail."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
    raise AssertionError(f"processes of group {group} were left over")


@contextlib.contextmanager
def running_router(
    folder: pathlib.Path,
    *,
    data: Data | None = DEMO_DATA,
    settings: Settings | None = None,
    environment: Mapping[str, str] | None = None,
    popen: Mapping[str, Any] | None = None,
    prefix: Sequence[str] = (),
    start: bool = True,
) -> Iterator[Router]:
    """A router on free ports with its store in `folder`, ready for calls; ended afterwards.

    `data`: what is loaded first (a TOML text, a file, several files, None for nothing); `settings`: section -> key ->
    value over the test's own; `environment`: variables besides the inherited ones; `popen`: more arguments for
    subprocess.Popen, such as `pass_fds`; `prefix`: a command that becomes the router. With `start=False` nothing runs
    before `start()` is called.
    """
    agi_port, metrics_port = free_port(), free_port()
    config = write_config(folder, settings, agi_port=agi_port, metrics_port=metrics_port)
    if data is not None:
        load(config, data)
    router = Router(config, agi_port, metrics_port, environment, popen, prefix)
    try:
        if start:
            router.start()
        yield router
    finally:
        router.close()
