"""A load generator that keeps a server busy: the cost of a call when the server's core has no idle moment.

One core cannot make calls as fast as the other answers them: placing one costs the generator more than answering it
costs a bare server. So calls come in waves. The server is stopped (SIGSTOP), a wave of connections with their whole
blocks is put into its listen queue, and then it is let go (SIGCONT): its work is there before it begins, and what
is left for the generator, a reply and a close a call, is quicker than the server. A block is one write: that is how
a busy server finds it, in one read, however it was sent.
"""

import argparse
import gc
import json
import os
import resource
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import processes
from bench.calls import MAX_NUMBERS, block, is_right_answer, is_whole_answer, targets
from bench.loadgen import MAX_ANSWER_BYTES, RECV_BYTES, REPLY, Check

WAVE_CALLS = 512  # open at a time; well below the listen queue, which the kernel cuts to somaxconn
MAX_CALLS = 200_000
IDLE_LIMIT = 0.05  # of the waves' time; above, the generator was too slow and the core was not full
TIMEOUT_SECONDS = 10.0  # until what is left of a wave is given up
_CLOSED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_EVENTS = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET  # once for each piece that comes
SETTLE_SECONDS = 0.5  # for work that a server puts off, such as its log, to be done and counted


class Counts(msgspec.Struct):
    """What came of all waves; seconds are of the waves alone, from SIGCONT to the last close.

    `waited_seconds`: the server could have run, and something else had its core. `cpu_seconds`: of the server, and
    from the first wave on to after the last, for what it puts off is part of a call's cost too.
    """

    planned: int
    verdicts: Counter[str] = msgspec.field(default_factory=Counter)
    wrong_example: str = ""
    wave_seconds: float = 0.0
    busy_seconds: float = 0.0
    waited_seconds: float = 0.0
    cpu_seconds: float = 0.0
    generator_seconds: float = 0.0  # CPU

    @property
    def idle_share(self) -> float:
        """Share of the waves' time in which the server had nothing to do."""
        if not self.wave_seconds:
            return 1.0
        return max(0.0, 1 - (self.busy_seconds + self.waited_seconds) / self.wave_seconds)

    def void_because(self) -> str:
        """Return why the figures must not be used, or nothing."""
        if self.idle_share > IDLE_LIMIT:
            return f"the server was idle {self.idle_share:.0%} of the time: the generator was too slow"
        return ""

    def summary(self) -> dict[str, Any]:
        """Return the figures for a person or a file; CPU in µs a call."""
        kinds = ("right", "wrong", "missing", "refused", "timed_out")
        return {
            "planned": self.planned,
            **{kind: self.verdicts[kind] for kind in kinds},
            "wrong_example": self.wrong_example,
            "server_cpu_us": round(self.cpu_seconds / self.planned * 1e6, 2),
            "generator_cpu_us": round(self.generator_seconds / self.planned * 1e6, 2),
            "calls_per_second": round(self.planned / self.wave_seconds, 1) if self.wave_seconds else 0.0,
            "idle_share": round(self.idle_share, 3),
            "void": self.void_because(),
        }


class _Call:
    """One connection of a wave."""

    __slots__ = ("answer", "index", "sock")

    def __init__(self, sock: socket.socket, index: int) -> None:
        self.sock = sock
        self.index = index
        self.answer = b""


