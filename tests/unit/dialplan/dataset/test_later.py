"""Rows of a later version, by themselves and in a change."""

import copy
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec
import pytest

from dialplan.dataset.changes import ChangeSet, prepare
from dialplan.dataset.data import Lost
from dialplan.dataset.dumped import UNKNOWN, dumped
from dialplan.dataset.later import AnyKind, Held, LaterRow, over, read_leniently, readable
from dialplan.dataset.problems import DataProblems, Place, Problem
from dialplan.dataset.reader import AnyRawRow, RawOtherRow, RawRow
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.number import Number
from dialplan.kinds.registry import RowKind
from router.store.codec import decode
from tests.later_rows import FLOW, HOURS, LATER, NUMBER, OTHER_KIND, STOCK, TAGGED, written
from tests.samples import Entry, campaign, company, fields, flow, number, raw

SPARE = STOCK["number"]
ADMIN = "acme"


class Rows:
    """A store in a dictionary, of rows as they are decoded."""

    def __init__(self) -> None:
        self.held: dict[AnyKind, dict[str, Held]] = {}

    def get(self, kind: RowKind, key: str) -> Held | None:
        return self.held.get(kind, {}).get(key)

    def rows(self, kind: RowKind, _naming: AbstractSet[str] = frozenset()) -> Iterator[Held]:
        yield from self.held.get(kind, {}).values()

    def of_other_kinds(self) -> Iterator[LaterRow]:
        for kind, rows in self.held.items():
            if isinstance(kind, int):
                yield from (row for row in rows.values() if isinstance(row, LaterRow))

    def take(self, changes: ChangeSet) -> None:
        for kind, rows in changes.rows.items():
            for key, row in rows.items():
                self.held.setdefault(kind, {})[key] = read(row) if isinstance(row, LaterRow) else row  # type: ignore[assignment]
                if row is None:
                    del self.held[kind][key]

    def load(self, *entries: Entry, **options: Any) -> ChangeSet:
        changes = prepare(raw(*entries), self, **options)
        self.take(changes)
        return changes

    def dumped(self) -> list[AnyRawRow]:
        rows: list[AnyRawRow] = []
        for kind, held in sorted(self.held.items(), key=str):
            for key, row in held.items():
                make = RawOtherRow if isinstance(kind, int) else RawRow
                rows.append(make(kind, Place("dump", key), dumped(row)))  # type: ignore[arg-type]
        return rows

    def stored(self, kind: AnyKind, key: str) -> dict[str, Any]:
        row = self.held[kind][key]
        return row.fields() if isinstance(row, LaterRow) else msgspec.to_builtins(row)


def read(row: LaterRow) -> Held:
    _, held = decode(row.code, row.key, row.body)
    assert held is not None
    return held


@pytest.fixture
def store() -> Rows:
    """A company's set, over which a later version has written."""
    made = Rows()
    made.load(company(), campaign("offer"), flow("menu"), flow("closed"), number("02079460001", call_flow="closed"))
    made.take(written(*LATER))
    return made


def refusals(*entries: Entry, stored: Rows, **options: Any) -> list[Problem]:
    with pytest.raises(DataProblems) as error:
        prepare(raw(*entries), stored, **options)
    return error.value.problems


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def known(values: dict[str, Any]) -> dict[str, Any]:
    """A row as this version would have written it."""
    plain = copy.deepcopy(values)
    for each in (plain, plain.get("destination", {}), *plain.get("updates", []), *plain.get("parameters", [])):
        for name in ("tags", "colour", "label", "note", "pattern"):
            each.pop(name, None)
    return plain


# --- reading ----------------------------------------------------------------------------------------------------------


def test_fields_that_are_not_known_are_told_from_those_that_are_wherever_they_stand(store: Rows) -> None:
    menu, tagged = store.get(RowKind.CALL_FLOW, "menu"), store.get(RowKind.NUMBER, NUMBER)
    assert isinstance(menu, LaterRow)
    assert isinstance(tagged, LaterRow)
    assert menu.unknown() == {
        "colour": "red",
        "destination": {"label": None},
        "parameters": {"TEXT": {"pattern": "[a-z]*"}},
    }
    assert menu.names() == {"colour", "destination.label", "parameters[TEXT].pattern"}
    assert tagged.unknown() == {"tags": TAGGED["tags"], "updates": {"2199-01-01T00:00:00Z": {"note": "New Year"}}}
    assert tagged.row == msgspec.convert(known(TAGGED), Number)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "stock"},
        {"callback_rule": "force-maybe"},
        {"company": ["acme", "globex"]},
        {"updates": [{"at": "every Monday", "call_flow": "menu"}]},
        {"updates": [{"when": {}, "note": "x"}]},
        {"parameters": {"TEXT": [1]}},
    ],
    ids=str,
)
def test_a_value_that_is_not_known_leaves_the_row_unread(values: dict[str, Any]) -> None:
    body = msgspec.json.encode({"number": NUMBER, "company": "acme"} | values)
    later = read_leniently(4, NUMBER, body, "")
    assert later is not None
    assert (later.row, later.body, later.kind) == (None, body, RowKind.NUMBER)
    assert later.why


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"{}", b'{"number": "+441"}', b"[" * 9_999, b'{"a":1e999}']
)
def test_what_no_version_can_have_written_is_no_row(body: bytes) -> None:
    assert read_leniently(4, NUMBER, body, "") is None


