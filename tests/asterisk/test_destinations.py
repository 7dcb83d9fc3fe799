"""Where real calls go that are not simply assigned: defaults, campaigns, locked flows, flows that send calls on."""

from collections.abc import Iterator

import pytest

from tests.asterisk.exchange import PLATFORM, Exchange, routed, running_exchange
from tests.asterisk.operator_set import (
    CLOSED,
    DATA,
    EXTRA,
    FLOWS,
    LOCKED,
    LOCKED_NUMBER,
    MENU,
    OFFER,
)
from tests.asterisk.parts import Program
from tests.asterisk.pbx import REFUSED
from tests.asterisk.traffic import DEFAULT
from tests.ports import free_port
from tests.processes import ringway

pytestmark = pytest.mark.asterisk


@pytest.fixture(scope="module")
def started(asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    folder = tmp_path_factory.mktemp("router")
    with running_exchange(asterisk_program, folder, DATA, FLOWS, extra=EXTRA) as running:
        yield running


@pytest.mark.parametrize(
    ("dialled", "reason", "number", "company"),
    [
        ("02079469999", "unknown-number", "+442079469999", ""),
        ("+390612340000", "unknown-number", "+390612340000", ""),
        ("02079460011", "disabled", "+442079460011", "globex"),
        ("02079460013", "no-destination", "+442079460013", "globex"),
        ("02079460014", "no-destination", "+442079460014", ""),
        ("12", "bad-number", "", ""),
        ("reception", "bad-number", "", ""),
        ("+4420794600001234567", "bad-number", "", ""),
        ("020794600 ext 12", "bad-number", "", ""),
    ],
)
def test_the_platform_takes_what_nobody_else_does(
    exchange: Exchange, dialled: str, reason: str, number: str, company: str
) -> None:
    call = exchange.call(dialled)
    assert call.context == DEFAULT
    assert call.variables == routed(exchange, PLATFORM, reason=reason, number=number, company=company)
    assert exchange.asterisk.kept() == {}


@pytest.mark.parametrize(
    ("dialled", "reason"),
    [("02079460010", "disabled"), ("02079460012", "no-destination"), ("02079460016", "no-destination")],
    ids=["disabled", "nothing assigned", "a campaign that is not active"],
)
def test_a_company_takes_its_own_calls_first(exchange: Exchange, dialled: str, reason: str) -> None:
    call = exchange.call(dialled)
    assert call.context == "flow-closed"
    number = f"+44{dialled[1:]}"
    message = {"MESSAGE": "back soon"}
    assert call.variables == routed(exchange, CLOSED, reason=reason, number=number, company="acme", params=message)
    assert exchange.asterisk.kept() == {}


def test_an_inbound_campaign(exchange: Exchange) -> None:
    call = exchange.call("02079460015")
    assert call.context == "campaign-offer"
    expected = routed(exchange, OFFER, number="+442079460015", company="acme")
    assert call.variables == expected | {"PARAM_NEXT": ""}


def test_a_destination_that_the_dialplan_lacks_is_told_of(exchange: Exchange) -> None:
    exchange.expect(
        r"ERROR.*Ringway: no extension s@flow-nowhere priority 1 .* 02079460017 .*reason assigned id lost",
        r"Ringway: the default takes the call to 02079460017 \(missing-destination\)",
    )
    call = exchange.call("02079460017")
    assert call.context == DEFAULT
    assert call.variables["ROUTE_STATUS"] == "NONE"
    assert call.variables["ROUTE_REASON"] == "missing-destination"
    assert len(exchange.asterisk.surprises()) == 2
    assert exchange.asterisk.kept() == {}


def test_a_call_that_goes_round_in_a_circle_ends_at_the_default(exchange: Exchange) -> None:
    exchange.expect(
        r"ERROR.*Ringway: flows send the call to 02079460021 round in a circle",
        r"Ringway: the default takes the call to 02079460021 \(circle\)",
    )
    call = exchange.call("02079460021")
    assert (call.context, call.variables["ROUTE_STATUS"]) == (DEFAULT, "NONE")
    assert call.variables["ROUTE_REASON"] == "circle"
    assert len(exchange.asterisk.surprises()) == 2


def test_a_site_keeps_its_own_time_limit(exchange: Exchange) -> None:
    call = exchange.call("02079460020")
    assert call.context == "campaign-offer"
    assert 3_000 < float(call.limit) <= 3_600
    assert call.agi_exits == "no"


def test_the_default_of_an_answered_call_is_a_tone(exchange: Exchange) -> None:
    def heard() -> bool:
        sent = exchange.asterisk.cli("pjsip show channelstats").splitlines()
        counts = [line.split() for line in sent if "trunk-" in line]
        return any("ulaw" in fields and int(fields[fields.index("ulaw") + 5]) > 0 for fields in counts)

    outcome = exchange.watch("02079460018", heard, "sound goes out to the caller")
    assert outcome.answered
    (call,) = exchange.asterisk.calls()
    assert call.context == DEFAULT
    assert call.variables == routed(exchange, PLATFORM, reason="unknown-number", number="+442079469999")


def test_a_call_that_a_flow_sends_back_keeps_nothing_of_its_first_route(exchange: Exchange) -> None:
    call = exchange.call("02079460019")
    assert (call.context, call.dialled) == ("campaign-offer", "02079460015")
    expected = routed(exchange, OFFER, number="+442079460015", company="acme")
    assert call.variables == expected | {"PARAM_NEXT": ""}


def test_a_call_that_a_flow_sends_back_may_ask_the_second_router_again(exchange: Exchange) -> None:
    exchange.expect(REFUSED)
    router = f"127.0.0.1:{exchange.router.agi_port}"
    exchange.asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{free_port()}")
    exchange.asterisk.set_global("RINGWAY_AGI_2", router)
    try:
        call = exchange.call("02079460019")
    finally:
        exchange.asterisk.set_global("RINGWAY_AGI", router)
        exchange.asterisk.set_global("RINGWAY_AGI_2", "")
    assert (call.context, call.variables["ROUTE_STATUS"]) == ("campaign-offer", "OK")


def test_a_company_cannot_take_a_number_off_a_locked_flow_and_can_change_its_parameters(exchange: Exchange) -> None:
    def greeted(greeting: str) -> dict[str, str]:
        return routed(exchange, LOCKED, number="+442079460030", company="acme", params={"GREETING": greeting})

    exchange.load(LOCKED_NUMBER.format(flow="locked", greeting="one"))
    assert exchange.call("02079460030").variables == greeted("one")
    moved = LOCKED_NUMBER.format(flow="menu", greeting="two")
    refused = ringway("load", "--as-company", "acme", "-", config=exchange.router.config, stdin=moved)
    assert refused.status == 1
    assert 'call flow "locked" is locked' in refused.err
    assert exchange.call("02079460030").variables == greeted("one")
    exchange.load(LOCKED_NUMBER.format(flow="locked", greeting="three"), "--as-company", "acme")
    assert exchange.call("02079460030").variables == greeted("three")
    exchange.load(moved)  # the platform owner may
    call = exchange.call("02079460030")
    assert call.variables == routed(exchange, MENU, number="+442079460030", company="acme", params={"GREETING": "two"})
