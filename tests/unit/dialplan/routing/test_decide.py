import datetime as dt
from typing import Any

import pytest

from dialplan.kinds.fields import Destination
from dialplan.numbering.numbers import Bare
from dialplan.routing.decide import Cache, Call, Decision, Kind, decide, untrusted
from dialplan.routing.entry import Entry
from dialplan.routing.steps import REASONS
from dialplan.routing.table import Patch, RoutingTable
from dialplan.routing.target import ToCampaign, ToFlow
from dialplan.wording import Message
from tests.samples import Entry as FileEntry
from tests.samples import campaign, company, flow, held, number

DEFAULT = Destination("ringway-default")
NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC).timestamp()
AT_NOON = "2026-07-01T12:00:00Z"
AT_ONE = "2026-07-01T13:00:00Z"
TEXT = {"name": "TEXT", "type": "text", "default": "Hello"}


def table_of(*entries: FileEntry, version: int = 7) -> RoutingTable:
    patch = Patch(version, full=True)
    for kind, section in held(*entries).held.items():
        patch.add((kind, key, row) for key, row in section.items())
    return RoutingTable().patched(patch)


TABLE = table_of(
    company(default_flow="closed"),
    company("globex", region="US"),
    flow("closed", company="acme", parameters=[TEXT]),
    flow("menu", company="acme", parameters=[TEXT]),
    flow("queue", destination={"context": "flow-queue", "exten": "100", "priority": 3}),
    campaign("offer"),
    campaign("over", active=False),
    number("02079460000", call_flow="menu", parameters={"TEXT": "Good day"}),
    number("02079460001", inbound_campaign="offer"),
    number("02079460002", inbound_campaign="over"),
    number("02079460003", call_flow="menu", status="disabled"),
    number("02079460004"),
    number(
        "02079460005",
        call_flow="menu",
        updates=[
            {"at": AT_NOON, "call_flow": "queue"},
            {"at": AT_ONE, "inbound_campaign": "offer"},
        ],
    ),
    number("+12025550143", company="globex"),
    number("+12025550144", company="globex", status="disabled"),
)


def decided(dialled: str, now: float = NOON, **how: Any) -> Decision:
    call = Call(dialled, how.get("caller", ""), how.get("region", "GB"), how.get("bare", Bare.E164))
    return decide(call, TABLE, now, DEFAULT)


def said(decision: Decision) -> tuple[str, str, str, str]:
    target = decision.target.id if decision.target else ""
    return decision.reason, decision.kind, target, decision.destination.context


@pytest.mark.parametrize(
    ("dialled", "expected"),
    [
        ("02079460000", ("assigned", Kind.CALL_FLOW, "menu", "flow-menu")),
        ("02079460001", ("assigned", Kind.CAMPAIGN, "offer", "campaign-offer")),
        ("02079460002", ("no-destination", Kind.DEFAULT, "closed", "flow-closed")),
        ("02079460003", ("disabled", Kind.DEFAULT, "closed", "flow-closed")),
        ("02079460004", ("no-destination", Kind.DEFAULT, "closed", "flow-closed")),
        ("+12025550143", ("no-destination", Kind.DEFAULT, "", "ringway-default")),
        ("+12025550144", ("disabled", Kind.DEFAULT, "", "ringway-default")),
        ("02079469999", ("unknown-number", Kind.DEFAULT, "", "ringway-default")),
        ("front desk", ("bad-number", Kind.DEFAULT, "", "ringway-default")),
        ("", ("bad-number", Kind.DEFAULT, "", "ringway-default")),
    ],
)
def test_each_step_of_the_order_decides_in_its_turn(dialled: str, expected: tuple[str, str, str, str]) -> None:
    assert said(decided(dialled)) == expected


def test_what_cannot_be_read_is_no_number_of_the_decision() -> None:
    assert (decided("front desk").number, decided("front desk").company) == ("", "")


def test_a_pool_number_that_leads_somewhere_is_no_companys() -> None:
    for updates in ([], [{"at": AT_NOON, "call_flow": "menu"}]):
        table = table_of(
            flow("menu"), number("+442079460000", kind="pool", company=None, call_flow="menu", updates=updates)
        )
        decision = decide(Call("02079460000", "", "GB", Bare.E164), table, NOON, DEFAULT)
        assert (said(decision)[2], decision.company) == ("menu", "")


def test_a_call_whose_data_cannot_be_trusted_has_the_platforms_default_and_nothing_else() -> None:
    assert untrusted(DEFAULT, 7) == Decision("error", Kind.DEFAULT, DEFAULT, None, (), "", "", "", 7, Cache.NO)


