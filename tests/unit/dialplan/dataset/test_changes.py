import datetime as dt
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec
import pytest

from dialplan.dataset.changes import ChangeSet, NothingStored, prepare
from dialplan.dataset.problems import DataProblems, Place, Problem, problem
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.company import Company
from dialplan.kinds.number import Number
from dialplan.kinds.registry import Row, RowKind
from dialplan.wording import Code
from tests.samples import Entry, Held, campaign, company, fields, flow, held, number, raw, refused

TEXT = {"name": "TEXT", "type": "text"}
COUNT = {"name": "COUNT", "type": "integer"}
NEEDED = {"name": "NEEDED", "type": "text", "required": True}
JULY, AUGUST = "2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z"


def changed(changes: ChangeSet) -> dict[str, list[str]]:
    return {str(kind): sorted(rows) for kind, rows in changes.rows.items()}


def a_set() -> list[Entry]:
    return [
        company(default_flow="closed"),
        company("globex", region="US"),
        flow("closed", company="acme"),
        flow("menu", company="acme", parameters=[TEXT, COUNT]),
        flow("queue"),
        flow("theirs", company="globex"),
        campaign("offer"),
        campaign("ring", direction="outbound", caller_ids=["02079460000"]),
        number(call_flow="menu", parameters={"COUNT": "7"}),
        number("02079460001", inbound_campaign="offer"),
        (RowKind.NUMBER, {"number": "+447700900100", "kind": "pool"}),
        number("02079460002", call_flow="queue"),
    ]


def test_a_good_set_is_taken_whatever_the_order_of_its_entries() -> None:
    forwards = prepare(raw(*a_set()), NothingStored())
    backwards = prepare(raw(*reversed(a_set())), NothingStored())
    assert forwards.rows == backwards.rows
    assert len(forwards) == len(a_set())


def test_nothing_is_a_set_too() -> None:
    assert prepare([], NothingStored()).rows == {}
    assert len(prepare([], NothingStored())) == 0


def test_values_are_stored_in_their_parameters_type() -> None:
    store = held(*a_set())
    row = store.get(RowKind.NUMBER, "+442079460000")
    assert isinstance(row, Number)
    assert row.parameters == {"COUNT": 7}


def test_what_is_stored_already_is_no_change() -> None:
    store = held(*a_set())
    assert prepare(raw(*a_set()), store).rows == {}
    again = prepare(raw(*a_set()[:-1], number("02079460002", call_flow="menu")), store)
    assert changed(again) == {"numbers": ["+442079460002"]}


def test_an_entry_replaces_the_whole_stored_one() -> None:
    store = held(*a_set())
    changes = prepare(raw(number(name="Front desk")), store)
    row = changes.rows[RowKind.NUMBER]["+442079460000"]
    assert isinstance(row, Number)
    assert (row.name, row.call_flow) == ("Front desk", None)


def test_replace_removes_what_the_files_lack() -> None:
    store = held(*a_set())
    changes = prepare(raw(*a_set()[:-1]), store, replace=True)
    assert changes.rows == {RowKind.NUMBER: {"+442079460002": None}}
    assert len(prepare([], store, replace=True)) == len(a_set())


def test_replace_does_not_lean_on_what_it_removes() -> None:
    problems = refused(company(), number(call_flow="menu"), stored=held(*a_set()), replace=True)
    assert [each.text for each in problems] == ['there is no call flow "menu"']


NUMBER_PARAMETER = [{"name": "A", "type": "number", "default": "02079460000"}]


@pytest.mark.parametrize(
    "entry",
    [
        number("02079460009", company="acmee"),
        number("02079460009", company="acmee", city="x" * 500),
        campaign("ring", company="acmee", direction="outbound", caller_ids=["02079460000", "02079460001"]),
        flow("new", company="acmee", parameters=NUMBER_PARAMETER),
    ],
)
def test_a_misspelt_company_is_named_where_it_leaves_a_national_number_without_a_country(entry: Entry) -> None:
    problems = refused(entry, stored=held(*a_set()))
    assert [(each.field, each.text) for each in problems if each.field != "city"] == [
        ("company", 'there is no company "acmee"')
    ]
    assert len(problems) == 1 + ("city" in entry[1])


def test_a_company_that_cannot_be_read_is_not_called_missing() -> None:
    problems = refused(company(region="XX"), number("02079460009"))
    assert [each.field for each in problems] == ["region"]