class Waves:
    """Places waves of calls at the server `pid`, which listens at `address`, and counts what came of them."""

    def __init__(
        self, address: tuple[str, int], pid: int, check: Check, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._address = address
        self._pid = pid
        self._check = check
        self._timeout = timeout_seconds

    def run(self, calls: int, wave: int, indexes: Iterator[int]) -> Counts:
        """Place `calls` calls, `wave` at a time; `indexes` says which number each dials."""
        counts = Counts(calls)
        cpu_before = processes.cpu_seconds(self._pid)
        own_before = time.process_time()
        for first in range(0, calls, wave):
            numbers = [next(indexes) for _ in range(min(wave, calls - first))]
            blocks = [b"".join(block(first + place, index, self._address[1])) for place, index in enumerate(numbers)]
            self._wave(numbers, blocks, counts)
        time.sleep(SETTLE_SECONDS)
        counts.generator_seconds = time.process_time() - own_before
        counts.cpu_seconds = processes.cpu_seconds(self._pid) - cpu_before
        return counts

    def _wave(self, indexes: Sequence[int], blocks: Sequence[bytes], counts: Counts) -> None:
        opened: dict[int, _Call] = {}  # by file descriptor
        with select.epoll() as epoll:
            with processes.stopped(self._pid):
                for index, each in zip(indexes, blocks, strict=True):
                    call = _Call(socket.socket(socket.AF_INET, socket.SOCK_STREAM), index)
                    if not self._placed(call, each):
                        call.sock.close()
                        counts.verdicts["refused"] += 1
                        continue
                    opened[call.sock.fileno()] = call
                    epoll.register(call.sock, _EVENTS)
                before = processes.scheduled(self._pid)
                began = time.perf_counter()
            ended = self._answered(opened, epoll, began + self._timeout)
            counts.wave_seconds += time.perf_counter() - began
            after = processes.scheduled(self._pid)
        counts.busy_seconds += after.ran - before.ran
        counts.waited_seconds += after.waited - before.waited
        for call in (*opened.values(), *ended):
            call.sock.close()
        if opened:
            counts.verdicts["timed_out"] += len(opened)
        for call in ended:
            self._judge(call, counts)

    def _placed(self, call: _Call, whole_block: bytes) -> bool:
        call.sock.settimeout(self._timeout)  # a full queue lets nobody in while the server stands
        try:
            call.sock.connect(self._address)
            call.sock.sendall(whole_block)
        except OSError:
            return False
        call.sock.setblocking(False)
        return True

    def _answered(self, opened: dict[int, _Call], epoll: select.epoll, give_up: float) -> list[_Call]:
        """Answer each command until the server closes; returns the calls that are over, the others stay opened.

        It closes nothing itself: that is work that can wait until the server has done its own.
        """
        ended = []
        while opened and (left := give_up - time.perf_counter()) > 0:
            for descriptor, events in epoll.poll(left):
                call = opened.get(descriptor)
                if call is None:  # it is over, and its socket waits to be closed
                    continue
                try:
                    data = call.sock.recv(RECV_BYTES)
                    if data:
                        call.sock.send(REPLY * data.count(b"\n"))
                except OSError:
                    data = b""
                call.answer += data
                if not data or events & _CLOSED or len(call.answer) > MAX_ANSWER_BYTES:
                    ended.append(opened.pop(descriptor))
        return ended

    def _judge(self, call: _Call, counts: Counts) -> None:
        if b"\n" not in call.answer:
            counts.verdicts["missing"] += 1
        elif self._check(call.index, call.answer):
            counts.verdicts["right"] += 1
        else:
            counts.verdicts["wrong"] += 1
            counts.wrong_example = counts.wrong_example or repr(call.answer[:400])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Keeps a server of this machine busy; prints one JSON object.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, required=True, help="of the server: it is stopped and let go")
    parser.add_argument("--calls", type=int, default=10_240)
    parser.add_argument("--wave", type=int, default=WAVE_CALLS, help="calls that are open at a time")
    parser.add_argument("--numbers", type=int, default=1_000_000, help="how many of the data file's numbers to dial")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--any-answer", action="store_true", help="take any whole answer, not only the right one")
    parser.add_argument("--core", type=int, help="run on this CPU alone")
    parser.add_argument("--on-go", action="store_true", help="say ready, then wait for a line on standard input")
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 32
    if not (0 < options.wave <= most and 0 < options.calls <= MAX_CALLS and 0 < options.numbers <= MAX_NUMBERS):
        parser.error(f"at most {most} calls a wave, {MAX_CALLS} calls and {MAX_NUMBERS} numbers, and some of each")
    return options


def main() -> int:
    """Run all waves; exit status 1 when any call did not get its right answer or the figures are void."""
    options = _options()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    check = (lambda _, answer: is_whole_answer(answer)) if options.any_answer else is_right_answer
    waves = Waves(("127.0.0.1", options.port), options.pid, check)
    gc.disable()  # nothing here makes cycles
    if options.on_go:
        print("ready", flush=True)
        sys.stdin.readline()
    counts = waves.run(options.calls, options.wave, targets(options.numbers, options.calls, options.seed))
    summary = counts.summary()
    print(json.dumps(summary), flush=True)
    return 1 if summary["void"] or summary["right"] != summary["planned"] else 0


if __name__ == "__main__":
    sys.exit(main())
