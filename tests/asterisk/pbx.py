"""A real Asterisk of a test's own: its files in a temporary folder, its ports free ones of loopback."""

import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.asterisk import pbx_conf
from tests.asterisk.parts import Program
from tests.asterisk.pbx_conf import Flow, Ports
from tests.ports import free_port

DEPLOY = Path(__file__).parents[2] / "deploy" / "asterisk"
BOOT_S = 30.0
STOP_S = 10.0
# Log lines that a healthy Asterisk may write whatever the test does, each with its reason.
EXPLAINED: tuple[str, ...] = (
    # A subscriber has hung up in the moment of the answer, before the subroutine on that channel returned.
    r"app_stack\.c: .*Abnormal 'Gosub\(ringway-let-go,s,1\)' exit",
    # Its own events, where many channels do something in one moment and the machine is busy: nothing is lost.
    r"taskprocessor\.c: (Taskprocessor|The) 'stasis/",
)
# What a test expects that makes its router fail: patterns for `surprises()`.
REFUSED = (
    r"res_agi\.c: (Connecting to .* failed for url|FastAGI connection to .* timed out|Couldn't connect to any host)"
)
# A router that is killed, or that stalled and cuts off what is past its deadline, while Asterisk writes to it.
CUT_OFF = r"utils\.c: write\(\) returned error: (Connection reset by peer|Broken pipe)"
TO_DEFAULT = r"Ringway: the default takes the call to"
FROM_KEPT = r"Ringway: no router answered for .*: using (what was to follow )?the answer kept"
_LOUD = re.compile(r"^\[[^\]]+\] (WARNING|ERROR)\[")


class AsteriskError(Exception):
    """Asterisk did not start, or did not do what it was told; has its last words."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call that reached a recording flow.

    Times are milliseconds since 1970: `started_ms` when the channel was made (before any dialplan), `arrived_ms` at the
    flow's first step. Bytes that are no UTF-8 are kept as surrogate escapes. A variable that is not set reads "".
    `limit` and `agi_exits` are what the AGI timeout sets for a while: TIMEOUT(absolute) and AGIEXITONHANGUP.
    """

    unique_id: str
    context: str
    exten: str
    priority: int
    dialled: str
    caller: str
    started_ms: float
    arrived_ms: int
    limit: str
    agi_exits: str
    variables: Mapping[str, str]

    @property
    def route_ms(self) -> float:
        """How long the way to the flow took."""
        return self.arrived_ms - self.started_ms


