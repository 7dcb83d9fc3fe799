"""Log lines: each whole, in order, on a line of its own, and never in the way of a call."""

import datetime as dt
import io
import json
import os
import pathlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from router.config.settings import Format, Level
from router.observe import log
from router.observe.log import CallRecord, LogWriter, make_logger, mask

PATIENCE_SECONDS = 30.0
MOMENT = dt.datetime(2026, 11, 22, 3, 4, 5, 678901, tzinfo=dt.UTC)
HOSTILE = [
    'x\n{"event":"call"}',
    "\r\x1b[2J\x1b]0;title\x07",
    "\x9b31m",
    "\u2028\u2029\x85",
    "\0",
    'a "quoted" b',
    "x reason=assigned caller=1",
    "\t",
    "\u202egnalp",
    "\ufeff",
    "\N{REPLACEMENT CHARACTER}",
    "{}%s",
]


def record(**fields: Any) -> CallRecord:
    values: dict[str, Any] = {
        "timestamp": MOMENT,
        "unique_id": "1795316003.7",
        "dialled": "02079460000",
        "number": "+442079460000",
        "caller": "+447700900123",
        "reason": "assigned",
        "kind": "call-flow",
        "id": "menu",
        "company": "acme",
        "destination": "flow-menu,s,1",
        "version": 17,
        "duration_ms": 0.231,
        "attempt": "",
    }
    return CallRecord(**(values | fields))


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_came_as_a_caller_is_in_the_line_only_where_it_cannot_be_read(form: Format) -> None:
    plain, sent = Written(form).lines(record(), record(caller="", caller_sent="0800-FLOWERS\x1b[2J"))
    assert "caller_sent" not in plain
    assert "0800-FLOWERS" in sent.partition("caller_sent")[2]
    assert "\x1b" not in sent


class Written:
    """A writer on a stream in memory, or on the one that is given."""

    def __init__(self, form: Format = "json", stream: Any = None) -> None:
        self.stream: Any = stream or io.BytesIO()
        self.dropped: list[int] = []
        self.writer = LogWriter(form, self.stream, on_dropped=self.dropped.append)

    def lines(self, *said: Callable[[structlog.typing.FilteringBoundLogger], Any] | CallRecord) -> list[str]:
        """Say all of it, and return the lines that were written."""
        logger = make_logger(self.writer, "info")
        self.writer.start()
        for each in said:
            if isinstance(each, CallRecord):
                self.writer.add(each)
            else:
                each(logger)
        self.writer.stop(PATIENCE_SECONDS)
        text = self.stream.getvalue().decode()
        assert text.endswith("\n") or not said
        return list(text.split("\n")[:-1])


def test_a_calls_line_has_all_that_the_contract_names() -> None:
    (line,) = Written().lines(record())
    assert json.loads(line) == {
        "timestamp": "2026-11-22T03:04:05.678901Z",
        "unique_id": "1795316003.7",
        "dialled": "02079460000",
        "number": "+442079460000",
        "caller": "+447700900123",
        "reason": "assigned",
        "kind": "call-flow",
        "id": "menu",
        "company": "acme",
        "destination": "flow-menu,s,1",
        "version": 17,
        "duration_ms": 0.231,
        "attempt": "",
        "level": "info",
        "event": "call",
    }


def test_what_happens_to_the_router_is_a_line_with_its_fields() -> None:
    (line,) = Written().lines(lambda logger: logger.warning("agi_rejected", cause="peer", count=3))
    said = json.loads(line)
    moment = dt.datetime.fromisoformat(said.pop("timestamp"))
    assert moment.tzinfo is not None
    assert said == {"event": "agi_rejected", "cause": "peer", "count": 3, "level": "warning"}


