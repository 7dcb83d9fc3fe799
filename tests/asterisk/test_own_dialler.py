"""A dialler's own dialplan, and calls without any: only the manager interface tells of them."""

from collections.abc import Iterator

import pytest

from tests.asterisk.campaigns import OUR, OUTCOMES, Campaigns, running_campaigns, subscriber
from tests.asterisk.exchange import Exchange
from tests.asterisk.parts import Program
from tests.asterisk.subscribers import NOT_LOGGED_IN, Behaviour
from tests.processes import wait_until

# A dialler's own dialplan: it tells nobody of the outcome.
OWN_DIALLER = f"""
[own-dialler]
exten => _X!,1,Set(__CAMPAIGN_ID=win-back)
 same => n,Set(CALLERID(num)={OUR})
 same => n,Dial(PJSIP/${{EXTEN}}@trunk,1,i)
 same => n,Hangup()

[own-dialler-long]
exten => _X!,1,Set(__CAMPAIGN_ID=win-back)
 same => n,Set(CALLERID(num)={OUR})
 same => n,Dial(PJSIP/${{EXTEN}}@trunk,20)
 same => n,Hangup()

[own-agent-first]
exten => _X!,1,Set(CALLERID(num)={OUR})
 same => n,Dial(PJSIP/${{EXTEN}}@trunk,1,iS(1))
 same => n,Hangup()

[own-fork]
exten => _X!,1,Set(__CAMPAIGN_ID=win-back)
 same => n,Set(CALLERID(num)={OUR})
 same => n,Dial(PJSIP/${{EXTEN}}@trunk&PJSIP/${{OTHER}}@trunk,1)
 same => n,Hangup()

[own-front]
exten => _X!,1,Set(__CAMPAIGN_ID=win-back)
 same => n,Dial(Local/${{EXTEN}}@own-dialler,2)
 same => n,Hangup()

[own-retry]
exten => _X!,1,Set(__CAMPAIGN_ID=win-back)
 same => n,Set(CALLERID(num)={OUR})
 same => n,Dial(PJSIP/${{EXTEN}}@trunk,1)
 same => n,Dial(PJSIP/${{EXTEN}}@trunk,1)
 same => n,Hangup()
"""


@pytest.fixture(scope="module")
def started(asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaigns]:
    """A router that watches."""
    folder = tmp_path_factory.mktemp("router")
    with running_campaigns(asterisk_program, folder, ami=True, extra=OWN_DIALLER) as running:
        yield running
        assert running.router.events("ami_deaf") == [], "whatever way they are dialled, the link tells of them"


@pytest.fixture
def campaigns(exchange: Exchange) -> Campaigns:
    """The module's own campaigns, made ready for a test."""
    assert isinstance(exchange, Campaigns)
    return exchange


def bare(to: str) -> str:
    """The number as an extension that digits' patterns match."""
    return to.removeprefix("+")


def watched(campaigns: Campaigns, channel: str, to: str, **fields: str) -> list[str]:
    """Place a call of a dialler's own that only the manager interface tells of; what became of it."""
    campaigns.originate(channel, **fields)
    campaigns.asterisk.wait_idle()
    wait_until(lambda: bool(campaigns.told(to)), f"the router hears of the call to {to}")
    return campaigns.outcomes(to)


