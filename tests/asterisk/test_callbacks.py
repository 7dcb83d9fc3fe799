"""A missed call of a campaign rings back and lands where the rule says, by the context that ran in Asterisk."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from tests.asterisk.campaigns import Campaigns, kept_attempt, running_campaigns, subscriber
from tests.asterisk.exchange import Exchange
from tests.asterisk.parts import Program
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.subscribers import Behaviour
from tests.processes import wait_until
from tests.samples import ACME

RULES = ("force-yes", "as-in-campaign", "force-no")
WINDOW_HOURS = 24


class Case(NamedTuple):
    """A number with a rule, reserved for one campaign that accepts incoming calls or does not."""

    rule: str
    accepts: bool

    @property
    def name(self) -> str:
        """Of the campaign."""
        return f"{self.rule}-{'accepts' if self.accepts else 'quiet'}"

    @property
    def number(self) -> str:
        """What the campaign shows."""
        return f"+4420794600{10 + CASES.index(self)}"


CASES = [Case(rule, accepts) for rule in RULES for accepts in (True, False)]
POOL = "+442079460099"


def data() -> str:
    """One company, all cases; a campaign for each, the pool's, and one that is over."""
    text = ACME
    campaigns = [(case.name, case.accepts, [case.number]) for case in CASES]
    campaigns += [("pool-accepts", True, []), ("pool-quiet", False, [])]
    for name, accepts, shows in campaigns:
        text += f"""
[[campaigns]]
id = "{name}"
company = "acme"
name = "{name}"
direction = "outbound"
destination = {{ context = "campaign-{name}" }}
accept_incoming = {str(accepts).lower()}
callback_window_hours = {WINDOW_HOURS}
caller_ids = {shows}
"""
    for case in CASES:
        text += f"""
[[numbers]]
number = "{case.number}"
company = "acme"
call_flow = "menu"
callback_rule = "{case.rule}"
"""
    return text + f'\n[[numbers]]\nnumber = "{POOL}"\nkind = "pool"\n'


FLOWS = [Flow("flow-menu"), *(Flow(f"campaign-{case.name}") for case in CASES)]
FLOWS += [Flow("campaign-pool-accepts"), Flow("campaign-pool-quiet")]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(scope="module")
def started(asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaigns]:
    """A router that has both sources."""
    folder = tmp_path_factory.mktemp("router")
    with running_campaigns(asterisk_program, folder, data(), FLOWS, ami=True) as running:
        yield running


@pytest.fixture
def campaigns(exchange: Exchange) -> Campaigns:
    """The module's own campaigns, made ready for a test."""
    assert isinstance(exchange, Campaigns)
    return exchange


def lands(campaigns: Campaigns, number: str, caller: str | None, headers: Sequence[str] = ()) -> tuple[str, str]:
    """The context that a callback reaches, and the reason that it was given."""
    arrival = campaigns.call(number, caller, headers=headers)
    return arrival.context, arrival.variables["ROUTE_REASON"]


def first(case: Case) -> tuple[str, str]:
    """Where the first callback has to land."""
    if case.rule == "force-yes":
        return f"campaign-{case.name}", "callback-force-yes"
    if case.rule == "as-in-campaign":
        return (
            (f"campaign-{case.name}", "callback-campaign") if case.accepts else ("flow-menu", "callback-not-accepted")
        )
    return "flow-menu", "assigned"


OWN = ("flow-menu", "assigned")


def test_dial_out_no_answer_ring_back(campaigns: Campaigns) -> None:
    """The whole story once: it rings and nobody answers; the first callback is the campaign's, the second is not."""
    case, anna = CASES[0], subscriber(Behaviour.RINGS)
    campaigns.dial(anna, case.name)
    arrival = campaigns.call(case.number, anna)
    assert arrival.context == f"campaign-{case.name}"
    variables = arrival.variables
    assert (variables["ROUTE_KIND"], variables["ROUTE_ID"], variables["ROUTE_COMPANY"]) == (
        "campaign",
        case.name,
        "acme",
    )
    assert (variables["ROUTE_NUMBER"], variables["ROUTE_CALLER"]) == (case.number, anna)
    assert lands(campaigns, case.number, anna) == ("flow-menu", "callback-used")
    assert campaigns.asterisk.kept("ringway/") == {}, "a callback's answer is never kept"


@every_case
def test_the_first_and_the_second_callback(campaigns: Campaigns, case: Case) -> None:
    anna = subscriber(Behaviour.BUSY)
    campaigns.dial(anna, case.name)
    assert lands(campaigns, case.number, anna) == first(case)
    assert lands(campaigns, case.number, anna) == (OWN if case.rule == "force-no" else ("flow-menu", "callback-used"))