def test_a_new_entry_may_lean_on_what_is_stored() -> None:
    changes = prepare(raw(number("02079460009", call_flow="menu")), held(*a_set()))
    assert changed(changes) == {"numbers": ["+442079460009"]}


@pytest.mark.parametrize(
    ("entry", "field", "text"),
    [
        (company("new", default_flow="no"), "default_flow", 'there is no call flow "no"'),
        (company("new", default_flow="closed"), "default_flow", 'call flow "closed" belongs to company "acme"'),
        (flow("new", company="nobody"), "company", 'there is no company "nobody"'),
        (campaign("new", company="nobody"), "company", 'there is no company "nobody"'),
        (number("+442079460009", company="nobody"), "company", 'there is no company "nobody"'),
        (number("02079460009", call_flow="no"), "call_flow", 'there is no call flow "no"'),
        (number("02079460009", call_flow="theirs"), "call_flow", 'call flow "theirs" belongs to company "globex"'),
        (number("02079460009", inbound_campaign="no"), "inbound_campaign", 'there is no campaign "no"'),
        (number("02079460009", inbound_campaign="ring"), "inbound_campaign", 'campaign "ring" is outbound'),
        (
            number("+442079460009", company="globex", inbound_campaign="offer"),
            "inbound_campaign",
            'campaign "offer" is of company "acme", which has not reserved this number',
        ),
        (
            (RowKind.NUMBER, {"number": "+447700900100", "kind": "pool", "inbound_campaign": "offer"}),
            "inbound_campaign",
            'campaign "offer" is of company "acme", which has not reserved this number',
        ),
        (
            (RowKind.NUMBER, {"number": "+447700900100", "kind": "pool", "call_flow": "menu"}),
            "call_flow",
            'call flow "menu" belongs to company "acme"',
        ),
        (number("02079460009", parameters={"A": 1}), "parameters", "values without a call flow to take them"),
        (
            number("02079460009", inbound_campaign="offer", parameters={"A": 1}),
            "parameters",
            "values without a call flow to take them",
        ),
        (
            number("02079460009", call_flow="menu", parameters={"COUNT": "many"}),
            "parameters.COUNT",
            '"many" is not a whole number',
        ),
        (
            number("02079460009", call_flow="menu", parameters={"NO\nPE": 1}),
            r'parameters."NO\nPE"',
            'call flow "menu" declares no such parameter',
        ),
        (
            campaign("new", direction="outbound", caller_ids=["02079460000", "+442079460000", "02079460009"]),
            "caller_ids[3]",
            'there is no number "+442079460009"',
        ),
        (
            campaign("new", direction="outbound", caller_ids=["+447700900100"]),
            "caller_ids[1]",
            '+447700900100 is not reserved by company "acme"',
        ),
        (
            campaign("new", company="globex", direction="outbound", caller_ids=["+442079460000"]),
            "caller_ids[1]",
            '+442079460000 is not reserved by company "globex"',
        ),
    ],
)
def test_what_an_entry_says_about_others_has_to_hold(entry: Entry, field: str, text: str) -> None:
    (problem,) = refused(entry, stored=held(*a_set()))
    assert (problem.file, problem.entry) == ("set.toml", f"{entry[0]}[1]")
    assert (problem.field, problem.text) == (field, text)
    assert problem.hint


@pytest.mark.parametrize(
    "entry",
    [
        company("new", default_flow="Menu\ud800"),
        flow("new", company="Menu\ud800"),
        campaign("new", company="Menu\ud800"),
        number("+442079460009", company="Menu\ud800"),
        number("02079460009", call_flow="Menu\ud800"),
        number("02079460009", inbound_campaign="Menu\ud800"),
        number("02079460009", updates=[{"at": JULY, "call_flow": "Menu\ud800"}]),
        number("02079460009", updates=[{"at": JULY, "inbound_campaign": "Menu\ud800"}]),
    ],
)
def test_a_store_is_never_asked_for_what_is_no_id(entry: Entry) -> None:
    class Databases(Held):
        def get(self, kind: RowKind, key: str) -> Any:
            key.encode()  # as SQLite and Redis do with every key; half a surrogate pair raises here
            return super().get(kind, key)

    store = Databases()
    store.held = held(*a_set()).held
    (problem,) = refused(entry, stored=store)
    assert problem.text == r'"Menu\ud800" is not an id'
    assert problem.field.rpartition(".")[2] in ("default_flow", "company", "call_flow", "inbound_campaign")