@pytest.mark.parametrize("behaviour", list(Behaviour), ids=lambda each: each.name.lower())
def test_the_verdict(campaigns: Campaigns, behaviour: Behaviour) -> None:
    if behaviour is Behaviour.WANTS_A_PASSWORD:
        campaigns.expect(NOT_LOGGED_IN)
    to = subscriber(behaviour)
    assert watched(campaigns, f"Local/{bare(to)}@own-dialler", to=to) == [campaigns.outcome_of(behaviour)]
    (attempt,) = campaigns.attempts(to)
    assert (attempt["number"], attempt["campaign"]) == (OUR, "win-back")


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [(Behaviour.RINGS, "missed"), (Behaviour.SILENT, "failed")],
    ids=["while it rings", "before it rings"],
)
def test_a_dialler_who_gives_up(campaigns: Campaigns, behaviour: Behaviour, outcome: str) -> None:
    """Its own channel alone is hung up."""
    to = subscriber(behaviour)
    campaigns.originate(f"Local/{bare(to)}@own-dialler-long")
    campaigns.rings(bare(to))
    if behaviour is Behaviour.RINGS:
        wait_until(lambda: "Ringing" in campaigns.asterisk.cli("core show channels"), "it rings")
    campaigns.act("Hangup", Channel=campaigns.channel(bare(to), 1), Cause="19")
    campaigns.asterisk.wait_idle()
    wait_until(lambda: bool(campaigns.told(to)), "the router hears of it")
    assert campaigns.outcomes(to) == [outcome]


def test_a_fork_where_one_leg_answers_was_answered(campaigns: Campaigns) -> None:
    rings, answers = subscriber(Behaviour.RINGS), subscriber(Behaviour.ANSWERS)
    channel = f"Local/{bare(rings)}@own-fork"
    assert watched(campaigns, channel, to=answers, Variable=f"__OTHER={bare(answers)}") == ["answered"]
    assert campaigns.outcomes(rings) == ["answered"]


def test_a_fork_that_nobody_answers_was_missed_by_both(campaigns: Campaigns) -> None:
    rings, busy = subscriber(Behaviour.RINGS), subscriber(Behaviour.BUSY)
    channel = f"Local/{bare(rings)}@own-fork"
    assert watched(campaigns, channel, to=rings, Variable=f"__OTHER={bare(busy)}") == ["missed"]
    assert campaigns.outcomes(busy) == ["missed"]


def test_a_local_channel_in_front_is_no_attempt_of_its_own(campaigns: Campaigns) -> None:
    to = subscriber(Behaviour.RINGS)
    assert watched(campaigns, f"Local/{bare(to)}@own-front", to=to, Variable="__CAMPAIGN_ID=win-back") == ["missed"]


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [(Behaviour.RINGS, "missed"), (Behaviour.UNKNOWN, "failed"), (Behaviour.ANSWERS, "answered")],
    ids=["missed", "failed", "answered"],
)
def test_a_call_that_is_originated_straight_to_the_trunk(
    campaigns: Campaigns, behaviour: Behaviour, outcome: str
) -> None:
    to = subscriber(behaviour)
    fields = {"Variable": "__CAMPAIGN_ID=win-back", "CallerID": f"<{OUR}>", "Timeout": "1000"}
    assert watched(campaigns, f"PJSIP/{bare(to)}@trunk", to=to, **fields) == [outcome]
    (attempt,) = campaigns.attempts(to)
    assert (attempt["number"], attempt["campaign"]) == (OUR, "win-back")


def test_a_retry_in_the_same_channel_by_a_diallers_own_dialplan(campaigns: Campaigns) -> None:
    """Without a name for each attempt the channel's own is all there is: what was missed once stays missed."""
    to = subscriber(Behaviour.BUSY)
    assert watched(campaigns, f"Local/{bare(to)}@own-retry", to=to) == ["missed"]


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour.RINGS, Behaviour.BUSY, Behaviour.UNKNOWN, Behaviour.ANSWERS],
    ids=lambda each: each.name.lower(),
)
def test_an_agent_who_is_called_first_and_has_answered_is_not_the_subscriber(
    campaigns: Campaigns, behaviour: Behaviour
) -> None:
    """Both calls have one Linkedid; the agent's answer says nothing of the subscriber's."""
    to, agent = subscriber(behaviour), f"20{Behaviour.ANSWERS.value:02}"
    how = {"Context": "own-agent-first", "Exten": bare(to), "Variable": "__CAMPAIGN_ID=win-back"}
    assert watched(campaigns, f"PJSIP/{agent}@trunk", to=to, **how) == [OUTCOMES[behaviour]]
    assert len(campaigns.rung(f":{agent}")) > 0
    assert campaigns.told(agent) == []
