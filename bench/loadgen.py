"""A FastAGI load generator that behaves as Asterisk does, and does not wait for the server.

One connection a call, one write a line, no TCP_NODELAY; every command is answered; the server closes. The starts
stand in a schedule that is fixed beforehand, and latency counts from them. A plain epoll loop in one process.
"""

from __future__ import annotations

import argparse
import errno
import gc
import json
import os
import resource
import select
import socket
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.calls import MAX_CALLS, MAX_NUMBERS, arrivals, block, is_right_answer, is_whole_answer, targets
from bench.tally import Tally

MAX_OPEN = 4000  # calls at once; a server that needs more has stalled, and the run says so
MAX_ANSWER_BYTES = 65_536
REPLY = b"200 result=0\n"
GAP_US = 0.5  # a real Asterisk's extra pause between two lines; bench/README.md tells how it was found
RECV_BYTES = 8192

# (number's index, everything that the server sent) -> is it what that number must get?
Check = Callable[[int, bytes], bool]


class _Call:
    """One open connection."""

    __slots__ = ("answer", "index", "lines", "replied", "scheduled", "sock")

    def __init__(self, sock: socket.socket, index: int, scheduled: float, lines: Iterator[bytes]) -> None:
        self.sock = sock
        self.index = index
        self.scheduled = scheduled
        self.lines = lines
        self.answer = b""
        self.replied = 0  # commands answered so far


class Generator:
    """Places the calls of one schedule and counts what came of them.

    `starts` are seconds from the start of `run`, ascending; `indexes` says which number each call dials.
    A call that is not over `timeout_seconds` after it was placed is given up.
    """

    def __init__(
        self,
        address: tuple[str, int],
        starts: array[float],
        indexes: Iterator[int],
        *,
        rate: float,
        check: Check,
        timeout_seconds: float = 5.0,
        gap_us: float = GAP_US,
        max_open: int = MAX_OPEN,
    ) -> None:
        if len(starts) > MAX_CALLS:
            raise ValueError(f"{len(starts)} calls are more than the {MAX_CALLS} that one run may hold")
        self._address = address
        self._starts = starts
        self._indexes = indexes
        self._check = check
        self._timeout = timeout_seconds
        self._gap = gap_us / 1e6
        self._max_open = min(max_open, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 32)
        self._open: dict[int, _Call] = {}  # by file descriptor, oldest first
        self._epoll = select.epoll()
        self.tally = Tally(planned=len(starts), rate_asked=rate)

    def run(self) -> Tally:
        """Place every call, wait for the last, return the counts."""
        cpu_before = time.process_time()
        begin = time.perf_counter() + 0.01
        placed = 0
        now = begin
        with self._epoll:
            while placed < len(self._starts) or self._open:
                now = time.perf_counter()
                # One start a turn, so that a burst does not keep answers waiting.
                if placed < len(self._starts):
                    wait = begin + self._starts[placed] - now
                    if wait <= 0:
                        self._place(placed, begin + self._starts[placed], now)
                        placed += 1
                        wait = 0.0
                        self.tally.window_seconds = now - begin
                else:
                    wait = 0.05
                self._give_up(now)
                # select waits to the microsecond, epoll only to the millisecond.
                if wait > 0:
                    select.select([self._epoll], [], [], min(wait, 0.05))
                for descriptor, _ in self._epoll.poll(0):
                    self._ready(self._open[descriptor])
        self.tally.cpu_seconds = time.process_time() - cpu_before
        return self.tally

    def _place(self, number: int, scheduled: float, now: float) -> None:
        index = next(self._indexes)
        self.tally.lateness.append(now - scheduled)
        if len(self._open) >= self._max_open:
            self.tally.not_placed += 1
            return
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        call = _Call(sock, index, scheduled, iter(block(number, index, self._address[1])))
        self._open[sock.fileno()] = call
        self._epoll.register(sock, select.EPOLLIN)
        failure = sock.connect_ex(self._address)
        if failure not in (0, errno.EINPROGRESS):
            self._end(call, "refused")
            return
        # On loopback the handshake is over when connect returns; elsewhere, and when the server's queue is full, not.
        self._write(call)

    def _write(self, call: _Call) -> None:
        """Write the lines that are left, one write each, as Asterisk's ast_agi_send does."""
        clock, gap, send = time.perf_counter, self._gap, call.sock.send
        for line in call.lines:
            try:
                sent = send(line)
                until = clock() + gap
                while clock() < until:
                    pass
            except BlockingIOError:
                call.lines = _before(line, call.lines)
                self._epoll.modify(call.sock, select.EPOLLIN | select.EPOLLOUT)
                return
            except ConnectionRefusedError:
                self._end(call, "refused")
                return
            except OSError:
                return  # closed by the other side: the read that follows tells how
            if sent != len(line):
                call.lines = _before(line[sent:], call.lines)

    def _ready(self, call: _Call) -> None:
        try:
            data = call.sock.recv(RECV_BYTES)
        except BlockingIOError:
            self._epoll.modify(call.sock, select.EPOLLIN)
            self._write(call)
            return
        except ConnectionRefusedError:
            self._end(call, "refused")
            return
        except OSError:
            self.tally.reset += bool(call.replied)
            self._end(call, self._verdict(call))
            return
        if not data:
            self._end(call, self._verdict(call))
            return
        call.answer += data
        if len(call.answer) > MAX_ANSWER_BYTES:
            self._end(call, "wrong")
            return
        commands = call.answer.count(b"\n")
        if commands and not call.replied:
            self.tally.latencies.append(time.perf_counter() - call.scheduled)
        while call.replied < commands:
            call.replied += 1
            try:
                call.sock.send(REPLY)
            except OSError:
                return  # as above

    def _verdict(self, call: _Call) -> str:
        if not call.replied:
            return "missing"
        if self._check(call.index, call.answer):
            return "right"
        self.tally.wrong_example = self.tally.wrong_example or repr(call.answer[:400])
        return "wrong"

    def _give_up(self, now: float) -> None:
        while self._open:
            oldest = next(iter(self._open.values()))
            if now - oldest.scheduled < self._timeout:
                return
            self._end(oldest, "timed_out")

    def _end(self, call: _Call, verdict: str) -> None:
        del self._open[call.sock.fileno()]
        call.sock.close()
        setattr(self.tally, verdict, getattr(self.tally, verdict) + 1)


