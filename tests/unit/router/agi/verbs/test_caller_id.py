"""The answers to `agi://…/caller-id`: which number an outbound call of a campaign shows, and why."""

import pytest

from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.campaigns.caller_ids import CallerIdReason, CallerIdResult
from dialplan.kinds.campaign import Campaign, Direction
from dialplan.kinds.company import Company
from dialplan.kinds.fields import Destination
from dialplan.kinds.number import NumberKind
from dialplan.routing.pool import Pool
from dialplan.routing.table import RoutingTable
from router.agi.verbs.caller_id import command
from router.agi.verbs.dispatcher import Dispatcher
from router.agi.verbs.verb import Response
from tests.fastagi import executed
from tests.samples import campaign, company, number
from tests.tables import table_of
from tests.unit.router.agi.asking import (
    ANNA,
    NOW,
    OUR,
    POOL,
    FakeCallbacks,
    awaited,
    request,
    with_callbacks,
)


def outbound() -> RoutingTable:
    """A campaign for each reason for which a number is shown, or none."""
    ours = {"direction": "outbound", "caller_ids": [OUR]}
    return table_of(
        company(identified=True),
        campaign("reserved", **ours),
        campaign("pool", direction="outbound"),
        campaign("dark", direction="outbound", caller_ids=["02079460001"]),
        campaign("inbound"),
        campaign("over", active=False, **ours),
        number(OUR),
        number("02079460001", status="disabled"),
        number(POOL, kind="pool", company=None),
    )


def shown(script: str, *arguments: str, routes: RoutingTable | None = None) -> list[tuple[str, str]]:
    """The one command that answers `caller-id`, in its order."""
    handler = with_callbacks(FakeCallbacks(Claim(ClaimStatus.NONE)), routes or outbound())
    answer = handler.answer(request(list(arguments), network_script=script), NOW)
    assert isinstance(answer, Response)
    assert answer.decision is None  # no call was routed: none is counted or recorded
    (line,) = answer.commands
    return executed(line)


@pytest.mark.parametrize(
    ("name", "number", "kind", "reason", "status"),
    [
        ("reserved", OUR, "reserved", "campaign-number", "OK"),
        ("pool", POOL, "pool", "campaign-without-number", "OK"),
        ("dark", POOL, "pool", "campaign-numbers-disabled", "OK"),
        ("nobodys", "", "", "unknown-campaign", "NONE"),
        ("inbound", "", "", "campaign-not-outbound", "NONE"),
        ("over", "", "", "campaign-not-active", "NONE"),
        ("", "", "", "unknown-campaign", "NONE"),
        ("x" * 5000, "", "", "unknown-campaign", "NONE"),
    ],
)
@pytest.mark.parametrize("query", ["", "?destination"])
def test_the_number_that_an_outbound_call_shows_comes_with_its_reason(
    name: str, number: str, kind: str, reason: str, status: str, query: str
) -> None:
    said = shown(f"caller-id{query}", name, ANNA)
    assert said[:3] == [("SHOW_NUMBER", number), ("SHOW_KIND", kind), ("SHOW_REASON", reason)]
    assert said[-1] == ("SHOW_STATUS", status)
    extra = ["SHOW_CONTEXT", "SHOW_EXTEN", "SHOW_PRIORITY"] if query and name in outbound().campaigns else []
    assert [key for key, _ in said[3:-1]] == extra


def test_a_company_that_is_identified_no_more_shows_the_pool() -> None:
    routes = outbound()
    routes.companies["acme"] = Company("acme", "Acme", "GB", identified=False)
    said = dict(shown("caller-id", "reserved", routes=routes))
    assert (said["SHOW_NUMBER"], said["SHOW_REASON"]) == (POOL, "company-not-identified")


def test_without_a_pool_nothing_is_shown() -> None:
    routes = outbound()
    routes.pool = Pool()
    said = dict(shown("caller-id", "pool", routes=routes))
    assert (said["SHOW_NUMBER"], said["SHOW_REASON"], said["SHOW_STATUS"]) == ("", "empty-pool", "NONE")


def test_a_campaign_does_not_have_to_be_named() -> None:
    assert dict(shown("caller-id"))["SHOW_REASON"] == "unknown-campaign"


def test_where_an_answered_call_goes_comes_along_when_that_is_asked_for() -> None:
    said = dict(shown("caller-id?destination", "reserved", ANNA))
    places = [said[key] for key in ("SHOW_CONTEXT", "SHOW_EXTEN", "SHOW_PRIORITY")]
    assert places == ["campaign-reserved", "s", "1"]
    assert "SHOW_CONTEXT" not in dict(shown("caller-id?else", "reserved", ANNA))


