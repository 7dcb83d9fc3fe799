"""Scheduled updates while calls go on: the data, a moment that lies ahead, and what each call must have been given."""

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tomli_w

from router.config.limits import DEADLINE_MAX_MS
from tests.asterisk.pbx import Arrival
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.traffic import DEFAULT_FLOW, Traffic, now_ms
from tests.processes import Router, ringway

RATE = 8  # calls a second to each number: an Asterisk that shares two cores with other tests keeps up with them
SOME = 10  # calls to each number that come through before the next thing happens
# The routers' answers matter here, not their haste: a busy machine must not turn one into a cached route.
PATIENT = {"RINGWAY_GUARD_SECONDS": "60"}
PATIENT_ROUTER = {"agi": {"deadline_ms": DEADLINE_MAX_MS}}
_FLOWS = ("old", "new", "late")
FLOWS = (*(Flow(f"flow-{key}", params=("GREETING",)) for key in _FLOWS), DEFAULT_FLOW)

Updates = Sequence[Mapping[str, Any]]


class Given(NamedTuple):
    """What a call is given."""

    reason: str
    flow: str
    greeting: str


class Change(NamedTuple):
    """From a moment on (ms since 1970), what calls are given."""

    at_ms: int
    given: Given


OLD = Given("assigned", "old", "Hello")
UNSAID = "Nothing said"  # the default of the flows' parameter


def given(call: Arrival) -> Given:
    """What the call was given, by the variables that its flow found."""
    return Given(call.variables["ROUTE_REASON"], call.variables["ROUTE_ID"], call.variables["PARAM_GREETING"])


def to(calls: Sequence[Arrival], number: str) -> list[Arrival]:
    """The calls to a number."""
    return [call for call in calls if call.dialled == number]


def written(at_ms: int, offset_h: int | None = 0) -> str:
    """A moment as a data file has it; with None, what a clock that has UTC shows then, without saying so."""
    moment = dt.datetime.fromtimestamp(at_ms / 1000, dt.timezone(dt.timedelta(hours=offset_h or 0)))
    return (moment if offset_h is not None else moment.replace(tzinfo=None)).isoformat(timespec="milliseconds")


def data(numbers: Mapping[str, Updates], base: Given = OLD, zones: Sequence[str] = ("UTC",)) -> str:
    """A data set: the flows, and these numbers, each of a company with the next of the time zones, round-robin."""
    greeting = [{"name": "GREETING", "type": "text", "default": UNSAID}]
    return tomli_w.dumps(
        {
            "companies": [
                {"id": f"c{i}", "name": zone, "region": "GB", "timezone": zone} for i, zone in enumerate(zones)
            ],
            "call_flows": [
                {"id": key, "name": key, "destination": {"context": f"flow-{key}"}, "parameters": greeting}
                for key in _FLOWS
            ],
            "numbers": [
                {
                    "number": number,
                    "company": f"c{i % len(zones)}",
                    "call_flow": base.flow,
                    "parameters": {"GREETING": base.greeting},
                    "updates": list(updates),
                }
                for i, (number, updates) in enumerate(numbers.items())
            ],
        }
    )


def take_up(router: Router, text: str, environment: Mapping[str, str] | None = None) -> float:
    """Load a data set and wait until the running router has it; returns when that was, in ms since 1970."""
    seen = len(router.log)
    done = ringway("load", "-", config=router.config, stdin=text, environment=environment)
    assert done.status == 0, done.err
    router.wait_for("table", after=seen)
    return now_ms()


def moment_ahead(attempt: Callable[[int], float], *, whole_seconds: bool = False) -> tuple[int, float]:
    """Find a moment so far ahead that what must come before it did.

    `attempt` is told a moment (ms since 1970), does all that, and returns from when on its calls count; where the
    moment has passed by then it is told a later one. Moments that Asterisk's own clock is to meet are whole seconds,
    since it drops what is over. Returns the moment, and that time.
    """
    for ahead_ms in (2_000, 4_000, 8_000, 16_000, 32_000):
        moment = int(now_ms()) + ahead_ms
        if whole_seconds:
            moment -= moment % 1_000
        from_ms = attempt(moment)
        if now_ms() < moment:
            return moment, from_ms
    raise AssertionError("32 s are too short to load some numbers and place some calls")


def sleep_until(moment_ms: float) -> None:
    """Let the clock come to a moment."""
    time.sleep(max(0.0, moment_ms - now_ms()) / 1000)


def scheduled(
    router: Router,
    traffic: Traffic,
    count: int,
    plan: Callable[[int], str],
    environment: Mapping[str, str] | None = None,
) -> tuple[int, float]:
    """Load the data that `plan` makes for a moment, with `count` calls coming after that and before the moment."""

    def attempt(moment: int) -> float:
        from_ms = take_up(router, plan(moment), environment)
        traffic.after(from_ms, count)
        return from_ms

    return moment_ahead(attempt)


def assert_as_planned(calls: Sequence[Arrival], base: Given, *changes: Change, every_period: bool = True) -> None:
    """A router decided each call, and gave it what is in force at the decision; each period has calls.

    The decision lies between a call's start and its arrival, both written down by Asterisk, which drops parts of a
    millisecond. So a call is free to have either side of a moment only where the moment lies between these two.
    """
    begins = [0, *(change.at_ms for change in changes)]
    ends = [*begins[1:], float("inf")]
    plan = [base, *(change.given for change in changes)]
    bound = dict.fromkeys(range(len(plan)), 0)
    for call in calls:
        assert call.variables["ROUTE_STATUS"] == "OK", call
        assert call.context == f"flow-{call.variables['ROUTE_ID']}", call
        periods = [i for i in bound if call.started_ms < ends[i] and call.arrived_ms >= begins[i]]
        assert given(call) in [plan[i] for i in periods], (call, plan, changes)
        if len(periods) == 1:
            bound[periods[0]] += 1
    assert all(bound.values()) or not every_period, (bound, plan)
