"""How the dialplan's reports of attempts come to the routers: late, together, once, and dated right."""

import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.asterisk.campaigns import CAMPAIGN, OUR, OWN, Campaigns, report, running_campaigns, subscriber
from tests.asterisk.exchange import Exchange
from tests.asterisk.parts import Program
from tests.asterisk.pbx import REFUSED
from tests.asterisk.subscribers import Behaviour
from tests.ports import free_port
from tests.processes import wait_until

pytestmark = pytest.mark.asterisk

EXAMPLE = '#include "ringway/examples/outbound_dialler.conf"\n'


@pytest.fixture(scope="module")
def started(asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaigns]:
    """The hangup handler alone."""
    folder = tmp_path_factory.mktemp("router")
    with running_campaigns(asterisk_program, folder, ami=False, extra=EXAMPLE) as running:
        running.asterisk.set_global("RINGWAY_RETRY_SECONDS", "1")
        yield running


@pytest.fixture
def campaigns(exchange: Exchange) -> Iterator[Campaigns]:
    """The module's own campaigns, made ready for a test."""
    assert isinstance(exchange, Campaigns)
    exchange.asterisk.cli("database deltree ringway-attempts")
    exchange.asterisk.set_global("RINGWAY_GUARD_SECONDS", "2")
    exchange.asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{exchange.router.agi_port}")
    exchange.asterisk.set_global("RINGWAY_AGI_2", "")
    yield exchange
    if exchange.router.process.poll() is None:
        exchange.router.signal(signal.SIGCONT)


def waiting(campaigns: Campaigns) -> dict[str, str]:
    """The reports in AstDB."""
    return campaigns.asterisk.kept("ringway-attempts")


def keep(campaigns: Campaigns, name: str, to: str) -> None:
    """Put a report into AstDB."""
    ended = int(time.time() * 1000)
    record = f"win-back|{to}|{OUR}|BUSY|17|0|{ended}|486"
    campaigns.asterisk.cli(f'database put ringway-attempts "{name}" "{record}"')


