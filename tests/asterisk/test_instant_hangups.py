"""Subscribers who hang up in the moment in which they answer, many of them: nothing of them stays in Asterisk."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.asterisk.campaigns import Campaigns, running_campaigns
from tests.asterisk.manager_events import manager_events
from tests.asterisk.parts import Program
from tests.asterisk.subscribers import Behaviour
from tests.processes import wait_until

pytestmark = pytest.mark.asterisk

CALLS, FIRST = 20_000, 4_000  # of those the first show what a busy Asterisk needs
AT_ONCE = 25
EVENTS_PER_CALL = 400  # of every class, with all channels of the call; about 200 are usual
TOGETHER, TOLD_S = 1_000, 300
GROWTH_KB = 12_000  # of 16,000 calls: a leak of a kilobyte each would be more
SUBSCRIBERS = [f"+447700{place:04}{Behaviour.HANGS_UP.value:02}" for place in range(1000)]
ANSWERED = 'ringway_attempts_total{outcome="answered"}'
# Asterisk says so where a channel ends inside a subroutine: the subscriber has gone before [ringway-let-go] returned.
GONE_INSIDE = r"app_stack\.c: .*Abnormal 'Gosub\(ringway-let-go,s,1\)' exit"


@dataclass(frozen=True, slots=True)
class Size:
    """What Asterisk's process uses."""

    memory_kb: int
    descriptors: int
    threads: int


def size(pid: int) -> Size:
    """Measure a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines())
    memory, threads = int(status["VmRSS"].split()[0]), int(status["Threads"])
    return Size(memory, len(list(Path(f"/proc/{pid}/fd").iterdir())), threads)


def hang_up_at_once(campaigns: Campaigns, calls: int) -> None:
    """Let the campaign call so many subscribers who do; the manager's events of each call are few."""
    told = campaigns.router.metrics().get(ANSWERED, 0)
    with manager_events(campaigns.asterisk) as events:
        for call in range(calls):
            to = SUBSCRIBERS[call % len(SUBSCRIBERS)]
            events.dial(f"Local/{to}@ringway-outbound", "__CAMPAIGN_ID=win-back", at_once=AT_ONCE)
            if call % TOGETHER == TOGETHER - 1 or call == calls - 1:
                events.wait_over()
                campaigns.asterisk.wait_idle(TOLD_S)  # one channel tells of all of them, one after the other
    assert campaigns.asterisk.kept("ringway-attempts") == {}
    wait_until(lambda: campaigns.router.metrics()[ANSWERED] == told + calls, "the router has heard of each call")
    each = events.count / calls
    print(f"{each:.0f} events a call, {events.most} at most")  # noqa: T201 - to be read
    assert each <= EVENTS_PER_CALL
    assert events.most <= EVENTS_PER_CALL


def test_a_hundred_leave_no_channel_and_few_events(asterisk_program: Program, tmp_path: Path) -> None:
    with running_campaigns(asterisk_program, tmp_path, ami=True) as campaigns:
        hang_up_at_once(campaigns, 100)
        campaigns.asterisk.assert_no_surprise(GONE_INSIDE)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_of_20000_no_channel_spins_or_stays_and_nothing_grows(asterisk_program: Program, tmp_path: Path) -> None:
    with running_campaigns(asterisk_program, tmp_path, ami=True) as campaigns:
        hang_up_at_once(campaigns, FIRST)
        before = size(campaigns.asterisk.pid)
        hang_up_at_once(campaigns, CALLS - FIRST)
        after = size(campaigns.asterisk.pid)
        print(before, after)  # noqa: T201 - to be read
        assert campaigns.asterisk.channels() == 0
        assert after.descriptors <= before.descriptors + 5
        assert after.threads <= before.threads + 5
        assert after.memory_kb <= before.memory_kb + GROWTH_KB
        campaigns.asterisk.assert_no_surprise(GONE_INSIDE)