@pytest.mark.parametrize("dialled", ["02079460000", "+442079460000", "00442079460000", "442079460000", "020 7946 0000"])
def test_every_way_of_writing_a_number_finds_it(dialled: str) -> None:
    decision = decided(dialled)
    assert (decision.reason, decision.number) == ("assigned", "+442079460000")


def test_the_region_of_the_call_reads_its_numbers() -> None:
    assert decided("02025550143", region="US").number == "+12025550143"
    assert decided("01112025550143", region="US").number == "+12025550143"


def test_bare_digits_are_refused_where_the_trunk_says_so() -> None:
    assert decided("442079460000", bare=Bare.REFUSE).reason == "bad-number"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-86_400.0, ("assigned", Kind.CALL_FLOW, "menu", "flow-menu")),
        (-0.001, ("assigned", Kind.CALL_FLOW, "menu", "flow-menu")),
        (0.0, ("scheduled", Kind.CALL_FLOW, "queue", "flow-queue")),
        (3_599.999, ("scheduled", Kind.CALL_FLOW, "queue", "flow-queue")),
        (3_600.0, ("scheduled", Kind.CAMPAIGN, "offer", "campaign-offer")),
        (1e9, ("scheduled", Kind.CAMPAIGN, "offer", "campaign-offer")),
    ],
)
def test_the_newest_update_that_is_due_holds_to_the_moment(seconds: float, expected: tuple[str, str, str, str]) -> None:
    assert said(decided("02079460005", NOON + seconds)) == expected


def test_the_numbers_values_go_along_and_a_default_gets_none() -> None:
    assert decided("02079460000").values == (("TEXT", "Good day"),)
    assert decided("02079460003").values == ()


def test_the_whole_destination_is_given() -> None:
    assert decided("02079460005").destination == Destination("flow-queue", "100", 3)


def test_owner_and_version_are_told() -> None:
    assert (decided("02079460000").company, decided("02079460000").version) == ("acme", 7)
    assert decided("02079469999").company == ""
    assert decided("02079460003").company == "acme"


@pytest.mark.parametrize(
    ("caller", "shown"),
    [("02079461234", "+442079461234"), ("+12025550143", "+12025550143"), ("", ""), ("anonymous", ""), ("x" * 500, "")],
)
def test_a_callers_number_is_shown_in_e164_or_not_at_all(caller: str, shown: str) -> None:
    assert decided("02079460000", caller=caller).caller == shown


def test_an_unreadable_call_still_tells_its_caller() -> None:
    assert decided("front desk", caller="02079461234").caller == "+442079461234"


def test_what_the_table_does_not_have_falls_to_the_default_and_never_raises() -> None:
    table = RoutingTable(1)
    table.numbers["+442079460000"] = Entry("nobody", True, ToFlow("gone"))
    table.numbers["+442079460001"] = Entry(None, True, ToCampaign("gone"))
    for dialled in table.numbers:
        decision = decide(Call(dialled, "", "GB", Bare.E164), table, NOON, DEFAULT)
        assert said(decision) == ("no-destination", Kind.DEFAULT, "", "ringway-default")


def test_an_entry_with_steps_of_its_own_and_one_without_are_decided_alike() -> None:
    """The usual entry runs no list; a trace makes any call run it."""
    for dialled in TABLE.numbers:
        call = Call(dialled, "", "GB", Bare.E164)
        assert decide(call, TABLE, NOON, DEFAULT, Steps()) == decide(call, TABLE, NOON, DEFAULT)


class Steps:
    """Writes down which steps a trace is told, in which order."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def step(self, name: str, _outcome: str, _details: Message) -> None:
        if not self.seen or self.seen[-1] != name:
            self.seen.append(name)


@pytest.mark.parametrize(
    ("dialled", "steps"),
    [
        ("front desk", ["caller", "dialled number", "default"]),
        ("02079469999", ["caller", "dialled number", "number", "default"]),
        ("02079460003", ["caller", "dialled number", "number", "default"]),
        ("02079460004", ["caller", "dialled number", "number", "assignment", "destination", "default"]),
        ("02079460000", ["caller", "dialled number", "number", "assignment", "destination"]),
    ],
)
def test_a_trace_is_told_every_step_in_its_order_and_changes_nothing(dialled: str, steps: list[str]) -> None:
    trace = Steps()
    call = Call(dialled, "", "GB", Bare.E164)
    assert decide(call, TABLE, NOON, DEFAULT, trace) == decided(dialled)
    assert trace.seen == steps


def test_the_words_of_reasons_and_kinds_are_those_that_outsiders_know() -> None:
    assert {*REASONS} >= {
        "assigned",
        "scheduled",
        "disabled",
        "unknown-number",
        "bad-number",
        "no-destination",
        "error",
    }
    assert [*Kind] == ["call-flow", "campaign", "default"]
