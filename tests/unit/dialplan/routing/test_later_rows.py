from dialplan.dataset.later import LaterRow
from dialplan.kinds.registry import RowKind
from dialplan.routing.later_rows import LaterRows
from tests.samples import flow, held

MENU = (RowKind.CALL_FLOW, "menu")
KNOWN = held(flow("menu")).held[RowKind.CALL_FLOW]["menu"]


def test_a_row_that_is_written_anew_in_a_form_that_is_known_is_left_out_no_longer() -> None:
    """As after a version was rolled back, and the row mended by hand."""
    rows = LaterRows()
    assert rows.understood([(*MENU, LaterRow(2, "menu", b"{}", None, "colour"))]) == [(*MENU, None)]
    assert rows.left_out == {MENU}
    after = LaterRows(rows)
    assert after.understood([(*MENU, KNOWN)]) == [(*MENU, KNOWN)]
    assert after.left_out == set()
    assert rows.left_out == {MENU}, "the table that is in force has its own"
