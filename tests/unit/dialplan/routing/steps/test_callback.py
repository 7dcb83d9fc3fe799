import weakref

import pytest

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.kinds.fields import Destination
from dialplan.kinds.number import CallbackRule, Number, NumberKind
from dialplan.numbering.numbers import Bare
from dialplan.routing.decide import Call, Decision, Kind, Waiting, begin
from dialplan.routing.explain import Explanation
from dialplan.routing.steps.callback import rule_of
from dialplan.routing.table import RoutingTable
from tests.samples import campaign, company, flow, number
from tests.tables import table_of

DEFAULT = Destination("ringway-default")
NOW = 1_000_000.0
ANNA = "07700900123"
TABLE = table_of(
    company(identified=True),
    flow("menu", company="acme"),
    campaign("win-back", direction="outbound", accept_incoming=True),
    campaign("quiet", direction="outbound", accept_incoming=False),
    number("02079460000", call_flow="menu"),
    number("02079460001", call_flow="menu", callback_rule="force-yes"),
    number("02079460002", call_flow="menu", callback_rule="force-no"),
    number("02079460003"),
    number("02079460004", call_flow="menu", status="disabled", callback_rule="force-yes"),
    stored=[Number("+442079460005", kind=NumberKind.POOL, callback_rule=CallbackRule.FORCE_NO)],
)


def anybody(_number: str, _caller: str) -> bool:
    return True


def begun(dialled: str, caller: str = ANNA, trace: Explanation | None = None) -> Decision | Waiting:
    return begin(Call(dialled, caller, "GB", Bare.E164), TABLE, NOW, DEFAULT, anybody, trace)


@pytest.mark.parametrize(
    ("dialled", "caller", "asks"),
    [
        ("02079460000", ANNA, True),
        ("02079460001", ANNA, True),
        ("02079460002", ANNA, False),  # force-no never looks
        ("02079460003", ANNA, True),
        ("02079460003", "", False),
        ("02079460000", "", False),  # withheld
        ("02079460000", "front desk", False),
        ("02079460004", ANNA, False),  # disabled
        ("02079460005", ANNA, True),  # the pool follows the campaign, whatever the row says
        ("02079460009", ANNA, False),  # unknown
    ],
)
def test_whose_entitlement_is_asked_for(dialled: str, caller: str, asks: bool) -> None:
    made = begun(dialled, caller)
    assert isinstance(made, Waiting) is asks
    if isinstance(made, Waiting):
        assert (made.need.number, made.need.subscriber) == ("+44" + dialled[1:], "+447700900123")
        assert made.need.entry is TABLE.numbers[made.need.number]


@pytest.mark.parametrize(("dialled", "reason"), [("02079460000", "assigned"), ("02079460003", "no-destination")])
def test_only_a_pair_that_may_have_an_attempt_has_to_wait(dialled: str, reason: str) -> None:
    asked: list[tuple[str, str]] = []

    def nobody(called: str, caller: str) -> bool:
        asked.append((called, caller))
        return False

    made = begin(Call(dialled, ANNA, "GB", Bare.E164), TABLE, NOW, DEFAULT, nobody)
    assert isinstance(made, Decision)
    assert made.reason == reason
    assert set(asked) == {("+44" + dialled[1:], "+447700900123")}


def test_the_pool_follows_the_campaign() -> None:
    assert rule_of(TABLE.numbers["+442079460005"]) is CallbackRule.AS_IN_CAMPAIGN
    assert rule_of(TABLE.numbers["+442079460001"]) is CallbackRule.FORCE_YES


def claim(status: ClaimStatus, campaign_id: str) -> Claim:
    attempt = Attempt("1.1", campaign_id, "+442079460000", "+447700900123", NOW - 60, Outcome.MISSED)
    return Claim(status, attempt if status is not ClaimStatus.NONE else None)


def after(
    dialled: str, status: ClaimStatus, campaign_id: str = "win-back", trace: Explanation | None = None
) -> tuple[str, Kind, str, str, str]:
    waiting = begun(dialled, trace=trace)
    assert isinstance(waiting, Waiting)
    made = waiting.resume(claim(status, campaign_id), TABLE)
    return made.reason, made.kind, made.target.id if made.target else "", made.destination.context, made.company


GRANTED, CONSUMED, NONE = ClaimStatus.GRANTED, ClaimStatus.CONSUMED, ClaimStatus.NONE


