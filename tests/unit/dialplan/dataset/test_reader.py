import datetime as dt
import re
from typing import Any

import pytest

from dialplan.dataset.problems import Place, Problem
from dialplan.dataset.reader import RawRow, read_row
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.campaign import Campaign
from dialplan.kinds.company import Company
from dialplan.kinds.fields import Destination, Home, check_destination
from dialplan.kinds.number import Number, ScheduledUpdate
from dialplan.kinds.registry import Row, RowKind
from tests.samples import Entry, campaign, company, fields, flow, number


def repr_of(value: object) -> str:
    """A short name for a value of a parametrized test."""
    return type(value).__name__


HOMES = {"acme": Home("GB", "Europe/London"), "globex": Home("US", "America/New_York")}


def read(entry: Entry) -> Row | list[Problem]:
    raw = RawRow(entry[0], Place("set.toml", "entry"), entry[1])
    reading = read_row(raw, HOMES.get)
    if reading.bad or reading.row is None:
        return reading.problems(raw.place)
    return reading.row


def problems(entry: Entry) -> list[Problem]:
    found = read(entry)
    assert isinstance(found, list), found
    assert found
    for each in found:
        assert (each.file, each.entry) == ("set.toml", "entry")
        assert each.text
        assert each.hint
    return found


def good(entry: Entry) -> Any:
    row = read(entry)
    assert not isinstance(row, list), [str(each) for each in row]
    return row


def test_each_kind_becomes_its_row() -> None:
    assert isinstance(good(company()), Company)
    assert isinstance(good(flow("menu")), CallFlow)
    assert isinstance(good(campaign("offer")), Campaign)
    assert isinstance(good(number()), Number)


def test_reading_leaves_the_callers_values_alone() -> None:
    entry = number(updates=[{"at": "2026-12-24T17:00:00", "call_flow": "xmas"}])
    good(entry)
    assert entry[1]["updates"] == [{"at": "2026-12-24T17:00:00", "call_flow": "xmas"}]


@pytest.mark.parametrize("name", ["a", "a-1", "0", "-", "x" * 64])
def test_an_id_has_its_alphabet(name: str) -> None:
    for kind in (RowKind.COMPANY, RowKind.CALL_FLOW, RowKind.CAMPAIGN):
        values = {RowKind.COMPANY: company, RowKind.CALL_FLOW: flow, RowKind.CAMPAIGN: campaign}[kind](name)
        assert good(values).id == name


@pytest.mark.parametrize("name", ["", "A", "a b", "a_b", "x" * 65, "é", "a\n", "a/b"])
def test_an_id_outside_its_alphabet_is_refused(name: str) -> None:
    fine: dict[str, Any] = {"name": "fine", "destination": {"context": "fine"}}
    for entry in (company(name, name="fine"), flow(name, **fine), campaign(name, **fine)):
        assert fields(problems(entry)) == ["id"]


@pytest.mark.parametrize(("field", "limit"), [("name", 100), ("description", 250), ("city", 100)])
def test_texts_are_counted_in_characters_up_to_their_limit(field: str, limit: int) -> None:
    assert getattr(good(number(**{field: "é" * limit})), field) == "é" * limit
    (found,) = problems(number(**{field: "é" * (limit + 1)}))
    assert found.field == field
    assert str(limit + 1) in found.text
    assert str(limit) in found.hint


def test_a_text_with_a_control_character_is_refused() -> None:
    assert fields(problems(number(name="a\nb", description="\x00"))) == ["name", "description"]


@pytest.mark.parametrize(
    ("text", "owner", "e164"),
    [
        ("02079460000", "acme", "+442079460000"),
        ("020 7946 0000", "acme", "+442079460000"),
        ("+44 20 7946 0000", "globex", "+442079460000"),
        ("00442079460000", "acme", "+442079460000"),
        ("02025550143", "globex", "+12025550143"),
        ("01112025550143", "globex", "+12025550143"),
    ],
)
def test_a_number_is_read_in_its_companys_country(text: str, owner: str, e164: str) -> None:
    assert good(number(text, company=owner)).number == e164


