import msgspec
import pytest

from dialplan.kinds.registry import Row, RowKind
from router.store.codec import CODES, MalformedError, decode, encode
from tests.samples import campaign, company, flow, held, number

SET = held(
    company(default_flow="menu"),
    flow("menu", parameters=[{"name": "TEXT", "type": "text"}]),
    campaign("offer"),
    number(call_flow="menu", parameters={"TEXT": ' ,"\\é\N{TELEPHONE RECEIVER}'}),
)
ROWS = [(kind, row) for kind, rows in SET.held.items() for row in rows.values()]


@pytest.mark.parametrize(("kind", "row"), ROWS, ids=str)
def test_a_row_is_read_as_it_was_written_from_text_and_from_bytes(kind: RowKind, row: Row) -> None:
    body = encode(row)
    assert decode(CODES[kind], "", body) == decode(CODES[kind], "", body.decode()) == (kind, row)


def test_the_numbers_of_kinds_are_what_stores_have_written_for_ever() -> None:
    assert {str(kind): code for kind, code in CODES.items()} == {
        "companies": 1,
        "call_flows": 2,
        "campaigns": 3,
        "numbers": 4,
    }


def test_a_removed_row_has_a_kind_and_no_body() -> None:
    assert decode(3, "a", None) == (RowKind.CAMPAIGN, None)


@pytest.mark.parametrize(("code", "body"), [(0, b"{}"), (0, None), (17, b"{}"), (5, b"[]"), (5, b"{"), (5, 7), (1, 7)])
def test_what_is_no_row_is_refused(code: int, body: bytes | None) -> None:
    with pytest.raises(MalformedError, match=f"malformed content \\(a row of kind {code}\\)"):
        decode(code, "a", body)


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"[]", b'{"id": 5}', "\ud800"])
def test_a_body_that_does_not_fit_its_kind_is_refused(body: bytes | str) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeError)):
        decode(CODES[RowKind.COMPANY], "a", body)
