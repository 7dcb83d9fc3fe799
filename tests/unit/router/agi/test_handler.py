"""A request and the table of this moment: which number, which caller, which country, and the answer."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
import structlog

from dialplan.attempts import Attempt, Outcome, Sighting
from dialplan.callbacks import Claim, Verdict
from dialplan.decide import Decision, Kind, Reason
from dialplan.model import CallFlow, Company, Destination, Number, NumberKind, Parameter, ParameterType, Row, RowKind
from dialplan.numbers import Bare
from dialplan.table import Patch, RoutingTable
from router.agi.handler import Answer, Handler, Reading, UnknownScriptError
from router.agi.messages import AgiRequest, parse_environment
from tests.fastagi import environment, executed
from tests.samples import campaign, company, flow, number
from tests.tables import table_of
from tests.unit.router.agi.serving import NoCallbacks

NOW = 1_800_000_000.0
DEFAULT = Destination("ringway-default")


def table(context: str = "flow-menu", version: int = 5) -> RoutingTable:
    patch = Patch(version, whole=True)
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


def handler(region: str = "GB", bare: Bare = Bare.E164, routes: RoutingTable | None = None) -> Handler:
    fixed = routes or table()
    return Handler(lambda: fixed, Reading(region, bare, DEFAULT), NoCallbacks(), structlog.get_logger())


def at_once(asked: AgiRequest, routes: Handler | None = None) -> tuple[Answer, Decision]:
    """The answer that comes at once, and its decision."""
    answer = (routes or handler()).answer(asked, NOW)
    assert isinstance(answer, Answer)
    assert answer.decision is not None
    return answer, answer.decision


def request(arguments: list[str] | None = None, **fields: str) -> AgiRequest:
    keys = {f"agi_{name}": value for name, value in fields.items()}
    return parse_environment(environment(keys, arguments or [])[:-2])


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
        ("9" * 400, True),  # beyond any octet: nothing is read into it, nothing breaks
    ],
)
def test_a_withheld_caller_stays_unknown_even_where_the_number_came_along(presentation: str, shown: bool) -> None:
    asked = request(["02079460000", "07700900123"], callerid="07700900123", callingpres=presentation)
    caller = answered(asked)["ROUTE_CALLER"]
    if len(presentation) < 400:
        assert caller == ("+447700900123" if shown else "")
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
    assert decision.number == "+442079460000"
    assert decision.caller == "+447700900123"
    assert (decision.reason, decision.kind) == (Reason.ASSIGNED, Kind.CALL_FLOW)


@pytest.mark.parametrize("script", ["", "Route", "route/", "caller-ids", "Attempt", "../route", "x" * 1000])
def test_another_script_is_not_answered(script: str) -> None:
    with pytest.raises(UnknownScriptError):
        handler().answer(request(network_script=script), NOW)


@pytest.mark.parametrize(("path", "named"), [("route", False), ("route?params", True), ("route?x", False)])
def test_the_names_of_the_parameters_are_asked_for_in_the_query(path: str, named: bool) -> None:
    assert ("ROUTE_PARAMS" in answered(request(network_script=path))) is named


def test_the_table_is_asked_for_once_a_call() -> None:
    tables = iter([table("one", 1), table("two", 2)])
    routes = Handler(lambda: next(tables), Reading("GB", Bare.E164, DEFAULT), NoCallbacks(), structlog.get_logger())
    for context, version in (("one", 1), ("two", 2)):
        _, decision = at_once(request(extension="02079460000"), routes)
        assert (decision.destination.context, decision.version) == (context, version)


def test_the_safe_answer_is_the_platforms_default_and_says_error() -> None:
    answer = handler(routes=table(version=9)).safe_answer()
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
        ("ROUTE_STATUS", "OK"),
    ]
    assert answer.call.dialled == ""


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
    *cleared, last = routes.safe_answer(given).commands
    emptied = [each for line in cleared for each in executed(line)]
    assert emptied == [
        *((f"PARAM_{parameter.name}", "") for parameter in flow.parameters),
        ("ROUTE_PARAMS", ""),
        ("ROUTE_DIGEST", ""),
    ]
    assert (last,) == routes.safe_answer().commands


# --- callbacks ------------------------------------------------------------------------------------------------------

OUR, POOL, ANNA = "+442079460000", "+442079460009", "+447700900123"
ATTEMPT = Attempt("1.1", "win-back", OUR, ANNA, NOW - 60, Outcome.MISSED)


class FakeCallbacks:
    """Knows one thing to say, and notes what it was asked."""

    def __init__(self, claim: Claim, *, taken: bool = True) -> None:
        self.answer = claim
        self.known = True
        self.since_when: Mapping[str, float] = {"win-back": NOW - 3600}
        self.asked: list[tuple[object, ...]] = []
        self.counted: list[tuple[Verdict, Reason]] = []
        self.seen: list[Sighting] = []
        self.taken = taken

    def knows(self, _number: str, _subscriber: str) -> bool:
        return self.known

    def since(self, _number: str, _subscriber: str, _began: float) -> Mapping[str, float]:
        return self.since_when

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        await asyncio.sleep(0)
        self.asked.append((number, subscriber, call_id, began, since))
        return self.answer

    def count(self, claim: Claim, decision: Decision) -> None:
        self.counted.append((claim.verdict, decision.reason))

    async def see(self, sighting: Sighting) -> bool:
        await asyncio.sleep(0)
        self.seen.append(sighting)
        return self.taken


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


def with_callbacks(callbacks: FakeCallbacks, routes: RoutingTable | None = None) -> Handler:
    fixed = routes or rung()
    return Handler(lambda: fixed, Reading("GB", Bare.E164, DEFAULT), callbacks, structlog.get_logger())


def rings_back(dialled: str = OUR, **fields: str) -> AgiRequest:
    return request([], **({"extension": dialled, "callerid": ANNA, "uniqueid": "pbx-7"} | fields))


async def awaited(asked: AgiRequest, handler: Handler) -> tuple[Answer, dict[str, str]]:
    """An answer that the store had a part in, and what it sets."""
    later = handler.answer(asked, NOW)
    assert not isinstance(later, Answer)
    answer = await later
    return answer, dict(pair for line in answer.commands for pair in executed(line))


@pytest.mark.parametrize(
    ("claim", "context", "reason", "attempt"),
    [
        (Claim(Verdict.RIGHT, ATTEMPT), "campaign-win-back", "callback-campaign", "1.1"),
        (Claim(Verdict.USED, ATTEMPT), "flow-menu", "callback-used", "1.1"),
        (Claim(Verdict.NONE), "flow-menu", "assigned", ""),
    ],
)
async def test_a_callback_gets_what_the_store_says(claim: Claim, context: str, reason: str, attempt: str) -> None:
    callbacks = FakeCallbacks(claim)
    answer, said = await awaited(rings_back(), with_callbacks(callbacks))
    assert (said["ROUTE_CONTEXT"], said["ROUTE_REASON"], said["ROUTE_STATUS"]) == (context, reason, "OK")
    assert (said["ROUTE_NUMBER"], said["ROUTE_CALLER"], answer.attempt) == (OUR, ANNA, attempt)
    assert callbacks.asked == [(OUR, ANNA, "pbx-7", NOW, {"win-back": NOW - 3600})]
    assert callbacks.counted == [(claim.verdict, Reason(reason))]


async def test_a_campaign_that_accepts_nothing_leaves_the_call_where_it_is_unless_the_number_forces_it() -> None:
    claim = Claim(Verdict.RIGHT, ATTEMPT)
    for rule, context in (("as-in-campaign", "flow-menu"), ("force-yes", "campaign-win-back")):
        handler = with_callbacks(FakeCallbacks(claim), rung(rule, accept_incoming=False))
        _, said = await awaited(rings_back(), handler)
        assert said["ROUTE_CONTEXT"] == context


async def test_a_callback_to_the_pool_follows_the_campaign() -> None:
    _, said = await awaited(rings_back(POOL), with_callbacks(FakeCallbacks(Claim(Verdict.RIGHT, ATTEMPT))))
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
    callbacks = FakeCallbacks(Claim(Verdict.RIGHT, ATTEMPT))
    _, decision = at_once(asked, with_callbacks(callbacks, rung(rule)))
    assert decision.reason == reason
    assert (callbacks.asked, callbacks.counted) == ([], [])


@pytest.mark.parametrize("known", [True, False])
def test_where_memory_knows_of_no_attempt_the_answer_comes_at_once(known: bool) -> None:
    callbacks = FakeCallbacks(Claim(Verdict.RIGHT, ATTEMPT))
    callbacks.known = known
    if known:
        callbacks.since_when = {}
    _, decision = at_once(rings_back(), with_callbacks(callbacks))
    assert (decision.reason, callbacks.asked) == (Reason.ASSIGNED, [])


@pytest.mark.parametrize(
    ("unique_id", "began"),
    [
        ("1799999000.12", 1_799_999_005.0),  # with what clocks may differ
        ("pbx-1-1799999000.12", 1_799_999_005.0),
        ("1799999998.1", NOW),
        ("1900000000.1", NOW),  # a clock that is ahead
        ("pbx-7", NOW),
        ("", NOW),
        ("179999900.1", NOW),
        ("١٧٩٩٩٩٩٠٠٠.1", NOW),
    ],
)
async def test_a_claim_is_made_for_the_moment_at_which_the_call_began(unique_id: str, began: float) -> None:
    callbacks = FakeCallbacks(Claim(Verdict.NONE))
    await awaited(rings_back(uniqueid=unique_id), with_callbacks(callbacks))
    assert [asked[3] for asked in callbacks.asked] == [began]


async def test_a_campaign_that_is_removed_while_its_callback_waits_takes_no_call() -> None:
    tables = iter([rung(), table_of(company(), number(OUR))])
    callbacks = FakeCallbacks(Claim(Verdict.RIGHT, ATTEMPT))
    reading = Reading("GB", Bare.E164, DEFAULT)
    handler = Handler(lambda: next(tables), reading, callbacks, structlog.get_logger())
    _, said = await awaited(rings_back(), handler)
    assert (said["ROUTE_CONTEXT"], said["ROUTE_REASON"]) == ("flow-menu", "assigned")


# --- caller-id ------------------------------------------------------------------------------------------------------


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
    handler = with_callbacks(FakeCallbacks(Claim(Verdict.NONE)), routes or outbound())
    answer = handler.answer(request(list(arguments), network_script=script), NOW)
    assert isinstance(answer, Answer)
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
    routes.pool = []
    said = dict(shown("caller-id", "pool", routes=routes))
    assert (said["SHOW_NUMBER"], said["SHOW_REASON"], said["SHOW_STATUS"]) == ("", "empty-pool", "NONE")


def test_a_campaign_does_not_have_to_be_named() -> None:
    assert dict(shown("caller-id"))["SHOW_REASON"] == "unknown-campaign"


def test_where_an_answered_call_goes_comes_along_when_that_is_asked_for() -> None:
    said = dict(shown("caller-id?destination", "reserved", ANNA))
    places = [said[key] for key in ("SHOW_CONTEXT", "SHOW_EXTEN", "SHOW_PRIORITY")]
    assert places == ["campaign-reserved", "s", "1"]
    assert "SHOW_CONTEXT" not in dict(shown("caller-id?else", "reserved", ANNA))


# --- attempt --------------------------------------------------------------------------------------------------------

REPORT = ["1.1", "win-back", "07700900123", OUR, "NOANSWER", "19", "1", "1800000000250"]


@pytest.mark.parametrize(("taken", "status"), [(True, "OK"), (False, "LATER")])
async def test_the_report_of_an_attempt_is_acknowledged_when_it_is_written(taken: bool, status: str) -> None:
    callbacks = FakeCallbacks(Claim(Verdict.NONE), taken=taken)
    answer, said = await awaited(request(REPORT, network_script="attempt"), with_callbacks(callbacks))
    assert (said, answer.decision) == ({"ATTEMPT_STATUS": status}, None)
    assert callbacks.seen == [Sighting("1.1", "win-back", OUR, "07700900123", 1_800_000_000.25, Outcome.MISSED)]


@pytest.mark.parametrize("arguments", [[], REPORT[:-1], [*REPORT, "x"], ["", *REPORT[1:]], [*REPORT[:-1], "now"]])
def test_a_report_that_cannot_be_read_is_refused_at_once(arguments: list[str]) -> None:
    callbacks = FakeCallbacks(Claim(Verdict.NONE))
    answer = with_callbacks(callbacks).answer(request(arguments, network_script="attempt"), NOW)
    assert isinstance(answer, Answer)
    assert executed(answer.commands[0]) == [("ATTEMPT_STATUS", "REFUSED")]
    assert (answer.decision, callbacks.seen) == (None, [])
