"""Answers that Asterisk keeps: what a call gets while no router runs, after a real one has answered before."""

import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.asterisk.exchange import CALLER, PLATFORM, Exchange, routed, running_exchange
from tests.asterisk.parts import Program
from tests.asterisk.pbx import FROM_KEPT, REFUSED, TO_DEFAULT, Arrival
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.sipp import Dial
from tests.asterisk.traffic import DEFAULT
from tests.asterisk.worst_values import (
    NUMBERS,
    TEXT_FLOW,
    data_file,
    many_parameters,
    most_there_can_be,
    worst_numbers,
)

pytestmark = pytest.mark.asterisk

MANY = [many_parameters(40), most_there_can_be()]
OTHER = Flow("flow-other", params=("TEXT",))
FLOWS = (TEXT_FLOW, OTHER, *(flow for flow, _, _ in MANY))
REST = {
    "call_flows": [
        {
            "id": "other",
            "name": "Other",
            "destination": {"context": OTHER.context},
            "parameters": [{"name": "TEXT", "type": "text"}],
        },
        {"id": "nowhere", "name": "Not in this dialplan", "destination": {"context": "flow-nowhere"}},
    ]
}
KEPT = {"ROUTE_STATUS": "KEPT", "ROUTE_REASON": "kept", "ROUTE_CALLER": "", "ROUTE_CACHE": ""}


