"""Scheduled updates across their moment: which calls get the old flow and which the new, as Asterisk saw it."""

from pathlib import Path

import pytest

from tests.asterisk.conftest import StartAsterisk
from tests.asterisk.pbx import FROM_KEPT, REFUSED, TO_DEFAULT, Asterisk
from tests.asterisk.schedule import (
    FLOWS,
    OLD,
    PATIENT,
    PATIENT_ROUTER,
    RATE,
    SOME,
    UNSAID,
    Change,
    Given,
    assert_as_planned,
    data,
    given,
    moment_ahead,
    scheduled,
    sleep_until,
    take_up,
    to,
    written,
)
from tests.asterisk.traffic import Traffic, now_ms
from tests.processes import running_router

pytestmark = pytest.mark.asterisk

SWITCHED, ALONE, TWICE, STEADY = "+442079460000", "+442079460001", "+442079460002", "+442079460003"
EVENING = {"parameters": {"GREETING": "Good evening"}}
SWITCH = {"call_flow": "new"} | EVENING
NEW = Given("scheduled", "new", "Good evening")


@pytest.fixture(scope="module")
def started(start_asterisk: StartAsterisk) -> Asterisk:
    """An Asterisk with the flows of the data."""
    return start_asterisk(flows=FLOWS, variables=PATIENT)


@pytest.fixture
def asterisk(started: Asterisk) -> Asterisk:
    """The same, as if just started."""
    started.wait_idle()
    started.forget()
    return started


def test_each_call_gets_what_is_in_force_when_it_is_decided(asterisk: Asterisk, tmp_path: Path) -> None:
    numbers = [SWITCHED, ALONE, TWICE, STEADY]
    count = SOME * len(numbers)
    between_ms = 2_000  # so long that calls come in between on a busy machine too

    def plan(moment: int) -> str:
        late = {"at": written(moment + between_ms), "call_flow": "late"}
        return data(
            {
                SWITCHED: [{"at": written(moment)} | SWITCH],
                ALONE: [{"at": written(moment, offset_h=5)} | EVENING],
                TWICE: [late, {"at": written(moment, offset_h=-3)} | SWITCH],
                STEADY: [],
            }
        )

    with running_router(tmp_path, data=data({}), settings=PATIENT_ROUTER) as router:
        asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{router.agi_port}")
        with Traffic(asterisk, numbers, RATE * len(numbers)) as traffic:
            moment, from_ms = scheduled(router, traffic, count, plan)
            again = moment + between_ms
            traffic.after(again, count)
            calls = [call for call in traffic.end().calls if call.started_ms >= from_ms]
    assert_as_planned(to(calls, SWITCHED), OLD, Change(moment, NEW))
    assert_as_planned(to(calls, ALONE), OLD, Change(moment, NEW._replace(flow="old")))
    late = Given("scheduled", "late", UNSAID)  # another flow does not inherit the values
    assert_as_planned(to(calls, TWICE), OLD, Change(moment, NEW), Change(again, late))
    assert_as_planned(to(calls, STEADY), OLD)
    asterisk.assert_no_surprise(TO_DEFAULT)