@pytest.mark.parametrize("zone", ["EST5", "MSK-3"])
def test_an_attempt_is_dated_in_utc_wherever_asterisk_stands(
    asterisk_program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    with running_campaigns(asterisk_program, tmp_path, ami=False) as campaigns:
        to, began = subscriber(Behaviour.BUSY), time.time()
        campaigns.dial(to)
        (attempt,) = campaigns.attempts(to)
        # A second less: the second and its fraction are read one after the other.
        assert began - 1 <= datetime.fromisoformat(attempt["at"]).timestamp() <= time.time()
        assert [campaigns.call(OUR, to).context for _ in range(2)] == [CAMPAIGN, OWN]


def test_the_last_call_before_a_router_starts_anew_is_told_all_the_same(campaigns: Campaigns) -> None:
    campaigns.expect(REFUSED)
    to = subscriber(Behaviour.RINGS)
    campaigns.originate(f"Local/{to}@ringway-outbound", Variable="__CAMPAIGN_ID=win-back")
    campaigns.rings(to)
    campaigns.router.kill()
    wait_until(lambda: "Couldn't connect to any host" in campaigns.asterisk.log(), "nobody takes the report")
    assert len(waiting(campaigns)) == 1
    campaigns.router.start()
    wait_until(lambda: bool(campaigns.told(to)), "it is told again")
    campaigns.asterisk.wait_idle()
    assert waiting(campaigns) == {}
    assert campaigns.call(OUR, to).context == CAMPAIGN


def test_one_channel_tells_all_and_a_foreign_key_holds_up_nothing(campaigns: Campaigns) -> None:
    campaigns.expect(REFUSED)
    subscribers = [subscriber(Behaviour.BUSY) for _ in range(12)]
    keep(campaigns, "0/1.1", subscribers[0])  # no name that a call has: it is a level of AstDB
    for place, to in enumerate(subscribers):
        keep(campaigns, f"1795300000.{place}", to)
    campaigns.asterisk.set_global("RINGWAY_GUARD_SECONDS", "600")
    campaigns.router.signal(signal.SIGSTOP)
    before = _begun(campaigns)
    for _ in range(5):
        report(campaigns.asterisk)
    wait_until(lambda: _begun(campaigns) == before + 10, "five channels with two ends have begun")
    wait_until(lambda: campaigns.asterisk.channels() == 2, "one of them is left")
    campaigns.router.signal(signal.SIGCONT)
    wait_until(lambda: all(campaigns.told(to) for to in subscribers), "all are told")
    campaigns.asterisk.wait_idle()
    assert campaigns.router.events("attempt_ignored") == []
    assert list(waiting(campaigns)) == ["ringway-attempts/0/1.1"]


def _begun(campaigns: Campaigns) -> int:
    """How many calls Asterisk has begun."""
    (line,) = [each for each in campaigns.asterisk.cli("core show calls").splitlines() if "processed" in each]
    return int(line.split()[0])


def test_many_calls_that_end_together_are_all_told(campaigns: Campaigns) -> None:
    """The channel that tells may be at its end when a report is written: none is left behind."""
    subscribers = [subscriber(Behaviour.BUSY) for _ in range(30)]
    for to in subscribers:
        campaigns.originate(f"Local/{to}@ringway-outbound", Variable="__CAMPAIGN_ID=win-back")
    wait_until(lambda: all(campaigns.told(to) for to in subscribers), "the router hears of all")
    campaigns.asterisk.wait_idle()
    assert waiting(campaigns) == {}


def test_a_report_without_a_sip_status_is_read(campaigns: Campaigns) -> None:
    """As an earlier version wrote it."""
    to = subscriber(Behaviour.BUSY)
    record = f"win-back|{to}|{OUR}|BUSY|17|0|{int(time.time() * 1000)}"
    campaigns.asterisk.cli(f'database put ringway-attempts 1795300000.99 "{record}"')
    report(campaigns.asterisk)
    wait_until(lambda: bool(campaigns.told(to)), "it is told")
    assert campaigns.outcomes(to) == ["missed"]


def test_the_second_router_is_asked_and_told(campaigns: Campaigns) -> None:
    campaigns.expect(REFUSED)
    campaigns.asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{free_port()}")
    campaigns.asterisk.set_global("RINGWAY_AGI_2", f"127.0.0.1:{campaigns.router.agi_port}")
    to = subscriber(Behaviour.BUSY)
    campaigns.dial(to)
    assert f"<sip:{OUR}@" in campaigns.shown(to)
    assert campaigns.outcomes(to) == ["missed"]
    assert waiting(campaigns) == {}


def test_nobody_is_called_while_the_router_stalls(campaigns: Campaigns) -> None:
    to = subscriber(Behaviour.BUSY)
    campaigns.expect(rf"Ringway: .{to[1:]} is not called for campaign win-back: no-answer")
    campaigns.asterisk.set_global("RINGWAY_GUARD_SECONDS", "1")
    campaigns.router.signal(signal.SIGSTOP)
    campaigns.originate(f"Local/{to}@ringway-outbound", Variable="__CAMPAIGN_ID=win-back")
    wait_until(lambda: "is not called" in campaigns.asterisk.log(), "it is given up")
    campaigns.asterisk.wait_idle()
    assert campaigns.rung(to) == []


def test_a_router_that_stalls_while_it_rings_is_told_later(campaigns: Campaigns) -> None:
    campaigns.asterisk.set_global("RINGWAY_GUARD_SECONDS", "1")
    to = subscriber(Behaviour.RINGS)
    campaigns.originate(f"Local/{to}@ringway-outbound", Variable="__CAMPAIGN_ID=win-back")
    campaigns.rings(to)
    campaigns.router.signal(signal.SIGSTOP)
    wait_until(lambda: bool(waiting(campaigns)), "the call is over")
    campaigns.router.signal(signal.SIGCONT)
    wait_until(lambda: bool(campaigns.told(to)), "it is told")
    assert campaigns.outcomes(to) == ["missed"]
    campaigns.asterisk.wait_idle()
    assert waiting(campaigns) == {}


@pytest.mark.parametrize("international", [False, True])
def test_the_example_dialler(campaigns: Campaigns, international: bool) -> None:
    to = subscriber(Behaviour.BUSY)
    dialled = to if international else f"0{to[3:]}"
    campaigns.originate(f"Local/{dialled}@outbound-dialler")
    wait_until(lambda: bool(campaigns.told(to)), "the router hears of it")
    campaigns.asterisk.wait_idle()
    assert len(campaigns.rung(dialled)) == 1
    assert campaigns.outcomes(to) == ["missed"]


def test_a_call_that_is_being_dialled_leaves_nothing_for_an_asterisk_that_is_killed(campaigns: Campaigns) -> None:
    """Nothing of it is in AstDB before it is over, and no group of channels holds it."""
    to = subscriber(Behaviour.RINGS)
    campaigns.originate(f"Local/{to}@ringway-outbound", Variable="__CAMPAIGN_ID=win-back")
    campaigns.rings(to)
    assert "ringway-" not in campaigns.asterisk.cli("database show")
    assert "ringway-" not in campaigns.asterisk.cli("group show channels")
    campaigns.asterisk.wait_idle()
    wait_until(lambda: bool(campaigns.told(to)), "the router hears of it")