@pytest.mark.parametrize(
    ("dialled", "status", "campaign_id", "reason", "target"),
    [
        ("02079460000", GRANTED, "win-back", "callback-campaign", "win-back"),
        ("02079460000", GRANTED, "quiet", "callback-not-accepted", "menu"),
        ("02079460000", CONSUMED, "win-back", "callback-used", "menu"),
        ("02079460000", NONE, "win-back", "assigned", "menu"),
        ("02079460000", GRANTED, "removed", "assigned", "menu"),
        ("02079460001", GRANTED, "win-back", "callback-force-yes", "win-back"),
        ("02079460001", GRANTED, "quiet", "callback-force-yes", "quiet"),
        ("02079460001", CONSUMED, "quiet", "callback-used", "menu"),
        ("02079460003", GRANTED, "win-back", "callback-campaign", "win-back"),
        ("02079460005", GRANTED, "win-back", "callback-campaign", "win-back"),
    ],
)
def test_where_a_callback_goes(dialled: str, status: ClaimStatus, campaign_id: str, reason: str, target: str) -> None:
    made = after(dialled, status, campaign_id)
    kind = "campaign" if target != "menu" else "flow"
    assert made[0] == reason
    assert made[1] is (Kind.CAMPAIGN if kind == "campaign" else Kind.CALL_FLOW)
    assert made[2:] == (target, f"{kind}-{target}", "acme")


@pytest.mark.parametrize("status", [GRANTED, CONSUMED])
def test_a_number_without_destination_keeps_its_reason(status: ClaimStatus) -> None:
    assert after("02079460003", status, "quiet")[:2] == ("no-destination", Kind.DEFAULT)


def test_a_decision_that_waited_goes_by_the_table_of_its_end() -> None:
    waiting = begun("02079460000")
    assert isinstance(waiting, Waiting)
    later = RoutingTable(9)
    made = waiting.resume(claim(GRANTED, "win-back"), later)
    assert (made.reason, made.destination.context, made.version) == ("assigned", "flow-menu", 7)


@pytest.mark.parametrize(
    ("dialled", "rule", "why"),
    [
        ("02079460001", "force-yes", "a callback goes to the campaign that rang, whatever that takes"),
        ("02079460000", "as-in-campaign", "a callback goes to the campaign that rang, where that takes incoming calls"),
        ("02079460002", "force-no", "a callback goes to the number's own destination"),
        (
            *("02079460005", "as-in-campaign"),
            "every pool number's: a callback goes to the campaign that rang, where that takes incoming calls",
        ),
    ],
)
def test_each_callback_rule_says_what_it_does(dialled: str, rule: str, why: str) -> None:
    trace = Explanation()
    begun(dialled, trace=trace)
    assert [(each.outcome, each.detail) for each in trace.steps if each.step == "callback rule"] == [(rule, why)]


@pytest.mark.parametrize(
    ("dialled", "status", "campaign_id", "outcome", "detail"),
    [
        ("02079460000", GRANTED, "win-back", "taken", 'campaign "win-back": campaign-win-back,s,1'),
        ("02079460001", GRANTED, "quiet", "taken", 'campaign "quiet": campaign-quiet,s,1'),
        ("02079460000", GRANTED, "quiet", "rejected", "the campaign takes no incoming calls"),
        ("02079460003", GRANTED, "quiet", "rejected", "the campaign takes no incoming calls"),
        ("02079460000", CONSUMED, "win-back", "rejected", "the entitlement has been consumed"),
        ("02079460003", CONSUMED, "win-back", "rejected", "the entitlement has been consumed"),
        ("02079460000", GRANTED, "removed", "rejected", "the campaign has been removed"),
        ("02079460000", NONE, "win-back", "no entitlement", "no attempt gives an entitlement"),
    ],
)
def test_what_the_rule_made_of_a_callback_is_told(
    dialled: str, status: ClaimStatus, campaign_id: str, outcome: str, detail: str
) -> None:
    trace = Explanation()
    after(dialled, status, campaign_id, trace)
    (step,) = [each for each in trace.steps if each.step == "callback"]
    assert step.outcome == outcome
    assert step.detail.startswith(detail)


def test_a_decision_that_waits_does_not_keep_the_table_that_is_replaced_meanwhile() -> None:
    """With the last of it a whole table would go at once: 75 ms at a million numbers."""
    table = table_of(company(), flow("menu"), number("02079460000", call_flow="menu"))
    kept = weakref.ref(table)
    made = begin(Call("02079460000", ANNA, "GB", Bare.E164), table, NOW, DEFAULT, anybody)
    assert isinstance(made, Waiting)
    del table
    assert kept() is None
    assert made.resume(Claim(ClaimStatus.NONE), TABLE).reason == "assigned"