@every_case
def test_strangers_and_withheld_callers(campaigns: Campaigns, case: Case) -> None:
    anna, boris = subscriber(Behaviour.BUSY), subscriber(Behaviour.BUSY)
    campaigns.dial(anna, case.name)
    assert lands(campaigns, case.number, boris) == OWN
    assert lands(campaigns, case.number, None) == OWN
    own_number = (f"P-Asserted-Identity: <sip:{anna}@127.0.0.1>", "Privacy: id")
    assert lands(campaigns, case.number, anna, own_number) == OWN, "he has withheld the number that the trunk knows"
    other = CASES[CASES.index(case) - 1]
    assert lands(campaigns, other.number, anna) == OWN, "a number that he was not shown"
    assert lands(campaigns, case.number, anna) == first(case), "nobody has consumed the entitlement"


@every_case
def test_a_window_that_is_over(campaigns: Campaigns, case: Case) -> None:
    anna, boris = subscriber(Behaviour.BUSY), subscriber(Behaviour.BUSY)
    for name, who, age_hours in (
        (f"old-{case.name}", anna, WINDOW_HOURS + 0.1),
        (f"new-{case.name}", boris, WINDOW_HOURS - 0.1),
    ):
        kept_attempt(campaigns, name, who, case.number, campaign=case.name, age_seconds=age_hours * 3600)
    assert lands(campaigns, case.number, anna) == OWN
    assert lands(campaigns, case.number, boris) == first(case)


@every_case
def test_a_campaign_that_is_not_active(campaigns: Campaigns, case: Case) -> None:
    anna = subscriber(Behaviour.BUSY)
    campaigns.dial(anna, case.name)
    begin = data().index(f'[[campaigns]]\nid = "{case.name}"')
    row = data()[begin : data().index("caller_ids", begin)] + f'caller_ids = ["{case.number}"]\n'
    campaigns.load(row + "active = false\n")
    try:
        assert lands(campaigns, case.number, anna) == OWN
    finally:
        campaigns.load(row)
    assert lands(campaigns, case.number, anna) == first(case), "the entitlement was not consumed meanwhile"


@every_case
def test_a_subscriber_who_answered_meanwhile(campaigns: Campaigns, case: Case) -> None:
    anna = subscriber(Behaviour.ANSWERS)
    kept_attempt(campaigns, f"before-{case.name}", anna, case.number, campaign=case.name, age_seconds=60)
    campaigns.dial(anna, case.name)
    assert lands(campaigns, case.number, anna) == OWN


@pytest.mark.parametrize(
    ("campaign", "context", "reason"),
    [
        ("pool-accepts", "campaign-pool-accepts", "callback-campaign"),
        ("pool-quiet", "ringway-default", "no-destination"),
    ],
)
def test_a_pool_number_follows_the_campaign(campaigns: Campaigns, campaign: str, context: str, reason: str) -> None:
    anna = subscriber(Behaviour.BUSY)
    campaigns.dial(anna, campaign)
    assert POOL in campaigns.shown(anna)
    assert lands(campaigns, POOL, anna) == (context, reason)
    assert lands(campaigns, POOL, anna) == ("ringway-default", "no-destination")


def test_a_restart_between_the_missed_call_and_the_callback(campaigns: Campaigns) -> None:
    case, anna = CASES[0], subscriber(Behaviour.BUSY)
    campaigns.dial(anna, case.name)
    campaigns.router.kill()
    campaigns.router.start()
    assert lands(campaigns, case.number, anna) == first(case)
    campaigns.router.kill()
    campaigns.router.start()
    assert lands(campaigns, case.number, anna) == ("flow-menu", "callback-used")


def test_a_missed_call_while_no_router_is_there_waits_in_asterisk(campaigns: Campaigns) -> None:
    """It is dialled before the router goes, and ends while it is away; the manager session takes it over.

    (The dialplan's own next try comes later than that: it is told apart in test_outbound_reports.)
    """
    campaigns.asterisk.set_global("RINGWAY_RETRY_SECONDS", "600")
    case, anna = CASES[0], subscriber(Behaviour.RINGS)
    campaigns.originate(f"Local/{anna}@ringway-outbound", Variable=f"__CAMPAIGN_ID={case.name}")
    campaigns.rings(anna)
    campaigns.router.kill()
    campaigns.expect(r"res_agi\.c: (Connecting to|FastAGI connection|Couldn't connect)")
    wait_until(lambda: bool(campaigns.asterisk.kept("ringway-attempts")), "the call is over")
    campaigns.router.start()
    campaigns.router.wait_for("attempt", subscriber=anna)
    campaigns.asterisk.cli("channel request hangup all")  # the one that would tell it again
    assert lands(campaigns, case.number, anna) == first(case)
    boris = subscriber(Behaviour.BUSY)
    campaigns.dial(boris, case.name)
    assert campaigns.asterisk.kept("ringway-attempts") == {}, "the next report takes the waiting ones along"
    assert campaigns.outcomes(anna) == ["missed"]