def test_a_default_flow_must_do_without_values() -> None:
    (problem,) = refused(company(default_flow="menu"), flow("menu", company="acme", parameters=[NEEDED]))
    assert problem.field == "default_flow"
    assert "NEEDED" in problem.text


def test_a_required_value_is_missed_on_the_number_and_on_its_update() -> None:
    entries = [company(), flow("menu", company="acme", parameters=[NEEDED]), flow("queue")]
    assert fields(refused(*entries, number(call_flow="menu"))) == ["parameters.NEEDED"]
    later = number(call_flow="queue", updates=[{"at": JULY, "call_flow": "menu"}])
    assert fields(refused(*entries, later)) == ['updates[1] "2026-07-01T00:00:00Z".parameters.NEEDED']


def test_a_bad_update_is_named_by_its_place_in_the_file_and_by_its_time_as_written_there() -> None:
    updates: list[dict[str, Any]]
    updates = [{"at": "2026-08-01T00:00:00", "call_flow": "no"}, {"at": JULY, "call_flow": "queue"}]
    assert fields(refused(company(), flow("queue"), number(updates=updates))) == [
        'updates[1] "2026-08-01T00:00:00".call_flow'
    ]
    updates = [{"at": dt.datetime(2026, 8, 1), "call_flow": "queue"}, {"at": JULY, "call_flow": "no"}]  # noqa: DTZ001
    assert fields(refused(company(), flow("queue"), number(updates=updates))) == [
        'updates[2] "2026-07-01T00:00:00Z".call_flow'
    ]


def test_an_update_has_the_same_place_whatever_is_wrong_with_it() -> None:
    updates: list[dict[str, Any]] = [
        {"at": "2026-08-01T01:00:00+01:00", "call_flow": "queue", "parameters": {"NO": 1}},
        {"at": "2026-07-01T01:00:00+01:00", "call_flow": "Queue"},
    ]
    assert fields(refused(company(), flow("queue"), number(updates=updates[1:]))) == [
        'updates[1] "2026-07-01T01:00:00+01:00".call_flow'
    ]
    updates[1]["call_flow"] = "queue"
    assert fields(refused(company(), flow("queue"), number(updates=updates))) == [
        'updates[1] "2026-08-01T01:00:00+01:00".parameters.NO'
    ]


def test_an_update_that_is_stored_is_named_by_its_place_in_time() -> None:
    updates = [{"at": AUGUST, "call_flow": "menu"}, {"at": JULY, "call_flow": "queue"}]
    store = held(company(), flow("queue"), flow("menu"), number(updates=updates))
    assert fields(refused(flow("menu", parameters=[NEEDED]), stored=store)) == [
        'updates[2] "2026-08-01T00:00:00Z".parameters.NEEDED'
    ]


def test_updates_within_one_second_are_told_apart() -> None:
    updates = [{"at": "2026-07-01T00:00:00.25Z", "call_flow": "queue"}, {"at": JULY, "call_flow": "no"}]
    assert fields(refused(company(), flow("queue"), number(updates=updates))) == [
        'updates[2] "2026-07-01T00:00:00Z".call_flow'
    ]
    updates[0]["call_flow"], updates[1]["call_flow"] = "no", "queue"
    assert fields(refused(company(), flow("queue"), number(updates=updates))) == [
        'updates[1] "2026-07-01T00:00:00.25Z".call_flow'
    ]


def test_a_caller_id_is_named_by_its_place_in_the_file() -> None:
    listed = ["02079460000", "+442079460000", "02079460009"]
    (found,) = refused(campaign("new", direction="outbound", caller_ids=listed), stored=held(*a_set()))
    assert (found.field, found.hint) == ("caller_ids[3]", "add it or correct the number")
    (found,) = refused(number("+442079460000", company="globex"), stored=held(*a_set()))
    assert (found.file, found.field) == ("stored", "caller_ids[1]")


def test_values_of_an_update_are_typed_and_inherited_ones_stay_with_whom_they_are_from() -> None:
    updates = [{"at": JULY, "parameters": {"COUNT": "8"}}, {"at": AUGUST, "call_flow": "menu"}]
    store = held(
        company(),
        flow("menu", parameters=[COUNT]),
        number(call_flow="menu", parameters={"COUNT": "7"}, updates=updates),
    )
    row = store.get(RowKind.NUMBER, "+442079460000")
    assert isinstance(row, Number)
    assert [row.parameters, row.updates[0].parameters, row.updates[1].parameters] == [{"COUNT": 7}, {"COUNT": 8}, None]


