import datetime as dt
import itertools
from typing import Any

import pytest

from dialplan.kinds.number import CallbackRule, Number, NumberKind, ScheduledUpdate, Status
from dialplan.kinds.registry import RowKind
from dialplan.routing import entries as entries_module
from dialplan.routing.entries import Entries
from dialplan.routing.entry import Entry
from dialplan.routing.kept import Kept
from dialplan.routing.table import Patch
from dialplan.routing.target import ToFlow, ToFlowWithValues

NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
_keys = (f"+44207946{place:04}" for place in itertools.count())


def again(text: str) -> str:
    """An equal text that is another object, as rows that were read have them."""
    return "".join([*text])


def row(**fields: Any) -> Number:
    known: dict[str, Any] = {"company": again("acme"), "call_flow": again("menu")}
    return Number(next(_keys), **(known | fields))


OTHERS: list[dict[str, Any]] = [
    {"company": "globex"},
    {"call_flow": "other"},
    {"call_flow": None},
    {"call_flow": None, "inbound_campaign": "menu"},
    {"status": Status.DISABLED},
    {"callback_rule": CallbackRule.FORCE_NO},
    {"kind": NumberKind.POOL, "company": None},
    {"parameters": {"P": 1}},
    {"parameters": {"P": True}},
    {"parameters": {"P": "1"}},
    {"parameters": {"Q": 1}},
    {"updates": (ScheduledUpdate(NOON, "menu"),)},
    {"updates": (ScheduledUpdate(NOON, "other"),)},
]


@pytest.mark.parametrize("fields", [{}, *OTHERS])
def test_equal_numbers_have_one_entry_whatever_they_are_called(fields: dict[str, Any]) -> None:
    made = Entries()
    assert made.of(row(**fields))[0] is made.of(row(**fields, name="another"))[0]


def test_numbers_that_differ_in_anything_have_different_entries() -> None:
    """Values of different types are different, also where Python says that they are equal."""
    made = Entries()
    for _ in range(2):
        found = [made.of(row(**fields)) for fields in [{}, *OTHERS]]
        assert len({id(entry) for entry, _ in found}) == len({content for _, content in found}) == len(found)


def test_entries_of_many_have_their_texts_and_the_names_of_their_values_in_common() -> None:
    made = Entries()
    one, other = (made.of(row(parameters={again("GREETING"): text, "SECONDS": 5}))[0] for text in ("a", "b"))
    assert one is not other
    assert one.company is other.company
    assert isinstance(one.base, ToFlowWithValues)
    assert isinstance(other.base, ToFlowWithValues)
    assert (one.base.names is other.base.names, one.base.flow is other.base.flow) == (True, True)
    assert (one.base.values, other.base.values) == (
        (("GREETING", "a"), ("SECONDS", 5)),
        (("GREETING", "b"), ("SECONDS", 5)),
    )


def test_patches_that_have_their_maker_in_common_have_their_entries_in_common() -> None:
    made = Entries()
    first, second = row(), row()
    found: list[Entry] = []
    for each in (first, second):
        patch = Patch(1, full=False, entries=made)
        patch.add([(RowKind.NUMBER, each.number, each)])
        found.append(patch.numbers[each.number])
    assert found[0] is found[1]


def test_what_is_kept_to_be_shared_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries_module, "SHARED_MAX", 4)
    monkeypatch.setattr(entries_module, "OWN_SHARED_MAX", 4)
    monkeypatch.setattr("dialplan.routing.target.SHARED_MAX", 4)
    made = Entries()
    usual = made.of(row())[0]
    for place in range(100):
        made.of(row(call_flow=f"flow-{place}", company=f"company-{place}"))
        made.of(row(parameters={f"P{place}": place}))
        assert made.of(row())[0] is usual  # it is asked for again and again
    kept: list[Kept[Any, Any]] = [
        made._plain,
        made._own,
        made._targets._shared,
        made._targets._names,
        made._targets._texts,
    ]
    assert all(4 < len(each) <= 8 for each in kept)


def test_without_values_a_flow_has_none() -> None:
    base = Entries().of(row())[0].base
    assert isinstance(base, ToFlow)
    assert base.values == ()
