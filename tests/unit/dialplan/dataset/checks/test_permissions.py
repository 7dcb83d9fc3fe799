from typing import Any

import msgspec
import pytest

from dialplan.dataset.checks.permissions import forbidden
from dialplan.dataset.problems import Place
from dialplan.dataset.reader import RawRow, read_row
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.company import Company
from dialplan.kinds.fields import ByCompany, Destination, Home, editable_by_company
from dialplan.kinds.kind import Kind
from dialplan.kinds.number import Number
from dialplan.kinds.registry import KINDS, Row
from tests.samples import Entry, campaign, company, flow, number

LOCKED = CallFlow("locked", "Locked", Destination("flow-locked"), locked=True)
OPEN = CallFlow("open", "Open", Destination("flow-open"))
OTHER = CallFlow("other", "Other", Destination("flow-other"))
ACME = Company("acme", "Acme", "GB", contexts=("flow-*", "campaign-*"))
ROWS = {each.id: each for each in (LOCKED, OPEN, OTHER, ACME)}
JULY, AUGUST = "2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z"


def row(entry: Entry) -> Any:
    reading = read_row(RawRow(entry[0], Place("f", "e"), entry[1]), lambda _: Home("GB", "UTC"))
    assert not reading.faults
    return reading.row


def refusals(before: Row | None, after: Row | None, company_id: str = "acme") -> list[str]:
    found = list(forbidden(company_id, before, after, lambda _kind, key: ROWS.get(key)))
    assert all(fault.text and fault.hint == "ask the platform owner" for _, fault in found)
    return [field for field, _ in found]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Reception"},
        {"description": "On the van"},
        {"status": "disabled"},
        {"callback_rule": "force-no"},
        {"call_flow": "open", "parameters": {"P": 1}},
        {"call_flow": "other"},
        {"call_flow": "locked"},
        {"call_flow": None, "inbound_campaign": "offer"},
        {"updates": [{"at": JULY, "call_flow": "locked"}]},
    ],
)
def test_an_admin_edits_what_is_the_companys_own(changes: dict[str, Any]) -> None:
    assert refusals(row(number(call_flow="open")), row(number(**{"call_flow": "open"} | changes))) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "pool", "company": None}, ""),
        ({"company": "globex"}, ""),
        ({"line_type": "mobile"}, "line_type"),
        ({"city": "Leeds"}, "city"),
    ],
)
def test_the_inventory_is_the_owners(changes: dict[str, Any], field: str) -> None:
    assert refusals(row(number("+442079460000")), row(number("+442079460000", **changes))) == [field]


def test_an_admin_sees_to_one_company_and_no_other() -> None:
    mine, theirs = row(number()), row(number(company="globex"))
    assert refusals(mine, msgspec.structs.replace(mine, name="x"), "globex") == [""]
    assert refusals(theirs, mine) == [""]
    assert refusals(mine, theirs) == [""]
    assert refusals(row(flow("platform")), row(flow("platform", name="x"))) == [""]
    assert refusals(row(company("globex")), row(company("globex", name="x"))) == [""]


def test_numbers_and_companies_come_and_go_by_the_owner() -> None:
    for each in (row(number()), row(company())):
        assert refusals(None, each) == [""]
        assert refusals(each, None) == [""]


def test_flows_and_campaigns_come_and_go_by_the_admin_unless_locked() -> None:
    for each in (row(flow("mine", company="acme")), row(campaign("mine"))):
        assert refusals(None, each) == []
        assert refusals(each, None) == []
    locked = row(flow("mine", company="acme", locked=True))
    assert refusals(None, locked) == ["locked"]
    assert refusals(locked, None) == ["locked"]


def test_a_company_names_its_default_flow_and_not_its_country() -> None:
    before = row(company())
    assert refusals(before, row(company(default_flow="open", name="Acme plc", timezone="UTC"))) == []
    assert refusals(before, row(company(region="US"))) == ["region"]
    assert refusals(before, row(company(identified=True))) == ["identified"]