def test_an_entry_that_stands_twice_is_told_with_where_it_stood_first() -> None:
    (problem,) = refused(company(), number("02079460000"), number("+442079460000"))
    assert problem.entry == "numbers[3]"
    assert problem.text == '"+442079460000" stands already at set.toml: numbers[2]'
    assert problem.hint == "keep one"


def test_all_problems_of_all_entries_are_told_at_once() -> None:
    problems = refused(
        company(region="XX"),
        flow("menu", destination={"context": ""}),
        campaign("offer", callback_window_hours=0),
        number(name="x" * 101, city="x" * 101),
        number("letters"),
    )
    assert {"region", "destination.context", "callback_window_hours", "name", "city", "number"} == set(fields(problems))


def test_an_entry_that_could_not_be_read_is_not_called_missing_besides() -> None:
    problems = refused(
        company(colour="red"),
        flow("menu", company="acme", colour="red"),
        campaign("offer", colour="red"),
        campaign("ring", direction="outbound", caller_ids=["02079460000"]),
        number(colour="red"),
        number("02079460001", call_flow="menu"),
        number("02079460002", inbound_campaign="offer"),
    )
    assert fields(problems) == ["colour"] * 4


def told(problems: list[Problem]) -> list[tuple[str, str]]:
    """Each problem's entry and field."""
    return [(each.entry, each.field) for each in problems]


def test_what_else_is_wrong_with_an_entry_of_a_wrong_type_is_told_in_the_same_run() -> None:
    wrong: dict[str, Any] = {"name": 5}
    problems = refused(
        company("No Id", region="UK", timezone="Mars", default_flow="nobodys", **wrong),
        flow("menu", company="nobody", destination={"context": "a b"}, **wrong),
        campaign("offer", company="nobody", callback_window_hours=0, destination={"context": "a b"}, **wrong),
        company(),
        flow("queue", company="acme", **wrong),
        campaign("ring", direction="sideways", caller_ids=["02079460000"]),
        number(call_flow="queue", inbound_campaign="offer", description=5),
        number("02079460001", company="nobody", desciption="x"),
        number("nobody", call_flow="nobodys", status="off"),
    )
    assert set(told(problems)) == {
        *(("companies[1]", field) for field in ("id", "region", "timezone", "name")),
        *(("call_flows[2]", field) for field in ("name", "company", "destination.context")),
        *(("campaigns[3]", field) for field in ("name", "company", "callback_window_hours", "destination.context")),
        ("call_flows[5]", "name"),
        ("campaigns[6]", "direction"),
        *(("numbers[7]", field) for field in ("description", "inbound_campaign")),
        *(("numbers[8]", field) for field in ("desciption", "company")),
        *(("numbers[9]", field) for field in ("number", "status", "call_flow")),
    }
    assert len(problems) == len(set(told(problems)))


@pytest.mark.parametrize(
    ("bad", "others"),
    [
        (company(region="UK"), [number(updates=[{"at": "2026-07-01T00:00:00", "parameters": {}}])]),
        (company(region="UK"), [flow("menu", company="acme", parameters=[{"name": "P", "type": "number"}])]),
        (company(region=5, timezone=5), [campaign("new", direction="outbound", caller_ids=["02079460000"])]),
        (flow("menu", name=5), [company(), number(call_flow="menu", parameters={"A": 1})]),
        (campaign("offer", direction="sideways"), [company(), number(inbound_campaign="offer")]),
        (campaign("offer", direction="in", accept_incoming=True, caller_ids=["02079460000"]), [company(), number()]),
        (number(company=5, call_flow="theirs"), [company(), company("globex"), flow("theirs", company="globex")]),
        (number(call_flow=5, parameters={"A": 1}), [company()]),
        (number("+447700900100", kind="pol"), [company()]),
        ((RowKind.NUMBER, {"number": "+447700900100", "kind": "pol", "callback_rule": "force-no"}), []),
        ((RowKind.NUMBER, {"number": "02079460000", "compny": "acme"}), [company()]),
        (number(call_flow="menu", parameters=5), [company(), flow("menu", parameters=[NEEDED])]),
        (number(updates=5), [company()]),
    ],
)
def test_what_comes_of_another_fault_is_not_told_besides(bad: Entry, others: list[Entry]) -> None:
    problems = refused(bad, *others)
    assert {each.entry for each in problems} == {f"{bad[0]}[1]"}
    assert {each.field for each in problems} <= {field for field, value in bad[1].items() if value != "acme"} | {
        "compny"
    }


