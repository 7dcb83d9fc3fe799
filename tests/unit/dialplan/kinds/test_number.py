import datetime as dt

import msgspec
import pytest

from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.campaign import Campaign, Direction
from dialplan.kinds.company import Company
from dialplan.kinds.fields import Destination
from dialplan.kinds.number import Assignment, Number, ScheduledUpdate, assignments
from dialplan.kinds.registry import KINDS, Row, RowKind, key_of

NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
ROWS: list[Row] = [
    Company("acme", "Acme", "GB"),
    CallFlow("menu", "Menu", Destination("flow-menu")),
    Campaign("offer", "acme", "Offer", Direction.INBOUND, Destination("campaign-offer")),
    Number("+442079460000", company="acme", updates=(ScheduledUpdate(NOON, "menu"),)),
]


def test_the_kinds_are_named_and_ordered_as_the_data_files_have_them() -> None:
    assert list(RowKind) == ["companies", "call_flows", "campaigns", "numbers"]
    assert [type(row) for row in ROWS] == [KINDS[kind].struct for kind in RowKind]


@pytest.mark.parametrize("row", ROWS, ids=key_of)
def test_a_row_is_named_by_its_id_or_its_number(row: Row) -> None:
    assert key_of(row) == (row.number if isinstance(row, Number) else row.id)


@pytest.mark.parametrize("row", ROWS, ids=key_of)
def test_a_row_survives_json_and_holds_what_was_left_out_as_the_default(row: Row) -> None:
    text = msgspec.json.encode(row)
    assert msgspec.json.decode(text, type=type(row)) == row
    assert b"null" not in text


@pytest.mark.parametrize("row", ROWS, ids=key_of)
def test_a_row_cannot_be_changed(row: Row) -> None:
    with pytest.raises(AttributeError):
        row.company = "other"  # type: ignore[misc, union-attr] # that is what must not be possible


def test_a_field_that_nobody_knows_is_refused() -> None:
    for kind in RowKind:
        with pytest.raises(msgspec.ValidationError, match="nmae"):
            msgspec.convert({**msgspec.to_builtins(ROWS[list(RowKind).index(kind)]), "nmae": 1}, KINDS[kind].struct)


def test_a_number_alone_has_its_base_assignment() -> None:
    assert assignments(Number("+1", call_flow="a", parameters={"P": 1})) == [Assignment("a", None, {"P": 1})]
    assert assignments(Number("+1")) == [Assignment(None, None, {})]


@pytest.mark.parametrize(
    ("update", "then"),
    [
        (ScheduledUpdate(NOON, call_flow="b"), Assignment("b", None, {})),
        (ScheduledUpdate(NOON, call_flow="b", parameters={"Q": 2}), Assignment("b", None, {"Q": 2})),
        (ScheduledUpdate(NOON, parameters={"P": 2}), Assignment("a", None, {"P": 2})),
        (ScheduledUpdate(NOON, parameters={}), Assignment("a", None, {})),
        (ScheduledUpdate(NOON, call_flow="a"), Assignment("a", None, {"P": 1})),
        (ScheduledUpdate(NOON, call_flow="a", parameters={}), Assignment("a", None, {})),
        (ScheduledUpdate(NOON, inbound_campaign="c"), Assignment(None, "c", {})),
    ],
)
def test_an_update_changes_what_it_names_and_keeps_the_rest(update: ScheduledUpdate, then: Assignment) -> None:
    number = Number("+1", call_flow="a", parameters={"P": 1}, updates=(update,))
    assert assignments(number)[1] == then


def test_each_update_goes_on_from_the_one_before() -> None:
    number = Number(
        "+1",
        inbound_campaign="c",
        updates=(
            ScheduledUpdate(NOON, call_flow="a", parameters={"P": 1}),
            ScheduledUpdate(NOON + HOUR, parameters={"P": 2}),
            ScheduledUpdate(NOON + 2 * HOUR, call_flow="b"),
            ScheduledUpdate(NOON + 3 * HOUR, inbound_campaign="c"),
        ),
    )
    assert assignments(number) == [
        Assignment(None, "c", {}),
        Assignment("a", None, {"P": 1}),
        Assignment("a", None, {"P": 2}),
        Assignment("b", None, {}),
        Assignment(None, "c", {}),
    ]