def test_a_locked_flow_is_not_edited_and_not_unlocked() -> None:
    before = row(flow("mine", company="acme", locked=True))
    assert refusals(before, row(flow("mine", company="acme", locked=True, name="x"))) == [""]
    assert "locked" in refusals(before, row(flow("mine", company="acme")))
    assert "locked" in refusals(row(flow("mine", company="acme")), before)
    assert refusals(row(flow("mine", company="acme")), row(flow("mine", company="acme", name="x"))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": {"P": 2}},
        {"updates": [{"at": JULY, "parameters": {"P": 3}}]},
        {"updates": [{"at": JULY, "call_flow": "locked", "parameters": {}}]},
        {"name": "Reception", "status": "disabled"},
    ],
)
def test_on_a_locked_flow_the_parameters_are_the_admins(changes: dict[str, Any]) -> None:
    before = number(call_flow="locked", parameters={"P": 1})
    assert refusals(row(before), row(number(**before[1] | changes))) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"call_flow": "open"}, "call_flow"),
        ({"call_flow": None}, "call_flow"),
        ({"call_flow": None, "inbound_campaign": "offer"}, "call_flow"),
        ({"updates": [{"at": JULY, "call_flow": "open"}]}, 'updates[1] "2026-07-01T00:00:00Z".call_flow'),
        ({"updates": [{"at": JULY, "inbound_campaign": "offer"}]}, 'updates[1] "2026-07-01T00:00:00Z".call_flow'),
        (
            {"updates": [{"at": JULY, "parameters": {}}, {"at": AUGUST, "call_flow": "open"}]},
            'updates[2] "2026-08-01T00:00:00Z".call_flow',
        ),
    ],
)
def test_on_a_locked_flow_the_flow_stays_now_and_later(changes: dict[str, Any], field: str) -> None:
    before = number(call_flow="locked", parameters={"P": 1})
    assert refusals(row(before), row(number(**before[1] | changes))) == [field]


def test_an_update_to_a_locked_flow_cannot_be_moved_or_taken_out() -> None:
    before = row(number(call_flow="open", updates=[{"at": JULY, "call_flow": "locked"}]))
    later = row(number(call_flow="open", updates=[{"at": AUGUST, "call_flow": "locked"}]))
    assert refusals(before, later) == ['updates "2026-07-01T00:00:00Z".call_flow']
    assert refusals(before, row(number(call_flow="open"))) == ['updates "2026-07-01T00:00:00Z".call_flow']
    assert refusals(later, before) == []  # earlier is the admin's to choose: until then the flow was open


def test_the_base_may_change_where_it_is_open_whatever_comes_after() -> None:
    before = row(number(call_flow="open", updates=[{"at": JULY, "call_flow": "locked"}]))
    assert refusals(before, row(number(call_flow="other", updates=[{"at": JULY, "call_flow": "locked"}]))) == []


def test_a_number_without_a_flow_may_be_given_a_locked_one() -> None:
    assert refusals(row(number()), row(number(call_flow="locked"))) == []


def test_nothing_changed_is_nothing_forbidden() -> None:
    each: Number = row(number(call_flow="locked"))
    assert refusals(each, each) == []
    locked = row(flow("mine", company="acme", locked=True))
    assert refusals(locked, locked) == []


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.word)
def test_a_field_that_nobody_listed_is_the_platform_owners(kind: Kind[Any]) -> None:
    named = {field.name for field in msgspec.structs.fields(kind.struct)}
    assert kind.editable < named
    assert not kind.editable & {kind.key, "company", "locked", "identified", "region", "kind", "line_type", "city"}


def test_a_new_field_is_the_platform_owners_until_it_is_listed() -> None:
    class Wider(msgspec.Struct):
        id: str
        listed: ByCompany[str] = ""
        new: str = ""

    assert editable_by_company(Wider) == {"listed"}
