"""A real `ringway serve`: starting, ending, restarting under load, what it says and what it counts."""

import asyncio
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from router.agi.client import ask
from router.limits import LOG_LINES_MAX
from tests.fastagi import environment, environment_lines, executed, place
from tests.processes import (
    DEMO_DATA,
    PATIENCE_SECONDS,
    RINGWAY,
    Router,
    clean_environment,
    free_port,
    load,
    ringway,
    running_router,
    wait_until,
    write_config,
)

DID, FLOW = "02079460000", "flow-main-menu"
CALLS_PER_SECOND = 200


class Load:
    """Calls at a steady rate, each on a connection of its own, and how each of them ended."""

    def __init__(self, port: int) -> None:
        self.ended: Counter[str] = Counter()
        self._port = port
        self._stop = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Place calls until told to stop, and wait for their ends."""
        while not self._stop.is_set():
            call = asyncio.create_task(self._call())
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1 / CALLS_PER_SECOND)
        await asyncio.gather(*self._calls)

    def stop(self) -> None:
        self._stop.set()

    async def more(self, count: int, kind: str = "answered") -> None:
        """Wait until so many more calls have ended that way."""
        wanted = self.ended[kind] + count
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.ended[kind] < wanted:  # noqa: ASYNC110 - ends as calls do, without an event of its own
                await asyncio.sleep(0.002)

    async def _call(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                call = await place("127.0.0.1", self._port, environment_lines({"agi_extension": DID}))
        except ConnectionRefusedError:
            self.ended["refused"] += 1
        except (OSError, TimeoutError) as error:
            self.ended[repr(error)] += 1
        else:
            right = call.variables.get("ROUTE_CONTEXT") == FLOW and call.variables.get("ROUTE_STATUS") == "OK"
            self.ended["answered" if right else f"dropped after {call.commands!r}"] += 1


@contextlib.asynccontextmanager
async def steady_load(port: int) -> AsyncIterator[Load]:
    """Calls at a steady rate while the block runs; all of them have ended afterwards."""
    calls = Load(port)
    running = asyncio.create_task(calls.run())
    try:
        yield calls
    finally:
        calls.stop()
        await running


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
    sock.settimeout(PATIENCE_SECONDS)
    return sock


def refuses(port: int) -> bool:
    """Whether a new connection is refused."""
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


# --- the start ----------------------------------------------------------------------------------------------------


def test_a_router_that_says_ready_serves_and_says_where(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path) as router:
        assert router.ask(DID)["ROUTE_CONTEXT"] == FLOW
        (ready,) = router.events("ready")
        assert ready["agi"] == f"127.0.0.1:{router.agi_port}"
        assert ready["metrics"] == f"http://127.0.0.1:{router.metrics_port}/metrics"
        assert ready["store"] == f"sqlite://{router.store_path}"
        assert ready["numbers"] == 6
        assert router.terminate() == 0
        assert router.err == ""


@pytest.mark.parametrize("section", ["agi", "metrics"])
def test_a_port_in_use_is_one_line_that_names_its_key(tmp_path: pathlib.Path, section: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        ports = {"agi_port": free_port(), "metrics_port": free_port()} | {f"{section}_port": taken}
        done = ringway("serve", config=write_config(tmp_path, **ports))
    assert done.status == 1
    (line,) = done.err.splitlines()
    for part in (f"[{section}]", "port", str(taken), f"RINGWAY_{section.upper()}__PORT"):
        assert part in line
    assert "ready" not in done.out


def test_of_two_routers_on_one_port_one_serves_and_the_other_says_why_not(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path, settings={"metrics": {"port": 0}}, start=False) as one:
        two = Router(one.config, one.agi_port, 0)
        try:
            for router in (one, two):
                router.start(wait=False)
            wait_until(lambda: one.process.poll() is not None or two.process.poll() is not None, "one of them ends")
            loser, winner = (one, two) if one.process.poll() is not None else (two, one)
            assert loser.wait() == 1
            (line,) = loser.err.splitlines()
            assert "[agi]" in line
            winner.wait_for("ready")
            assert winner.ask(DID)["ROUTE_CONTEXT"] == FLOW
        finally:
            two.close()


def test_as_many_calls_as_the_cap_allows_fit_whatever_the_shells_soft_limit_is(tmp_path: pathlib.Path) -> None:
    prefix = ["/bin/sh", "-c", 'ulimit -S -n 64; exec "$@"', "sh"]
    with running_router(tmp_path, prefix=prefix) as router, contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(connect(router.agi_port))
        wait_until(lambda: router.metrics()["ringway_agi_connections"] == 200, "all of them are accepted")
        assert router.ask(DID)["ROUTE_CONTEXT"] == FLOW


# --- the end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_router_in_order(tmp_path: pathlib.Path, number: signal.Signals) -> None:
    with running_router(tmp_path) as router:
        router.signal(number)
        assert router.wait() == 0
        assert router.err == ""
        assert router.log[-1]["event"] == "stopped"
        assert router.log[-1]["cut_off"] == 0
        assert refuses(router.agi_port)


def test_calls_in_flight_finish_while_new_ones_are_refused(tmp_path: pathlib.Path) -> None:
    block = environment({"agi_extension": DID})
    with running_router(tmp_path, settings={"agi": {"deadline_ms": 60_000}}) as router:
        held = [connect(router.agi_port) for _ in range(3)]
        for sock in held:
            sock.sendall(block[:200])
        wait_until(lambda: router.metrics()["ringway_agi_connections"] == 3, "they are accepted")
        router.signal(signal.SIGTERM)
        router.wait_for("draining", calls=3)
        wait_until(lambda: refuses(router.agi_port), "new ones are refused")
        router.signal(signal.SIGTERM)  # a second one changes nothing
        for sock in held:
            sock.sendall(block[200:])
            with sock, sock.makefile("rb") as lines:
                assert dict(executed(lines.readline()))["ROUTE_CONTEXT"] == FLOW
                sock.sendall(b"200 result=0\n")
                assert lines.read() == b""
        assert router.wait() == 0
        assert len(router.events("call")) == 3
        assert router.log[-1] == router.wait_for("stopped", cut_off=0)


def test_a_call_that_never_ends_does_not_hold_up_the_end(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path, settings={"agi": {"deadline_ms": 200}}) as router, connect(router.agi_port) as sock:
        wait_until(lambda: router.metrics()["ringway_agi_connections"] == 1, "it is accepted")
        assert router.terminate() == 0
        with contextlib.suppress(ConnectionError):
            assert sock.recv(100) == b""
        assert router.events("agi_rejected")[-1]["cause"] == "deadline"


async def test_whoever_was_let_in_before_the_end_is_answered_and_the_others_are_refused(
    tmp_path: pathlib.Path,
) -> None:
    restarts = 3
    with running_router(tmp_path, settings={"agi": {"deadline_ms": 30_000}}) as router:
        async with steady_load(router.agi_port) as calls:
            for _ in range(restarts):
                await calls.more(20)
                assert await asyncio.to_thread(router.terminate) == 0
                await calls.more(5, "refused")
                await asyncio.to_thread(router.start)
            await calls.more(20)
        unlucky = sum(calls.ended.values()) - calls.ended["answered"] - calls.ended["refused"]
        # Whoever the kernel lets in between our last look at its queue and the close, some microseconds, is reset at
        # once, and Asterisk fails over as if refused. It takes thousands of calls a second to see one.
        assert unlucky <= restarts, calls.ended
        assert router.terminate() == 0
        assert len(router.events("call")) == calls.ended["answered"], "everybody whom the router accepted is answered"
        assert router.events("agi_rejected") == []


# --- under systemd ------------------------------------------------------------------------------------------------

# Becomes the router with the descriptor in its first argument as the first one that systemd hands over.
_HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.closerange(4, 256)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="agi")
os.execv(sys.argv[2], sys.argv[2:])
"""


