import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import phonenumbers
import pytest

from bench import calls, processes, tally
from bench.loadgen import Generator
from bench.tally import Tally
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
# One handler a connection: what a server does with it.
Handler = Callable[[socket.socket], None]


def load(port: int, starts: list[float], *, check: bool = True, timeout_seconds: float = 5.0) -> Tally:
    return Generator(
        ("127.0.0.1", port),
        array("d", starts),
        iter(range(len(starts))),
        rate=100.0,
        check=calls.is_right_answer if check else lambda _, answer: calls.is_whole_answer(answer),
        timeout_seconds=timeout_seconds,
    ).run()


@contextlib.contextmanager
def server(handle: Handler) -> Iterator[int]:
    """A server of few connections, one after the other; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    with sock, contextlib.suppress(OSError):
                        sock.settimeout(10)
                        handle(sock)

        thread = threading.Thread(target=run)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(15)
        assert not thread.is_alive()


@contextlib.contextmanager
def bare() -> Iterator[int]:
    command = [sys.executable, str(ROOT / "bench" / "bare.py")]
    with processes.started(command, None, subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline().split()[1])


def read_block(sock: socket.socket) -> bytes:
    block = b""
    while not block.endswith(b"\n\n"):
        more = sock.recv(4096)
        assert more
        block += more
    return block


def right_answer(block: bytes) -> bytes:
    """What the router would say to a call of the generator, whose index stands in its unique id here."""
    index = int(block.partition(b"agi_uniqueid: ")[2].partition(b"\n")[0].partition(b".")[2])
    flow, ring = calls.flow_of(index), calls.ring_seconds_of(index)
    parameters = f"PARAM_RING_SECONDS={ring}," if ring else ""
    return (
        f'EXEC MSet "ROUTE_CONTEXT=flow-{flow},ROUTE_EXTEN=s,ROUTE_PRIORITY={flow % 3 + 1},'
        f'ROUTE_NUMBER={calls.e164(index)},ROUTE_REASON=assigned,{parameters}ROUTE_STATUS=OK"\n'
    ).encode()


def test_a_tiny_run_measures_both_servers_and_saves(tmp_path: Path) -> None:
    saved = tmp_path / "result.json"
    command = [sys.executable, str(ROOT / "bench" / "run.py"), "--tiny", "--save", str(saved)]
    # In a session of its own, so that a run that hangs is ended with its servers.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        said, _ = process.communicate(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == 0, said
    assert "router / bare, CPU per call" in said or "VOID" in said
    result = json.loads(saved.read_text())
    for name in ("bare", "router"):
        window = result["rounds"][0][name]
        assert window["right"] == window["planned"] == 200
        assert window["server_cpu_us"] > 0
        assert 0 < window["latency_ms"]["p50"] <= window["latency_ms"]["p99.9"]


def test_the_bare_responder_answers_every_call() -> None:
    with bare() as port:
        counted = load(port, [number / 200 for number in range(100)], check=False)
    assert counted.right == counted.planned == len(counted.latencies) == 100


def test_an_answer_for_another_number_is_wrong() -> None:
    with bare() as port:
        counted = load(port, [0.0, 0.01, 0.02])
    assert (counted.right, counted.wrong, counted.errors) == (0, 3, 3)
    assert "ROUTE_STATUS=OK" in counted.wrong_example


def test_right_answers_are_taken_and_commands_ahead_of_the_last_are_answered() -> None:
    replies: list[bytes] = []

    def handle(sock: socket.socket) -> None:
        block = read_block(sock)
        sock.sendall(b'EXEC MSet "PARAM_A=1"\n')
        replies.append(sock.recv(100))
        sock.sendall(right_answer(block))
        replies.append(sock.recv(100))

    with server(handle) as port:
        counted = load(port, [0.0, 0.02, 0.04, 0.06])
    assert counted.right == 4
    assert replies == [b"200 result=0\n"] * 8


def test_an_answer_without_its_marker_is_wrong() -> None:
    def handle(sock: socket.socket) -> None:
        sock.sendall(right_answer(read_block(sock)).replace(b",ROUTE_STATUS=OK", b""))
        sock.recv(100)

    with server(handle) as port:
        assert load(port, [0.0]).wrong == 1


@pytest.mark.parametrize("sent", [b"", b'EXEC MSet "ROUTE_CONTEXT=fl'])
def test_a_connection_closed_without_a_command_is_missing(sent: bytes) -> None:
    def handle(sock: socket.socket) -> None:
        read_block(sock)
        sock.sendall(sent)

    with server(handle) as port:
        assert load(port, [0.0, 0.01]).missing == 2


def test_a_connection_closed_at_once_is_missing() -> None:
    with server(lambda _: None) as port:
        assert load(port, [0.0, 0.01]).missing == 2


def test_a_stalled_server_is_timed_out_and_others_are_not_kept_waiting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        counted = load(listener.getsockname()[1], [0.0, 0.01, 0.02], timeout_seconds=0.3)
    assert counted.timed_out == 3
    assert time.monotonic() - began < 5


def test_a_closed_port_is_refused() -> None:
    assert load(free_port(), [0.0, 0.01]).refused == 2


def test_latency_counts_from_the_schedule_also_behind_a_stall() -> None:
    served: list[socket.socket] = []

    def handle(sock: socket.socket) -> None:
        if not served:
            time.sleep(0.3)
        served.append(sock)
        sock.sendall(right_answer(read_block(sock)))
        sock.recv(100)

    with server(handle) as port:
        counted = load(port, [0.0, 0.05, 0.1])
    assert counted.right == 3
    assert min(counted.latencies) > 0.15


def test_a_block_is_sent_as_asterisk_sends_it() -> None:
    blocks: list[bytes] = []

    def handle(sock: socket.socket) -> None:
        blocks.append(read_block(sock))
        sock.sendall(right_answer(blocks[-1]))
        sock.recv(100)

    with server(handle) as port:
        load(port, [0.0])
    lines = blocks[0].decode().splitlines()
    assert len(lines) == 23
    assert 480 <= len(blocks[0]) <= 560
    assert [line.partition(":")[0] for line in lines[:3]] == ["agi_network", "agi_network_script", "agi_request"]
    assert lines[-1] == ""


def test_a_generator_that_is_late_says_that_its_figures_are_void() -> None:
    counted = Tally(planned=100, rate_asked=100.0, right=100, window_seconds=1.0)
    counted.lateness.extend([0.0] * 100)
    assert counted.void_because() == ""
    counted.lateness.extend([0.02] * 10)
    assert "20.0 ms late" in counted.void_because()


def test_a_rate_that_was_not_reached_is_void() -> None:
    assert "reached 50 of 100" in Tally(planned=100, rate_asked=100.0, window_seconds=2.0).void_because()


def test_calls_over_the_cap_are_counted_and_void() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        counted = Generator(
            listener.getsockname(),
            array("d", [0.0, 0.001, 0.002]),
            iter(range(3)),
            rate=1000.0,
            check=calls.is_right_answer,
            timeout_seconds=0.2,
            max_open=2,
        ).run()
    assert (counted.timed_out, counted.not_placed) == (2, 1)
    assert counted.void_because()


def test_a_plan_is_fixed_by_its_seed_and_keeps_its_rate() -> None:
    poisson = calls.arrivals(1500, 30_000, 7, poisson=True)
    assert poisson == calls.arrivals(1500, 30_000, 7, poisson=True) != calls.arrivals(1500, 30_000, 8, poisson=True)
    assert poisson[-1] == pytest.approx(20, rel=0.03)
    assert calls.arrivals(4, 3, 1, poisson=False).tolist() == [0.0, 0.25, 0.5]


@pytest.mark.parametrize("index", [0, 1, 2, 3, 4, 999_998, 999_999, calls.MAX_NUMBERS - 1])
def test_the_numbers_are_real_and_each_form_reads_as_the_same(index: int) -> None:
    number = phonenumbers.parse(calls.e164(index))
    assert phonenumbers.is_valid_number(number)
    forms = {calls.dialled(index, form) for form in range(4)}
    assert len(forms) == 4
    for form in forms - {calls.e164(index)[1:]}:
        assert phonenumbers.parse(form, "GB") == number


def test_percentiles_are_nearest_rank() -> None:
    assert tally.percentile([], 50) == 0
    assert tally.percentile([3, 1, 2], 50) == 2
    assert tally.percentile(range(1, 1001), 99.9) == 999
    assert tally.percentile([5], 99) == 5


def test_cpu_time_covers_the_whole_process_tree() -> None:
    # Both live until the pipe that they inherit closes.
    busy = "import sys, time\nwhile time.process_time() < 0.3: pass\nsys.stdin.read()"
    parent = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {busy!r}])\nsys.stdin.read()"
    command = [sys.executable, "-c", parent]
    with processes.started(command, None, subprocess.PIPE) as process:
        end = time.monotonic() + 8
        while processes.cpu_seconds(process.pid) < 0.3:
            assert time.monotonic() < end
            time.sleep(0.02)