def test_where_a_whole_file_could_not_be_read_what_may_stand_there_is_not_called_missing() -> None:
    unread = problem(Place("other.toml", ""), "", Code("unread", "it is unreadable", "mend it")())
    problems = refused(
        number(updates=[{"at": "2026-07-01T00:00:00", "call_flow": "menu"}]),
        campaign("offer"),
        flow("menu", company="acme", colour="red"),
        before=[unread],
    )
    assert fields(problems) == ["", "colour"]


@pytest.mark.parametrize(
    ("entries", "options", "more"),
    [
        ([company(region="UK"), number("+442079460000")], {}, False),
        ([company(region="UK"), number()], {}, True),
        ([company(), flow("menu", name=5), number(call_flow="menu")], {}, True),
        ([company(), flow("menu", name=5), number()], {}, False),
        ([company(), flow("menu", parameters=[{"name": 5, "type": "text"}, {"name": "a", "type": "text"}])], {}, True),
        ([company(), number(call_flow="no")], {}, False),
        ([company(), number(call_flow="no")], {"as_company": "acme"}, True),
        ([company(), number()], {"as_company": "ghost"}, True),
    ],
)
def test_it_is_said_whether_more_may_show_when_these_are_corrected(
    entries: list[Entry], options: dict[str, Any], more: bool
) -> None:
    with pytest.raises(DataProblems) as caught:
        prepare(raw(*entries), NothingStored(), **options)
    assert caught.value.more is more


def test_the_country_of_a_company_that_could_not_be_read_still_reads_its_numbers() -> None:
    # Nine digits after the 0: a British number, and none in the United States.
    assert fields(refused(company(colour="red"), number("0120412345"))) == ["colour"]


def test_problems_found_before_come_first() -> None:
    before = problem(Place("other.toml", ""), "", Code("no-toml", "no TOML", "correct it")())
    problems = refused(company(region="XX"), before=[before])
    assert problems[0] is before
    assert fields(problems) == ["", "region"]
    assert refused(before=[before]) == [before]


# --- what a new entry does to stored ones ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "stored_entry", "field"),
    [
        (flow("menu", company="acme", parameters=[TEXT]), 'numbers "+442079460000"', "parameters.COUNT"),
        (flow("menu", company="globex"), 'numbers "+442079460000"', "call_flow"),
        (flow("closed", company="acme", parameters=[NEEDED]), 'companies "acme"', "default_flow"),
        (campaign("offer", direction="outbound"), 'numbers "+442079460001"', "inbound_campaign"),
        (number("+442079460000", company="globex"), 'campaigns "ring"', "caller_ids[1]"),
    ],
)
def test_a_stored_entry_that_would_dangle_is_named(entry: Entry, stored_entry: str, field: str) -> None:
    (problem,) = refused(entry, stored=held(*a_set()))
    assert (problem.file, problem.entry, problem.field) == ("stored", stored_entry, field)


def test_a_stored_entry_that_is_replaced_at_the_same_time_is_not_in_the_way() -> None:
    entries = [flow("menu", company="acme", parameters=[TEXT]), number(call_flow="menu", parameters={"TEXT": "a"})]
    assert changed(prepare(raw(*entries), held(*a_set()))) == {"call_flows": ["menu"], "numbers": ["+442079460000"]}


def test_stored_values_follow_a_parameter_to_its_new_type() -> None:
    parameters = [{"name": "COUNT", "type": "text"}]
    store = held(company(), flow("menu", parameters=parameters), number(call_flow="menu", parameters={"COUNT": "7"}))
    store.take(prepare(raw(flow("menu", parameters=[COUNT])), store))
    row = store.get(RowKind.NUMBER, "+442079460000")
    assert isinstance(row, Number)
    assert row.parameters == {"COUNT": 7}