@contextlib.contextmanager
def activated(folder: pathlib.Path) -> Iterator[tuple[Router, int]]:
    """A router on a socket that the test holds, as systemd would, and the port of that."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as held:
        descriptor = held.fileno()
        with running_router(
            folder,
            settings={"agi": {"deadline_ms": 30_000}},
            prefix=[sys.executable, "-S", "-E", "-c", _HAND_OVER, str(descriptor)],
            popen={"pass_fds": [descriptor]},
        ) as router:
            yield router, held.getsockname()[1]


async def test_under_socket_activation_a_restart_refuses_nobody_and_every_call_is_answered(
    tmp_path: pathlib.Path,
) -> None:
    with activated(tmp_path) as (router, port):
        assert router.events("ready")[0]["agi"] == f"127.0.0.1:{port}"
        assert refuses(router.agi_port), "the configured port is not used then"
        async with steady_load(port) as calls:
            for _ in range(2):
                await calls.more(20)
                assert await asyncio.to_thread(router.terminate) == 0
                await asyncio.to_thread(router.start)
            await calls.more(20)
        assert set(calls.ended) == {"answered"}, calls.ended


async def test_under_socket_activation_a_killed_router_costs_only_the_calls_that_it_held(
    tmp_path: pathlib.Path,
) -> None:
    with activated(tmp_path) as (router, port):
        async with steady_load(port) as calls:
            await calls.more(20)
            await asyncio.to_thread(router.kill)
            await asyncio.to_thread(router.start)
            await calls.more(20)
        assert "refused" not in calls.ended
        assert sum(calls.ended.values()) - calls.ended["answered"] <= 5, calls.ended


class Systemd:
    """The socket that systemd listens on, and what it heard."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.address = str(folder / "notify")
        self._socket.bind(self.address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        """What has come since the last time."""
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(self._socket.recv(4096).decode())
        return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: pathlib.Path) -> Iterator[Systemd]:
    place_ = Systemd(tmp_path)
    yield place_
    place_.close()


