"""Logs: what happens to the router through structlog, one structured line a call.

Every line goes over one bounded queue to a thread that writes in batches, so that a slow disk or a full pipe never
holds up a call. What does not fit is dropped and counted.
"""

import collections
import contextlib
import datetime as dt
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import msgspec
import structlog

from dialplan.dataset.times import shown
from dialplan.wording import printable
from router.config.limits import LOG_FLUSH_SECONDS, LOG_LINES_MAX
from router.config.settings import Format, Level

_LINE_FEED = ord("\n")
_LEVELS: dict[Level, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class CallRecord(msgspec.Struct, frozen=True, gc=False):
    """One decided call, as its log line has it. Numbers are E.164 or empty, `dialled` is what the trunk sent."""

    timestamp: dt.datetime
    unique_id: str
    dialled: str
    number: str
    caller: str
    reason: str
    kind: str
    id: str
    company: str
    destination: str  # context,exten,priority
    version: int
    duration_ms: float
    attempt: str = ""  # the id of the attempt whose callback this is
    caller_sent: str | msgspec.UnsetType = msgspec.UNSET  # what came as the caller and cannot be read; else left out
    level: str = "info"
    event: str = "call"


class LogWriter:
    """Writes lines and calls' records to a stream, from a thread of its own.

    `stream` is best an unbuffered one: the lock of a buffered stream, held by a thread that cannot go on writing,
    would keep the process from ending. `on_dropped` is told how many lines were lost, from whichever thread notices.
    """

    def __init__(self, form: Format, stream: BinaryIO, *, on_dropped: Callable[[int], None]) -> None:
        self.form = form
        self.colours = form == "console" and stream.isatty()
        self._queue: collections.deque[CallRecord | bytes] = collections.deque()
        self._stream = stream
        self._render = _encode_json if form == "json" else _Console(colours=self.colours)
        self._on_dropped = on_dropped
        self._torn = False  # the stream has only the beginning of its last line
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def start(self) -> None:
        """Start writing."""
        self._thread.start()

    def add(self, line: CallRecord | bytes) -> None:
        """Queue a record, or a line without its line feed. Never waits."""
        if len(self._queue) >= LOG_LINES_MAX:
            self._on_dropped(1)
            return
        self._queue.append(line)

    def stop(self, seconds: float) -> None:
        """Write what is queued and end, within that time; a stream that takes nothing is left behind."""
        self._stopping.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(LOG_FLUSH_SECONDS)
            batch = [self._queue.popleft() for _ in range(len(self._queue))]
            if batch:
                self._write(batch)

    def _write(self, batch: list[CallRecord | bytes]) -> None:
        lines = b"".join(self._lines(batch))
        rest = memoryview(b"\n" + lines if self._torn else lines)
        try:
            while rest:
                written = self._stream.write(rest)
                if not written:  # a pipe that somebody set to non-blocking is full
                    time.sleep(LOG_FLUSH_SECONDS)
                    continue
                self._torn = rest[written - 1] != _LINE_FEED
                rest = rest[written:]
            self._stream.flush()
        except OSError as error:  # the pipe's reader has gone, the disk is full: calls go on, the loss is counted
            self._on_dropped(min(bytes(rest).count(b"\n"), len(batch)))
            with contextlib.suppress(OSError):
                os.write(sys.stderr.fileno(), f"ringway: cannot write the log: {error}\n".encode())

    def _lines(self, batch: list[CallRecord | bytes]) -> Iterable[bytes]:
        records: list[CallRecord] = []
        for line in batch:
            if isinstance(line, CallRecord):
                records.append(line)
                continue
            yield self._render(records)
            records = []
            yield line + b"\n"
        yield self._render(records)


_encode_json = msgspec.json.Encoder().encode_lines


class _Console:
    """Calls' records for people: the same fields in one coloured line."""

    def __init__(self, *, colours: bool) -> None:
        self._renderer = _console_renderer(colours=colours)

    def __call__(self, records: list[CallRecord]) -> bytes:
        lines = []
        for record in records:
            event = msgspec.structs.asdict(record)
            if not record.attempt:  # no callback
                del event["attempt"]
            if record.caller_sent is msgspec.UNSET:
                del event["caller_sent"]
            event["timestamp"] = shown(record.timestamp, "milliseconds")
            lines.append(f"{self._renderer(None, '', _escape_controls(None, '', event))}\n")
        return "".join(lines).encode("utf-8", "backslashreplace")


class _QueueLogger:
    """Hands structlog's finished lines to a writer, whatever the level's method is called."""

    def __init__(self, writer: LogWriter) -> None:
        self._add = writer.add

    def __getattr__(self, _level: str) -> Callable[[bytes], None]:
        return self._add


def make_logger(writer: LogWriter, level: Level) -> structlog.typing.FilteringBoundLogger:
    """The logger for what happens to the router itself. It is handed around; nothing is configured globally."""
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if writer.form == "json":
        processors.append(structlog.processors.JSONRenderer(serializer=_to_json))
    else:
        processors += [_escape_controls, _console_renderer(colours=writer.colours), _to_bytes]
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        _QueueLogger(writer),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
    )
    return logger


def mask(number: str) -> str:
    """A caller's number with all but its last two digits hidden; empty stays empty."""
    return f"…{number[-2:]}" if number else ""


def _console_renderer(*, colours: bool) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=12)


def _escape_controls(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Callers choose some of what is logged: nothing of it may move a terminal's cursor or begin a line."""
    return {key: _printable(value) for key, value in event.items()}


def _printable(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def _to_json(event: Any, **_: Any) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)


def _to_bytes(_logger: Any, _name: str, line: Any) -> bytes:
    return str(line).encode("utf-8", "backslashreplace")
