"""A request and the table of this moment: which number, which caller, which country, and the answer."""

from typing import Any

import pytest

from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.company import Company
from dialplan.kinds.fields import Destination
from dialplan.kinds.number import Number, NumberKind
from dialplan.kinds.parameter import Parameter, ParameterType
from dialplan.kinds.registry import Row, RowKind
from dialplan.numbering.numbers import Bare
from dialplan.routing.decide import Decision, Kind
from dialplan.routing.table import Patch, RoutingTable
from router.agi.messages import AgiRequest
from router.agi.verbs.dispatcher import Dispatcher
from router.agi.verbs.verb import Response, UnknownVerbError, Usual
from tests.fastagi import executed
from tests.unit.router.agi.asking import DEFAULT, NOW, dispatcher, request
from tests.unit.router.agi.serving import NoCallbacks


def table(context: str = "flow-menu", version: int = 5) -> RoutingTable:
    patch = Patch(version, full=True)
    rows: list[tuple[RowKind, str, Row | None]] = [
        (RowKind.COMPANY, "acme", Company("acme", "Acme", "GB")),
        (RowKind.CALL_FLOW, "menu", CallFlow("menu", "Menu", Destination(context))),
        (
            RowKind.NUMBER,
            "+442079460000",
            Number("+442079460000", NumberKind.RESERVED, "acme", call_flow="menu"),
        ),
        (RowKind.NUMBER, "+12025550143", Number("+12025550143", NumberKind.RESERVED, "acme", call_flow="menu")),
    ]
    patch.add(rows)
    return RoutingTable().patched(patch)


def handler(region: str = "GB", bare: Bare = Bare.E164, routes: RoutingTable | None = None) -> Dispatcher:
    fixed = routes or table()
    return dispatcher(lambda: fixed, NoCallbacks(), Usual(region, bare, DEFAULT))


def at_once(asked: AgiRequest, routes: Dispatcher | None = None) -> tuple[Response, Decision]:
    """The answer that comes at once, and its decision."""
    answer = (routes or handler()).answer(asked, NOW)
    assert isinstance(answer, Response)
    assert answer.decision is not None
    return answer, answer.decision


def answered(asked: AgiRequest, **how: Any) -> dict[str, str]:
    answer, _ = at_once(asked, handler(**how))
    return dict(pair for line in answer.commands for pair in executed(line))


@pytest.mark.parametrize(
    ("fields", "arguments", "number"),
    [
        ({"extension": "02079460000", "dnid": "1"}, [], "+442079460000"),
        ({"extension": "s", "dnid": "02079460000"}, [], "+442079460000"),
        ({"extension": "s", "dnid": "02079460000"}, [""], "+442079460000"),
        ({"extension": "1", "dnid": "1"}, ["02079460000"], "+442079460000"),
        ({"extension": "02079460000"}, ["+12025550143"], "+12025550143"),
        ({"extension": "1"}, ["02025550143", "", "US"], "+12025550143"),
        ({"extension": "1"}, ["02025550143", "", "us"], "+12025550143"),
        ({"extension": "s", "dnid": "unknown"}, [], ""),
        ({"extension": "S", "dnid": "02079460000"}, [], ""),
    ],
)
def test_the_dialled_number_is_the_argument_the_extension_or_the_dnid(
    fields: dict[str, str], arguments: list[str], number: str
) -> None:
    assert answered(request(arguments, **fields))["ROUTE_NUMBER"] == number


@pytest.mark.parametrize(
    ("fields", "arguments", "caller"),
    [
        ({"callerid": "07700900123"}, [], "+447700900123"),
        ({"callerid": "07700900123"}, ["02079460000", "07700900456"], "+447700900456"),
        ({"callerid": "07700900123"}, ["02079460000", ""], "+447700900123"),
        ({"callerid": "unknown"}, [], ""),
        ({"callerid": ""}, [], ""),
        ({"callerid": "anonymous"}, [], ""),
        ({"callerid": "x" * 5000}, [], ""),
        ({"callerid": "02025550143"}, ["02079460000", "", "US"], "+12025550143"),
    ],
)
def test_the_caller_is_the_argument_or_the_caller_id_in_e164_or_empty(
    fields: dict[str, str], arguments: list[str], caller: str
) -> None:
    assert answered(request(arguments, extension="02079460000", **fields))["ROUTE_CALLER"] == caller


@pytest.mark.parametrize(
    ("presentation", "shown"),
    [
        ("0", True),  # allowed, not screened
        ("1", True),
        ("2", True),
        ("3", True),  # allowed, network number
        ("32", False),  # prohibited
        ("35", False),
        ("67", False),  # not available
        ("99", False),
        ("", True),
        ("unknown", True),
        ("9" * 5_000, True),  # beyond any octet, and longer than int() takes: nothing is read into it, nothing breaks
    ],
)
def test_a_withheld_caller_stays_unknown_even_where_the_number_came_along(presentation: str, shown: bool) -> None:
    asked = request(["02079460000", "07700900123"], callerid="07700900123", callingpres=presentation)
    caller = answered(asked)["ROUTE_CALLER"]
    if len(presentation) < 5_000:
        assert caller == ("+447700900123" if shown else "")
        assert at_once(asked)[0].call.caller == ("07700900123" if shown else "")  # nor does the log know it
    else:
        assert caller in ("", "+447700900123")


