"""The table, the decision and the permissions, each against something simpler."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from dialplan.dataset.changes import ChangeSet, prepare
from dialplan.dataset.later import readable
from dialplan.dataset.parameters import delivered
from dialplan.dataset.problems import DataProblems
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.fields import Destination
from dialplan.kinds.registry import RowKind
from dialplan.numbering.numbers import Bare
from dialplan.routing.decide import Call, decide
from dialplan.routing.entry import Entry
from dialplan.routing.table import Patch, RoutingTable
from dialplan.routing.target import Target
from tests.property import naive
from tests.property.datasets import NUMBERS, as_rows, good_sets, number_entries, tried
from tests.samples import Entry as FileEntry
from tests.samples import Held, held

DEFAULT = Destination("ringway-default")
PLACE = (DEFAULT.context, DEFAULT.exten, DEFAULT.priority)
ALL_NUMBERS = sorted(number for numbers in NUMBERS.values() for number in numbers)
FIRST, LAST = naive.moment("2025-12-01T00:00:00Z"), naive.moment("2028-01-01T00:00:00Z")


def whole(store: Held, version: int = 1) -> RoutingTable:
    patch = Patch(version, full=True)
    for kind in RowKind:
        patch.add((kind, key, row) for key, row in store.held[kind].items())
    return RoutingTable().patched(patch)


def patch_of(changes: ChangeSet, version: int) -> Patch:
    patch = Patch(version, full=False)
    for kind, section in changes.rows.items():
        patch.add((RowKind(str(kind)), key, readable(row)) for key, row in section.items())
    return patch


def seen(table: RoutingTable) -> tuple[Any, ...]:
    """Everything in a table, so that it can be compared."""

    def shown(target: Target | None) -> Any:
        return target and (msgspec.to_builtins(target), target.values)

    def updates(entry: Entry) -> Any:
        steps: dict[str, Any] = dict(entry.steps)
        return [(at, shown(later)) for at, later in steps.get("assignment", ())]

    numbers = {
        number: (each.company, each.active, shown(each.base), updates(each)) for number, each in table.numbers.items()
    }
    return numbers, table.flows, table.campaigns, table.companies, table.version


def moments(entries: list[FileEntry]) -> list[float]:
    """The times at which something switches, and just before and after."""
    numbers = naive.section(entries, RowKind.NUMBER).values()
    at = [naive.moment(update["at"]) for number in numbers for update in number["updates"]]
    return [FIRST, LAST, *(moment + shift for moment in at for shift in (-0.001, 0.0, 0.001))]


@tried(100)
@given(st.lists(good_sets(), min_size=2, max_size=4), st.booleans())
def test_change_sets_one_by_one_make_the_same_table_as_the_whole(sets: list[list[FileEntry]], swapped: bool) -> None:
    store, table = Held(), RoutingTable()
    for version, entries in enumerate(sets, start=1):
        changes = prepare(as_rows(entries), store, replace=True)
        store.take(changes)
        patch = patch_of(changes, version)
        if swapped:
            table = table.patched(patch)
        else:
            table.apply(patch)
        assert seen(table) == seen(whole(store, version))


@tried(150)
@given(good_sets(), st.data())
def test_a_decision_is_what_the_rules_say_at_any_moment(entries: list[FileEntry], data: st.DataObject) -> None:
    table = whole(held(*entries))
    times = st.sampled_from(moments(entries)) | st.floats(FIRST, LAST)
    for number, now in data.draw(st.lists(st.tuples(st.sampled_from(ALL_NUMBERS), times), min_size=1, max_size=8)):
        decision = decide(Call(number, "", "GB", Bare.E164), table, now, DEFAULT)
        target, goes_to = decision.target, decision.destination
        values = dict(delivered(target, dict(decision.values))) if isinstance(target, CallFlow) else {}
        assert naive.answer(entries, number, now, PLACE) == naive.Answer(
            decision.reason,
            decision.kind,
            target.id if target else "",
            (goes_to.context, goes_to.exten, goes_to.priority),
            values,
        )


@tried(200)
@given(good_sets().filter(lambda entries: naive.section(entries, RowKind.NUMBER)), st.data())
def test_an_admin_never_moves_a_number_off_a_flow_while_it_is_locked(
    entries: list[FileEntry], data: st.DataObject
) -> None:
    number, before = data.draw(st.sampled_from(sorted(naive.section(entries, RowKind.NUMBER).items())))
    flows = naive.section(entries, RowKind.CALL_FLOW)
    owner = before["company"]
    may_take = {key: flow["parameters"] for key, flow in flows.items() if flow.get("company") in (None, owner)}
    drawn = data.draw(number_entries(number, owner, may_take))
    after = before | {key: drawn.get(key) for key in data.draw(st.sets(st.sampled_from(CHANGEABLE)))}
    for key in ("parameters", "updates"):
        after[key] = after.get(key) or type(drawn.get(key, {}))()
    try:
        prepare(as_rows([(RowKind.NUMBER, after)]), held(*entries), as_company=owner)
    except DataProblems:
        return
    for now in moments([(RowKind.NUMBER, before), (RowKind.NUMBER, after)]):
        old, new = naive.assigned(before, now)[1], naive.assigned(after, now)[1]
        if old.flow is not None and flows[old.flow]["locked"]:
            assert (new.flow, new.campaign) == (old.flow, None)


CHANGEABLE = ["call_flow", "inbound_campaign", "parameters", "updates", "name", "status"]


@tried(100)
@given(good_sets().filter(lambda entries: naive.section(entries, RowKind.NUMBER)), st.data())
def test_an_admin_may_always_change_what_is_not_the_flow(entries: list[FileEntry], data: st.DataObject) -> None:
    _, before = data.draw(st.sampled_from(sorted(naive.section(entries, RowKind.NUMBER).items())))
    after = before | {"name": "Other", "description": "", "callback_rule": "force-no", "status": "active"}
    store = held(*entries)
    store.take(prepare(as_rows([(RowKind.NUMBER, after)]), store, as_company=before["company"]))
    assert [each.name for each in store.held[RowKind.NUMBER].values() if each.number == before["number"]] == ["Other"]  # type: ignore[union-attr]
