import datetime as dt
import gc
from typing import Any

import msgspec

from dialplan.kinds.number import Number, NumberKind, ScheduledUpdate, Status
from dialplan.kinds.registry import Row, RowKind
from dialplan.routing.entry import Entry
from dialplan.routing.table import Patch, RoutingTable
from dialplan.routing.target import ToCampaign, ToFlow
from tests.samples import campaign, company, flow, held, number

NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
A, B = "+442079460000", "+442079460001"


def rows(*numbers: Number) -> list[tuple[RowKind, str, Row | None]]:
    return [(RowKind.NUMBER, each.number, each) for each in numbers]


def patch(*changes: tuple[RowKind, str, Row | None], version: int = 1, full: bool = False) -> Patch:
    made = Patch(version, full=full)
    made.add(changes)
    return made


def test_an_empty_table_has_no_numbers_and_version_zero() -> None:
    table = RoutingTable()
    assert (table.version, dict(table.numbers), table.flows, table.campaigns, table.companies) == (0, {}, {}, {}, {})


def test_each_kind_of_row_finds_its_place() -> None:
    store = held(company(), flow("menu"), campaign("offer"), number(call_flow="menu"))
    table = RoutingTable()
    table.apply(patch(*[(kind, key, row) for kind, section in store.held.items() for key, row in section.items()]))
    assert set(table.companies) == {"acme"}
    assert set(table.flows) == {"menu"}
    assert set(table.campaigns) == {"offer"}
    assert set(table.numbers) == {A}


def test_an_entry_holds_what_a_call_needs() -> None:
    base = Number(
        A,
        company="acme",
        status=Status.DISABLED,
        call_flow="menu",
        parameters={"P": 1, "Q": "x"},
        updates=(ScheduledUpdate(NOON, inbound_campaign="offer"), ScheduledUpdate(NOON + dt.timedelta(1), "menu")),
    )
    made = patch(*rows(base)).numbers[A]
    assert (made.company, made.active) == ("acme", False)
    assert isinstance(made.base, ToFlow)
    assert (made.base.flow, made.base.values) == ("menu", (("P", 1), ("Q", "x")))
    steps: dict[str, Any] = dict(made.steps)
    (first, offer), (second, menu) = steps["assignment"]
    assert (first, second) == (NOON.timestamp(), NOON.timestamp() + 86_400)
    assert isinstance(offer, ToCampaign)
    assert isinstance(menu, ToFlow)
    assert (offer.campaign, menu.flow, menu.values) == ("offer", "menu", ())
    assert steps["status"] is True


def test_a_number_without_any_assignment_has_none() -> None:
    entry = patch(*rows(Number(A, company="acme"))).numbers[A]
    assert msgspec.structs.astuple(entry) == msgspec.structs.astuple(Entry("acme", True, None))


def test_numbers_with_the_same_plain_assignment_share_it() -> None:
    made = patch(*rows(Number(A, call_flow="menu"), Number(B, call_flow="menu")))
    assert made.numbers[A].base is made.numbers[B].base


def test_numbers_with_values_of_their_own_do_not_share() -> None:
    made = patch(*rows(Number(A, call_flow="menu", parameters={"P": 1}), Number(B, call_flow="menu")))
    assert made.numbers[A].base is not made.numbers[B].base


def test_entries_are_no_business_of_the_garbage_collectors() -> None:
    made = patch(*rows(Number(A, call_flow="menu", updates=(ScheduledUpdate(NOON, "menu"),)))).numbers[A]
    assert not gc.is_tracked(made)
    assert not gc.is_tracked(made.base)
    assert isinstance(made.base, ToFlow)


def test_a_patch_counts_every_change() -> None:
    assert len(patch()) == 0
    assert len(patch(*rows(Number(A), Number(B)), (RowKind.COMPANY, "acme", None))) == 3