@pytest.fixture(scope="module")
def started(asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    data = data_file(worst_numbers(), REST, *(entries for _, entries, _ in MANY))
    with running_exchange(asterisk_program, tmp_path_factory.mktemp("router"), data, FLOWS) as running:
        yield running


@pytest.fixture
def exchange(exchange: Exchange) -> Exchange:
    exchange.expect(REFUSED, FROM_KEPT, TO_DEFAULT)
    return exchange


def assign(exchange: Exchange, number: str, **fields: object) -> None:
    exchange.load(data_file({"numbers": [{"number": number, "company": "acme", **fields}]}))


def assert_kept(before: Arrival, after: Arrival, since: float) -> None:
    """The later call went the way of the earlier one; `since` is a moment (epoch seconds) before that one."""
    assert (after.context, after.exten, after.priority) == (before.context, before.exten, before.priority)
    age = int(after.variables["ROUTE_AGE"])
    assert 0 <= age <= time.time() - since + 1
    assert after.variables == {**before.variables, **KEPT, "ROUTE_AGE": str(age)}


def lost(exchange: Exchange, call: Arrival) -> bool:
    """Whether nobody had an answer for the call."""
    nothing = dict.fromkeys(call.variables, "") | PLATFORM | {"ROUTE_STATUS": "NONE", "ROUTE_REASON": "no-answer"}
    return call.context == DEFAULT and call.variables == nothing


def test_the_same_flow_with_the_same_values_byte_for_byte(exchange: Exchange) -> None:
    since = time.time()
    numbers = [*NUMBERS, *(entries["numbers"][0]["number"] for _, entries, _ in MANY)]
    dials = [Dial(number, CALLER) for number in numbers]
    _, before = exchange.place(*dials, rate=100)
    assert {call.variables["ROUTE_STATUS"] for call in before} == {"OK"}
    exchange.router.terminate()
    outcomes, after = exchange.place(*dials, rate=100)
    assert all(outcome.answered for outcome in outcomes)
    assert [call.dialled for call in after] == numbers
    for first, second in zip(before, after, strict=True):
        assert_kept(first, second, since)


def test_a_router_that_was_killed_is_no_other(exchange: Exchange) -> None:
    since = time.time()
    (number, _) = next(iter(NUMBERS.items()))
    before = exchange.call(number)
    exchange.router.kill()
    assert_kept(before, exchange.call(number), since)


def test_nothing_is_kept_for_a_number_that_nobody_called(exchange: Exchange) -> None:
    called, other = list(NUMBERS)[:2]
    exchange.call(called)
    exchange.router.terminate()
    assert lost(exchange, exchange.call(other))


def test_it_is_kept_for_the_number_as_it_was_dialled(exchange: Exchange) -> None:
    since = time.time()
    number = next(iter(NUMBERS))
    before = {dialled: exchange.call(dialled) for dialled in ("0" + number[3:], number[1:], number)}
    exchange.router.terminate()
    for dialled, call in before.items():
        assert_kept(call, exchange.call(dialled), since)
    assert lost(exchange, exchange.call("00" + number[1:]))


def test_a_text_that_is_no_plain_number_is_never_kept(exchange: Exchange) -> None:
    number = next(iter(NUMBERS))
    written = (f"tel:{number}", f"{number[:6]} {number[6:]}", f"{number};user=phone", "\u202a" + number)
    for dialled in written:
        assert exchange.call(dialled).context == "flow-text"
    assert exchange.asterisk.kept() == {}
    exchange.router.terminate()
    for dialled in written:
        assert lost(exchange, exchange.call(dialled))


def test_a_changed_assignment_is_the_one_that_is_kept(exchange: Exchange) -> None:
    since = time.time()
    number = "+442079480001"
    assign(exchange, number, call_flow="text", parameters={"TEXT": "first"})
    exchange.call(number)
    assign(exchange, number, call_flow="text", parameters={"TEXT": "second"})
    exchange.call(number)
    assign(exchange, number, call_flow="other")
    before = exchange.call(number)
    assert (before.context, before.variables["PARAM_TEXT"]) == ("flow-other", "")
    (value,) = (key for key in exchange.asterisk.kept() if key != f"ringway/{number}")
    assert value.endswith("/TEXT")  # the values of earlier answers are gone
    exchange.router.terminate()
    assert_kept(before, exchange.call(number), since)


def test_a_disabled_number_does_not_come_back(exchange: Exchange) -> None:
    number = "+442079480002"
    assign(exchange, number, call_flow="text", parameters={"TEXT": "as long as it is active"})
    exchange.call(number)
    assert exchange.asterisk.kept()
    assign(exchange, number, call_flow="text", parameters={"TEXT": "never said"}, status="disabled")
    call = exchange.call(number)
    expected = routed(exchange, PLATFORM, reason="disabled", number=number, company="acme")
    assert call.variables == expected
    assert exchange.asterisk.kept() == {}
    exchange.router.terminate()
    assert lost(exchange, exchange.call(number))


def test_a_number_that_lost_its_assignment_does_not_come_back(exchange: Exchange) -> None:
    number = "+442079480003"
    assign(exchange, number, call_flow="text")
    exchange.call(number)
    assign(exchange, number)
    assert exchange.call(number).variables["ROUTE_REASON"] == "no-destination"
    assert exchange.asterisk.kept() == {}
    exchange.router.terminate()
    assert lost(exchange, exchange.call(number))


def test_a_number_whose_new_flow_is_missing_here_does_not_come_back(exchange: Exchange) -> None:
    number = "+442079480005"
    assign(exchange, number, call_flow="text", parameters={"TEXT": "of the flow before"})
    exchange.call(number)
    exchange.expect(r"Ringway: no extension s@flow-nowhere")
    assign(exchange, number, call_flow="nowhere")
    assert exchange.call(number).variables["ROUTE_REASON"] == "missing-destination"
    assert exchange.asterisk.kept() == {}
    exchange.router.terminate()
    assert lost(exchange, exchange.call(number))


def test_a_destination_that_left_the_dialplan_is_not_gone_to(exchange: Exchange) -> None:
    number = "+442079480007"
    assign(exchange, number, call_flow="other")
    exchange.call(number)
    kept = exchange.asterisk.kept()
    exchange.expect(r"Ringway: no extension s@flow-other")
    try:
        exchange.asterisk.cli("dialplan remove context flow-other")
        exchange.router.terminate()
        assert lost(exchange, exchange.call(number))
        assert exchange.asterisk.kept() == kept
        exchange.router.start()
        assert exchange.call(number).variables["ROUTE_REASON"] == "missing-destination"
        assert exchange.asterisk.kept() == {}
    finally:
        exchange.asterisk.cli("dialplan reload")


def test_a_caller_who_dials_where_a_value_is_kept_runs_nothing_of_it(exchange: Exchange) -> None:
    number = "+442079480006"
    harmful = 'x|1" & INC(ROUTE_VERSION) & "1|x'  # would count the version up if an expression ever read it
    assign(exchange, number, call_flow="text", parameters={"TEXT": harmful})
    exchange.call(number)
    (place,) = (key for key, value in exchange.asterisk.kept().items() if value == harmful)
    call = exchange.call(place.removeprefix("ringway/"))
    assert call.variables == dict.fromkeys(call.variables, "") | routed(exchange, PLATFORM, reason="bad-number")


def test_a_refused_caller_changes_nothing_that_is_kept(exchange: Exchange) -> None:
    since = time.time()
    number = next(iter(NUMBERS))
    before = exchange.call(number)
    kept = exchange.asterisk.kept()
    hostile = quote("x\nagi_extension: " + list(NUMBERS)[1])
    call = exchange.call(number, headers=[f"Diversion: <sip:{hostile}@127.0.0.1>;reason=unconditional"])
    assert (call.context, call.variables["ROUTE_REASON"]) == (DEFAULT, "error")
    assert exchange.asterisk.kept() == kept
    exchange.router.terminate()
    assert_kept(before, exchange.call(number), since)


def test_an_answer_that_is_too_old_is_not_used(exchange: Exchange) -> None:
    number = next(iter(NUMBERS))
    before = exchange.call(number)
    exchange.router.terminate()
    record = exchange.asterisk.kept()[f"ringway/{number}"]
    written, _, rest = record.partition("|")

    def age(seconds: int) -> None:
        exchange.asterisk.cli(f'database put ringway {number} "{int(written) - seconds}|{rest}"')

    age(86_400 - 600)
    assert_kept(before, exchange.call(number), int(written) - 86_400)
    age(86_401)
    assert lost(exchange, exchange.call(number))
    try:
        exchange.asterisk.set_global("RINGWAY_STALE_SECONDS", "600")
        age(601)
        assert lost(exchange, exchange.call(number))
        age(300)
        assert_kept(before, exchange.call(number), int(written) - 600)
    finally:
        exchange.asterisk.set_global("RINGWAY_STALE_SECONDS", "86400")


def test_the_same_answer_is_written_again_from_a_twelfth_of_its_age_on(exchange: Exchange) -> None:
    number = next(iter(NUMBERS))
    exchange.call(number)
    key = f"ringway/{number}"
    written, _, rest = exchange.asterisk.kept()[key].partition("|")

    def written_after_a_call_at(age: int) -> int:
        exchange.asterisk.cli(f'database put ringway {number} "{int(written) - age}|{rest}"')
        exchange.call(number)
        return int(exchange.asterisk.kept()[key].partition("|")[0])

    assert written_after_a_call_at(7_000) == int(written) - 7_000
    assert written_after_a_call_at(7_200) >= int(written)


def test_a_restarted_asterisk_still_has_it(exchange: Exchange) -> None:
    since = time.time()
    numbers = list(NUMBERS)
    dials = [Dial(number, CALLER) for number in numbers]
    _, before = exchange.place(*dials, rate=100)
    exchange.router.terminate()
    exchange.asterisk.restart()
    _, after = exchange.place(*dials, rate=100)
    for first, second in zip(before, after, strict=True):
        assert_kept(first, second, since)


def test_the_router_decides_again_as_soon_as_it_is_back(exchange: Exchange) -> None:
    number = "+442079480004"
    assign(exchange, number, call_flow="text", parameters={"TEXT": "before"})
    exchange.call(number)
    exchange.router.terminate()
    assert exchange.call(number).variables["ROUTE_STATUS"] == "KEPT"
    exchange.router.start()
    assign(exchange, number, call_flow="other", parameters={"TEXT": "after"})
    call = exchange.call(number)
    assert (call.context, call.variables["PARAM_TEXT"]) == ("flow-other", "after")
    assert call.variables["ROUTE_STATUS"] == "OK"