class Untouched(Held):
    """A store of which nothing is read as a whole."""

    def rows(self, kind: RowKind, _naming: AbstractSet[str] = frozenset()) -> Any:
        raise AssertionError(f"all {kind} were read for a change that does not concern them")


@pytest.mark.parametrize(
    "entry",
    [
        flow("new"),
        flow("menu", company="acme", parameters=[TEXT, COUNT], destination={"context": "another"}, locked=True),
        flow("menu", company="acme", parameters=[COUNT, TEXT | {"default": "a"}, NEEDED | {"default": "a"}]),
        campaign("offer", name="Another", active=False, destination={"context": "another"}),
        company(default_flow="queue"),
    ],
    ids=["new flow", "destination", "wider declarations", "campaign", "company"],
)
def test_stored_entries_to_which_a_change_does_not_matter_are_not_looked_at(entry: Entry) -> None:
    store = Untouched()
    store.held = held(*a_set()).held
    assert len(prepare(raw(entry), store)) == 1


# --- on behalf of a company -----------------------------------------------------------------------------------------


def locked_set() -> Held:
    return held(
        company(),
        company("globex", region="US"),
        flow("queue", locked=True, parameters=[TEXT]),
        flow("menu", company="acme"),
        number(call_flow="queue", parameters={"TEXT": "a"}),
    )


def test_an_admin_may_change_the_parameters_of_a_locked_flow_and_not_the_flow() -> None:
    store = locked_set()
    changes = prepare(raw(number(call_flow="queue", parameters={"TEXT": "b"})), store, as_company="acme")
    assert changed(changes) == {"numbers": ["+442079460000"]}
    (problem,) = refused(number(call_flow="menu"), stored=store, as_company="acme")
    assert problem.field == "call_flow"
    assert 'call flow "queue" is locked' in problem.text
    assert len(prepare(raw(number(call_flow="menu")), store)) == 1  # the platform owner may


def test_an_admin_does_not_unlock_a_flow_on_the_way() -> None:
    problems = refused(
        flow("queue", parameters=[TEXT]), number(call_flow="menu"), stored=locked_set(), as_company="acme"
    )
    assert len(problems) == 2


def test_an_admin_removes_nothing_of_others_by_replacing_the_set() -> None:
    problems = refused(
        company(), flow("menu", company="acme"), number(), stored=locked_set(), replace=True, as_company="acme"
    )
    assert {(each.file, each.entry) for each in problems} >= {
        ("stored", 'companies "globex"'),
        ("stored", 'call_flows "queue"'),
    }
    (found,) = [each for each in problems if each.entry == 'companies "globex"']
    assert found.text == ('it would be removed, since the files lack it: it does not belong to company "acme"')
    assert found.hint == "add it to the files, or load them without --replace"


@pytest.mark.parametrize("name", ["ghost", "No Id\ud800"])
def test_an_admin_of_a_company_that_is_not_there_is_told_that_first(name: str) -> None:
    first, second = refused(company(region="UK"), stored=locked_set(), as_company=name)
    assert first.text == "there is no such company"
    assert second.field == "region"
    assert len(refused(stored=locked_set(), as_company=name)) == 1


def test_entries_that_change_nothing_are_nobodys_business() -> None:
    entries = raw(company("globex", region="US"), flow("queue", locked=True, parameters=[TEXT]))
    assert prepare(entries, locked_set(), as_company="acme").rows == {}


def test_mistakes_are_told_before_permissions() -> None:
    problems = refused(number(call_flow="no"), stored=locked_set(), as_company="globex")
    assert fields(problems) == ["call_flow"]


# --- stores ---------------------------------------------------------------------------------------------------------


def test_an_empty_store_has_nothing() -> None:
    store = NothingStored()
    for kind in RowKind:
        assert store.get(kind, "acme") is None
        assert list(store.rows(kind)) == []


def test_a_change_set_counts_its_rows_removals_too() -> None:
    store = held(company(), flow("menu"))
    acme, menu = store.get(RowKind.COMPANY, "acme"), store.get(RowKind.CALL_FLOW, "menu")
    assert isinstance(acme, Company)
    assert isinstance(menu, CallFlow)
    assert len(ChangeSet({RowKind.COMPANY: {"acme": acme}, RowKind.CALL_FLOW: {"menu": menu, "old": None}})) == 3


# --- removals -------------------------------------------------------------------------------------------------------