def is_stopped(pid: int) -> bool:
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("T")


def test_systemd_is_told_of_readiness_of_life_and_of_the_end(tmp_path: pathlib.Path, systemd: Systemd) -> None:
    environment_ = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "100000"}
    heard: list[str] = []

    def watchdogs() -> int:
        heard.extend(systemd.heard())
        return heard.count("WATCHDOG=1")

    with running_router(tmp_path, environment=environment_) as router:
        wait_until(lambda: watchdogs() >= 5, "signs of life")
        assert heard[0].split("\n") == ["READY=1", "STATUS=6 numbers"]
        assert set(heard[1:]) == {"WATCHDOG=1"}

        router.signal(signal.SIGSTOP)
        wait_until(lambda: is_stopped(router.pid), "it is stopped")
        systemd.heard()
        time.sleep(0.3)  # three of its intervals
        assert systemd.heard() == []

        router.signal(signal.SIGCONT)
        heard.clear()
        wait_until(lambda: watchdogs() >= 2, "signs of life again")
        assert router.terminate() == 0
    said = [message for message in [*heard, *systemd.heard()] if message != "WATCHDOG=1"]
    assert said == ["STOPPING=1"]


def test_systemd_is_told_of_readiness_only_when_calls_are_answered(tmp_path: pathlib.Path, systemd: Systemd) -> None:
    with running_router(tmp_path, environment={"NOTIFY_SOCKET": systemd.address}, start=False) as router:
        router.start(wait=False)
        wait_until(lambda: "READY=1" in "".join(systemd.heard()), "readiness")
        assert router.ask(DID)["ROUTE_CONTEXT"] == FLOW
        router.wait_for("ready")
        assert not [message for message in systemd.heard() if "WATCHDOG" in message], "nobody asked for it"


def test_a_watchdog_meant_for_another_process_is_left_alone(tmp_path: pathlib.Path, systemd: Systemd) -> None:
    environment_ = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    with running_router(tmp_path, environment=environment_) as router:
        for _ in range(20):
            router.ask(DID)
        assert router.terminate() == 0
    assert {message.partition("\n")[0] for message in systemd.heard()} == {"READY=1", "STOPPING=1"}


# --- the log ------------------------------------------------------------------------------------------------------

HOSTILE = [
    b'"},{"event":"call"}',
    b"\x1b[2J\x1b]0;title\x07",
    b"\r{}",
    b"\xff\xfe\x9b31m",
    "\u2028\u2029\x85".encode(),
    b"\0",
    b"x reason=assigned caller=+44",
    b"%s %(x)s {0}",
    "\u202e0207".encode(),
]


def raw_call(port: int, dialled: bytes, caller: bytes, unique_id: str) -> dict[str, str]:
    """One call with bytes as a trunk may send them."""
    lines = environment_lines({"agi_extension": "DIALLED", "agi_callerid": "CALLER", "agi_uniqueid": unique_id})
    block = b"".join(lines).replace(b"DIALLED", dialled).replace(b"CALLER", caller)
    with connect(port) as sock, sock.makefile("rb") as answers:
        sock.sendall(block)
        said = dict(executed(answers.readline()))
        sock.sendall(b"200 result=0\n")
        assert answers.read() == b""
    return said


