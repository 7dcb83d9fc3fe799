"""An image of a table says of each number what its row makes of it, or leaves it to its row."""

import datetime as dt
import gc
from collections.abc import Collection
from typing import NamedTuple

import msgspec
import pytest

from dialplan.kinds.number import CallbackRule, Number, NumberKind, ScheduledUpdate, Status
from dialplan.kinds.registry import Row, RowKind
from dialplan.routing import image
from dialplan.routing.digest import packed
from dialplan.routing.entries import Entries
from dialplan.routing.image import Imaging, form
from dialplan.routing.table import Patch, Piece, RoutingTable
from dialplan.shards import finished
from tests.samples import campaign, company, flow, held

NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
PLAIN = [
    Number("+442079460000", company="acme", name="Reception", call_flow="menu"),
    Number("+442079460001", company="acme", city="London", call_flow="menu"),
    Number("+442079460002", company="acme", inbound_campaign="offer", callback_rule=CallbackRule.FORCE_YES),
    Number("+442079460003", NumberKind.POOL),
    Number("+442079460004", company="acme", status=Status.DISABLED, call_flow="menu"),
    Number("+442079460005", company="acme", call_flow="menu", parameters={"N": 1, "T": "1"}),
    Number("+442079460006", company="acme", call_flow="menu", parameters={"N": True, "T": "1"}),
    Number("+442079460007", company="acme", call_flow="menu", parameters={"T": "1", "N": 1}),
    Number("+442079460008", company="acme", description="nothing yet"),
]
UPDATED = Number("+442079460100", company="acme", call_flow="menu", updates=(ScheduledUpdate(NOON, "menu"),))


def table_of(*numbers: Number) -> RoutingTable:
    patch = Patch(3, full=True)
    for kind, section in held(company(), flow("menu"), campaign("offer")).held.items():
        patch.add((kind, key, row) for key, row in section.items())
    patch.add((RowKind.NUMBER, each.number, each) for each in numbers)
    return RoutingTable().patched(patch)


class Imaged(NamedTuple):
    pieces: list[Piece]
    rest: list[str]
    digest: int


def imaged(table: RoutingTable, aside: Collection[str] = ()) -> Imaged:
    """Its image, as it comes back from a file."""
    imaging = Imaging(table, frozenset(aside))
    pieces = [piece for piece in imaging if piece is not None]
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(pieces), type=list[Piece])
    return Imaged(decoded, imaging.rest, imaging.digest)


def restored(table: RoutingTable, made: Imaged, *rest: Number) -> RoutingTable:
    """A new table of an image, and of the rows that are read beside it."""
    patch = Patch(table.version, full=True)
    patch.digest += made.digest
    for piece in made.pieces:
        finished(patch.restoring(piece))
    others: list[tuple[RowKind, str, Row | None]] = [
        (kind, key, row) for kind, rows in table.others.items() for key, row in rows.items()
    ]
    patch.add(others)
    patch.add((RowKind.NUMBER, each.number, each) for each in rest)
    return RoutingTable().patched(patch)


def said(table: RoutingTable) -> dict[str, bytes]:
    """What is said of each number."""
    return {number: packed(entry) for number, entry in table.numbers.items()}


def test_every_number_comes_back_and_has_what_it_had() -> None:
    table = table_of(*PLAIN)
    made = imaged(table)
    again = restored(table, made)
    assert made.rest == []
    assert said(again) == said(table)
    assert (again.digest, list(again.pool)) == (table.digest, list(table.pool))


def test_what_many_numbers_have_in_common_is_said_once_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "PIECES", 1)
    (piece,) = imaged(table_of(*PLAIN)).pieces
    assert sorted(map(len, piece.numbers), reverse=True) == [2, 1, 1, 1, 1, 1, 1, 1]
    assert {row.name for row in piece.rows} == {""}


def test_numbers_restored_share_their_entries_with_those_of_rows() -> None:
    made, entries = imaged(table_of(*PLAIN)), Entries()
    patch = Patch(3, full=True, entries=entries)
    for piece in made.pieces:
        finished(patch.restoring(piece))
    first, second = (patch.numbers[number.number] for number in PLAIN[:2])
    assert first is second is entries.of(Number("+442079460009", company="acme", call_flow="menu"))[0]
    assert not gc.is_tracked(first)


def test_a_number_with_updates_is_left_to_its_row() -> None:
    table = table_of(*PLAIN, UPDATED)
    made = imaged(table)
    assert made.rest == [UPDATED.number]
    again = restored(table, made, UPDATED)
    assert (said(again), again.digest) == (said(table), table.digest)


def test_a_number_that_is_named_is_left_to_its_row() -> None:
    table, names = table_of(*PLAIN), [PLAIN[0].number, PLAIN[5].number]
    made = imaged(table, names)
    assert sorted(made.rest) == names
    again = restored(table, made, PLAIN[0], PLAIN[5])
    assert (said(again), again.digest) == (said(table), table.digest)


def test_a_row_read_beside_the_image_replaces_what_that_says_of_its_number() -> None:
    table, changed = table_of(*PLAIN), Number(PLAIN[5].number, company="acme", inbound_campaign="offer")
    again = restored(table, imaged(table), changed)
    expected = table_of(*PLAIN[:5], changed, *PLAIN[6:])
    assert (said(again), again.digest) == (said(expected), expected.digest)


def test_a_large_piece_is_restored_in_short_steps() -> None:
    many = [Number(f"+4420{place:08}", company="acme", call_flow="menu") for place in range(5_000)]
    own = [Number(f"+4421{place:08}", call_flow="menu", parameters={"N": place}) for place in range(500)]
    piece = Piece([many[0], *own], [[each.number for each in many], *([each.number] for each in own)])
    patch = Patch(1, full=True)
    assert len(list(patch.restoring(piece))) == 4
    assert set(patch.numbers) == {each.number for each in (*many, *own)}


def test_an_image_is_made_in_short_steps() -> None:
    table = table_of(*(Number(f"+4420{place:08}", call_flow="menu", parameters={"N": place}) for place in range(2_000)))
    steps = [step is None for step in Imaging(table)]
    assert steps.count(True) > 1_000  # one for each shard, at the least


def test_an_image_holds_on_to_no_more_than_it_has_to_look_at() -> None:
    table = table_of(*PLAIN)
    imaging = Imaging(table)
    shards = [id(shard) for shard in table.shards]
    steps = iter(imaging)
    while imaging._shards:
        next(steps)
        left = {id(shard) for shard in imaging._shards}
        assert left <= set(shards)
    assert imaging._others == []


def test_the_form_is_the_same_as_long_as_entries_are_made_of_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = form()
    assert mine == form()
    monkeypatch.setattr(image, "COMPILING", ())
    assert form() != mine
