"""One change by hand, as somebody makes it at a prompt."""

from typing import Any

import pytest

from tests.unit.router.commands.conftest import Run

NUMBER = "+442079460000"


def number(run: Run, key: str = NUMBER) -> Any:
    """The number as it is stored; None where there is none."""
    return next((each for each in run("dump", "--json").json()["numbers"] if each["number"] == key), None)


def test_fields_of_a_row_are_changed_and_what_changed_is_said(demo: Run) -> None:
    before = number(demo)
    done = demo("edit", "number", NUMBER, "description=On the van", "parameters.RING_SECONDS=25")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        f'number "{NUMBER}": changed',
        '  description: "On the web site" -> "On the van"',
        "  parameters.RING_SECONDS: (none) -> 25",
        "1 row changed, version 2",
    ]
    parameters = before["parameters"] | {"RING_SECONDS": 25}
    assert number(demo) == before | {"description": "On the van", "parameters": parameters}
    assert demo("edit", "number", NUMBER, "description=On the van").out == "nothing to change, version 2\n"


def test_a_preview_says_the_same_and_changes_nothing(demo: Run) -> None:
    before = demo("dump").out
    done = demo("edit", "campaign", "win-back", "active=false", "--preview")
    assert done.out.splitlines() == [
        'campaign "win-back": changed',
        "  active: (none) -> false",
        "1 row would change; nothing was changed",
    ]
    assert demo("remove", "campaign", "survey", "--preview").out.splitlines() == [
        'campaign "survey": removed',
        "1 row would change; nothing was changed",
    ]
    assert demo("dump").out == before


def test_a_new_row_is_made_where_that_is_said(demo: Run) -> None:
    words = ("edit", "call-flow", "night", "name=Night", "company=acme", "destination.context=flow-night")
    refused = demo(*words)
    assert refused.status == 1
    assert refused.err.splitlines() == [
        'given: call flow "night": there is no such call flow; correct the id, or say --new to make it',
        "ringway: 1 problem; nothing was changed",
    ]
    assert demo(*words, "--new").out.splitlines() == [
        'call flow "night": new',
        '  id: "night"',
        '  name: "Night"',
        '  destination.context: "flow-night"',
        '  destination.exten: "s"',
        "  destination.priority: 1",
        '  company: "acme"',
        "1 row changed, version 2",
    ]
    again = demo(*words, "--new")
    assert "there is such a call flow already; leave --new out to change it" in again.err


def test_rows_are_removed_together_or_not_at_all(demo: Run) -> None:
    before = demo("dump").out
    refused = demo("remove", "call-flow", "xmas", "main-menu")
    assert refused.status == 1
    assert "still name it; take it out there, or remove them too" in refused.err
    assert demo("dump").out == before
    done = demo("remove", "campaign", "survey", "spring-offer")
    assert done.status == 1 or done.out.endswith("2 rows changed, version 2\n")
    assert demo("remove", "campaign", "nobody").err.startswith('to be removed: campaign "nobody": there is no such')


def test_what_the_gate_refuses_is_told_with_its_field(demo: Run) -> None:
    done = demo("edit", "number", NUMBER, "status=off", "nmae=x")
    assert done.status == 1
    assert f'given: number "{NUMBER}": status: "off" is not one of its values; use active, disabled' in done.err
    assert "nmae: is not known here; did you mean name?" in done.err
    assert demo("edit", "number", NUMBER, "parameters.LANGUAGE=").status == 1  # it is required
    assert demo("edit", "company", "acme", "region=").status == 1


@pytest.mark.parametrize("key", ["", "x y", "\udcff", "+", "02079460000"])
def test_a_key_that_nobody_has_is_told(demo: Run, key: str) -> None:
    for words in (("edit", "number", key, "name=x"), ("remove", "number", key)):
        done = demo(*words)
        assert done.status == 1
        assert "there is no such number; correct the" in done.err


def test_an_admin_edits_what_an_admin_may(demo: Run) -> None:
    admin = ("--as-company", "acme")
    assert demo("edit", "number", NUMBER, "name=Reception", *admin).status == 0
    assert "only the platform owner changes it" in demo("edit", "number", NUMBER, "city=Leeds", *admin).err
    assert "only the platform owner adds or removes these" in demo("remove", "number", NUMBER, *admin).err
    paid = demo("edit", "call-flow", "xmas", "destination.exten=0088123456789", *admin)
    assert "only the platform owner says where its calls lead" in paid.err


def test_json_is_for_programs(demo: Run) -> None:
    told = demo("edit", "number", NUMBER, "name=Reception", "--preview", "--json").json()
    (row,) = told.pop("rows")
    assert told == {"version": 1, "preview": True, "warnings": []}
    assert (row["kind"], row["key"], row["after"]["name"]) == ("numbers", NUMBER, "Reception")
    assert row["before"] == number(demo)
    refused = demo("edit", "number", NUMBER, "status=off", "--json")
    assert (refused.status, refused.json()["problems"][0]["field"]) == (1, "status")


def test_a_word_that_is_no_edit_is_wrong_before_anything_is_looked_at(run: Run) -> None:
    done = run("edit", "number", NUMBER, "name")
    assert (done.status, done.out) == (1, "")
    assert done.err == 'ringway: "name" does not say which field becomes what; write FIELD=VALUE\n'


def test_without_a_store_there_is_nothing_to_edit(run: Run) -> None:
    done = run("edit", "number", NUMBER, "name=x")
    assert done.status == 1
    assert "there is none; load data into it first" in done.err


def test_nothing_that_a_terminal_would_obey_is_printed(demo: Run) -> None:
    demo("edit", "number", NUMBER, "description=\N{RIGHT-TO-LEFT OVERRIDE}abc")
    done = demo("edit", "number", NUMBER, "description=x\x1b[2J")
    assert "\x1b" not in done.out + done.err
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in done.out + done.err