@pytest.mark.parametrize(("masked", "caller"), [(False, "+447700900123"), (True, "…23")])
def test_each_call_is_one_line_with_all_that_tells_of_it(tmp_path: pathlib.Path, masked: bool, caller: str) -> None:
    with running_router(tmp_path, settings={"log": {"mask_callers": masked}}) as router:
        said = router.ask(DID, caller="07700900123", unique_id="1795316003.7")
        assert said["ROUTE_CALLER"] == "+447700900123"
        line = dict(router.wait_for("call", unique_id="1795316003.7"))
        assert line.pop("duration_ms") > 0
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", line.pop("timestamp"))
        assert line == {
            "event": "call",
            "level": "info",
            "unique_id": "1795316003.7",
            "dialled": DID,
            "number": "+442079460000",
            "caller": caller,
            "reason": "assigned",
            "kind": "call-flow",
            "id": "main-menu",
            "company": "acme",
            "destination": f"{FLOW},s,1",
            "version": int(said["ROUTE_VERSION"]),
        }
        if masked:
            assert not [text for text in router.lines if "7700900123" in text]


def test_what_strangers_send_neither_breaks_nor_forges_a_line(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path) as router:
        for index, text in enumerate(HOSTILE):
            assert raw_call(router.agi_port, text, text, f"h.{index}")["ROUTE_STATUS"] == "OK"
        raw_call(router.agi_port, DID.encode(), b"1\nagi_extension: 999", "forged.1")
        assert router.terminate() == 0
        parsed = [json.loads(line) for line in router.lines]
        calls = [line for line in parsed if line["event"] == "call"]
        assert [line["dialled"] for line in calls[:-1]] == [text.decode("utf-8", "replace") for text in HOSTILE]
        assert {line["caller"] for line in calls} == {""}
        assert {line["reason"] for line in calls[:-1]} <= {"bad-number", "unknown-number"}
        assert (calls[-1]["reason"], calls[-1]["unique_id"]) == ("error", "")
        assert [line["cause"] for line in parsed if line["event"] == "agi_rejected"] == ["bad-order"]


def test_the_console_stays_a_line_a_call_whatever_strangers_send(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path, settings={"log": {"format": "console"}}, start=False) as router:
        router.start(wait=False)
        wait_until(lambda: any(" ready " in line for line in list(router.lines)), "it is ready")
        for index, text in enumerate(HOSTILE):
            raw_call(router.agi_port, text, text, f"h.{index}")
        assert router.terminate() == 0
        calls = [line for line in router.lines if re.match(r"\S+ \[info +\] call ", line)]
        assert len(calls) == len(HOSTILE)
        assert all(line.isprintable() for line in router.lines)
        assert all(f"unique_id=h.{index} " in line for index, line in enumerate(calls))
        assert not [line for line in calls if re.search(r"(?<!\S)caller=\+44", re.sub(r"'[^']*'", "''", line))]


