"""Calls that have their answer: what is counted and written of each, and when."""

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from router.agi import accounting, careful, connection
from router.agi.accounting import Accounts, Decided
from router.agi.usual import UsualCall
from router.config.limits import ACCOUNT_MAX_CALLS, ACCOUNT_SECONDS
from router.observe.log import CallRecord
from router.observe.metrics import Metrics
from tests.fastagi import environment, environment_lines
from tests.unit.router.agi.asking import usual_calls
from tests.unit.router.agi.serving import NoCallbacks, routes
from tests.unit.router.agi.wires import Exchange, in_a_loop

Way = Callable[[UsualCall], UsualCall | Decided]


class Books:
    """Accounts, what they have written and whom they have told of."""

    def __init__(self, *, masked: bool = False) -> None:
        self.metrics = Metrics()
        self.records: list[CallRecord] = []
        self.told: list[str] = []
        self.accounts = Accounts(("route",), self.metrics, self.records.append, self.told.append, mask_callers=masked)

    def count(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"ringway_{name}", labels)


class Clock:
    """Stands still where calls are timed, until it is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 0.0
        for module in (accounting, careful, connection):
            monkeypatch.setattr(module, "time", self)

    def time(self) -> float:
        return 1_800_000_000.0 + self.passed

    def perf_counter(self) -> float:
        return 50.0 + self.passed


def usual(**fields: str) -> UsualCall:
    """A usual call that took 1.23456 ms to answer."""
    keys = {"agi_extension": "02079460000"} | {f"agi_{name}": value for name, value in fields.items()}
    call = usual_calls(routes, NoCallbacks()).answer(environment(keys))
    assert call is not None
    call.accepted_at, call.duration = 49.0, 0.00123456
    return call


def as_decided(call: UsualCall) -> Decided:
    """The same call, answered the long way."""
    return Decided(call.unique_id, call.response(), call.accepted_at, call.duration)


both_ways = pytest.mark.parametrize("way", [lambda call: call, as_decided], ids=["short", "long"])


@both_ways
@in_a_loop
async def test_a_record_says_all_of_its_call(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    books = Books()
    books.accounts.add(way(usual(callerid="07700900123")))
    books.accounts.settle()
    accepted = dt.datetime.fromtimestamp(1_799_999_999.0, dt.UTC)
    (record,) = books.records
    assert record == CallRecord(
        accepted,
        *("1795316003.7", "02079460000", "+442079460000", "+447700900123"),
        *("assigned", "call-flow", "flow-0", "acme", "flow-0,s,1"),
        1,
        1.235,
    )


@both_ways
@pytest.mark.parametrize(
    ("masked", "sent", "caller", "shown"),
    [
        (False, "07700900123", "+447700900123", msgspec.UNSET),
        (True, "07700900123", "…23", msgspec.UNSET),
        (False, "FLOWERS 07", "", "FLOWERS 07"),
        (True, "FLOWERS 07", "", "…07"),
        (False, "c" * 65, "", "c" * 64),
        (False, "unknown", "", msgspec.UNSET),
    ],
)
@in_a_loop
async def test_a_record_shows_of_the_caller_what_it_may(
    way: Way, masked: bool, sent: str, caller: str, shown: str | msgspec.UnsetType
) -> None:
    books = Books(masked=masked)
    books.accounts.add(way(usual(callerid=sent)))
    books.accounts.settle()
    assert [(record.caller, record.caller_sent) for record in books.records] == [(caller, shown)]


@both_ways
@in_a_loop
async def test_a_record_has_no_more_of_a_strangers_text_than_its_bounds(way: Way) -> None:
    books = Books()
    books.accounts.add(way(usual(uniqueid="u" * 151, extension="02079460000" + "-" * 60)))
    books.accounts.settle()
    (record,) = books.records
    assert (record.unique_id, record.dialled) == ("u" * 150, "02079460000" + "-" * 53)


@both_ways
@in_a_loop
async def test_each_of_the_calls_that_are_counted_together_is_counted_and_one_is_told_of(way: Way) -> None:
    books = Books()
    remembering = usual()
    for place in range(3):
        each = msgspec.structs.replace(remembering, unique_id=f"{place}", duration=2.0**place)
        books.accounts.add(way(each))
    assert (books.records, books.told) == ([], [])
    for _ in range(2):  # the second time there is nothing more
        books.accounts.settle()
        assert books.count("decisions_total", reason="assigned", kind="call-flow") == 3
        assert (books.count("decision_seconds_count"), books.count("decision_seconds_sum")) == (3, 7.0)
        assert books.count("agi_seconds_count", verb="route") == 3
        assert [record.unique_id for record in books.records] == ["0", "1", "2"]
        assert len(books.told) == 1


@in_a_loop
async def test_the_answer_of_no_verb_is_timed_by_none() -> None:
    """As that to lines of which no verb has become clear."""
    books = Books()
    call = as_decided(usual())
    books.accounts.add(msgspec.structs.replace(call, response=call.response._replace(verb=None)))
    books.accounts.settle()
    assert books.count("agi_seconds_count", verb="route") == 0
    assert books.count("decision_seconds_count") == len(books.records) == 1


@in_a_loop
async def test_calls_wait_together_for_their_account_and_the_next_ones_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timers: list[tuple[Any, ...]] = []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda *timer: timers.append(timer))
    books = Books()
    for turn in (1, 2):
        for _ in range(2):
            books.accounts.add(usual())
            assert timers == [(ACCOUNT_SECONDS, books.accounts.settle)] * turn
        timers[-1][1]()
        assert len(books.records) == 2 * turn


@in_a_loop
async def test_so_many_calls_that_they_hold_others_up_wait_no_longer() -> None:
    books = Books()
    call = usual()
    for _ in range(ACCOUNT_MAX_CALLS - 1):
        books.accounts.add(call)
    assert books.records == []
    books.accounts.add(call)
    assert len(books.records) == ACCOUNT_MAX_CALLS


NOT_USUAL = {"agi_callingpres": "32", "agi_extension": "02079460000"}


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (environment({"agi_extension": "02079460000"}), "assigned"),
        (environment(NOT_USUAL), "assigned"),
        (b"".join(line for line in environment_lines() if not line.startswith(b"agi_dnid")), "error"),
    ],
    ids=["short", "long", "refused"],
)
@in_a_loop
async def test_a_call_is_timed_from_its_connection_to_its_answer(
    block: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    exchange = Exchange()
    line = exchange.line()
    clock.passed = 2.0
    line.receive(block)
    clock.passed = 5.0
    line.reply()
    assert exchange.count("decision_seconds_sum") == 2.0
    assert [(record.reason, record.duration_ms, record.timestamp.timestamp()) for record in exchange.records] == [
        (reason, 2_000.0, 1_800_000_000.0)
    ]


@in_a_loop
async def test_a_call_that_has_its_answer_the_short_way_and_goes_on_the_long_one_keeps_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    exchange = Exchange()
    line = exchange.line()
    clock.passed = 2.0
    line.receive(environment({"agi_extension": "02079460000"}))
    clock.passed = 5.0
    line.receive(b"HANGUP\n", b"200 result=0\n")
    assert exchange.count("decision_seconds_sum") == 2.0
    assert [record.duration_ms for record in exchange.records] == [2_000.0]


@in_a_loop
async def test_a_verb_is_told_when_the_connection_came(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    exchange = Exchange()
    moments: list[float] = []
    answer = exchange.server.verbs.answer

    def asked(request: Any, now: float) -> Any:
        moments.append(now)
        return answer(request, now)

    monkeypatch.setattr(exchange.server.verbs, "answer", asked)
    line = exchange.line()
    clock.passed = 2.0
    line.receive(environment(NOT_USUAL))
    assert moments == [1_800_000_000.0]
