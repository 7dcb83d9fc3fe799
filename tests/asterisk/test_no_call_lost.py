"""Calls go on while routers are killed, stalled, restarted and refused: each one reaches a flow or the default."""

import random
import signal

import pytest

from tests.asterisk.between import Between, Step
from tests.asterisk.pbx import CUT_OFF, REFUSED
from tests.asterisk.site import (
    FALLBACK,
    FLOW,
    GREETING,
    NO_AGI_TIMEOUT,
    PLAIN,
    SOME,
    Ground,
    assert_all_by_first,
    between,
    by_first,
    check,
)
from tests.asterisk.traffic import Waits, in_queue, now_ms
from tests.processes import wait_until

pytestmark = pytest.mark.asterisk

SECOND = pytest.mark.parametrize("second", [False, True], ids=["alone", "second-router"])


def with_it(second: bool) -> str:
    return ", with a second router" if second else ""


def unless(second: bool) -> tuple[str, ...]:
    """What Asterisk may say about a fallback: nothing, where there is a second router."""
    return () if second else FALLBACK


@SECOND
def test_refused(ground: Ground, waits: Waits, second: bool) -> None:
    ground.asterisk.keep(PLAIN, FLOW, params={"GREETING": GREETING})
    with ground.site(second=second, start=False), ground.calls() as calls:
        calls.more(2 * SOME)
        ended = calls.end()
    check(ended, fallback=not second)
    assert len(ended.answered_by(2)) == (len(ended.calls) if second else 0)
    assert not ended.answered_by(1)
    ground.asterisk.assert_no_surprise(REFUSED, *unless(second))
    waits.add(f"refused{with_it(second)}", ended, 0)


@SECOND
def test_killed_and_started_again(ground: Ground, waits: Waits, second: bool) -> None:
    with ground.site(second=second) as site, ground.calls() as calls:
        calls.more(2 * SOME)
        before = now_ms()
        site.router.kill()
        gone = now_ms()
        calls.after(gone, SOME)
        starting = now_ms()
        site.router.start()
        back = now_ms()
        calls.after(back, SOME)
        ended = calls.end()
    check(ended, fallback=not second)
    assert not [call for call in between(ended, gone, starting) if by_first(call)]
    assert_all_by_first(ended, back)
    ground.asterisk.assert_no_surprise(CUT_OFF, REFUSED, *unless(second))
    waits.add(f"killed, started again{with_it(second)}", ended, before)


@SECOND
def test_stalled_and_going_on(ground: Ground, waits: Waits, second: bool) -> None:
    with ground.site(second=second) as site, ground.calls() as calls:
        calls.more(2 * SOME)
        before = now_ms()
        site.router.signal(signal.SIGSTOP)
        stalled = now_ms()
        calls.after(stalled, SOME)  # these have waited until the AGI timeout let them go on
        continued = now_ms()
        site.router.signal(signal.SIGCONT)
        site.router.ask(PLAIN)  # what waited in its queue is behind it
        back = now_ms()
        calls.after(back, SOME)
        ended = calls.end()
    check(ended, fallback=not second)
    assert not [call for call in between(ended, stalled, continued) if by_first(call)]
    assert_all_by_first(ended, back)
    ground.asterisk.assert_no_surprise(CUT_OFF, *unless(second))
    waits.add(f"stalled (SIGSTOP), going on{with_it(second)}", ended, before)


def test_both_routers_stalled(ground: Ground, waits: Waits) -> None:
    ground.agi_timeout(1)
    with ground.site(second=True) as site, ground.calls() as calls:
        calls.more(2 * SOME)
        before = now_ms()
        for router in site.routers():
            router.signal(signal.SIGSTOP)
        stalled = now_ms()
        calls.after(stalled, SOME)
        continued = now_ms()
        for router in site.routers():
            router.signal(signal.SIGCONT)
            router.ask(PLAIN)
        back = now_ms()
        calls.after(back, SOME)
        ended = calls.end()
    check(ended, fallback=True)
    assert not [call for call in between(ended, stalled, continued) if call.variables["ROUTE_STATUS"] == "OK"]
    assert_all_by_first(ended, back)
    ground.asterisk.assert_no_surprise(CUT_OFF, *FALLBACK)
    waits.add("both routers stalled, AGI timeout 1 s", ended, before)


@SECOND
def test_killed_while_calls_wait_in_its_queue(ground: Ground, waits: Waits, second: bool) -> None:
    ground.agi_timeout(NO_AGI_TIMEOUT)
    with ground.site(second=second) as site, ground.calls() as calls:
        calls.more(2 * SOME)
        before = now_ms()
        site.router.signal(signal.SIGSTOP)
        wait_until(lambda: in_queue(site.router.agi_port) >= SOME, "calls that the kernel took for a stopped router")
        site.router.kill()
        calls.more(SOME)
        site.router.start()
        back = now_ms()
        calls.after(back, SOME)
        ended = calls.end()
    check(ended, fallback=not second)
    assert_all_by_first(ended, back)
    ground.asterisk.assert_no_surprise(CUT_OFF, REFUSED, *unless(second))
    waits.add(f"killed with calls in its queue{with_it(second)}", ended, before)