# --- turns that several routers take with each other ----------------------------------------------------------------


def two_numbers() -> RoutingTable:
    return table_of(
        company(identified=True),
        campaign("reserved", direction="outbound", caller_ids=[OUR, "02079460001"]),
        campaign("pool", direction="outbound"),
        campaign("inbound"),
        number(OUR),
        number("02079460001"),
        number(POOL, kind="pool", company=None),
    )


def sharing(*turns: int | None) -> FakeCallbacks:
    callbacks = FakeCallbacks(Claim(ClaimStatus.NONE))
    callbacks.shared, callbacks.turns = True, list(turns)
    return callbacks


async def shown_next(handler: Dispatcher, name: str) -> str:
    _, said = await awaited(request([name], network_script="caller-id?destination"), handler)
    assert (said["SHOW_STATUS"], said["SHOW_CONTEXT"]) == ("OK", f"campaign-{name}")
    return said["SHOW_NUMBER"]


async def test_where_routers_share_their_turns_the_store_says_whose_it_is() -> None:
    callbacks = sharing(7, 8, 8, 1)
    handler = with_callbacks(callbacks, two_numbers())
    shown = [await shown_next(handler, name) for name in ("reserved", "reserved", "reserved", "pool")]
    assert shown == ["+442079460001", OUR, OUR, POOL]
    assert callbacks.turns_of == ["reserved", "reserved", "reserved", ""]


async def test_where_the_store_cannot_say_each_router_goes_on_by_itself() -> None:
    callbacks = sharing(None, None, None)
    handler = with_callbacks(callbacks, two_numbers())
    assert [await shown_next(handler, "reserved") for _ in range(3)] == [OUR, "+442079460001", OUR]


def test_for_what_shows_no_number_nobody_waits() -> None:
    callbacks = sharing()
    answer = with_callbacks(callbacks, two_numbers()).answer(request(["inbound"], network_script="caller-id"), NOW)
    assert isinstance(answer, Response)
    assert dict(executed(answer.commands[0]))["SHOW_REASON"] == "campaign-not-outbound"
    assert callbacks.turns_of == []


def test_when_it_is_revoked_all_that_it_may_have_set_is_emptied_and_first_what_is_trusted() -> None:
    handler = with_callbacks(FakeCallbacks(Claim(ClaimStatus.NONE)), outbound())
    given = handler.answer(request(["reserved"], network_script="caller-id?destination"), NOW)
    assert isinstance(given, Response)
    emptied, _ = handler.fallback_response(given).commands
    names = [name for name, value in executed(emptied) if not value]
    assert set(names) == dict(executed(given.commands[0])).keys()
    assert names[0] == "SHOW_STATUS"


class TestCommand:
    """The answer to `caller-id`: one command, whose last pair says whether there is a caller ID."""

    campaign = Campaign("win-back", "acme", "Win back", Direction.OUTBOUND, Destination("flow,x", "1=2", 7))

    def test_a_number_comes_with_its_kind_and_why(self) -> None:
        line = command(CallerIdResult("+442079460000", NumberKind.RESERVED, CallerIdReason.RESERVED), None)
        assert executed(line) == [
            ("SHOW_NUMBER", "+442079460000"),
            ("SHOW_KIND", "reserved"),
            ("SHOW_REASON", "campaign-number"),
            ("SHOW_STATUS", "OK"),
        ]

    @pytest.mark.parametrize("why", list(CallerIdReason))
    def test_where_there_is_none_everything_is_set_all_the_same(self, why: CallerIdReason) -> None:
        assert executed(command(CallerIdResult(None, None, why), None)) == [
            ("SHOW_NUMBER", ""),
            ("SHOW_KIND", ""),
            ("SHOW_REASON", why),
            ("SHOW_STATUS", "NODATA" if why is CallerIdReason.NO_DATA else "NONE"),
        ]

    def test_the_campaigns_destination_stands_before_the_status_as_it_was_written(self) -> None:
        line = command(CallerIdResult("+442079460000", NumberKind.POOL, CallerIdReason.POOL), self.campaign)
        assert executed(line)[3:] == [
            ("SHOW_CONTEXT", "flow,x"),
            ("SHOW_EXTEN", "1=2"),
            ("SHOW_PRIORITY", "7"),
            ("SHOW_STATUS", "OK"),
        ]