class Asterisk:
    """One running Asterisk; a context manager, or `start()` and `stop()`.

    `flows` are the destinations that record; `variables` the dialplan's globals, set as a site sets them; `extra` is
    appended to extensions.conf, and `files` (name in etc -> text) replace or add whole files; `name` is its systemname;
    `dialplan` has the files that it includes.
    """

    def __init__(
        self,
        program: Program,
        *,
        flows: Sequence[Flow] = (),
        variables: Mapping[str, str] | None = None,
        extra: str = "",
        files: Mapping[str, str] | None = None,
        examples: bool = False,
        name: str = "",
        dialplan: Path = DEPLOY,
    ) -> None:
        self.program = program
        self.dialplan = dialplan
        self.name = name
        self.flows = tuple(flows)
        self.variables = dict(variables or {})
        self.extra = extra
        self.files = dict(files or {})
        self.examples = examples
        self.host = "127.0.0.1"
        self.ports = Ports(0, 0, 0)
        self.boot_s = 0.0
        self.run = Path()
        self._read: dict[str, tuple[int, list[Arrival]]] = {}  # records by their files, as long as these had this size
        self._log_seen = 0
        self._secret = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it says that it is fully booted; a lost race for a port is run again."""
        for attempt in range(5):
            self.run = Path(tempfile.mkdtemp(prefix="ringway-ast-"))
            self._read.clear()
            self.ports = Ports(free_port(), free_port(), free_port())
            try:
                self._write_files()
                self._boot()
            except BaseException as error:
                told = self._last_words()
                self.stop()
                if attempt == 4 or "ddress already in use" not in told or not isinstance(error, AsteriskError):
                    raise
            else:
                return

    def stop(self) -> None:
        """Stop it cleanly, else kill it; nothing of it stays."""
        self._end()
        shutil.rmtree(self.run, ignore_errors=True)

    def restart(self) -> None:
        """Stop it cleanly and start it again, with the same ports and all that it keeps on disk."""
        self._end()
        self._boot()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(
                    self._beside(process.pid, "core stop now"), capture_output=True, check=False, timeout=STOP_S
                )
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def cli(self, command: str) -> str:
        """Run one command of Asterisk's command line and return what it prints."""
        process = self._running()
        done = subprocess.run(self._beside(process.pid, command), capture_output=True, check=False, timeout=BOOT_S)
        if done.returncode:
            raise AsteriskError(f"{command!r}: {(done.stderr or done.stdout).decode(errors='replace')}")
        return done.stdout.decode(errors="surrogateescape")

    @contextlib.contextmanager
    def manager(self, events: str = "off") -> Iterator[socket.socket]:
        """A session with the manager interface that may do everything, and hears of nothing unless told otherwise."""
        login = f"Action: Login\r\nUsername: harness\r\nSecret: {self._secret}\r\nEvents: {events}\r\n\r\n"
        with socket.create_connection((self.host, self.ports.ami), timeout=BOOT_S) as session:
            session.sendall(login.encode())
            yield session

    @property
    def pid(self) -> int:
        """The process of Asterisk itself."""
        return self.program.process(self._running().pid)

    def set_global(self, name: str, value: str) -> None:
        """Set a global variable of the dialplan for the calls that come."""
        self.cli(f'dialplan set global {name} "{value}"')

    def channels(self) -> int:
        """Return how many channels are alive."""
        found = re.search(r"(\d+) active channel", self.cli("core show channels count"))
        if found is None:
            raise AsteriskError("no count of channels")
        return int(found[1])

    def wait_idle(self, within_s: float = 10.0) -> None:
        """Wait until no channel is left: a call ends in Asterisk a little after it ended for the caller."""
        end = time.monotonic() + within_s
        while self.channels():
            if time.monotonic() > end:
                raise AsteriskError(f"channels left after {within_s} s:\n{self.cli('core show channels')}")
            time.sleep(0.02)

    def kept(self, under: str = "ringway") -> dict[str, str]:
        """Return what AstDB holds under a family: key -> value."""
        rows = re.findall(r"(?m)^/(\S+) *: (.*?) *$", self.cli(f"database show {under}"))
        return dict(rows)

    def keep(self, number: str, context: str, *, params: Mapping[str, str] | None = None, age_s: int = 0) -> None:
        """Write an answer into AstDB as the shipped dialplan does (values without quotes and edge blanks)."""
        values = dict(params or {})
        names = ":".join(values)
        for name, value in values.items():
            self.cli(f'database put ringway {number}/kept-by-test/{name} "{value}"')
        facts = [
            str(int(time.time()) - age_s),
            "kept-by-test",
            context,
            "s",
            "1",
            "call-flow",
            "main",
            "acme",
            number,
            "1",
        ]
        self.cli(f'database put ringway {number} "{"|".join([*facts, names])}"')

    def calls(self) -> list[Arrival]:
        """Return the calls that reached a recording flow, in the order of their arrival."""
        for file in os.scandir(self.run / "calls"):
            size = file.stat().st_size
            if file.name not in self._read or self._read[file.name][0] != size:
                text = Path(file).read_bytes()[:size].decode("utf-8", "surrogateescape")
                self._read[file.name] = size, list(_arrivals(file.name, text))
        arrivals = [arrival for _, its in self._read.values() for arrival in its]
        return sorted(arrivals, key=lambda arrival: arrival.arrived_ms)

    def forget(self) -> None:
        """Forget what earlier tests left: the calls recorded, the answers kept, and the log so far."""
        for file in (self.run / "calls").iterdir():
            file.unlink()
        self._read.clear()
        self.cli("database deltree ringway")
        self._log_seen = self._log_file().stat().st_size if self._log_file().exists() else 0

    def log(self) -> str:
        """Return the log's notices, warnings and errors since the start or the last `forget()`."""
        file = self._log_file()
        return file.read_bytes()[self._log_seen :].decode("utf-8", "surrogateescape") if file.exists() else ""

    def surprises(self, *expected: str) -> list[str]:
        """Return the warnings and errors in the log that neither `EXPLAINED` nor the `expected` patterns match."""
        known = [re.compile(pattern) for pattern in (*EXPLAINED, *expected)]
        loud = [line for line in self.log().splitlines() if _LOUD.match(line)]
        return [line for line in loud if not any(pattern.search(line) for pattern in known)]

    def assert_no_surprise(self, *expected: str) -> None:
        """Fail where the log has a warning or an error that nobody explained."""
        found = self.surprises(*expected)
        assert not found, "\n".join(["nobody explained:", *found])

    def _log_file(self) -> Path:
        return self.run / "log" / "messages"

    def _write_files(self) -> None:
        for name in ("etc", "lib", "cache", "spool", "run", "log", "calls", "moh"):
            (self.run / name).mkdir()
        etc, seen = self.run / "etc", self.program.folder(self.run)
        shutil.copytree(self.dialplan, etc / "ringway")
        files = {
            "asterisk.conf": pbx_conf.asterisk_conf(seen, self.name),
            "extensions.conf": pbx_conf.extensions_conf(seen, self.flows, self.variables, self.extra, self.examples),
            "manager.conf": pbx_conf.manager_conf(self.ports, self._secret),
            "modules.conf": pbx_conf.modules_conf(),
            "pjsip.conf": pbx_conf.pjsip_conf(self.ports),
        }
        (self.run / "moh" / "quiet.ulaw").write_bytes(b"\xff" * 8000)
        files |= pbx_conf.small_files(seen, examples=self.examples)
        for name, text in (files | self.files).items():
            (etc / name).write_text(text, "utf-8")

    def _boot(self) -> None:
        began = time.monotonic()
        conf = str(self.program.folder(self.run) / "etc" / "asterisk.conf")
        with (self.run / "console").open("wb") as console:
            self._process = subprocess.Popen(
                self.program.start(self.run, "-f", "-C", conf),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        end = began + BOOT_S
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise AsteriskError(f"Asterisk ended while it started:\n{self._last_words()}")
            try:
                with socket.create_connection((self.host, self.ports.ami), timeout=end - time.monotonic()) as ami:
                    self._await_boot(ami)
            except ConnectionRefusedError:
                time.sleep(0.01)  # the manager is not loaded yet
                continue
            self.boot_s = time.monotonic() - began
            if "ddress already in use" in self.log():
                raise AsteriskError("a port was taken")
            return
        raise AsteriskError(f"Asterisk was not up after {BOOT_S} s:\n{self._last_words()}")

    def _await_boot(self, ami: socket.socket) -> None:
        ami.sendall(f"Action: Login\r\nUsername: harness\r\nSecret: {self._secret}\r\n\r\n".encode())
        with ami.makefile("rb") as lines:
            for line in lines:
                if line.strip() == b"Event: FullyBooted":
                    return
                if line.strip() == b"Response: Error":
                    raise AsteriskError("the port of the manager belongs to somebody else: address already in use")
        raise AsteriskError(f"Asterisk ended while it started:\n{self._last_words()}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise AsteriskError(f"Asterisk does not run:\n{self._last_words()}")
        return self._process

    def _beside(self, pid: int, command: str) -> list[str]:
        conf = str(self.program.folder(self.run) / "etc" / "asterisk.conf")
        return self.program.beside(pid, "-C", conf, "-rx", command)

    def _last_words(self) -> str:
        console = self.run / "console"
        said = console.read_text("utf-8", "replace") if console.exists() else ""
        return "\n".join((said + self.log()).splitlines()[-30:])


def _arrivals(unique_id: str, text: str) -> Iterable[Arrival]:
    facts: dict[str, str] = {}
    for item in text.split(pbx_conf.ITEM):
        name, _, value = item.partition(pbx_conf.FIELD)
        if name != "end":
            facts[name] = value
            continue
        priority, _, arrived = facts["arrived"].partition(" ")
        yield Arrival(
            unique_id=unique_id,
            context=facts["context"],
            exten=facts["exten"],
            priority=int(priority),
            dialled=facts["dialled"],
            caller=facts["caller"],
            started_ms=float(facts["started"]) * 1000,
            arrived_ms=round(datetime.fromisoformat(f"{arrived}+00:00").timestamp() * 1000),
            limit=facts["limit"],
            agi_exits=facts["agi_exits"],
            variables={name: value for name, value in facts.items() if name.startswith(("ROUTE_", "PARAM_"))},
        )
        facts = {}