def test_a_national_number_without_a_company_is_refused_with_a_hint() -> None:
    (found,) = problems((RowKind.NUMBER, {"number": "02079460000", "kind": "pool"}))
    assert "no company tells its country" in found.text
    assert found.hint == "write it with +"


def test_of_a_company_that_is_not_there_is_told_and_not_of_what_it_would_have_read() -> None:
    updates = [{"at": "2026-12-24T17:00:00", "call_flow": "xmas"}]
    (found,) = problems(number(company="nobody", updates=updates))
    assert (found.field, found.text) == ("company", 'there is no company "nobody"')
    assert found.hint == "add it or correct the id"
    (found,) = problems(flow("menu", company="nobody", parameters=[{"name": "A", "type": "number", "default": "020"}]))
    assert (found.field, found.text) == ("company", 'there is no company "nobody"')
    assert good(number("+442079460000", company="nobody")).number == "+442079460000"


@pytest.mark.parametrize("text", ["", "front desk", "12", "2079460000", "+", "0207946000000000"])
def test_what_is_no_number_is_refused(text: str) -> None:
    assert fields(problems(number(text))) == ["number"]


def test_a_reserved_number_has_a_company_and_a_pool_number_has_none() -> None:
    entry = number("+442079460000")
    del entry[1]["company"]
    assert fields(problems(entry)) == ["company"]
    assert fields(problems(number(kind="pool"))) == ["company"]
    entry[1]["kind"] = "pool"
    assert good(entry).company is None


def test_only_a_reserved_number_has_a_callback_rule() -> None:
    pool: dict[str, Any] = {"number": "+447700900100", "kind": "pool"}
    for rule in ("force-yes", "force-no"):
        (found,) = problems((RowKind.NUMBER, pool | {"callback_rule": rule}))
        assert (found.field, found.hint) == ("callback_rule", "take it out")
    good((RowKind.NUMBER, pool | {"callback_rule": "as-in-campaign"}))  # what holds without one


def test_a_number_goes_to_a_flow_or_to_a_campaign_and_not_to_both() -> None:
    assert fields(problems(number(call_flow="a", inbound_campaign="b"))) == ["inbound_campaign"]
    update = {"at": "2026-12-24T17:00:00Z", "call_flow": "a", "inbound_campaign": "b"}
    assert fields(problems(number(updates=[update]))) == ['updates[1] "2026-12-24T17:00:00Z"']


def test_updates_are_put_in_the_order_of_their_times() -> None:
    late = {"at": "2026-12-26T09:00:00", "call_flow": "late"}
    early = {"at": dt.datetime(2026, 7, 1, 12), "parameters": {"P": 1}}  # noqa: DTZ001 - as TOML gives local times
    row = good(number(updates=[late, early]))
    assert row.updates == (
        ScheduledUpdate(dt.datetime(2026, 7, 1, 11, tzinfo=dt.UTC), parameters={"P": 1}),
        ScheduledUpdate(dt.datetime(2026, 12, 26, 9, tzinfo=dt.UTC), call_flow="late"),
    )


def test_a_local_time_on_a_number_without_a_company_is_nobodys_time() -> None:
    pool: dict[str, Any] = {"number": "+447700900100", "kind": "pool"}
    updates = [{"at": "2026-12-24T17:00:00", "call_flow": "a"}]
    (found,) = problems((RowKind.NUMBER, pool | {"updates": updates}))
    assert found.field == "updates[1].at"
    assert "no company" in found.text


