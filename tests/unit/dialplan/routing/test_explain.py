import datetime as dt

import msgspec
import pytest

from dialplan.kinds.fields import Destination
from dialplan.kinds.number import Number
from dialplan.kinds.registry import RowKind
from dialplan.numbering.numbers import Bare
from dialplan.routing.decide import Call, decide
from dialplan.routing.explain import ExplainedStep, Explanation
from dialplan.routing.table import Patch, RoutingTable
from tests.samples import campaign, company, flow, held, number

DEFAULT = Destination("ringway-default")
NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC).timestamp()
UPDATES = [
    {"at": "2026-07-01T10:00:00Z", "call_flow": "night"},
    {"at": "2026-07-01T11:00:00Z", "call_flow": "queue", "parameters": {"WAIT": 5}},
    {"at": "2026-07-01T13:00:00Z", "inbound_campaign": "offer"},
]
STORE = held(
    company(default_flow="night"),
    company("bare"),
    flow("night"),
    flow("menu"),
    flow("queue", parameters=[{"name": "WAIT", "type": "integer"}]),
    campaign("offer"),
    campaign("over", active=False),
    number("02079460000", call_flow="menu", updates=UPDATES),
    number("02079460001", inbound_campaign="over"),
    number("02079460002", company="bare"),
    number("02079460003", status="disabled"),
    number("02079460004"),
    (RowKind.NUMBER, {"number": "+447700900100", "kind": "pool"}),
)


def the_table() -> RoutingTable:
    patch = Patch(1, full=True)
    for kind, section in STORE.held.items():
        patch.add((kind, key, row) for key, row in section.items())
    return RoutingTable().patched(patch)


def explained(
    dialled: str, caller: str = "", now: float = NOON, table: RoutingTable | None = None
) -> list[ExplainedStep]:
    explanation = Explanation()
    decide(Call(dialled, caller, "GB", Bare.E164), table or the_table(), now, DEFAULT, explanation)
    return explanation.steps


def lines(dialled: str, step: str, now: float = NOON, table: RoutingTable | None = None) -> list[tuple[str, str]]:
    return [(each.outcome, each.detail) for each in explained(dialled, "", now, table) if each.step == step]


def test_every_candidate_is_told_with_why_it_was_rejected() -> None:
    assert lines("02079460000", "assignment") == [
        ("rejected", 'call flow "menu": the base assignment, replaced by the update of 2026-07-01T10:00:00Z'),
        ("rejected", 'call flow "night": of 2026-07-01T10:00:00Z, a newer update is due'),
        ("in force", 'call flow "queue" with WAIT="5": since 2026-07-01T11:00:00Z'),
        ("rejected", 'inbound campaign "offer": not due before 2026-07-01T13:00:00Z'),
    ]
    assert lines("02079460000", "destination") == [("taken", 'call flow "queue": flow-queue,s,1')]


def test_exactly_one_assignment_is_in_force() -> None:
    for dialled in ("02079460000", "02079460001", "02079460002"):
        assert [outcome for outcome, _ in lines(dialled, "assignment")].count("in force") == 1


def test_a_campaign_that_is_not_active_is_a_candidate_rejected() -> None:
    assert lines("02079460001", "destination") == [("rejected", 'inbound campaign "over" is not active')]
    assert lines("02079460001", "default") == [("taken", 'default flow "night" of company "acme": flow-night,s,1')]


def test_a_flow_that_is_not_there_is_not_called_inactive() -> None:
    patch = Patch(1, full=True)
    patch.add([(RowKind.NUMBER, "+442079460000", Number("+442079460000", call_flow="gone"))])
    explanation = Explanation()
    decide(Call("+442079460000", "", "GB", Bare.E164), RoutingTable().patched(patch), NOON, DEFAULT, trace=explanation)
    assert ("destination", "rejected", 'call flow "gone" is not stored') in [
        (each.step, each.outcome, each.detail) for each in explanation.steps
    ]


def test_defaults_are_told_in_their_order() -> None:
    assert lines("02079460002", "default") == [
        ("rejected", 'company "bare" has no default flow'),
        ("taken", "the platform's: ringway-default,s,1"),
    ]
    assert lines("02079460999", "default") == [("taken", "the platform's: ringway-default,s,1")]


@pytest.mark.parametrize(
    ("dialled", "step", "outcome", "detail"),
    [
        ("02079460000", "number", "active", 'belongs to company "acme"'),
        ("02079460003", "number", "disabled", 'belongs to company "acme"'),
        ("+447700900100", "number", "active", "belongs to the pool"),
        ("02079460999", "number", "unknown", "no such number is stored"),
        ("02079460002", "destination", "none", "the number has neither call flow nor inbound campaign"),
    ],
)
def test_each_step_says_what_it_found(dialled: str, step: str, outcome: str, detail: str) -> None:
    assert lines(dialled, step) == [(outcome, detail)]


def test_how_the_number_was_read_is_told() -> None:
    ((outcome, detail),) = lines("442079460000", "dialled number")
    assert outcome == "+442079460000"
    assert '"442079460000" in region GB, bare digits as e164' in detail
    assert "02079460000" in detail


def test_why_a_number_could_not_be_read_is_told() -> None:
    ((outcome, detail),) = lines("front\ndesk", "dialled number")
    assert outcome == "unreadable"
    assert detail.startswith(r'"front\ndesk": ')


@pytest.mark.parametrize(
    ("caller", "outcome"),
    [("", "withheld"), ("02079461234", "+442079461234"), ("nobody", "unreadable"), ("anonymous", "withheld")],
)
def test_the_caller_is_told_first(caller: str, outcome: str) -> None:
    first = explained("02079460000", caller)[0]
    assert (first.step, first.outcome) == ("caller", outcome)


def test_no_step_spans_two_lines_whatever_the_call_says() -> None:
    for step in explained("a\nb\x1b[2J", "c\r\nd"):
        assert (step.step + step.outcome + step.detail).isprintable()


def test_an_assignment_that_leads_nowhere_is_named() -> None:
    assert lines("02079460004", "assignment")[0] == ("in force", "nothing: the base assignment")


def test_a_step_has_its_code_and_its_arguments_too() -> None:
    (found,) = [each for each in explained("02079460001") if each.step == "destination"]
    assert (found.code, found.arguments) == (
        "target-not-active",
        {"target": {"code": "target-campaign", "arguments": {"campaign": "over"}}},
    )
    assert msgspec.json.decode(msgspec.json.encode(found))["detail"] == found.detail


def test_an_update_is_in_force_from_its_very_moment() -> None:
    told = lines("02079460000", "assignment", NOON - 2 * 3600)
    assert told[1] == ("in force", 'call flow "night": since 2026-07-01T10:00:00Z')


def test_a_number_that_has_no_other_form_here_is_told_once() -> None:
    ((outcome, detail),) = lines("+12025550143", "dialled number")
    assert outcome == "+12025550143"
    assert "shown as" not in detail


def test_a_table_that_was_never_filled_is_told() -> None:
    assert lines("02079460000", "number", table=RoutingTable()) == [("no data", "nothing has been loaded yet")]


def test_what_this_version_cannot_read_is_told() -> None:
    table = the_table()
    del table.numbers["+442079460001"], table.flows["menu"]
    table.left_out = frozenset({(RowKind.NUMBER, "+442079460001"), (RowKind.CALL_FLOW, "menu")})
    unread = "is stored, and cannot be read by this version"
    assert lines("02079460001", "number", table=table) == [("unread", f"it {unread}")]
    told = lines("02079460000", "destination", NOON - 3 * 3600, table)
    assert told == [("rejected", f'call flow "menu" {unread}')]