@pytest.mark.parametrize("form", ["json", "console"])
def test_lines_keep_their_order_whatever_their_kind(form: Format) -> None:
    def say(index: int) -> Callable[[structlog.typing.FilteringBoundLogger], Any]:
        return lambda logger: logger.info("said", place=f"event-{index}")

    said = [record(unique_id=f"event-{index}") if index % 3 else say(index) for index in range(300)]
    lines = Written(form).lines(*said)
    assert len(lines) == 300
    assert all(f"event-{index}" in line for index, line in enumerate(lines))


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("field", ["dialled", "caller", "unique_id"])
def test_a_strangers_text_stays_in_its_field_of_a_json_line(field: str, text: str) -> None:
    (line,) = Written().lines(record(**{field: text}))
    assert json.loads(line)[field] == text
    assert json.loads(line)["reason"] == "assigned"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_strangers_text_stays_in_its_field_of_an_event(text: str) -> None:
    (line,) = Written().lines(lambda logger: logger.warning("agi_rejected", script=text))
    assert json.loads(line)["script"] == text


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_makes_one_json_line_that_reads_back(text: str) -> None:
    (line,) = Written().lines(record(dialled=text))
    assert json.loads(line)["dialled"] == text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_strangers_text_neither_breaks_nor_steers_the_console(text: str) -> None:
    called, happened = Written("console").lines(
        record(dialled=text), lambda logger: logger.warning("agi_rejected", script=text)
    )
    for line, field in ((called, "dialled"), (happened, "script")):
        assert line.isprintable()
        assert len(line.splitlines()) == 1
        value = line.split(f"{field}=")[1]
        if " " in text or "=" in text:
            assert value.startswith(("'", '"')), "a value with blanks is quoted, so that it cannot forge a field"


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_error_with_its_traceback_is_one_line(form: Format) -> None:
    def fail(logger: structlog.typing.FilteringBoundLogger) -> None:
        try:
            int("first\nsecond")
        except ValueError:
            logger.exception("decision_failed", unique_id="1.2")

    lines = Written(form).lines(fail)
    assert "ValueError: invalid literal" in "".join(lines)
    assert "test_log.py" in "".join(lines)
    if form == "json":
        (line,) = lines
        assert json.loads(line)["level"] == "error"


def test_the_console_shows_a_call_in_words() -> None:
    (line,) = Written("console").lines(record())
    for part in ("2026-11-22T03:04:05.678Z", "call", "dialled=02079460000", "reason=assigned", "duration_ms=0.231"):
        assert part in line
    assert "\x1b" not in line  # colours are for terminals
    assert "attempt" not in line
    (line,) = Written("console").lines(msgspec.structs.replace(record(), attempt="1.1"))
    assert "attempt=1.1" in line


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_only_what_is_as_grave_as_the_level_is_written(level: Level, heard: list[str]) -> None:
    written = Written()
    logger = make_logger(written.writer, level)
    for name in ("debug", "info", "warning", "error"):
        getattr(logger, name)(name)
    assert [json.loads(line)["event"] for line in written.lines()] == heard


@pytest.mark.parametrize(("number", "shown"), [("+447700900123", "…23"), ("", ""), ("+1", "…+1"), ("7", "…7")])
def test_a_masked_number_shows_its_last_two_digits(number: str, shown: str) -> None:
    assert mask(number) == shown


class Stuck(io.BytesIO):
    """A pipe that nobody reads: a write waits until `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.waiting = threading.Event()

    def write(self, data: Any, /) -> int:
        self.waiting.set()
        assert self.go.wait(PATIENCE_SECONDS)
        return super().write(data)


def test_a_stream_that_takes_nothing_holds_nobody_up_and_the_loss_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "LOG_LINES_MAX", 100)
    written = Written(stream=Stuck())
    written.writer.start()
    written.writer.add(b'"first"')
    assert written.stream.waiting.wait(PATIENCE_SECONDS)
    for index in range(250):
        written.writer.add(str(index).encode())
    assert sum(written.dropped) == 150
    written.writer.stop(0.01)  # it does not wait for ever either
    written.stream.go.set()
    written.writer.stop(PATIENCE_SECONDS)
    assert written.stream.getvalue().decode().split("\n")[:-1] == ['"first"', *map(str, range(100))]


class Reluctant(io.BytesIO):
    """An unbuffered stream: takes a few bytes at a time, and now and then none, as a non-blocking pipe does."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = 0

    def write(self, data: Any, /) -> Any:
        self._turn += 1
        return None if self._turn == 3 else super().write(bytes(data)[: 1 + self._turn])