@SECOND
@pytest.mark.parametrize("step", Step)
def test_killed_between_the_accept_and_the_command(ground: Ground, waits: Waits, second: bool, step: Step) -> None:
    ground.agi_timeout(NO_AGI_TIMEOUT)
    hit: list[str] = []
    with ground.site(second=second) as site, Between(site.router.agi_port) as relay:
        ground.asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{relay.port}")

        def kill() -> None:
            # The router itself has accepted the call: the kernel's queue is not what is tested here.
            wait_until(lambda: site.router.metrics()["ringway_agi_connections"] >= 1, "the router's own accept")
            site.router.kill()

        with ground.calls() as calls:
            calls.more(2 * SOME)
            before = now_ms()
            for _ in range(2):
                hit.append(relay.act(step, kill))
                calls.more(SOME)
                site.router.start()
                back = now_ms()
                calls.after(back, SOME)
            ended = calls.end()
    check(ended, fallback=not second)
    assert_all_by_first(ended, back)
    struck = [call for call in ended.calls if call.unique_id in hit]
    assert len(struck) == len(hit)
    assert not [call for call in struck if by_first(call)]
    ground.asterisk.assert_no_surprise(CUT_OFF, *unless(second))
    waits.add(f"killed when it had {step.name.lower()}{with_it(second)}", ended, before)


def test_restarted_alone(ground: Ground, waits: Waits) -> None:
    with ground.site(second=False) as site, ground.calls() as calls:
        calls.more(2 * SOME)
        before = now_ms()
        assert site.router.terminate() == 0
        gone = now_ms()
        calls.after(gone, SOME)
        site.router.start()
        back = now_ms()
        calls.after(back, SOME)
        ended = calls.end()
    check(ended, fallback=True)
    assert_all_by_first(ended, back)
    ground.asterisk.assert_no_surprise(CUT_OFF, REFUSED, *FALLBACK)
    waits.add("restarted (SIGTERM)", ended, before)


def test_one_after_the_other_restarted(ground: Ground, waits: Waits) -> None:
    with ground.site(second=True) as site, ground.calls() as calls:
        calls.more(2 * SOME)
        before = now_ms()
        for router in site.routers():
            assert router.terminate() == 0
            calls.more(SOME)
            router.start()
            back = now_ms()
            calls.after(back, SOME)
        ended = calls.end()
    check(ended, fallback=False)
    assert ended.answered_by(2)
    assert_all_by_first(ended, back)
    ground.asterisk.assert_no_surprise(REFUSED)
    waits.add("one after the other restarted (SIGTERM)", ended, before)


def test_restarted_under_socket_activation(ground: Ground, waits: Waits) -> None:
    ground.agi_timeout(NO_AGI_TIMEOUT)
    with ground.activated() as site, ground.calls() as calls:
        calls.more(2 * SOME)
        before = now_ms()
        for _ in range(3):
            assert site.router.terminate() == 0
            # Not started again before some calls wait for it.
            wait_until(lambda: in_queue(site.router.agi_port) >= SOME, "calls that wait for the next process")
            site.router.start()
            calls.more(SOME)
        ended = calls.end()
    check(ended, fallback=False)
    assert_all_by_first(ended, 0)
    ground.asterisk.assert_no_surprise()
    waits.add("restarted under socket activation", ended, before)


def test_killed_under_socket_activation(ground: Ground, waits: Waits) -> None:
    ground.agi_timeout(NO_AGI_TIMEOUT)
    with ground.activated() as site, ground.calls() as calls:
        calls.more(2 * SOME)
        before = now_ms()
        site.router.kill()
        gone = now_ms()
        wait_until(lambda: in_queue(site.router.agi_port) >= SOME, "calls that wait for the next process")
        site.router.start()
        calls.more(SOME)
        ended = calls.end()
    check(ended, fallback=True)
    assert_all_by_first(ended, gone)  # only a call that it had in hand may be left to a fallback
    ground.asterisk.assert_no_surprise(CUT_OFF, *FALLBACK)
    waits.add("killed under socket activation", ended, before)


@pytest.mark.long
def test_one_of_two_routers_is_always_well(ground: Ground, waits: Waits) -> None:
    with ground.site(second=True) as site, ground.calls() as calls:
        calls.more(2 * SOME)
        before = now_ms()
        for _ in range(20):
            router, way = random.choice(site.routers()), random.choice(["kill", "stall", "restart"])
            if way == "stall":
                router.signal(signal.SIGSTOP)
                calls.more(SOME)
                router.signal(signal.SIGCONT)
                router.ask(PLAIN)
            else:
                router.kill() if way == "kill" else router.terminate()
                calls.more(SOME)
                router.start()
            calls.more(SOME)
        ended = calls.end()
    check(ended, fallback=False)
    ground.asterisk.assert_no_surprise(CUT_OFF, REFUSED)
    waits.add("20 disturbances, one router always well", ended, before)