def test_a_removal_is_a_change_as_any_other() -> None:
    store = held(*a_set())
    changes = prepare(raw(number("02079460009")), store, removals=[(RowKind.NUMBER, "+442079460002")])
    assert changes.rows[RowKind.NUMBER]["+442079460002"] is None
    assert set(changes.rows[RowKind.NUMBER]) == {"+442079460002", "+442079460009"}
    store.take(changes)
    assert store.get(RowKind.NUMBER, "+442079460002") is None


def test_a_number_to_be_removed_may_be_written_as_people_write_it() -> None:
    changes = prepare([], held(*a_set()), removals=[(RowKind.NUMBER, "+44 20 7946 0002")])
    assert changed(changes) == {"numbers": ["+442079460002"]}


@pytest.mark.parametrize(
    ("kind", "key", "text"),
    [
        (RowKind.CALL_FLOW, "queue", "number +442079460002 still name it"),
        (RowKind.CALL_FLOW, "closed", "company acme still name it"),
        (RowKind.CAMPAIGN, "offer", "number +442079460001 still name it"),
        (RowKind.NUMBER, "+442079460000", "campaign ring still name it"),
        (RowKind.COMPANY, "globex", "call flow theirs still name it"),
    ],
)
def test_what_others_still_name_is_not_removed(kind: RowKind, key: str, text: str) -> None:
    (found,) = refused(stored=held(*a_set()), removals=[(kind, key)])
    assert found.text == text
    assert found.hint == "take it out there, or remove them too"
    assert key in found.entry


def test_many_who_name_it_are_counted() -> None:
    numbers = [number(f"0207946001{digit}", call_flow="queue") for digit in range(6)]
    (found,) = refused(stored=held(*a_set(), *numbers), removals=[(RowKind.CALL_FLOW, "queue")])
    assert found.text.endswith("and 4 more still name it")
    assert found.arguments["more"] == 4


def test_an_update_still_to_come_names_it_too() -> None:
    entry = number("02079460009", call_flow="menu", updates=[{"at": JULY, "call_flow": "queue"}])
    store = held(*a_set()[:-1], entry)
    (found,) = refused(stored=store, removals=[(RowKind.CALL_FLOW, "queue")])
    assert found.text == "number +442079460009 still name it"


def test_those_who_name_it_may_go_or_change_with_it() -> None:
    store = held(*a_set())
    removals = [(RowKind.CALL_FLOW, "queue"), (RowKind.NUMBER, "+442079460002")]
    assert len(prepare([], store, removals=removals)) == 2
    changes = prepare(raw(number("02079460002")), store, removals=removals[:1])
    assert changed(changes) == {"call_flows": ["queue"], "numbers": ["+442079460002"]}


def test_a_new_row_cannot_name_what_is_removed() -> None:
    problems = refused(
        number("02079460002"),
        number("02079460009", call_flow="queue"),
        stored=held(*a_set()),
        removals=[(RowKind.CALL_FLOW, "queue")],
    )
    assert [each.text for each in problems] == ['there is no call flow "queue"']


@pytest.mark.parametrize(("kind", "key"), [(RowKind.CALL_FLOW, "nobody"), (RowKind.NUMBER, "+442079469999")])
def test_what_is_not_there_cannot_be_removed(kind: RowKind, key: str) -> None:
    (found,) = refused(stored=held(*a_set()), removals=[(kind, key)])
    assert found.text.startswith("there is no such ")


@pytest.mark.parametrize("kind", list(RowKind))
@pytest.mark.parametrize("key", ["\ud800", "", "No Id"])
def test_what_is_no_key_is_never_asked_of_a_store(kind: RowKind, key: str) -> None:
    class Asked(Held):
        def get(self, kind: RowKind, key: str) -> Row | None:
            raise AssertionError((kind, key))

    (found,) = refused(stored=Asked(), removals=[(kind, key)])
    assert found.code == "nothing-to-remove"


def test_nothing_is_given_and_removed_at_once() -> None:
    removals = [(RowKind.NUMBER, "+442079460002")]
    (found,) = refused(number("02079460002"), stored=held(*a_set()), removals=removals)
    assert found.text == "it is removed and given at once"


def test_an_admin_removes_what_an_admin_may_make() -> None:
    store = held(*a_set(), campaign("spare"))
    assert len(prepare([], store, removals=[(RowKind.CAMPAIGN, "spare")], as_company="acme")) == 1
    (found,) = refused(stored=store, removals=[(RowKind.NUMBER, "+442079460002")], as_company="acme")
    assert found.text == "only the platform owner adds or removes these"


