"""The usual call's short way. That it says what the session and the verbs say is a property of its own."""

from typing import Any

import pytest

from dialplan.kinds.registry import RowKind
from dialplan.routing.table import Patch, RoutingTable
from router.agi import usual as usual_module
from router.agi.usual import UsualCall, UsualCalls
from tests.fastagi import environment, executed
from tests.samples import Entry, company, flow, held, number
from tests.tables import table_of
from tests.unit.router.agi.asking import usual_calls
from tests.unit.router.agi.serving import NoCallbacks, serving
from tests.unit.router.agi.wires import Exchange, in_a_loop

DID = "02079460000"
ENTRIES = (company(), flow("menu"), flow("night"), number(DID, call_flow="menu"))


class Held:
    """A table that changes, and the short way that looks at it."""

    def __init__(self, *entries: Entry) -> None:
        self.table = table_of(*entries)
        self.calls: UsualCalls = usual_calls(lambda: self.table, NoCallbacks())

    def answer(self, extension: str = DID, **fields: str) -> UsualCall | None:
        keys = {f"agi_{name}": value for name, value in {"callerid": "07700900456", **fields}.items()}
        return self.calls.answer(environment({"agi_extension": extension} | keys))

    def said(self, extension: str = DID) -> dict[str, str]:
        found = self.answer(extension)
        assert found is not None
        return dict(executed(found.command))

    def change(self, *entries: Entry, whole: bool = False) -> None:
        """Put these entries in the place of those with their keys; `whole`: in a table of its own, as large patches."""
        keys = {key_of(each) for each in entries}
        rows = held(*(each for each in ENTRIES if key_of(each) not in keys), *entries).held
        patch = Patch(self.table.version + 1, full=False)
        for kind, section in rows.items():
            patch.add((kind, key, row) for key, row in section.items() if (kind, key) in keys)
        self.table = self.table.patched(patch) if whole else applied(self.table, patch)


def key_of(entry: Entry) -> tuple[RowKind, str]:
    kind, values = entry
    return kind, "+44" + DID[1:] if kind is RowKind.NUMBER else str(values["id"])


def applied(table: RoutingTable, patch: Patch) -> RoutingTable:
    table.apply(patch)
    return table


def test_what_is_remembered_is_said_again() -> None:
    site = Held(*ENTRIES)
    first = site.said()
    assert first["ROUTE_CONTEXT"] == "flow-menu"
    assert site.said() == first


@pytest.mark.parametrize(("bound", "numbers"), [(3, 3), (1, 2)], ids=["as many as fit", "in the older generation"])
def test_what_is_remembered_is_not_decided_again(bound: int, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usual_module, "REMEMBERED_MAX", bound)
    entries = [f"020794600{place:02}" for place in range(numbers)]
    site = Held(company(), flow("menu"), *(number(each, call_flow="menu") for each in entries))
    first, second = ([site.answer(each) for each in entries] for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one is not None
        assert other is not None
        assert one.remembered is other.remembered


@pytest.mark.parametrize("whole", [False, True])
def test_a_changed_flow_is_said_at_the_next_call(whole: bool) -> None:
    site = Held(*ENTRIES)
    site.said()
    site.change(flow("menu", destination={"context": "elsewhere"}), whole=whole)
    assert site.said()["ROUTE_CONTEXT"] == "elsewhere"


@pytest.mark.parametrize("whole", [False, True])
def test_a_number_that_leads_elsewhere_is_said_at_the_next_call(whole: bool) -> None:
    site = Held(*ENTRIES)
    before = site.said()
    site.change(number(DID, call_flow="night"), whole=whole)
    after = site.said()
    assert (after["ROUTE_CONTEXT"], int(after["ROUTE_VERSION"])) == ("flow-night", int(before["ROUTE_VERSION"]) + 1)


def test_a_flow_that_is_removed_is_no_usual_matter_any_more() -> None:
    site = Held(*ENTRIES)
    site.said()
    patch = Patch(8, full=False)
    patch.add([(RowKind.CALL_FLOW, "menu", None)])
    site.table.apply(patch)
    assert site.answer() is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"extension": "s", "dnid": DID},  # where a dialplan of Asterisk's asks in an extension s
        {"network_script": "route?params"},
        *[{"callingpres": presentation} for presentation in ("", "1", "2", "3")],
        *[{"callerid": caller} for caller in ("", "unknown", "anonymous", "FLOWERS")],
    ],
)
def test_what_is_usual_is_answered_the_short_way(fields: dict[str, str]) -> None:
    found = Held(*ENTRIES).answer(**fields)
    assert found is not None
    sent = fields.get("callerid", "07700900456")
    caller = "+447700900456" if sent == "07700900456" else ""
    assert (found.dialled, found.number, found.caller_sent, found.caller) == (DID, "+44" + DID[1:], sent, caller)