def test_many_rows_are_taken_in_short_steps_and_updates_are_work_like_rows() -> None:
    """However it is cut, the patch is the same: also where a step's last row is replaced in the next one."""
    plain = [Number(f"+4420{place:08}", company="acme", call_flow="menu") for place in range(1_000)]
    later = tuple(ScheduledUpdate(NOON + dt.timedelta(day), "menu") for day in range(100))
    changed = [Number(each.number, call_flow="other", updates=later) for each in plain[::50]]
    removed = [each.number for each in plain[::77]]
    gone: list[tuple[RowKind, str, Row | None]] = [(RowKind.NUMBER, key, None) for key in removed]
    for some, steps in ((rows(*plain), 7), (rows(*changed), 10), (gone, 0)):
        assert len(list(Patch(1, full=False).adding(some))) == steps
    stepwise, at_once = Patch(1, full=False), Patch(1, full=False)
    some = [*rows(*plain, *changed), *gone]
    list(stepwise.adding(some))
    for each in some:
        at_once.add([each])
    tables = [RoutingTable().patched(each) for each in (stepwise, at_once)]
    assert tables[0].digest == tables[1].digest
    assert (
        set(tables[0].numbers)
        == set(tables[1].numbers)
        == {each.number for each in plain} - {key for _, key, _ in gone}
    )


def test_applying_replaces_adds_removes_and_takes_the_version() -> None:
    table = RoutingTable(1)
    table.apply(patch(*rows(Number(A, call_flow="old"), Number(B))))
    table.apply(patch(*rows(Number(A, call_flow="new")), (RowKind.NUMBER, B, None), version=7))
    assert table.version == 7
    assert set(table.numbers) == {A}
    base = table.numbers[A].base
    assert isinstance(base, ToFlow)
    assert base.flow == "new"


def test_the_last_word_on_a_row_stands() -> None:
    """A reading that took up several commits says several words on one row."""
    kept, lost = Number(A, call_flow="kept"), Number(B)
    made = patch((RowKind.NUMBER, A, None), *rows(kept, lost), (RowKind.NUMBER, B, None), *rows(kept))
    assert len(made) == 2
    table = RoutingTable()
    table.apply(patch(*rows(Number(A, call_flow="old"), lost)))
    table.apply(made)
    assert set(table.numbers) == {A}
    base = table.numbers[A].base
    assert isinstance(base, ToFlow)
    assert base.flow == "kept"


def test_the_last_word_stands_for_every_kind_of_row_and_for_its_own_kind_alone() -> None:
    store = held(company("x"), flow("x"), campaign("x", company="x"))
    some: list[tuple[RowKind, str, Row | None]] = [
        (kind, "x", section["x"]) for kind, section in store.held.items() if section
    ]
    for kind, key, row in some:
        gone: tuple[RowKind, str, Row | None] = (kind, key, None)
        table = RoutingTable()
        table.apply(patch(*some, gone))
        assert len(table.companies) + len(table.flows) + len(table.campaigns) == 2, kind
        table.apply(patch(gone, (kind, key, row)))
        assert len(table.companies) + len(table.flows) + len(table.campaigns) == 3, kind


def test_removing_what_is_not_there_is_nothing() -> None:
    table = RoutingTable()
    table.apply(patch(*[(kind, "gone", None) for kind in RowKind], version=3))
    assert table.version == 3


def test_a_patched_table_leaves_the_old_one_as_it_was() -> None:
    table = RoutingTable(1)
    table.apply(patch(*rows(Number(A))))
    newer = table.patched(patch(*rows(Number(B)), (RowKind.NUMBER, A, None), version=2))
    assert (set(table.numbers), table.version) == ({A}, 1)
    assert (set(newer.numbers), newer.version) == ({B}, 2)


def test_a_full_patch_is_all_there_is_afterwards() -> None:
    table = RoutingTable(1)
    table.apply(patch(*rows(Number(A))))
    newer = table.patched(patch(*rows(Number(B)), version=2, full=True))
    assert set(newer.numbers) == {B}


def shared(text: str, status: Status = Status.ACTIVE) -> Number:
    return Number(text, NumberKind.POOL, None, status=status)


def pooled(*numbers: Number) -> RoutingTable:
    table = RoutingTable()
    table.apply(patch(*rows(*numbers)))
    return table


C = "+442079460002"


def test_the_pool_is_in_order_and_has_its_active_numbers_alone() -> None:
    table = pooled(shared(C), Number(B, company="acme"), shared(A), shared("+442079460003", Status.DISABLED))
    assert table.pool == [A, C]


def test_a_number_joins_and_leaves_the_pool_as_it_is_enabled_and_disabled() -> None:
    table = pooled(shared(A), shared(C))
    table.apply(patch(*rows(shared(B), shared(A, Status.DISABLED))))
    assert table.pool == [B, C]
    table.apply(patch(*rows(shared(A))))
    assert table.pool == [A, B, C]


