"""A callback: when the store is asked for its right, for which moment, and where the call goes."""

from typing import Any

import pytest

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.routing.table import RoutingTable
from router.agi.messages import AgiRequest
from router.agi.verbs.dispatcher import Dispatcher
from router.agi.verbs.verb import Response
from tests.samples import campaign, company, flow, number
from tests.tables import table_of
from tests.unit.router.agi.asking import (
    ANNA,
    NOW,
    OUR,
    POOL,
    FakeCallbacks,
    awaited,
    dispatcher,
    request,
    with_callbacks,
)

ATTEMPT = Attempt("1.1", "win-back", OUR, ANNA, NOW - 60, Outcome.MISSED)


def rung(rule: str = "as-in-campaign", **fields: Any) -> RoutingTable:
    """A number with that rule, one of the pool, and the campaign that rang."""
    return table_of(
        company(identified=True),
        flow("menu", company="acme"),
        campaign("win-back", direction="outbound", **({"accept_incoming": True} | fields)),
        number(OUR, call_flow="menu", callback_rule=rule),
        number("02079460001", call_flow="menu", status="disabled"),
        number(POOL, kind="pool", company=None),
    )


def rings_back(dialled: str = OUR, **fields: str) -> AgiRequest:
    return request([], **({"extension": dialled, "callerid": ANNA, "uniqueid": "pbx-7"} | fields))


def at_once(asked: AgiRequest, handler: Dispatcher) -> str:
    """Why the call goes where it goes, of an answer for which nobody waited."""
    answer = handler.answer(asked, NOW)
    assert isinstance(answer, Response)
    assert answer.decision is not None
    return answer.decision.reason


@pytest.mark.parametrize(
    ("claim", "context", "reason", "attempt"),
    [
        (Claim(ClaimStatus.GRANTED, ATTEMPT), "campaign-win-back", "callback-campaign", "1.1"),
        (Claim(ClaimStatus.CONSUMED, ATTEMPT), "flow-menu", "callback-used", "1.1"),
        (Claim(ClaimStatus.NONE), "flow-menu", "assigned", ""),
    ],
)
async def test_a_callback_gets_what_the_store_says(claim: Claim, context: str, reason: str, attempt: str) -> None:
    callbacks = FakeCallbacks(claim)
    answer, said = await awaited(rings_back(), with_callbacks(callbacks, rung()))
    assert (said["ROUTE_CONTEXT"], said["ROUTE_REASON"], said["ROUTE_STATUS"]) == (context, reason, "OK")
    assert (said["ROUTE_NUMBER"], said["ROUTE_CALLER"], answer.attempt) == (OUR, ANNA, attempt)
    assert callbacks.asked == [(OUR, ANNA, "pbx-7", NOW, {"win-back": NOW - 3600})]
    assert callbacks.counted == [(claim.status, reason)]


async def test_a_campaign_that_accepts_nothing_leaves_the_call_where_it_is_unless_the_number_forces_it() -> None:
    claim = Claim(ClaimStatus.GRANTED, ATTEMPT)
    for rule, context in (("as-in-campaign", "flow-menu"), ("force-yes", "campaign-win-back")):
        handler = with_callbacks(FakeCallbacks(claim), rung(rule, accept_incoming=False))
        _, said = await awaited(rings_back(), handler)
        assert said["ROUTE_CONTEXT"] == context


async def test_a_callback_to_the_pool_follows_the_campaign() -> None:
    _, said = await awaited(
        rings_back(POOL), with_callbacks(FakeCallbacks(Claim(ClaimStatus.GRANTED, ATTEMPT)), rung())
    )
    assert (said["ROUTE_CONTEXT"], said["ROUTE_KIND"]) == ("campaign-win-back", "campaign")


@pytest.mark.parametrize(
    ("rule", "asked", "reason"),
    [
        ("force-no", rings_back(), "assigned"),
        ("force-yes", rings_back(callingpres="32"), "assigned"),
        ("force-yes", rings_back(callerid="unknown"), "assigned"),
        ("force-yes", rings_back("02079460001"), "disabled"),
        ("force-yes", rings_back("02079460555"), "unknown-number"),
        ("force-yes", rings_back("desk"), "bad-number"),
    ],
    ids=["force-no", "withheld", "unreadable", "disabled", "unknown", "bad"],
)
def test_a_call_that_no_rule_can_change_waits_for_nobody(rule: str, asked: AgiRequest, reason: str) -> None:
    """Also where memory says that anybody may have a right: attempts outlive the numbers that they showed."""
    callbacks = FakeCallbacks(Claim(ClaimStatus.GRANTED, ATTEMPT))
    assert at_once(asked, with_callbacks(callbacks, rung(rule))) == reason
    assert (callbacks.looked, callbacks.asked, callbacks.counted) == ([], [], [])


@pytest.mark.parametrize("known", [True, False])
def test_where_memory_knows_of_no_attempt_the_answer_comes_at_once(known: bool) -> None:
    callbacks = FakeCallbacks(Claim(ClaimStatus.GRANTED, ATTEMPT))
    callbacks.known = known
    if known:
        callbacks.since_when = {}
    assert at_once(rings_back(), with_callbacks(callbacks, rung())) == "assigned"
    assert callbacks.asked == []


@pytest.mark.parametrize(
    ("unique_id", "began"),
    [
        ("1799999000.12", 1_799_999_000.0),
        ("pbx-1-1799999000.12", 1_799_999_000.0),
        ("1799999998.1", 1_799_999_998.0),
        ("1800000000.1", NOW),
        ("1900000000.1", NOW),  # a clock that is ahead
        ("pbx-7", NOW),
        ("", NOW),
        ("179999900.1", NOW),
        ("1_79999900.1", NOW),
        ("pbx7pbx7pb.1", NOW),
        ("١٧٩٩٩٩٩٠٠٠.1", NOW),
    ],
)
async def test_a_claim_is_made_for_the_moment_at_which_the_call_began(unique_id: str, began: float) -> None:
    callbacks = FakeCallbacks(Claim(ClaimStatus.NONE))
    routes = rung()
    await awaited(rings_back(uniqueid=unique_id), with_callbacks(callbacks, routes))
    assert [asked[3] for asked in callbacks.asked] == [began]
    assert callbacks.looked == [(routes.numbers[OUR], began)]


async def test_two_calls_without_an_id_are_two_calls() -> None:
    """Otherwise the second one would get the first one's right again."""
    callbacks = FakeCallbacks(Claim(ClaimStatus.NONE))
    handler = with_callbacks(callbacks, rung())
    for _ in range(2):
        await awaited(rings_back(uniqueid=""), handler)
    first, second = (asked[2] for asked in callbacks.asked)
    assert first
    assert second
    assert first != second


async def test_a_campaign_that_is_removed_while_its_callback_waits_takes_no_call() -> None:
    tables = iter([rung(), table_of(company(), number(OUR))])
    callbacks = FakeCallbacks(Claim(ClaimStatus.GRANTED, ATTEMPT))
    handler = dispatcher(lambda: next(tables), callbacks)
    _, said = await awaited(rings_back(), handler)
    assert (said["ROUTE_CONTEXT"], said["ROUTE_REASON"]) == ("flow-menu", "assigned")