@pytest.mark.parametrize(("bare", "number"), [(Bare.E164, "+442079460000"), (Bare.REFUSE, "")])
def test_bare_digits_are_read_as_the_setting_says(bare: Bare, number: str) -> None:
    assert answered(request(extension="442079460000"), bare=bare)["ROUTE_NUMBER"] == number


def test_a_region_that_nobody_knows_still_lets_international_numbers_through() -> None:
    assert answered(request(["+442079460000", "", "??"]))["ROUTE_CONTEXT"] == "flow-menu"
    assert answered(request(["02079460000", "", "??"]))["ROUTE_REASON"] == "bad-number"


def test_the_answer_carries_the_call_and_the_decision_for_the_log() -> None:
    answer, decision = at_once(request(extension="020 7946 0000", callerid="07700900123"))
    assert answer.call.dialled == "020 7946 0000"
    assert answer.attempt == ""
    assert decision.number == "+442079460000"
    assert decision.caller == "+447700900123"
    assert (decision.reason, decision.kind) == ("assigned", Kind.CALL_FLOW)


@pytest.mark.parametrize("script", ["", "Route", "route/", "caller-ids", "Attempt", "../route", "x" * 1000])
def test_another_script_is_not_answered(script: str) -> None:
    with pytest.raises(UnknownVerbError):
        handler().answer(request(network_script=script), NOW)


@pytest.mark.parametrize(("path", "named"), [("route", False), ("route?params", True), ("route?x", False)])
def test_the_names_of_the_parameters_are_asked_for_in_the_query(path: str, named: bool) -> None:
    assert ("ROUTE_PARAMS" in answered(request(network_script=path))) is named


def test_the_table_is_asked_for_once_a_call() -> None:
    tables = iter([table("one", 1), table("two", 2)])
    routes = dispatcher(lambda: next(tables), NoCallbacks())
    for context, version in (("one", 1), ("two", 2)):
        _, decision = at_once(request(extension="02079460000"), routes)
        assert (decision.destination.context, decision.version) == (context, version)


def test_the_safe_answer_is_the_platforms_default_and_says_error() -> None:
    answer = handler(routes=table(version=9)).fallback_response()
    (line,) = answer.commands
    assert executed(line) == [
        ("ROUTE_CONTEXT", "ringway-default"),
        ("ROUTE_EXTEN", "s"),
        ("ROUTE_PRIORITY", "1"),
        ("ROUTE_KIND", "default"),
        ("ROUTE_ID", ""),
        ("ROUTE_COMPANY", ""),
        ("ROUTE_NUMBER", ""),
        ("ROUTE_CALLER", ""),
        ("ROUTE_REASON", "error"),
        ("ROUTE_VERSION", "9"),
        ("ROUTE_CACHE", "no"),
        ("ROUTE_VALID_UNTIL", ""),
        ("ROUTE_STATUS", "OK"),
    ]
    assert (answer.call.dialled, answer.call.caller, answer.call.region) == ("", "", "")


@pytest.mark.parametrize("text", ["", " ", "\r", "\0", "%0A", "${EPOCH}", "٠٢٠", "😀", "+", "0" * 10_000, "1\\,x=y"])
def test_whatever_is_dialled_gets_a_decision(text: str) -> None:
    said = answered(request(extension=text, callerid=text))
    assert said["ROUTE_STATUS"] == "OK"
    assert said["ROUTE_CONTEXT"] == "ringway-default"
    assert said["ROUTE_REASON"] in ("bad-number", "unknown-number")


def test_an_answer_that_is_taken_back_leaves_no_parameter_behind() -> None:
    wide = table()
    parameters = tuple(Parameter(f"P{place}", ParameterType.TEXT, default="x") for place in range(40))
    wide.flows["menu"] = CallFlow("menu", "Menu", Destination("flow-menu"), parameters=parameters)
    routes = handler(routes=wide)
    given, decision = at_once(request(extension="02079460000"), routes)
    flow = decision.target
    assert isinstance(flow, CallFlow)
    *cleared, last = routes.fallback_response(given).commands
    emptied = [each for line in cleared for each in executed(line)]
    assert emptied == [
        ("ROUTE_STATUS", ""),
        ("ROUTE_PARAMS", ""),
        ("ROUTE_DIGEST", ""),
        *((f"PARAM_{parameter.name}", "") for parameter in flow.parameters),
    ]
    assert (last,) == routes.fallback_response().commands