def test_a_stream_that_takes_less_than_it_is_given_gets_the_rest() -> None:
    written = Written(stream=Reluctant())
    lines = written.lines(*(record(unique_id=str(index)) for index in range(5)))
    assert [json.loads(line)["unique_id"] for line in lines] == list("01234")
    assert written.dropped == []


class Failing(io.BytesIO):
    """A disk that is full until `full` is cleared."""

    def __init__(self) -> None:
        super().__init__()
        self.full = True
        self.failed = threading.Event()

    def write(self, data: Any, /) -> int:
        if self.full:
            self.failed.set()
            raise OSError(28, "No space left on device")
        return super().write(data)


def test_lines_that_cannot_be_written_are_counted_said_and_the_next_ones_are_written(
    capfd: pytest.CaptureFixture[str],
) -> None:
    written = Written(stream=Failing())
    for index in range(3):
        written.writer.add(str(index).encode())
    written.writer.start()
    assert written.stream.failed.wait(PATIENCE_SECONDS)
    written.stream.full = False
    written.writer.add(b"later")
    written.writer.stop(PATIENCE_SECONDS)
    assert written.stream.getvalue() == b"later\n"
    assert sum(written.dropped) == 3
    assert "No space left on device" in capfd.readouterr().err


class Filling(io.BytesIO):
    """A disk with room for so many bytes; what is written until it is full stays."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.failed = threading.Event()

    def write(self, data: Any, /) -> int:
        if not self.room:
            self.failed.set()
            raise OSError(28, "No space left on device")
        taken = super().write(bytes(data)[: self.room])
        self.room -= taken
        return taken


@pytest.mark.parametrize(
    ("room", "kept", "lost"),
    [(4, ["one"], 2), (5, ["one", "t"], 2), (7, ["one", "two"], 2), (8, ["one", "two"], 1)],
)
def test_a_line_that_is_cut_short_does_not_take_the_next_one_along(
    capfd: pytest.CaptureFixture[str], room: int, kept: list[str], lost: int
) -> None:
    written = Written(stream=Filling(room))
    for text in (b"one", b"two", b"three"):
        written.writer.add(text)
    written.writer.start()
    assert written.stream.failed.wait(PATIENCE_SECONDS)
    written.stream.room = 1000
    written.writer.add(b"later")
    written.writer.stop(PATIENCE_SECONDS)
    assert written.stream.getvalue().decode().split("\n") == [*kept, "later", ""]
    assert written.dropped == [lost]
    assert "No space left on device" in capfd.readouterr().err


@pytest.fixture
def broken_stderr(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[None]:
    """A standard error that nobody can write to: the reader of the pipe has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        yield


def test_the_writer_outlives_a_standard_error_that_is_broken_too(broken_stderr: None) -> None:
    written = Written(stream=Failing())
    written.writer.add(b"lost")
    written.writer.start()
    assert written.stream.failed.wait(PATIENCE_SECONDS)
    written.stream.full = False
    written.writer.add(b"later")
    written.writer.stop(PATIENCE_SECONDS)
    assert written.stream.getvalue() == b"later\n"


def test_lines_of_many_threads_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written()
    written.writer.start()

    def say(name: int) -> None:
        for index in range(200):
            written.writer.add(record(unique_id=f"{name}.{index}"))

    threads = [threading.Thread(target=say, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written.writer.stop(PATIENCE_SECONDS)
    said = [json.loads(line)["unique_id"] for line in written.stream.getvalue().decode().split("\n")[:-1]]
    assert len(said) == 1600
    for name in range(8):
        assert [each for each in said if each.startswith(f"{name}.")] == [f"{name}.{index}" for index in range(200)]
