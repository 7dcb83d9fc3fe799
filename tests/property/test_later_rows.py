"""Rows with anything in them that a later version may add: nothing of it is lost on any way."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from dialplan.dataset.dumped import UNKNOWN, TakenBack, dumped, taken_back
from dialplan.dataset.later import LaterRow, over, read_leniently, same_later
from dialplan.kinds.registry import KINDS, RowKind
from tests.later_rows import FLOW, TAGGED
from tests.property.datasets import tried

LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    LEAVES | st.text(max_size=8).filter(lambda text: text.isascii()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_.[]", max_size=3), inner, max_size=3),
    max_leaves=6,
)
NEW = st.dictionaries(st.text("xyz", min_size=1, max_size=3), VALUES, max_size=3)
ROWS = {RowKind.CALL_FLOW: FLOW, RowKind.NUMBER: TAGGED}


def with_more(values: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """The same with other fields in each of its tables, and any of its values another one now and then."""
    more = {name: inside(value, data) for name, value in values.items()} | data.draw(NEW)
    if data.draw(st.integers(0, 9)) == 0:
        name = data.draw(st.sampled_from(sorted(set(values) - {"id", "number"})))
        more[name] = data.draw(VALUES)
    return more


def inside(value: Any, data: st.DataObject) -> Any:
    if isinstance(value, dict):
        return with_more(value, data)
    return [inside(each, data) for each in value] if isinstance(value, list) else value


@tried(150)
@given(st.sampled_from(sorted(ROWS)), st.data())
def test_a_row_comes_through_a_dump_and_a_load_as_it_was(kind: RowKind, data: st.DataObject) -> None:
    values = with_more(ROWS[kind], data)
    its = KINDS[kind]
    row = read_leniently(its.code, values[its.key], msgspec.json.encode(values), "")
    assert row is not None
    entry = dumped(row)
    back = taken_back(kind, entry) if UNKNOWN in entry else TakenBack(entry, {})
    if isinstance(back, TakenBack):
        assert row.row is not None
        read = msgspec.convert(back.values, its.struct)
        assert read == row.row
        assert same_later(over(None, read, back.unknown), row)  # into an empty store
        assert same_later(over(row, read, None), row)  # over itself, from a file that knows nothing of it
    else:
        assert isinstance(back, LaterRow)
        assert row.row is None
        assert same_later(back, row)
