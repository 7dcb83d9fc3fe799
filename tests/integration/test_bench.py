import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from bench import attempts, bounds, calls, processes, redis_process, servers, tally, waves
from bench.loadgen import Generator
from bench.sites import Server
from bench.tally import Tally
from tests.ports import free_port
from tests.processes import wait_until

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
def script(*words: str) -> Iterator[Server]:
    """A script that prints its port when it listens."""
    with processes.started([sys.executable, *words], None, subprocess.PIPE) as process:
        assert process.stdout is not None
        yield Server(words[0], int(process.stdout.readline().split()[1]), process.pid)


def bare(*options: str) -> contextlib.AbstractContextManager[Server]:
    return script(str(ROOT / "bench" / "bare.py"), *options)


def handling(code: str) -> contextlib.AbstractContextManager[Server]:
    """A server in a process of its own, which does `code` with each `sock` that it accepts."""
    lines = [
        "import socket",
        "listener = socket.create_server(('127.0.0.1', 0), backlog=100)",
        "print('listening', listener.getsockname()[1], flush=True)",
        "while True:",
        "    sock, _ = listener.accept()",
        f"    {code}",
    ]
    return script("-c", "\n".join(lines))


def waves_at(
    server: Server, calls_: int, wave: int, *, check: bool = True, timeout_seconds: float = 10.0
) -> waves.Counts:
    right = calls.is_right_answer if check else lambda _, answer: calls.is_whole_answer(answer)
    address = ("127.0.0.1", server.port)
    return waves.Waves(address, server.pid, right, timeout_seconds=timeout_seconds).run(
        calls_, wave, iter(range(calls_))
    )


def run(*command: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a script of the benchmark, in a session of its own: one that hangs is ended with its servers."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "bench" / command[0]), *command[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=environment,
    )
    try:
        said, _ = process.communicate(timeout=240)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode, said


