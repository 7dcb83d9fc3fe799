"""What somebody writes at a prompt becomes the values that a data file would have."""

from typing import Any

import pytest

from dialplan.dataset.edits import Edit, FieldChange, changed_fields, edited, read_edit
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.campaign import Campaign
from dialplan.kinds.company import Company
from dialplan.kinds.number import Number

NUMBER = {"number": "+442079460000", "company": "acme", "call_flow": "menu", "parameters": {"TEXT": "a", "COUNT": 1}}


def after(struct: type[Any], values: dict[str, Any], *words: str) -> dict[str, Any]:
    edits = [read_edit(word) for word in words]
    assert None not in edits
    return edited(values, struct, [each for each in edits if each is not None])


@pytest.mark.parametrize(
    ("word", "edit"),
    [
        ("name=Front desk", Edit("name", "Front desk")),
        ("name = Front desk", Edit("name", " Front desk")),
        ("name=a=b", Edit("name", "a=b")),
        ("name=", Edit("name", "")),
        ("name=two\nlines", Edit("name", "two\nlines")),
        ("name", None),
        ("=x", None),
        ("", None),
    ],
)
def test_an_edit_is_a_field_and_what_it_becomes(word: str, edit: Edit | None) -> None:
    assert read_edit(word) == edit


@pytest.mark.parametrize(
    ("struct", "word", "value"),
    [
        (Number, "description=123", "123"),
        (Number, "description=true", "true"),
        (Number, 'description="quoted"', '"quoted"'),
        (Number, "status=disabled", "disabled"),
        (Number, "call_flow=xmas", "xmas"),
        (
            Number,
            'updates=[{at = "2026-12-24T17:00:00Z", call_flow = "x"}]',
            [{"at": "2026-12-24T17:00:00Z", "call_flow": "x"}],
        ),
        (Company, "identified=true", True),
        (Company, "identified=yes", "yes"),
        (Company, 'contexts=["flow-*"]', ["flow-*"]),
        (Campaign, "callback_window_hours=24", 24),
        (Campaign, "callback_window_hours=24\nactive = false", "24\nactive = false"),
        (Campaign, 'caller_ids=["02079460000"]', ["02079460000"]),
        (Campaign, 'destination={context = "c"}', {"context": "c"}),
        (CallFlow, "no_such_field=1", "1"),
    ],
)
def test_texts_stand_as_they_are_and_all_else_as_toml_has_it(struct: type[Any], word: str, value: object) -> None:
    name = word.partition("=")[0]
    assert after(struct, {"id": "x"}, word) == {"id": "x", name: value}


def test_a_dot_leads_into_a_table_whose_other_fields_stay() -> None:
    made = after(Number, NUMBER, "parameters.TEXT=b", "parameters.NEW=1")
    assert made["parameters"] == {"TEXT": "b", "COUNT": 1, "NEW": "1"}
    flow = {"id": "x", "destination": {"context": "c", "exten": "1"}}
    assert after(CallFlow, flow, "destination.priority=2")["destination"] == {
        "context": "c",
        "exten": "1",
        "priority": 2,
    }
    assert flow == {"id": "x", "destination": {"context": "c", "exten": "1"}}
    assert after(CallFlow, {"id": "x"}, "destination.context=c")["destination"] == {"context": "c"}


def test_an_empty_value_takes_a_field_out() -> None:
    assert "call_flow" not in after(Number, NUMBER, "call_flow=")
    assert after(Number, NUMBER, "parameters.COUNT=")["parameters"] == {"TEXT": "a"}
    assert "parameters" not in after(Number, NUMBER, "parameters.COUNT=", "parameters.TEXT=")
    assert after(Number, NUMBER, "city=") == NUMBER


def test_what_has_changed_is_told_field_by_field() -> None:
    made = after(Number, NUMBER, "call_flow=xmas", "parameters.COUNT=", "name=Front")
    assert changed_fields(NUMBER, made) == [
        FieldChange("call_flow", "menu", "xmas"),
        FieldChange("parameters.COUNT", 1, None),
        FieldChange("name", None, "Front"),
    ]
    assert changed_fields(None, {"id": "x"}) == [FieldChange("id", None, "x")]
    assert changed_fields({"a": 1}, {"a": True}) == [FieldChange("a", 1, True)]
    assert changed_fields(NUMBER, dict(NUMBER)) == []
