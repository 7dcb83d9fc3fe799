"""What a campaign's call was: real calls by the shipped dialplan, to real telephones of every behaviour."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.asterisk.campaigns import CAMPAIGN, OUR, Campaigns, running_campaigns, subscriber
from tests.asterisk.exchange import Exchange
from tests.asterisk.manager_events import manager_events
from tests.asterisk.parts import Program
from tests.asterisk.subscribers import NOT_LOGGED_IN, Behaviour
from tests.processes import wait_until

pytestmark = pytest.mark.asterisk

# A dialler that rings a subscriber twice, one that gives each call a second, and one whose channel is up beforehand.
DIALLERS = """
[twice]
exten => _[+0-9]!,1,Set(__CAMPAIGN_ID=win-back)
 same => n,Dial(Local/${EXTEN}@ringway-outbound,5)
 same => n,Dial(Local/${EXTEN}@ringway-outbound,5)
 same => n,Hangup()

[limited]
exten => _[+0-9]!,1,Set(__CAMPAIGN_ID=win-back)
 same => n,Set(TIMEOUT(absolute)=1)
 same => n,Goto(ringway-outbound,${EXTEN},1)

[answered-first]
exten => _[+0-9]!,1,Answer(,i)
 same => n,Goto(ringway-outbound,${EXTEN},1)
"""


@pytest.fixture(scope="module", params=["hangup handler", "both sources"])
def started(
    request: pytest.FixtureRequest, asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Campaigns]:
    """The hangup handler alone, or the manager interface too."""
    folder = tmp_path_factory.mktemp("router")
    both = request.param == "both sources"
    with running_campaigns(asterisk_program, folder, ami=both, extra=DIALLERS) as running:
        yield running


@pytest.fixture
def campaigns(exchange: Exchange) -> Campaigns:
    """The module's own campaigns, made ready for a test."""
    assert isinstance(exchange, Campaigns)
    return exchange


@contextlib.contextmanager
def being_called(campaigns: Campaigns, to: str, channel: str = "ringway-outbound") -> Iterator[None]:
    """A campaign calls a subscriber, for long; with somebody who rings it is ringing. Then the router hears of it."""
    campaigns.asterisk.set_global("RINGWAY_RING_SECONDS", "20")
    try:
        campaigns.originate(f"Local/{to}@{channel}", Variable="__CAMPAIGN_ID=win-back")
        campaigns.rings(to)
        if int(to[-2:]) == Behaviour.RINGS:
            wait_until(lambda: "Ringing" in campaigns.asterisk.cli("core show channels"), "it rings")
        yield
        wait_until(lambda: bool(campaigns.told(to)), "the router hears of it")
        campaigns.asterisk.wait_idle()
    finally:
        campaigns.asterisk.set_global("RINGWAY_RING_SECONDS", "1")


@pytest.mark.parametrize("behaviour", list(Behaviour), ids=lambda each: each.name.lower())
def test_the_verdict(campaigns: Campaigns, behaviour: Behaviour) -> None:
    if behaviour is Behaviour.WANTS_A_PASSWORD:
        campaigns.expect(NOT_LOGGED_IN)
    to = subscriber(behaviour)
    campaigns.dial(to)
    (attempt,) = campaigns.attempts(to)
    assert attempt["outcome"] == campaigns.outcome_of(behaviour)
    assert (attempt["number"], attempt["campaign"]) == (OUR, "win-back")
    assert f"<sip:{OUR}@" in campaigns.shown(to)
    assert campaigns.asterisk.kept("ringway-attempts") == {}


def test_an_answered_call_goes_to_the_campaigns_destination(campaigns: Campaigns) -> None:
    to = subscriber(Behaviour.ANSWERS)
    campaigns.dial(to)
    (arrival,) = campaigns.asterisk.calls()
    assert (arrival.context, arrival.caller, arrival.dialled) == (CAMPAIGN, to, OUR)


@pytest.mark.parametrize("context", ["ringway-outbound", "answered-first"])
def test_the_dialler_is_answered_and_parted_and_never_joined_with_the_subscriber(
    campaigns: Campaigns, context: str
) -> None:
    to = subscriber(Behaviour.ANSWERS)
    with manager_events(campaigns.asterisk) as events:
        events.dial(f"Local/{to}@{context}", "__CAMPAIGN_ID=win-back", at_once=1)
        events.wait_over()
        wait_until(lambda: bool(campaigns.told(to)), "the router hears of it")
        campaigns.asterisk.wait_idle()
    assert events.kinds["OriginateResponse"] == events.answered == 1
    assert events.kinds["BridgeEnter"] == 0
    (arrival,) = campaigns.asterisk.calls()
    assert (arrival.context, arrival.caller) == (CAMPAIGN, to)


def test_without_the_module_that_takes_the_dialler_away_the_call_goes_to_the_campaign_all_the_same(
    campaigns: Campaigns,
) -> None:
    campaigns.expect(r"app_exec\.c: Could not find application \(ChannelRedirect\)")
    to = subscriber(Behaviour.ANSWERS)
    campaigns.asterisk.cli("module unload app_channelredirect.so")
    try:
        campaigns.dial(to)
    finally:
        campaigns.asterisk.cli("module load app_channelredirect.so")
    (arrival,) = campaigns.asterisk.calls()
    assert (arrival.context, arrival.caller) == (CAMPAIGN, to)
    assert campaigns.outcomes(to) == ["answered"]


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
    campaigns.originate(f"Local/{to}@twice", Variable="__CAMPAIGN_ID=win-back")
    campaigns.asterisk.wait_idle()
    wait_until(lambda: len(campaigns.told(to)) == 2, "the router hears of both calls")
    assert campaigns.outcomes(to) == ["missed", "missed"]


def test_a_later_attempt_that_is_answered_is_told_apart(campaigns: Campaigns) -> None:
    first, later = subscriber(Behaviour.BUSY), subscriber(Behaviour.ANSWERS)
    for to, outcome in ((first, "missed"), (later, "answered")):
        campaigns.dial(to)
        assert campaigns.outcomes(to) == [outcome]


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [(Behaviour.RINGS, "missed"), (Behaviour.SILENT, "failed")],
    ids=["while it rings", "before it rings"],
)
def test_a_dialler_who_gives_up(campaigns: Campaigns, behaviour: Behaviour, outcome: str) -> None:
    """Its own channel alone is hung up, with a cause that would be a missed call's if the subscriber had given it."""
    to = subscriber(behaviour)
    with being_called(campaigns, to):
        campaigns.act("Hangup", Channel=campaigns.channel(to, 1), Cause="19")
    assert campaigns.outcomes(to) == [outcome]


def test_a_diallers_own_time_limit_ends_the_call(campaigns: Campaigns) -> None:
    to = subscriber(Behaviour.RINGS)
    with being_called(campaigns, to, "limited"):
        pass
    assert campaigns.outcomes(to) == ["missed"]
    assert len(campaigns.rung(to)) == 1


def test_a_channel_that_is_redirected_while_it_rings_begins_another_attempt(campaigns: Campaigns) -> None:
    first, then = subscriber(Behaviour.RINGS), subscriber(Behaviour.ANSWERS)
    with being_called(campaigns, first):
        place = {"Context": "ringway-outbound", "Exten": then, "Priority": "1"}
        campaigns.act("Redirect", Channel=campaigns.channel(first, 2), **place)
        wait_until(lambda: bool(campaigns.told(then)), "the router hears of the other one")
    assert (campaigns.outcomes(first), campaigns.outcomes(then)) == (["missed"], ["answered"])
    (arrival,) = campaigns.asterisk.calls()
    assert arrival.caller == then