def test_a_number_that_a_later_change_may_lead_elsewhere_is_no_usual_matter() -> None:
    changing = number(DID, call_flow="menu", updates=[{"at": "2090-01-01T00:00:00Z", "call_flow": "night"}])
    assert Held(company(), flow("menu"), flow("night"), changing).answer() is None


def test_an_answer_that_takes_several_commands_is_no_usual_matter() -> None:
    parameters = [{"name": f"P{place}", "type": "text", "default": "v" * 90} for place in range(30)]
    site = Held(company(), flow("wide", parameters=parameters), number(DID, call_flow="wide"))
    assert site.answer() is None


class Missed(NoCallbacks):
    """One subscriber may have missed a call of ours."""

    def knows(self, number: str, subscriber: str) -> bool:
        return (number, subscriber) == ("+44" + DID[1:], "+447700900456")


def test_a_caller_who_may_ring_back_is_no_usual_matter() -> None:
    site = Held(*ENTRIES)
    site.calls = usual_calls(lambda: site.table, Missed())
    assert site.answer() is None
    assert site.answer(callerid="07700900457") is not None


def test_a_changed_flow_is_said_too_where_the_call_to_it_was_one_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usual_module, "REMEMBERED_MAX", 1)
    other = DID[:-1] + "1"
    site = Held(*ENTRIES, number(other, call_flow="night"))
    for each in (DID, other):
        site.said(each)
    site.change(flow("menu", destination={"context": "elsewhere"}))
    assert site.said()["ROUTE_CONTEXT"] == "elsewhere"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usual_module, "REMEMBERED_MAX", 4)
    numbers = [f"020794600{place:02}" for place in range(20)]
    site = Held(company(), flow("menu"), *(number(each, call_flow="menu") for each in numbers))
    for each in (*numbers, *numbers, numbers[0]):
        assert site.said(each)["ROUTE_NUMBER"] == "+44" + each[1:]
        assert remembered(site.calls) <= 8


def remembered(calls: UsualCalls) -> int:
    return sum(len(each) for generation in (calls._young, calls._old) for each in generation.values())


@in_a_loop
async def test_a_defect_of_the_short_way_is_said_and_the_call_goes_the_long_one() -> None:
    exchange = Exchange()

    def broken(_block: bytes) -> Any:
        raise ZeroDivisionError("a defect")

    exchange.server.answer_usual = broken
    line = exchange.line(environment({"agi_extension": DID}))
    line.reply()
    assert line.variables["ROUTE_CONTEXT"] == "flow-0"
    assert [entry["event"] for entry in exchange.log.entries] == ["decision_failed"]


# What a client made by hand may send: far less than Asterisk's 22 lines, for which the kernel would wait.
SHORT = [
    f"agi_{name}: {value}\n".encode()
    for name, value in (
        *(("network_script", "route"), ("uniqueid", "1.1"), ("callerid", "07700900456"), ("callingpres", "0")),
        *(("dnid", DID), ("extension", DID)),
    )
]


@pytest.mark.parametrize("pieces", [[b"".join(SHORT) + b"\n"], [*SHORT, b"\n"], [b"".join(SHORT), b"\n"]])
async def test_a_block_that_is_shorter_than_asterisks_is_answered(pieces: list[bytes]) -> None:
    async with serving() as served:
        call = await served.call(pieces)
        assert call.variables["ROUTE_CONTEXT"] == "flow-0"
        assert served.rejected() == {}