@contextlib.contextmanager
def unread_router(folder: pathlib.Path, *, out: int) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """A router as in production (its standard output buffered by Python's default) that logs into `out`."""
    ports = free_port(), free_port()
    config = write_config(folder, agi_port=ports[0], metrics_port=ports[1])
    load(config, DEMO_DATA)
    usual = {name: value for name, value in clean_environment().items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen([RINGWAY, "serve", "-c", config], stdout=out, stderr=subprocess.PIPE, env=usual)
    try:
        wait_until(lambda: process.poll() is not None or not refuses(ports[0]), "it listens")
        yield process, *ports
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _sample(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS) as page:
        found = re.search(rf"(?m)^{name} (\S+)$", page.read().decode())
    assert found is not None, name
    return float(found[1])


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for each in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(each)


def test_a_log_that_nobody_reads_holds_up_neither_calls_nor_the_end(
    tmp_path: pathlib.Path, pipe: tuple[int, int]
) -> None:
    with unread_router(tmp_path, out=pipe[1]) as (process, agi_port, _):
        for _ in range(600):  # three times what the pipe holds
            assert ask("127.0.0.1", agi_port, DID, "", "u.1", PATIENCE_SECONDS)["ROUTE_CONTEXT"] == FLOW
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0


def test_a_log_whose_reader_has_gone_is_said_and_calls_go_on(tmp_path: pathlib.Path, pipe: tuple[int, int]) -> None:
    with unread_router(tmp_path, out=pipe[1]) as (process, agi_port, metrics_port):
        for each in pipe:
            os.close(each)
        for _ in range(20):
            assert ask("127.0.0.1", agi_port, DID, "", "u.1", PATIENCE_SECONDS)["ROUTE_CONTEXT"] == FLOW
        wait_until(lambda: _sample(metrics_port, "ringway_log_lines_dropped_total") >= 20, "the loss is counted")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0
        assert b"cannot write the log" in said
        assert b"Traceback" not in said


@pytest.mark.long
def test_lines_beyond_what_may_wait_are_dropped_and_counted(tmp_path: pathlib.Path, pipe: tuple[int, int]) -> None:
    with unread_router(tmp_path, out=pipe[1]) as (process, agi_port, metrics_port):
        made = LOG_LINES_MAX + 5_000
        for _ in range(made):  # each is one line: a peer that came and went
            connect(agi_port).close()
        wait_until(lambda: _sample(metrics_port, "ringway_log_lines_dropped_total") > 0, "the loss is counted")
        assert ask("127.0.0.1", agi_port, DID, "", "u.1", PATIENCE_SECONDS)["ROUTE_CONTEXT"] == FLOW
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0


# --- metrics ------------------------------------------------------------------------------------------------------

# contract.md, "Metrics", without those of links that this version does not have; and the loss of log lines.
NAMES = {
    "ringway_decisions",
    "ringway_decision_seconds",
    "ringway_agi_connections",
    "ringway_agi_rejected",
    "ringway_table_numbers",
    "ringway_table_version",
    "ringway_table_age_seconds",
    "ringway_store_up",
    "ringway_log_lines_dropped",
}


def test_the_metrics_page_has_the_contracts_names_while_calls_go_on(tmp_path: pathlib.Path) -> None:
    calls = 300
    pages: list[str] = []
    done = threading.Event()
    with running_router(tmp_path) as router:

        def scrape() -> None:
            while not done.is_set():
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{router.metrics_port}/metrics", timeout=PATIENCE_SECONDS
                ) as answer:
                    assert answer.headers["Content-Type"].startswith("text/plain")
                    pages.append(answer.read().decode())

        scrapers = [threading.Thread(target=scrape) for _ in range(3)]
        for scraper in scrapers:
            scraper.start()
        try:
            for index in range(calls):
                assert router.ask((DID, "0000", "99", "02079460003")[index % 4])["ROUTE_STATUS"] == "OK"
        finally:
            done.set()
            for scraper in scrapers:
                scraper.join(PATIENCE_SECONDS)
        assert pages
        for page in pages:
            families = [each for each in text_string_to_metric_families(page) if each.name.startswith("ringway_")]
            assert {family.name for family in families} == NAMES
            assert all(family.documentation and family.type != "unknown" for family in families)
        wait_until(lambda: _decided(router.metrics()) == calls, "all calls are counted")
        counted = router.metrics()
        assert counted['ringway_decisions_total{kind="call-flow",reason="assigned"}'] == calls / 4
        assert counted['ringway_decisions_total{kind="default",reason="disabled"}'] == calls / 4
        assert counted["ringway_decision_seconds_count"] == calls
        assert counted["ringway_agi_connections"] == 0
        assert counted["ringway_table_numbers"] == 6
        assert counted["ringway_table_version"] == 1
        assert counted['ringway_store_up{store="sqlite"}'] == 1
        assert counted["ringway_table_age_seconds"] < 60
        assert not {name: value for name, value in counted.items() if "rejected" in name and value}


def _decided(counted: Mapping[str, float]) -> float:
    return sum(value for name, value in counted.items() if name.startswith("ringway_decisions_total"))


def test_nothing_that_a_stranger_sends_becomes_a_label(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path) as router:
        before = set(router.metrics())
        for index, text in enumerate(HOSTILE):
            raw_call(router.agi_port, text, text, f"h.{index}")
            with connect(router.agi_port) as sock:
                sock.sendall(text + b"\n\n")
                with contextlib.suppress(ConnectionError):
                    sock.recv(100)
        wait_until(lambda: _decided(router.metrics()) == len(HOSTILE), "all calls are counted")
        grown = {name for name in set(router.metrics()) - before if name.startswith("ringway_")}
        assert grown == set()


def test_without_a_metrics_port_there_is_no_page_and_calls_are_answered(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path, settings={"metrics": {"port": 0}}) as router:
        assert router.events("ready")[0]["metrics"] == "off"
        assert router.ask(DID)["ROUTE_CONTEXT"] == FLOW
        assert refuses(router.metrics_port)