def _before(line: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield line
    yield from rest


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Places FastAGI calls at a given rate; prints one JSON object.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=1500.0, help="calls a second")
    parser.add_argument("--calls", type=int, default=15_000)
    parser.add_argument("--arrivals", choices=("poisson", "uniform"), default="poisson")
    parser.add_argument("--numbers", type=int, default=1_000_000, help="how many of the data file's numbers to dial")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds until a call is given up")
    parser.add_argument("--gap", type=float, default=GAP_US, help="microseconds between two lines of a block")
    parser.add_argument("--any-answer", action="store_true", help="take any whole answer, not only the right one")
    parser.add_argument("--core", type=int, help="run on this CPU alone")
    parser.add_argument("--on-go", action="store_true", help="say ready, then wait for a line on standard input")
    options = parser.parse_args()
    if not (0 < options.rate <= 100_000 and 0 < options.calls <= MAX_CALLS and 0 < options.numbers <= MAX_NUMBERS):
        parser.error(f"at most 100000 calls/s, {MAX_CALLS} calls and {MAX_NUMBERS} numbers, and more than none of each")
    return options


def main() -> int:
    """Run one schedule; exit status 1 when any call did not get its right answer or the figures are void."""
    options = _options()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    starts = arrivals(options.rate, options.calls, options.seed, poisson=options.arrivals == "poisson")
    generator = Generator(
        (options.host, options.port),
        starts,
        targets(options.numbers, options.calls, options.seed),
        rate=options.rate,
        check=(lambda _, answer: is_whole_answer(answer)) if options.any_answer else is_right_answer,
        timeout_seconds=options.timeout,
        gap_us=options.gap,
    )
    gc.disable()  # nothing here makes cycles, and a collection would be a pause in the schedule
    if options.on_go:
        print("ready", flush=True)
        sys.stdin.readline()
    summary = generator.run().summary()
    print(json.dumps(summary), flush=True)
    return 1 if summary["void"] or summary["right"] != summary["planned"] else 0


if __name__ == "__main__":
    sys.exit(main())