def test_a_kind_that_stores_cannot_have_is_no_row() -> None:
    assert read_leniently(9, "a", b"{}", "") is not None
    assert [read_leniently(code, "a", b"{}", "") for code in (-1, 0, 17)] == [None] * 3


# --- an edit, a load --------------------------------------------------------------------------------------------------


def test_a_load_of_the_same_row_changes_nothing(store: Rows) -> None:
    assert len(store.load((RowKind.CALL_FLOW, known(FLOW)), (RowKind.NUMBER, known(TAGGED)))) == 0


def test_a_load_of_a_row_keeps_what_is_not_known_of_the_stored_one(store: Rows) -> None:
    changes = store.load(
        (RowKind.CALL_FLOW, known(FLOW) | {"name": "New", "destination": {"context": "new"}}),
        (RowKind.NUMBER, known(TAGGED) | {"name": "Desk"}),
    )
    assert len(changes) == 2
    assert store.stored(RowKind.CALL_FLOW, "menu") == FLOW | {
        "name": "New",
        "destination": FLOW["destination"] | {"context": "new"},
    }
    assert store.stored(RowKind.NUMBER, NUMBER) == TAGGED | {"name": "Desk"}


def test_what_is_inside_of_an_update_or_a_parameter_stays_with_it_and_goes_with_it(store: Rows) -> None:
    one, other = known(TAGGED)["updates"]
    moved = {"at": "2199-03-01T00:00:00Z", "call_flow": "menu"}
    store.load((RowKind.NUMBER, known(TAGGED) | {"updates": [moved, other, one]}))
    assert store.stored(RowKind.NUMBER, NUMBER)["updates"] == [*TAGGED["updates"], moved]
    store.load((RowKind.NUMBER, known(TAGGED) | {"updates": [other]}))
    assert store.stored(RowKind.NUMBER, NUMBER) == TAGGED | {"updates": [other]}


def test_a_stored_row_that_is_checked_again_keeps_what_is_not_known_of_it(store: Rows) -> None:
    """Its flow makes a parameter of text an integer: the value becomes one."""
    store.take(written((4, NUMBER, TAGGED | {"parameters": {"COUNT": "7"}})))
    changes = store.load(flow("menu", parameters=[{"name": "COUNT", "type": "integer"}]))
    assert list(changes.rows[RowKind.NUMBER]) == [NUMBER]
    assert store.stored(RowKind.NUMBER, NUMBER) == TAGGED | {"parameters": {"COUNT": 7}}


def test_the_same_field_in_a_file_is_refused_by_name(store: Rows) -> None:
    assert fields(refusals((RowKind.NUMBER, TAGGED), stored=store)) == [
        'updates[1] "2199-01-01T00:00:00Z".note',
        "tags",
    ]


def test_a_row_that_cannot_be_read_is_replaced_with_a_warning_and_keeps_its_other_fields(store: Rows) -> None:
    changes = store.load(number(SPARE, call_flow="closed"))
    (warning,) = changes.warnings
    assert (warning.file, warning.code) == ("set.toml", "unread-row-replaced")
    assert "'stock'" in warning.text
    assert store.stored(RowKind.NUMBER, SPARE) == {
        "number": SPARE,
        "company": "acme",
        "call_flow": "closed",
        "tags": ["x"],
    }


UNREADABLE: list[tuple[int, str, dict[str, Any]]] = [
    (1, "acme", {"id": "acme", "name": "Acme", "region": "GB", "timezone": "Europe/London", "identified": "partly"}),
    (2, "closed", {"id": "closed", "name": "Closed", "destination": ["flow-closed"]}),
    (3, "offer", {"id": "offer", "company": "acme", "direction": "both", "destination": {"context": "x"}}),
]