@pytest.mark.parametrize(
    ("updates", "field"),
    [
        ("soon", "updates"),
        ({"at": "2026-12-24T17:00:00Z"}, "updates"),
        (["soon"], "updates[1]"),
        ([{"at": "2026-12-24T17:00:00Z"}], 'updates[1] "2026-12-24T17:00:00Z"'),
        ([{"call_flow": "a"}], "updates[1].at"),
        ([{"at": "soon", "call_flow": "a"}], "updates[1].at"),
        ([{"at": "2026-03-29T01:30:00", "call_flow": "a"}], "updates[1].at"),
        ([{"at": "2026-12-24T17:00:00Z", "flow": "a"}], 'updates[1] "2026-12-24T17:00:00Z".flow'),
        ([{"at": "2026-12-24T17:00:00Z", "call_flow": 5}], 'updates[1] "2026-12-24T17:00:00Z".call_flow'),
        ([{"at": "2026-12-24T17:00:00Z", "parameters": {"A": 1.5}}], 'updates[1] "2026-12-24T17:00:00Z".parameters.A'),
        ([{"at": "2026-12-24T17:00:00Z", "parameters": 5}], 'updates[1] "2026-12-24T17:00:00Z".parameters'),
        (
            [{"at": "2026-12-24T17:00:00Z", "call_flow": "a"}, {"at": "2026-12-24T18:00:00+01:00", "call_flow": "b"}],
            "updates[2].at",
        ),
    ],
)
def test_a_bad_update_is_refused_at_its_place(updates: Any, field: str) -> None:
    assert fields(problems(number(updates=updates))) == [field]


def test_too_many_updates_are_counted_and_no_list_is_called_so() -> None:
    updates = [
        {"at": f"2026-12-24T{hour:02}:{minute:02}:00Z", "call_flow": "a"} for hour in range(5) for minute in range(20)
    ]
    assert len(good(number(updates=updates)).updates) == 100
    (found,) = problems(number(updates=[*updates, {"at": "2026-12-24T17:00:00Z", "call_flow": "a"}]))
    assert (found.text, found.hint) == ("101 updates", "use at most 100")
    (found,) = problems(number(updates=None))
    assert found.text == "not a list of updates"


def test_an_unknown_field_is_named_with_the_one_that_was_meant() -> None:
    (found,) = problems(number(desciption="x"))
    assert found.field == "desciption"
    assert found.hint == "did you mean description?"


def test_an_unknown_field_like_no_other_is_named_with_all_there_are() -> None:
    (found,) = problems(company(colour="red"))
    assert "timezone" in found.hint


def test_every_field_of_a_wrong_type_is_told_in_one_go() -> None:
    entry = number(name=5, city=[], status="off", kind="private", line_type=None, callback_rule="maybe")
    assert sorted(fields(problems(entry))) == ["callback_rule", "city", "kind", "line_type", "name", "status"]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (flow("menu", destination={"contxt": "c"}), {"destination.contxt": "did you mean context?"}),
        (flow("menu", destination={"context": 5}), {"destination.context": "write text, in quotes"}),
        (flow("menu", destination="menu"), {"destination": "write a table: { … }"}),
        (flow("menu", parameters={"name": "A"}), {"parameters": "write a list: [ … ]"}),
        (flow("menu", parameters=["A"]), {"parameters[1]": "write a table: { … }"}),
        (
            flow("menu", parameters=[{"name": "A", "type": "text"}, {"name": "B", "type": "string", "maximum": "9"}]),
            {
                "parameters[2].type": "use text, integer, boolean, choice, number",
                "parameters[2].maximum": "write a whole number, without quotes",
            },
        ),
        (campaign("offer", active="yes"), {"active": "write true or false, without quotes"}),
        (campaign("ring", caller_ids=["+442079460000", 442079460001]), {"caller_ids[2]": "write text, in quotes"}),
        (
            number(parameters={"A": 1, "B b": []}),
            {'parameters."B b"': "write text in quotes, a whole number, true or false"},
        ),
        (number(parameters={1: "a"}), {"parameters": "write text, in quotes"}),
    ],
)
def test_a_wrong_type_is_told_where_it_stands_with_what_to_write_there(entry: Entry, told: dict[str, str]) -> None:
    found = problems(entry)
    assert {each.field: each.hint for each in found if each.text != "is missing"} == told


