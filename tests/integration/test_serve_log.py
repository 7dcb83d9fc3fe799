"""What a real `ringway serve` writes: a line a call, whatever strangers send, and never in the way of a call."""

import contextlib
import ipaddress
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest

from router.agi.client import ask_route
from router.config.limits import LOG_LINES_MAX
from tests.integration.serving import DID, FLOW, HOSTILE, raw_call, refuses
from tests.ports import free_port
from tests.processes import (
    DEMO_DATA,
    PATIENCE_SECONDS,
    RINGWAY,
    clean_environment,
    load,
    running_router,
    wait_until,
    write_config,
)


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
            "attempt": "",
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
            assert ask_route("127.0.0.1", agi_port, DID, "", "u.1", PATIENCE_SECONDS)["ROUTE_CONTEXT"] == FLOW
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0


def test_a_log_whose_reader_has_gone_is_said_and_calls_go_on(tmp_path: pathlib.Path, pipe: tuple[int, int]) -> None:
    with unread_router(tmp_path, out=pipe[1]) as (process, agi_port, metrics_port):
        for each in pipe:
            os.close(each)
        for _ in range(20):
            assert ask_route("127.0.0.1", agi_port, DID, "", "u.1", PATIENCE_SECONDS)["ROUTE_CONTEXT"] == FLOW
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
        for place in range(made):  # each is one line: a peer that nobody has seen before sends what is no AGI
            source = str(ipaddress.ip_address("127.1.0.0") + place)
            with socket.create_connection(("127.0.0.1", agi_port), source_address=(source, 0)) as sock:
                sock.sendall(b"x\n\n")
        wait_until(lambda: _sample(metrics_port, "ringway_log_lines_dropped_total") > 0, "the loss is counted")
        assert ask_route("127.0.0.1", agi_port, DID, "", "u.1", PATIENCE_SECONDS)["ROUTE_CONTEXT"] == FLOW
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
