"""Scheduled switches while no router runs: Asterisk goes over to what the router had said would follow."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.asterisk.exchange import Exchange, running_exchange
from tests.asterisk.parts import Program
from tests.asterisk.pbx import FROM_KEPT, REFUSED, TO_DEFAULT, Arrival
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.schedule import moment_ahead, sleep_until, written
from tests.asterisk.traffic import DEFAULT
from tests.asterisk.worst_values import TEXT_FLOW, data_file, many_parameters
from tests.processes import Router, load, running_router, wait_until

pytestmark = pytest.mark.asterisk

DAY, NIGHT = Flow("flow-day", params=("TEXT", "ONLY_DAY")), Flow("flow-night", params=("TEXT",))
MANY, MANY_ENTRIES, _ = many_parameters(40)
NUMBER = "+442079481000"
TEXT = {"name": "TEXT", "type": "text"}
FLOWS = {
    "companies": [{"id": "acme", "name": "Acme", "region": "GB", "timezone": "UTC", "default_flow": "closed"}],
    "call_flows": [
        {
            "id": "day",
            "name": "Day",
            "destination": {"context": DAY.context},
            "parameters": [TEXT, TEXT | {"name": "ONLY_DAY"}],
        },
        {"id": "night", "name": "Night", "destination": {"context": NIGHT.context}, "parameters": [TEXT]},
        {"id": "closed", "name": "Closed", "destination": {"context": TEXT_FLOW.context}},
    ],
    "campaigns": [
        {
            "id": "over",
            "company": "acme",
            "name": "Over",
            "direction": "inbound",
            "active": False,
            "destination": {"context": "campaign-over"},
        }
    ],
}
WEEK_MS = 7 * 86_400_000


@pytest.fixture(scope="module")
def started(asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    flows = (DAY, NIGHT, TEXT_FLOW, MANY)
    data = data_file(FLOWS, {"call_flows": MANY_ENTRIES["call_flows"]})
    with running_exchange(asterisk_program, tmp_path_factory.mktemp("router"), data, flows) as running:
        yield running


@pytest.fixture
def exchange(exchange: Exchange) -> Exchange:
    exchange.expect(REFUSED, FROM_KEPT, TO_DEFAULT)
    return exchange


def assign(exchange: Exchange, *updates: tuple[int, dict[str, Any]], **fields: Any) -> None:
    """Give the number an assignment, and updates, each with its moment in ms since 1970."""
    base = {"call_flow": "day", "parameters": {"TEXT": "by day", "ONLY_DAY": "yes"}} | fields
    later = [{"at": written(at_ms), **update} for at_ms, update in updates]
    exchange.load(data_file({"numbers": [{"number": NUMBER, "company": "acme", **base, "updates": later}]}))


def said(call: Arrival) -> tuple[str, str, str, str]:
    found = call.variables
    return found["ROUTE_STATUS"], call.context, found.get("PARAM_TEXT", ""), found.get("PARAM_ONLY_DAY", "")


BY_DAY = ("flow-day", "by day", "yes")
AT_NIGHT = {"call_flow": "night", "parameters": {"TEXT": "by, night"}}
BY_NIGHT = ("flow-night", "by, night", "")


def called_before(exchange: Exchange, *updates: tuple[int, dict[str, Any]], **fields: Any) -> int:
    """Call the number, end its router, call it again, all before a moment; an update's own moment counts from that one.

    Returns the moment, ms since 1970.
    """

    def attempt(moment: int) -> float:
        if exchange.router.process.poll() is not None:
            exchange.router.start()
        exchange.asterisk.forget()
        assign(exchange, *((moment + after_ms, update) for after_ms, update in updates), **fields)
        exchange.call(NUMBER)
        exchange.router.terminate()
        exchange.call(NUMBER)
        return 0.0

    moment, _ = moment_ahead(attempt, whole_seconds=True)
    before, still = exchange.asterisk.calls()[-2:]
    assert (before.variables["ROUTE_STATUS"], still.variables["ROUTE_STATUS"]) == ("OK", "KEPT")
    assert still.context == before.context
    return moment


def test_the_switch_comes_with_its_own_values_though_no_router_is_there(exchange: Exchange) -> None:
    moment = called_before(exchange, (0, AT_NIGHT))
    assert said(exchange.asterisk.calls()[-1]) == ("KEPT", *BY_DAY)
    sleep_until(moment)
    call = exchange.call(NUMBER)
    assert said(call) == ("KEPT", *BY_NIGHT)
    assert (call.variables["ROUTE_REASON"], call.variables["ROUTE_ID"]) == ("kept", "night")
    assert (call.variables["ROUTE_COMPANY"], call.variables["ROUTE_NUMBER"]) == ("acme", NUMBER)
    assert call.variables["ROUTE_PARAMS"] == "TEXT"
    exchange.router.start()
    assert said(exchange.call(NUMBER)) == ("OK", *BY_NIGHT)


def test_what_follows_is_not_used_beyond_its_own_end(exchange: Exchange) -> None:
    moment = called_before(exchange, (0, AT_NIGHT), (1, {"call_flow": "day"}))
    sleep_until(moment + 1000)  # the update of one millisecond later, in Asterisk's whole seconds
    call = exchange.call(NUMBER)
    assert (call.context, call.variables["ROUTE_STATUS"], call.variables["ROUTE_REASON"]) == (
        *(DEFAULT, "NONE"),
        "no-answer",
    )


def test_a_number_that_loses_its_destination_goes_to_its_companys_default(exchange: Exchange) -> None:
    moment = called_before(exchange, (0, {"inbound_campaign": "over"}))
    sleep_until(moment)
    call = exchange.call(NUMBER)
    assert (call.context, call.variables["ROUTE_STATUS"]) == (TEXT_FLOW.context, "KEPT")
    assert (call.variables["ROUTE_KIND"], call.variables["ROUTE_ID"]) == ("default", "closed")


def test_a_switch_that_is_scheduled_later_is_kept_at_the_numbers_next_call(exchange: Exchange) -> None:
    assign(exchange)
    exchange.call(NUMBER)
    without = exchange.asterisk.kept()
    ahead_ms = int(time.time() * 1000) + 3_600_000
    assign(exchange, (ahead_ms, AT_NIGHT))
    exchange.call(NUMBER)
    record = exchange.asterisk.kept()[f"ringway/{NUMBER}"]
    assert record != without[f"ringway/{NUMBER}"]
    assert record.split("|")[11:] == [str(ahead_ms // 1000), "flow-night", "s", "1", "call-flow", "night", "", "TEXT"]
    assign(exchange)
    exchange.call(NUMBER)
    record = exchange.asterisk.kept()[f"ringway/{NUMBER}"]
    assert "night" not in record
    stamp = record.split("|")[1]
    assert exchange.asterisk.kept().keys() == {
        f"ringway/{NUMBER}",
        *(f"ringway/{NUMBER}/{stamp}/{name}" for name in ("TEXT", "ONLY_DAY")),
    }


def test_a_switch_far_ahead_is_known_by_its_moment_alone(exchange: Exchange) -> None:
    ahead_ms = int(time.time() * 1000) + WEEK_MS
    assign(exchange, (ahead_ms, AT_NIGHT))
    exchange.call(NUMBER)
    record = exchange.asterisk.kept()[f"ringway/{NUMBER}"]
    assert record.split("|")[11:] == [str(ahead_ms // 1000), *[""] * 7]
    exchange.router.terminate()
    assert said(exchange.call(NUMBER)) == ("KEPT", *BY_DAY)
    past = record.replace(str(ahead_ms // 1000), str(int(time.time())))
    exchange.asterisk.cli(f'database put ringway {NUMBER} "{past}"')
    assert exchange.call(NUMBER).variables["ROUTE_REASON"] == "no-answer"


def test_a_record_of_an_older_dialplan_is_still_read(exchange: Exchange) -> None:
    exchange.router.terminate()
    exchange.asterisk.keep(NUMBER, DAY.context, params={"TEXT": "from before"})
    assert len(exchange.asterisk.kept()[f"ringway/{NUMBER}"].split("|")) == 11
    assert said(exchange.call(NUMBER)) == ("KEPT", "flow-day", "from before", "")


def test_many_parameters_follow_whole(exchange: Exchange) -> None:
    values = {name: f"then {place}" for place, name in enumerate(MANY.params)}
    flow_id = MANY_ENTRIES["call_flows"][0]["id"]
    moment = called_before(exchange, (0, {"call_flow": flow_id, "parameters": values}))
    sleep_until(moment)
    call = exchange.call(NUMBER)
    assert call.context == MANY.context
    assert {name: call.variables[f"PARAM_{name}"] for name in values} == values


class TestARouterThatWasNeverFilled:
    """Started on an empty folder: it destroys nothing of what Asterisk has, and another one is asked."""

    @pytest.fixture
    def empty(self, exchange: Exchange, tmp_path: Path) -> Iterator[Router]:
        with running_router(tmp_path, data=None) as router:
            exchange.asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{router.agi_port}")
            try:
                yield router
            finally:
                exchange.asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{exchange.router.agi_port}")
                exchange.asterisk.set_global("RINGWAY_AGI_2", "")

    @pytest.mark.usefixtures("empty")
    def test_calls_go_by_what_is_kept_and_that_stays(self, exchange: Exchange) -> None:
        own = f"127.0.0.1:{exchange.router.agi_port}"
        exchange.asterisk.set_global("RINGWAY_AGI_2", own)
        assign(exchange)
        before = exchange.call(NUMBER)
        assert said(before) == ("OK", *BY_DAY)  # the second router's word
        kept = exchange.asterisk.kept()
        exchange.asterisk.set_global("RINGWAY_AGI_2", "")
        assert said(exchange.call(NUMBER)) == ("KEPT", *BY_DAY)
        unknown = exchange.call("+442079489999")
        assert (unknown.context, unknown.variables["ROUTE_REASON"]) == (DEFAULT, "no-answer")
        assert exchange.asterisk.kept() == kept

    def test_once_it_has_data_it_decides(self, exchange: Exchange, empty: Router) -> None:
        exchange.call(NUMBER)
        data = {"numbers": [{"number": NUMBER, "company": "acme", "call_flow": "night"}]}
        load(empty.config, data_file(FLOWS, data))
        wait_until(lambda: empty.metrics()["ringway_table_numbers"] == 1, "the number in the table")
        assert exchange.call(NUMBER).context == NIGHT.context
        call = exchange.call("+442079489999")
        assert (call.variables["ROUTE_REASON"], call.variables["ROUTE_CACHE"]) == ("unknown-number", "drop")