@pytest.mark.parametrize("value", [None, True, 5, 1.5, [], {}, dt.date(2026, 1, 1), 1 << 100_000, "x"], ids=repr_of)
@pytest.mark.parametrize("field", ["number", "name", "updates", "parameters", "kind", "call_flow"])
def test_no_message_about_a_type_speaks_python(field: str, value: Any) -> None:
    found = read(number(**{field: value}))
    for each in found if isinstance(found, list) else []:
        assert not re.search(
            r"`|\b(int|str|bool|None|enum|array|object|Expected|Invalid)\b", f"{each.text} {each.hint}"
        )


def test_what_is_written_there_is_called_by_its_kind() -> None:
    entry = number(name=5, city=[], description=None, callback_rule=True)
    assert {each.field: each.text for each in problems(entry)} == {
        "name": "it is a whole number, not text",
        "city": "it is a list, not text",
        "description": "it is null, not text",
        "callback_rule": '"true" is not one of its values',
    }


def test_a_word_outside_its_set_is_answered_with_the_set() -> None:
    (found,) = problems(number(callback_rule="always"))
    assert found.hint == "use force-yes, as-in-campaign, force-no"


def test_missing_fields_are_told_one_by_one() -> None:
    assert fields(problems((RowKind.CAMPAIGN, {}))) == ["id", "company", "name", "direction", "destination"]


@pytest.mark.parametrize("region", ["", "gb", "UK", "XX", "001", "England"])
def test_a_company_lives_in_a_country(region: str) -> None:
    assert fields(problems(company(region=region))) == ["region"]


@pytest.mark.parametrize("name", ["", "London", "Europe", "../../etc/passwd", "GMT+25"])
def test_a_company_lives_in_a_time_zone(name: str) -> None:
    (found,) = problems(company(timezone=name))
    assert (found.field, found.text) == ("timezone", f'"{name}" is not a time zone')


@pytest.mark.parametrize("name", ["localtime", "posixrules", "Factory", "right/Europe/London"])
def test_a_company_does_not_live_in_whatever_zone_the_machine_is_set_to(name: str) -> None:
    (found,) = problems(company(timezone=name))
    assert (found.field, found.text) == ("timezone", f'"{name}" depends on the machine\'s own set-up')
    assert "Europe/London" in found.hint


@pytest.mark.parametrize(
    ("destination", "field"),
    [
        ({"context": ""}, "context"),
        ({"context": "a b"}, "context"),
        ({"context": "a,s,1)\nsame"}, "context"),
        ({"context": "${EXTEN}"}, "context"),
        ({"context": "x" * 80}, "context"),
        ({"context": "ringway-dial", "exten": "dial"}, "context"),
        ({"context": "ringway-outbound", "exten": "+9001234180"}, "context"),
        ({"context": "ringway-route", "priority": 4}, "context"),
        ({"context": "ringway-of-a-later-version"}, "context"),
        ({"context": "ringway-inbound", "exten": "+442079460000"}, None),
        ({"context": "ringway-default"}, None),
        ({"context": "ringway"}, None),
        ({"context": "c", "exten": ""}, "exten"),
        ({"context": "c", "exten": "s,1"}, "exten"),
        ({"context": "c", "exten": "_X."}, None),
        ({"context": "c", "exten": "*99#"}, None),
        ({"context": "c", "priority": 0}, "priority"),
        ({"context": "c", "priority": 10_001}, "priority"),
        ({"context": "c", "priority": 1 << 100_000}, "priority"),
    ],
)
def test_a_destination_is_a_place_and_nothing_more(destination: dict[str, Any], field: str | None) -> None:
    found = [field for field, _ in check_destination(Destination(**destination))]
    assert found == ([] if field is None else [f"destination.{field}"])
    entry = flow("menu", destination=destination)
    if field is not None:
        assert fields(problems(entry)) == found