def test_a_change_that_comes_just_before_the_moment_counts(asterisk: Asterisk, tmp_path: Path) -> None:
    edited, night = Given("assigned", "late", "Edited"), Given("scheduled", "new", "Good night")
    took_ms = 0.0

    def plan(moment: int) -> str:
        return data({SWITCHED: [{"at": written(moment)} | SWITCH], TWICE: [{"at": written(moment)} | SWITCH]})

    with running_router(tmp_path, data=data({}), settings=PATIENT_ROUTER) as router:
        asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{router.agi_port}")
        with Traffic(asterisk, [SWITCHED, TWICE], RATE * 2) as traffic:
            began = now_ms()
            took_ms = take_up(router, data({STEADY: []})) - began
            moment, from_ms = scheduled(router, traffic, SOME * 2, plan)
            postponed = moment + 1500
            change = {"call_flow": "new", "parameters": {"GREETING": "Good night"}}
            numbers = {SWITCHED: [{"at": written(moment)} | change], TWICE: [{"at": written(postponed)} | change]}
            sleep_until(moment - took_ms - 300)
            taken_up = take_up(router, data(numbers, base=edited))
            traffic.after(max(taken_up, postponed), SOME * 2)
            calls = [call for call in traffic.end().calls if call.started_ms >= from_ms]
    first = min(int(call.variables["ROUTE_VERSION"]) for call in calls)
    last = max(int(call.variables["ROUTE_VERSION"]) for call in calls)
    assert last == first + 1
    assert all(call.variables["ROUTE_VERSION"] == str(last) for call in calls if call.started_ms >= taken_up)
    # Which came first, the change or the moment, is the machine's affair: each version must give what it says.
    for number, at_ms in ((SWITCHED, moment), (TWICE, postponed)):
        by_version = [
            [call for call in to(calls, number) if call.variables["ROUTE_VERSION"] == str(version)]
            for version in (first, last)
        ]
        assert all(by_version)
        assert_as_planned(by_version[0], OLD, Change(moment, NEW), every_period=False)
        assert_as_planned(by_version[1], edited, Change(at_ms, night), every_period=False)
        assert given(by_version[1][-1]) == night
    asterisk.assert_no_surprise(TO_DEFAULT)


def test_a_router_that_was_down_at_the_moment(asterisk: Asterisk, tmp_path: Path) -> None:
    updated = {SWITCHED: NEW, ALONE: NEW._replace(flow="old")}
    count = SOME * len(updated)
    gone = 0.0
    with running_router(tmp_path, data=data({}), settings=PATIENT_ROUTER) as router:
        asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{router.agi_port}")
        with Traffic(asterisk, list(updated), RATE * len(updated)) as traffic:

            def plan_and_stop(moment: int) -> float:
                nonlocal gone
                if gone:
                    router.start()
                at = {"at": written(moment)}
                from_ms = take_up(router, data({SWITCHED: [at | SWITCH], ALONE: [at | EVENING]}))
                traffic.after(from_ms, count)
                router.terminate()
                gone = now_ms()
                return from_ms

            moment, from_ms = moment_ahead(plan_and_stop)
            traffic.after(moment, count)
            starting = now_ms()
            router.start()
            back = now_ms()
            traffic.after(back, count)
            stopping = now_ms()
            router.terminate()
            gone_again = now_ms()
            traffic.after(gone_again, count)
            calls = [call for call in traffic.end().calls if call.started_ms >= from_ms]
    for number, new in updated.items():
        decided = [call for call in to(calls, number) if call.variables["ROUTE_STATUS"] == "OK"]
        kept = [call for call in to(calls, number) if call.variables["ROUTE_STATUS"] != "OK"]
        assert_as_planned(decided, OLD, Change(moment, new))
        for call in kept:
            # Nobody is there to decide: Asterisk uses the last good answer, says so, and says how old it is.
            assert (call.variables["ROUTE_STATUS"], given(call).reason) == ("KEPT", "kept"), call
            assert int(call.variables["ROUTE_AGE"]) >= 0
            assert call.context == f"flow-{given(call).flow}"
        down = [call for call in kept if call.started_ms >= gone and call.arrived_ms < starting]
        # Asterisk itself goes over to what the router had said would follow, by whole seconds.
        assert {given(call)[1:] for call in down if call.started_ms >= moment} == {new[1:]}
        assert {given(call)[1:] for call in down if call.arrived_ms < moment // 1000 * 1000} <= {OLD[1:]}
        # From the restart on a router decides again, and what is kept from then on is the new flow.
        assert not [call for call in kept if call.started_ms >= back and call.arrived_ms < stopping]
        assert {given(call)[1:] for call in kept if call.started_ms >= gone_again} == {new[1:]}
    asterisk.assert_no_surprise(REFUSED, FROM_KEPT, TO_DEFAULT)