@pytest.mark.parametrize("row", UNREADABLE, ids=lambda row: row[1])
def test_a_row_that_cannot_be_read_hinders_no_load_of_what_names_it(store: Rows, row: tuple[Any, ...]) -> None:
    store.take(written(row))
    values = {"TEXT": "as it is"} if row[1] == "closed" else {}  # what it declares is not known
    store.load(
        number("02079460001", name="A", call_flow="closed", parameters=values),
        number("02079460002", inbound_campaign="offer", updates=[{"at": "2199-07-01T12:00:00", "call_flow": "closed"}]),
        company("globex", default_flow="closed"),
        campaign("mine"),
    )
    first, second = (store.get(RowKind.NUMBER, f"+44207946000{digit}") for digit in "12")
    assert isinstance(first, Number)
    assert isinstance(second, Number)
    assert first.parameters == values
    assert second.updates[0].at.hour == 11  # in London's summer, which the company says


def test_numbers_that_cannot_be_read_may_be_shown_by_a_campaign(store: Rows) -> None:
    store.load(campaign("outbound", direction="outbound", caller_ids=[SPARE]))


def test_no_time_is_read_in_a_zone_that_is_not_known(store: Rows) -> None:
    store.take(written((1, "acme", UNREADABLE[0][2] | {"timezone": "Mars/Olympus"})))
    store.load(number("02079460002"))
    problems = refusals(number("02079460002", updates=[{"at": "2199-07-01T12:00:00"}]), stored=store)
    assert [each.code for each in problems] == ["time-without-zone"]


# --- by a company's admin ---------------------------------------------------------------------------------------------


def test_an_admin_changes_what_is_known_and_nothing_else(store: Rows) -> None:
    entry = known(TAGGED) | {"name": "Desk"}
    store.load((RowKind.NUMBER, entry), as_company=ADMIN)
    assert store.stored(RowKind.NUMBER, NUMBER) == TAGGED | {"name": "Desk"}
    for unknown in ('{"tags": []}', "{}"):
        (problem,) = refusals((RowKind.NUMBER, entry | {UNKNOWN: unknown}), stored=store, as_company=ADMIN)
        assert problem.code == "unread-is-the-owners"


def test_an_admin_may_take_out_an_update_with_all_that_is_in_it(store: Rows) -> None:
    store.load((RowKind.NUMBER, known(TAGGED) | {"updates": []}), as_company=ADMIN)
    assert store.stored(RowKind.NUMBER, NUMBER) == without(TAGGED, "updates")


@pytest.mark.parametrize(
    "entry",
    [
        number(SPARE),
        flow("closed", company=ADMIN),
        (RowKind.CALL_FLOW, {"id": "made", UNKNOWN: '{"destination": ["x"], "name": "x"}'}),
    ],
    ids=str,
)
def test_an_admin_takes_no_row_that_cannot_be_read(store: Rows, entry: Entry) -> None:
    store.take(written(UNREADABLE[1]))
    (problem,) = refusals(entry, stored=store, as_company=ADMIN)
    assert problem.code == "unread-is-the-owners"


def test_a_flow_that_cannot_be_read_counts_as_locked(store: Rows) -> None:
    store.take(written(UNREADABLE[1]))
    (problem,) = refusals(number("02079460001", call_flow="menu"), stored=store, as_company=ADMIN)
    assert problem.code == "flow-of-number-locked"


# --- dumps ------------------------------------------------------------------------------------------------------------


def test_a_dump_carries_all_that_is_stored_and_a_load_takes_it_back(store: Rows) -> None:
    again = Rows()
    again.take(prepare(store.dumped(), again))
    for code, key, values in LATER:
        kind: AnyKind = OTHER_KIND if code == OTHER_KIND else {2: RowKind.CALL_FLOW, 4: RowKind.NUMBER}[code]
        assert again.stored(kind, key) == values
    assert len(prepare(store.dumped(), store)) == 0
    replaced = prepare(store.dumped(), store, replace=True)
    assert (len(replaced), replaced.lost) == (0, ())


def test_what_has_become_known_since_is_read_as_any_other_field(store: Rows) -> None:
    """A version that knew less has dumped them."""
    tagged = {
        "number": NUMBER,
        "updates": [{"at": "2199-01-01T00:00:00Z", "call_flow": "menu"}, {"at": "2199-02-01T00:00:00Z"}],
        UNKNOWN: '{"company": "acme", "call_flow": "menu", "tags": [], "parameters": {}, "updates": '
        '{"2199-01-01T00:00:00Z": {"note": "x", "inbound_campaign": null}, '
        '"2199-02-01T00:00:00Z": {"call_flow": "menu"}}}',
    }
    stock = {"number": SPARE, UNKNOWN: '{"company": "acme", "kind": "reserved", "tags": 1}'}
    hours = RawRow(
        RowKind.CALL_FLOW, Place("d", "x"), {"id": "x", UNKNOWN: '{"name": "X", "destination": {"context": "x"}}'}
    )
    again = Rows()
    again.take(
        prepare([*raw(company(), flow("menu"), (RowKind.NUMBER, tagged), (RowKind.NUMBER, stock)), hours], again)
    )
    assert again.stored(RowKind.NUMBER, NUMBER) == {
        "number": NUMBER,
        "company": "acme",
        "call_flow": "menu",
        "tags": [],
        "updates": [
            {"at": "2199-01-01T00:00:00Z", "call_flow": "menu", "note": "x"},
            {"at": "2199-02-01T00:00:00Z", "call_flow": "menu"},
        ],
    }
    assert again.stored(RowKind.NUMBER, SPARE) == {"number": SPARE, "company": "acme", "tags": 1}
    assert readable(again.get(RowKind.CALL_FLOW, "x")) is not None


