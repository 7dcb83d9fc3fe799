"""What a campaign's call was: real calls by the shipped dialplan, to real telephones of every behaviour."""

from collections.abc import Iterator

import pytest

from tests.asterisk.campaigns import CAMPAIGN, OUR, OUTCOMES, Campaigns, running_campaigns, subscriber
from tests.asterisk.exchange import Exchange
from tests.asterisk.parts import Program
from tests.asterisk.subscribers import Behaviour
from tests.processes import wait_until

# A dialler that rings a subscriber twice out of one channel.
ONE_CHANNEL = """
[one-channel]
exten => _[+0-9]!,1,Set(__CAMPAIGN_ID=win-back)
 same => n,Dial(Local/${EXTEN}@ringway-outbound,5)
 same => n,Dial(Local/${EXTEN}@ringway-outbound,5)
 same => n,Hangup()
"""


@pytest.fixture(scope="module", params=["hangup handler", "both witnesses"])
def started(
    request: pytest.FixtureRequest, asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Campaigns]:
    """The hangup handler alone, or the manager interface too."""
    folder = tmp_path_factory.mktemp("router")
    both = request.param == "both witnesses"
    with running_campaigns(asterisk_program, folder, ami=both, extra=ONE_CHANNEL) as running:
        yield running


@pytest.fixture
def campaigns(exchange: Exchange) -> Campaigns:
    """The module's own campaigns, made ready for a test."""
    assert isinstance(exchange, Campaigns)
    return exchange


@pytest.mark.parametrize("behaviour", list(Behaviour), ids=lambda each: each.name.lower())
def test_the_verdict(campaigns: Campaigns, behaviour: Behaviour) -> None:
    to = subscriber(behaviour)
    campaigns.dial(to)
    (attempt,) = campaigns.attempts(to)
    assert (attempt["outcome"], attempt["number"], attempt["campaign"]) == (OUTCOMES[behaviour], OUR, "win-back")
    assert f"<sip:{OUR}@" in campaigns.shown(to)
    assert campaigns.asterisk.kept("ringway-attempts") == {}
    assert campaigns.asterisk.kept("ringway-dialling") == {}


def test_an_answered_call_goes_to_the_campaigns_destination(campaigns: Campaigns) -> None:
    to = subscriber(Behaviour.ANSWERS)
    campaigns.dial(to)
    (arrival,) = campaigns.asterisk.calls()
    assert (arrival.context, arrival.caller, arrival.dialled) == (CAMPAIGN, to, OUR)


def test_each_attempt_counts_once(campaigns: Campaigns) -> None:
    before = campaigns.router.metrics()
    for behaviour in (Behaviour.BUSY, Behaviour.UNKNOWN, Behaviour.ANSWERS):
        campaigns.dial(subscriber(behaviour))
    after = campaigns.router.metrics()
    for outcome in ("missed", "failed", "answered"):
        name = f'ringway_attempts_total{{outcome="{outcome}"}}'
        assert after[name] - before.get(name, 0) == 1


def test_a_retry_is_an_attempt_of_its_own(campaigns: Campaigns) -> None:
    to = subscriber(Behaviour.BUSY)
    campaigns.originate(f"Local/{to}@one-channel", Variable="__CAMPAIGN_ID=win-back")
    campaigns.asterisk.wait_idle()
    wait_until(lambda: len(campaigns.told(to)) == 2, "the router hears of both calls")
    assert campaigns.outcomes(to) == ["missed", "missed"]


def test_a_later_attempt_that_is_answered_is_told_apart(campaigns: Campaigns) -> None:
    first, later = subscriber(Behaviour.BUSY), subscriber(Behaviour.ANSWERS)
    for to, outcome in ((first, "missed"), (later, "answered")):
        campaigns.dial(to)
        assert campaigns.outcomes(to) == [outcome]


def test_a_dialler_who_hangs_up_while_it_rings(campaigns: Campaigns) -> None:
    to = subscriber(Behaviour.RINGS)
    campaigns.asterisk.set_global("RINGWAY_RING_SECONDS", "20")
    try:
        campaigns.originate(f"Local/{to}@ringway-outbound", Variable="__CAMPAIGN_ID=win-back")
        wait_until(lambda: "Ringing" in campaigns.asterisk.cli("core show channels"), "it rings")
        campaigns.asterisk.cli("channel request hangup all")
        campaigns.asterisk.wait_idle()
        wait_until(lambda: bool(campaigns.told(to)), "the router hears of it")
    finally:
        campaigns.asterisk.set_global("RINGWAY_RING_SECONDS", "1")
    assert campaigns.outcomes(to) == ["missed"]
