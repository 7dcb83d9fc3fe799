"""The digests of rows are what routers of other versions compare: these were taken before entries were shared."""

import datetime as dt

import pytest

from dialplan.kinds.number import CallbackRule, Number, NumberKind, ScheduledUpdate, Status
from dialplan.kinds.registry import RowKind
from dialplan.routing.digest import DIGEST_END, entries_digest, entry_digest, row_digest
from dialplan.routing.entries import Entries
from dialplan.routing.table import Patch, RoutingTable
from tests.samples import campaign, company, flow, held

NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
NUMBERS = {
    1235479851947951: Number("+442079460000", company="acme", call_flow="menu"),
    797891597660126: Number(
        "+442079460001", company="acme", call_flow="menu", parameters={"P": 1, "Q": "x", "R": True}
    ),
    3821803246627214: Number(
        "+442079460002",
        company="acme",
        status=Status.DISABLED,
        callback_rule=CallbackRule.FORCE_NO,
        inbound_campaign="offer",
    ),
    1825181152593134: Number(
        "+442079460003",
        company="acme",
        call_flow="menu",
        updates=(
            ScheduledUpdate(NOON, inbound_campaign="offer"),
            ScheduledUpdate(NOON + dt.timedelta(1), "menu", parameters={"P": 2}),
        ),
    ),
    4071153554377071: Number("+442079460004", NumberKind.POOL, None),
}


@pytest.mark.parametrize(("digest", "number"), NUMBERS.items())
def test_a_numbers_digest_is_what_it_has_been(digest: int, number: Number) -> None:
    entry, content = Entries().of(number)
    assert entry_digest(number.number, content) == row_digest(number.number, entry) == digest


def test_the_digest_of_several_entries_is_the_sum_of_theirs() -> None:
    packed = [(number.number, Entries().of(number)[1]) for number in NUMBERS.values()]
    assert entries_digest(packed) % DIGEST_END == sum(NUMBERS) % DIGEST_END
    assert entries_digest([]) == 0


def test_a_tables_digest_is_what_it_has_been() -> None:
    store, table, patch = held(company(), flow("menu"), campaign("offer")), RoutingTable(), Patch(1, full=True)
    for kind, section in store.held.items():
        patch.add((kind, key, row) for key, row in section.items())
    patch.add((RowKind.NUMBER, number.number, number) for number in NUMBERS.values())
    table.apply(patch)
    assert table.digest == 2703717637008579