def test_what_became_known_is_checked_as_any_other_field() -> None:
    stock = {"number": SPARE, UNKNOWN: '{"company": "nobody", "kind": "reserved"}'}
    (problem,) = refusals((RowKind.NUMBER, stock), stored=Rows())
    assert (problem.code, problem.field) == ("unknown-company", "company")


@pytest.mark.parametrize("text", ["", "[]", "{", 7, None, {"a": 1}, "\ud800", '"x"', "[" * 9_999], ids=ascii)
@pytest.mark.parametrize("values", [{"number": NUMBER}, {"number": NUMBER, "company": "acme"}], ids=len)
def test_what_no_dump_has_is_refused(store: Rows, values: dict[str, Any], text: object) -> None:
    (problem,) = refusals((RowKind.NUMBER, values | {UNKNOWN: text}), stored=store)
    assert (problem.code, problem.field) == ("unknown-not-as-dumped", UNKNOWN)


@pytest.mark.parametrize(
    "first", [number(SPARE), (RowKind.NUMBER, {"number": SPARE, UNKNOWN: '{"kind": "stock"}'})], ids=str
)
def test_a_row_that_stands_twice_is_refused_read_or_not(store: Rows, first: Entry) -> None:
    unread = (RowKind.NUMBER, {"number": SPARE, UNKNOWN: '{"kind": "stock"}'})
    assert [each.code for each in refusals(first, unread, stored=store)] == ["row-twice"]
    assert [each.code for each in refusals(unread, first, stored=store)] == ["row-twice"]


def test_a_row_that_is_given_unread_may_be_named(store: Rows) -> None:
    again = Rows()
    again.load(
        company(),
        (RowKind.CALL_FLOW, {"id": "odd", UNKNOWN: '{"destination": 7}'}),
        number(call_flow="odd", parameters={"A": "1"}),
    )
    assert again.stored(RowKind.CALL_FLOW, "odd") == {"id": "odd", "destination": 7}


# --- a replacement ----------------------------------------------------------------------------------------------------


def test_a_replacement_tells_what_it_takes_of_rows_that_are_not_known_whole(store: Rows) -> None:
    rest = [company(), campaign("offer"), flow("closed"), number("02079460001", call_flow="closed")]
    entries = [*rest, (RowKind.CALL_FLOW, known(FLOW)), (RowKind.NUMBER, known(TAGGED))]
    changes = prepare(raw(*entries), store, replace=True)
    assert set(changes.lost) == {
        Lost(RowKind.CALL_FLOW, "menu", ("colour", "destination.label", "parameters[TEXT].pattern")),
        Lost(RowKind.NUMBER, NUMBER, ("tags", "updates[2199-01-01T00:00:00Z].note")),
        Lost(RowKind.NUMBER, SPARE, ()),
        Lost(OTHER_KIND, "office", ()),
    }
    assert changes.replaced[OTHER_KIND] == 1
    store.take(changes)
    assert store.get(RowKind.CALL_FLOW, "menu") == msgspec.convert(known(FLOW), CallFlow)
    assert store.get(RowKind.NUMBER, NUMBER) == msgspec.convert(known(TAGGED), Number)
    assert (store.get(RowKind.NUMBER, SPARE), [*store.of_other_kinds()]) == (None, [])


def test_a_row_that_replaces_one_that_cannot_be_read_takes_all_of_it(store: Rows) -> None:
    dump = [row for row in store.dumped() if row.values.get("number") != SPARE]
    changes = prepare([*dump, *raw(number(SPARE))], store, replace=True)
    assert changes.lost == (Lost(RowKind.NUMBER, SPARE, ()),)


def test_hours_of_another_kind_are_kept_as_they_are(store: Rows) -> None:
    assert store.stored(OTHER_KIND, "office") == HOURS
    (row,) = store.of_other_kinds()
    assert over(None, Number("+441"), {}) == Number("+441")
    assert row.unknown() == HOURS