# --- warnings -------------------------------------------------------------------------------------------------------


def test_an_admin_who_chooses_a_locked_flow_is_told_before() -> None:
    store = held(*a_set(), flow("locked", locked=True))
    changes = prepare(raw(number("02079460002", call_flow="locked")), store, as_company="acme")
    (warning,) = changes.warnings
    assert (warning.code, warning.field) == ("locked-flow-chosen", "call_flow")
    assert len(changes) == 1
    store.take(changes)
    again = prepare(raw(number("02079460002", call_flow="locked", name="x")), store, as_company="acme")
    assert again.warnings == ()


def test_the_platform_owner_may_take_it_back_and_is_not_told() -> None:
    store = held(*a_set(), flow("locked", locked=True))
    assert prepare(raw(number("02079460002", call_flow="locked")), store).warnings == ()


def test_a_locked_flow_that_an_update_had_named_is_told_of_when_it_comes_sooner() -> None:
    later = [{"at": JULY, "call_flow": "locked"}]
    store = held(*a_set(), flow("locked", locked=True), number("02079460003", call_flow="queue", updates=later))
    made = raw(number("02079460003", call_flow="locked", updates=later))
    (warning,) = prepare(made, store, as_company="acme").warnings
    assert (warning.code, warning.field) == ("locked-flow-chosen", "call_flow")


def test_a_locked_flow_that_updates_go_on_with_is_told_of_once() -> None:
    locked = flow("locked", locked=True, parameters=[COUNT])
    updates = [{"at": JULY, "parameters": {"COUNT": 1}}, {"at": AUGUST, "parameters": {"COUNT": 2}}]
    store = held(*a_set(), locked)
    made = raw(number("02079460002", call_flow="locked", updates=updates))
    assert [each.field for each in prepare(made, store, as_company="acme").warnings] == ["call_flow"]


def test_a_flow_that_is_not_there_is_told_of_where_it_is_named() -> None:
    updates = [{"at": JULY, "parameters": {"COUNT": 1}}, {"at": AUGUST, "parameters": {"COUNT": 2}}]
    (found,) = refused(number("02079460002", call_flow="gone", updates=updates), stored=held(*a_set()))
    assert found.field == "call_flow"


# --- values of another type are other values ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "value", "after", "given"),
    [("integer", 1, "boolean", True), ("integer", 0, "boolean", False), ("boolean", False, "integer", 0)],
)
def test_a_value_that_only_python_takes_for_the_same_is_changed(
    before: str, value: int, after: str, given: int
) -> None:
    """True is 1 in Python: a number would keep an integer under a flow that wants a truth value."""

    def flow_with(kind: str) -> Entry:
        return flow("switch", company="acme", parameters=[{"name": "P", "type": kind}])

    def number_with(each: object) -> Entry:
        updates = [{"at": JULY, "call_flow": "switch", "parameters": {"P": each}}]
        return number("02079460009", call_flow="switch", parameters={"P": each}, updates=updates)

    store = held(company(), flow_with(before), number_with(value))
    changes = prepare(raw(flow_with(after), number_with(given)), store)
    assert changed(changes) == {"call_flows": ["switch"], "numbers": ["+442079460009"]}
    store.take(changes)
    row = store.get(RowKind.NUMBER, "+442079460009")
    assert isinstance(row, Number)
    assert row.parameters["P"] is given
    assert row.updates[0].parameters == {"P": given}
    renamed = raw(flow("switch", company="acme", name="Other", parameters=[{"name": "P", "type": after}]))
    assert changed(prepare(renamed, store)) == {"call_flows": ["switch"]}


def test_loading_the_right_file_repairs_a_store_that_has_the_wrong_type() -> None:
    switch = flow("switch", company="acme", parameters=[{"name": "P", "type": "boolean"}])
    store = held(company(), switch, number("02079460009", call_flow="switch", parameters={"P": True}))
    row = store.held[RowKind.NUMBER]["+442079460009"]
    store.held[RowKind.NUMBER]["+442079460009"] = msgspec.structs.replace(row, parameters={"P": 1})
    changes = prepare(raw(number("02079460009", call_flow="switch", parameters={"P": True})), store)
    assert changed(changes) == {"numbers": ["+442079460009"]}
