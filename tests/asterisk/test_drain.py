"""SIGTERM as Asterisk sees it: a connection is answered, or it is refused; it is not taken and dropped."""

import re
import signal

import pytest

from tests.asterisk.between import Between, Step
from tests.asterisk.pbx import REFUSED, Asterisk
from tests.asterisk.site import NO_AGI_TIMEOUT, SOME, Ground, by_first, check
from tests.asterisk.traffic import Ended, Waits, in_queue, now_ms
from tests.processes import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.asterisk

# No call in hand runs into its deadline, however long the test holds it.
PATIENT = {"agi": {"deadline_ms": int(PATIENCE_SECONDS * 1000)}}
# A connection can come up after the last look into the kernel's queue and before the close: a window of some 10 µs.
IN_THE_WINDOW = 1


def dropped(asterisk: Asterisk, ended: Ended) -> int:
    """How many calls the first router neither answered nor refused."""
    refused = len(re.findall(REFUSED, asterisk.log()))
    return len([call for call in ended.calls if not by_first(call)]) - refused


def test_calls_in_the_queue_are_answered(ground: Ground, waits: Waits) -> None:
    ground.agi_timeout(NO_AGI_TIMEOUT)
    with ground.site(second=True, settings=PATIENT) as site, ground.calls() as calls:
        calls.more(2 * SOME)
        before = now_ms()
        site.router.signal(signal.SIGSTOP)
        stalled = now_ms()
        wait_until(lambda: in_queue(site.router.agi_port) >= SOME, "calls in the queue of a stopped router")
        site.router.signal(signal.SIGTERM)
        site.router.signal(signal.SIGCONT)
        assert site.router.wait() == 0
        calls.more(SOME)
        ended = calls.end()
        stopped = site.router.events("stopped")
        rejected = site.router.events("agi_rejected")
    check(ended, fallback=False)
    assert len([call for call in ended.answered_by(1) if call.started_ms >= stalled]) >= SOME
    assert ended.answered_by(2)
    assert dropped(ground.asterisk, ended) <= IN_THE_WINDOW
    assert [line["cut_off"] for line in stopped] == [0]
    assert rejected == []
    ground.asterisk.assert_no_surprise(REFUSED)
    waits.add("SIGTERM with calls in the queue", ended, before)


def test_a_call_in_hand_is_answered_while_others_are_refused(ground: Ground, waits: Waits) -> None:
    ground.agi_timeout(NO_AGI_TIMEOUT)
    with ground.site(second=True, settings=PATIENT) as site, Between(site.router.agi_port) as relay:
        with ground.calls() as calls:
            calls.more(2 * SOME)
            before = now_ms()

            def stop() -> None:
                ground.asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{site.router.agi_port}")
                wait_until(lambda: site.router.metrics()["ringway_agi_connections"] >= 1, "the call in hand")
                site.router.signal(signal.SIGTERM)
                site.router.wait_for("draining")
                calls.more(SOME, where=lambda call: not by_first(call))

            ground.asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{relay.port}")
            in_hand = relay.act(Step.ACCEPTED, stop)
            assert site.router.wait() == 0
            calls.more(SOME)
            ended = calls.end()
        stopped = site.router.events("stopped")
    check(ended, fallback=False)
    (held,) = [call for call in ended.calls if call.unique_id == in_hand]
    assert by_first(held)
    # Calls that were on their way to the relay when the router stopped listening: the relay took them for it.
    relayed = relay.turned_away
    assert dropped(ground.asterisk, ended) - relayed <= IN_THE_WINDOW
    assert [line["cut_off"] for line in stopped] == [0]
    ground.asterisk.assert_no_surprise(REFUSED)
    waits.add("SIGTERM with a call in hand", ended, before)