def test_a_number_that_is_reserved_leaves_the_pool_and_comes_back_when_it_is_given_back() -> None:
    table = pooled(shared(A), shared(B))
    table.apply(patch(*rows(Number(A, company="acme"))))
    assert table.pool == [B]
    table.apply(patch(*rows(shared(A))))
    assert table.pool == [A, B]


def test_a_number_that_is_removed_leaves_the_pool() -> None:
    table = pooled(shared(A), shared(B))
    table.apply(patch((RowKind.NUMBER, A, None), (RowKind.COMPANY, B, None)))  # a company of that name is none of it
    assert table.pool == [B]
    table.apply(patch((RowKind.NUMBER, B, None)))
    assert table.pool == []


def test_a_pool_number_that_changes_otherwise_is_there_once() -> None:
    table = pooled(shared(A), shared(B))
    table.apply(patch(*rows(Number(A, NumberKind.POOL, None, name="renamed"))))
    assert table.pool == [A, B]


def test_a_pool_number_that_is_removed_and_added_in_one_patch_is_there_once() -> None:
    table = pooled(shared(A), shared(B))
    table.apply(patch((RowKind.NUMBER, A, None), *rows(shared(A), shared(C)), (RowKind.NUMBER, C, None)))
    assert table.pool == [A, B]


def test_a_patch_that_leaves_the_pool_as_it_is_leaves_its_list_alone() -> None:
    """A pass over 100,000 pool numbers for each edit of somebody's number would hold up calls."""
    table = pooled(shared(A), shared(B), Number(C, company="acme"))
    pool = table.pool
    table.apply(patch(*rows(shared(A), Number(C, company="globex"))))
    table.apply(patch((RowKind.NUMBER, C, None)))
    table.apply(patch(*rows(Number(C, company="acme"))))
    assert table.pool is pool == [A, B]


def test_a_full_patch_is_all_of_the_pool() -> None:
    table = pooled(shared(A), shared(B))
    assert table.patched(patch(*rows(shared(C)), full=True)).pool == [C]
    assert table.patched(patch(*rows(Number(A, company="acme")), full=True)).pool == []


def test_a_patched_table_leaves_the_old_ones_pool_as_it_was() -> None:
    table = pooled(shared(A))
    assert table.patched(patch(*rows(shared(B)))).pool == [A, B]
    assert table.patched(patch((RowKind.NUMBER, A, None))).pool == []
    assert table.pool == [A]


# --- the digest -------------------------------------------------------------------------------------------------------

C = "+442079460002"
WANTED = rows(Number(A, company="acme", call_flow="menu"), Number(B, company="acme"))


def test_tables_with_the_same_rows_have_their_digest_in_common_however_they_came_to_them() -> None:
    at_once = RoutingTable().patched(patch(*WANTED, full=True))
    step_by_step = RoutingTable()
    step_by_step.apply(patch(*rows(Number(A, company="acme"))))
    step_by_step.apply(patch(*rows(Number(B, company="acme"), Number(C, company="acme")), version=2))
    step_by_step.apply(patch((RowKind.NUMBER, C, None), (RowKind.NUMBER, "+442079469999", None), version=3))
    step_by_step.apply(patch(*WANTED, version=4))
    assert step_by_step.digest == at_once.digest
    said_twice = patch(*rows(Number(A, company="acme"), Number(C)), *WANTED, (RowKind.NUMBER, C, None))
    assert RoutingTable().patched(said_twice).digest == at_once.digest
    assert at_once.patched(patch(version=2)).digest == at_once.digest


def test_tables_with_other_rows_have_another_digest_and_all_of_them_fit_into_a_metric() -> None:
    found = {RoutingTable().digest}
    assert found == {0}
    for place in range(20):
        table = RoutingTable().patched(patch(*rows(Number(f"+4420794600{place:02}", company="acme")), full=True))
        found.add(table.digest)
        table.apply(patch(*WANTED, version=2))
        found.add(table.digest)
    assert len(found) == 1 + 20 + 20 - 1  # the first two of the numbers are replaced, and are the same tables then
    assert max(found) < 2**52
    assert min(found) >= 0