def state(process: int) -> str:
    """As proc_pid_stat(5) has it: T of one that was stopped."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


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
    return b'EXEC MSet "' + b"".join(calls.expected(index)) + b'ROUTE_STATUS=OK"\n'


def test_a_tiny_run_measures_everything_and_saves(tmp_path: Path) -> None:
    """All servers, both kinds of load, both stores: a figure for each bound, and no verdict on a tiny run."""
    saved = tmp_path / "result.json"
    status, said = run("run.py", "--tiny", "--seed", "5", "--save", str(saved))
    assert status == 0, said
    assert "seed 5" in said
    assert "0 bounds held, 0 missed, 14 not judged" in said
    result = json.loads(saved.read_text())
    for kind, names in (("rate", servers.AT_RATE), ("saturation", servers.SATURATED)):
        assert set(result["calls"][kind]) == set(names)
        errors = {error for name in names for error in result["calls"][kind][name]["errors"]}
        assert errors <= {"timed_out", "not_placed"}, "those are excused on a busy machine"
        assert said.count("round 1") >= len(names)
    if redis_process.program() is None:
        pytest.skip("no redis-server: half of the memory figures were skipped, as the run says")
    assert set(bounds.of_memory(result["memory"])) == {bound.name for bound in bounds.MEMORY}
    assert len(result["verdicts"]) == len(bounds.MEMORY) + len(bounds.CALLS)
    assert {"commit", "clean_tree", "date", "machine"} <= set(result)


def test_memory_alone_runs_without_redis_and_says_what_it_skipped(tmp_path: Path) -> None:
    without = os.environ | {"PATH": str(tmp_path), "TESTS_CACHE": str(tmp_path)}
    status, said = run("memory.py", "--numbers", "1500", environment=without)
    assert status == 0, said
    assert "SQLite: " in said
    assert "skipped: Redis and the snapshot: no redis-server" in said
    assert "local snapshot: - (at most 2.0 s): not judged" in said


@pytest.mark.parametrize("options", [[], ["--socket-options"]])
def test_the_bare_responder_answers_every_call(options: list[str]) -> None:
    with bare(*options) as server:
        counted = load(server.port, [number / 200 for number in range(100)], check=False)
        assert waves_at(server, 40, 20, check=False).verdicts == {"right": 40}
    assert counted.right == counted.planned == len(counted.latencies) == 100


def test_panoramisk_gives_each_call_the_right_answer() -> None:
    with script(str(ROOT / "bench" / "panoramisk_app.py"), "--numbers", "40") as server:
        counted = load(server.port, [number / 200 for number in range(40)])
        assert waves_at(server, 40, 20).verdicts == {"right": 40}
    assert counted.right == 40, counted.wrong_example


def test_an_answer_for_another_number_is_wrong() -> None:
    with bare() as server:
        counted = load(server.port, [0.0, 0.01, 0.02])
        counts = waves_at(server, 3, 2)
    assert (counted.right, counted.wrong, counted.errors) == (0, 3, 3)
    assert counts.verdicts == {"wrong": 3}
    assert "ROUTE_STATUS=OK" in counted.wrong_example
    assert "ROUTE_STATUS=OK" in counts.wrong_example


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


def test_percentiles_are_nearest_rank() -> None:
    assert tally.percentile([], 50) == 0
    assert tally.percentile([3, 1, 2], 50) == 2
    assert tally.percentile(range(1, 1001), 99.9) == 999
    assert tally.percentile([5], 99) == 5


@pytest.mark.parametrize("code", ["sock.close()", "sock.recv(9000); sock.send(b'EXEC'); sock.close()"])
def test_a_call_of_a_wave_without_a_whole_command_is_missing(code: str) -> None:
    with handling(code) as server:
        assert waves_at(server, 5, 3).verdicts == {"missing": 5}


def test_what_is_left_of_a_wave_is_given_up() -> None:
    with handling("kept = [*globals().get('kept', []), sock]") as server:
        counts = waves_at(server, 3, 3, timeout_seconds=0.3)
    assert counts.verdicts == {"timed_out": 3}
    assert counts.void_because()


def test_waves_at_a_closed_port_are_refused() -> None:
    with handling("pass") as server:
        assert waves_at(server._replace(port=free_port()), 3, 2).verdicts == {"refused": 3}


def test_a_wave_is_whole_before_the_server_sees_any_of_it() -> None:
    """Each accept finds the next call waiting, up to the last: that is what leaves the server no idle moment."""
    code = (
        "import select; ready = bool(select.select([listener], [], [], 0)[0]); "
        "sock.recv(9000); sock.send(b'EXEC MSet \"READY=%d,ROUTE_STATUS=OK\"\\n' % ready); sock.recv(100); sock.close()"
    )
    with handling(code) as server:
        answers: list[bytes] = []

        def check(_: int, answer: bytes) -> bool:
            answers.append(answer)
            return True

        counts = waves.Waves(("127.0.0.1", server.port), server.pid, check).run(20, 10, iter(range(20)))
    assert counts.verdicts == {"right": 20}
    assert [b"READY=1" in answer for answer in answers] == [*[True] * 9, False] * 2
    assert counts.busy_seconds > 0
    assert counts.cpu_seconds >= counts.busy_seconds


def test_a_process_is_let_go_whatever_happens_while_it_is_stopped() -> None:
    with bare() as server:
        with contextlib.suppress(KeyError), processes.stopped(server.pid):
            assert state(server.pid) == "T"
            raise KeyError
        assert load(server.port, [0.0], check=False).right == 1


def test_a_process_that_was_left_stopped_is_ended_by_sigterm_all_the_same() -> None:
    with processes.started(["sleep", "1000"], None, subprocess.DEVNULL) as process:
        os.kill(process.pid, signal.SIGSTOP)
        wait_until(lambda: state(process.pid) == "T", "it has stopped")
    assert process.returncode == -signal.SIGTERM


def test_resident_size_grows_with_what_a_process_holds() -> None:
    code = "import sys\nheld = []\nprint('made', flush=True)\nfor line in sys.stdin: held.append(b'x' * 20_000_000)"
    code += "; print('grown', flush=True)"
    with processes.started([sys.executable, "-c", code], None, subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        before = processes.settled_bytes(process.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        grown = processes.settled_bytes(process.pid) - before
        assert 18_000_000 < grown < 25_000_000
        assert processes.resident_bytes(process.pid)[1] >= before + grown


@pytest.mark.parametrize("numbers", [7, 1000])
def test_the_store_of_attempts_has_all_pairs(numbers: int, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ringway.db'}"
    attempts.fill(url, numbers, 2500)
    with contextlib.closing(sqlite3.connect(tmp_path / "ringway-callbacks.db")) as file:
        (pairs,) = file.execute("SELECT count(*) FROM (SELECT DISTINCT number, subscriber FROM attempts)").fetchone()
    assert pairs == 2500


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