def test_a_context_of_ringways_own_is_refused_with_a_mend() -> None:
    (found,) = problems(flow("menu", destination={"context": "ringway-dial", "exten": "dial"}))
    assert found.text == '"ringway-dial" is Ringway\'s own, no place for calls'
    assert found.hint == "name a context of your dialplan, or one of ringway-inbound, ringway-default"


def test_a_flows_declarations_are_checked_each_at_its_place() -> None:
    entry = flow(
        "menu",
        company="acme",
        parameters=[
            {"name": "A", "type": "integer", "default": "x"},
            {"name": "bad", "type": "text"},
            {"name": "A", "type": "text"},
        ],
    )
    assert fields(problems(entry)) == ["parameters[1].default", "parameters[2].name", "parameters[3]"]


@pytest.mark.parametrize("limits", [{"minimum": 1 << 100_000}, {"maximum": -1 << 100_000}], ids=["minimum", "maximum"])
def test_a_default_is_not_held_against_a_limit_that_is_none(limits: dict[str, int]) -> None:
    entry = flow("menu", parameters=[{"name": "A", "type": "integer", "default": 5} | limits])
    assert fields(problems(entry)) == [f"parameters[1].{field}" for field in limits]


def test_a_default_is_kept_in_its_parameters_own_type() -> None:
    parameters = [
        {"name": "A", "type": "integer", "default": "7"},
        {"name": "B", "type": "boolean", "default": "yes"},
        {"name": "C", "type": "number", "default": "02079460000"},
    ]
    row = good(flow("menu", company="acme", parameters=parameters))
    assert [each.default for each in row.parameters] == [7, True, "+442079460000"]


def test_a_flow_has_so_many_parameters_and_no_more() -> None:
    declared = [{"name": f"P{place}", "type": "text"} for place in range(101)]
    assert len(good(flow("menu", parameters=declared[:100])).parameters) == 100
    assert fields(problems(flow("menu", parameters=declared))) == ["parameters"]


def test_a_flows_parameter_names_fit_into_one_line_together() -> None:
    names = [f"N{place:02}".ljust(23, "X") for place in range(50)]  # and one more for each: 1,200
    declared = [{"name": name, "type": "text"} for name in names]
    assert len(good(flow("menu", parameters=declared)).parameters) == 50
    declared[0]["name"] += "X"
    (problem,) = problems(flow("menu", parameters=declared))
    assert problem.field == "parameters"
    assert "1201" in problem.text
    assert "1200" in problem.hint


def test_settings_of_outbound_campaigns_are_refused_on_inbound_ones() -> None:
    entry = campaign("offer", accept_incoming=True, caller_ids=["02079460000"])
    assert fields(problems(entry)) == ["accept_incoming", "caller_ids"]
    entry[1]["direction"] = "outbound"
    assert good(entry).caller_ids == ("+442079460000",)


def test_a_caller_id_is_read_in_the_companys_country_and_listed_once() -> None:
    entry = campaign("offer", direction="outbound", caller_ids=["02079460000", "+442079460000", "020 7946 0001"])
    assert good(entry).caller_ids == ("+442079460000", "+442079460001")
    entry[1]["caller_ids"] = ["02079460000", "nobody"]
    assert fields(problems(entry)) == ["caller_ids[2]"]


@pytest.mark.parametrize("hours", [0, -1, 8_761, pytest.param(1 << 100_000, id="huge")])
def test_a_callback_window_is_an_hour_to_a_year(hours: int) -> None:
    assert fields(problems(campaign("offer", callback_window_hours=hours))) == ["callback_window_hours"]


def test_text_that_is_not_unicode_is_refused_wherever_it_stands() -> None:
    for entry in (
        number(name="\ud800"),
        number("+1", **{"\ud800": 1}),
        flow("menu", destination={"context": "c", "\ud800": 1}),
    ):
        for each in problems(entry):
            str(each).encode()
