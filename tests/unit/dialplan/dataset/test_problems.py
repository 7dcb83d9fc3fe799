import datetime as dt

import msgspec
import pytest

from dialplan.dataset.problems import DataProblems, Place, field_name, problem
from dialplan.wording import Code

LONG = Code("too-long", "{length} characters", "use at most {limit}")
NO_TOML = Code("no-toml", "no TOML", "correct it")


def test_a_problem_reads_as_place_thing_and_hint_on_one_line() -> None:
    found = problem(Place("set.toml", 'numbers[3] "020"'), "name", LONG(length=300, limit=100))
    assert str(found) == 'set.toml: numbers[3] "020": name: 300 characters; use at most 100'


def test_a_problem_has_its_code_and_its_arguments_for_programs() -> None:
    found = problem(Place("set.toml", "numbers[3]"), "name", LONG(length=300, limit=100))
    assert (found.code, found.arguments) == ("too-long", {"length": 300, "limit": 100})


@pytest.mark.parametrize(
    "value", [10**30, "\ud800", ["a", {"b": 1}], dt.datetime(2026, 7, 1, tzinfo=dt.UTC), None, True, 1.5, "x" * 5000]
)
def test_arguments_fit_json_whatever_stood_in_the_file(value: object) -> None:
    found = problem(Place("f", "e"), "", Code("bad", "{value!q}")(value=value))
    again = msgspec.json.decode(msgspec.json.encode(found))
    assert again["arguments"] == found.arguments
    assert len(str(found.arguments["value"])) <= 1000


def test_a_problem_of_a_whole_entry_or_file_leaves_the_empty_parts_out() -> None:
    assert str(problem(Place("set.toml", ""), "", NO_TOML())) == "set.toml: no TOML; correct it"
    assert str(problem(Place("set.toml", "numbers[1]"), "", NO_TOML())) == "set.toml: numbers[1]: no TOML; correct it"


def test_data_problems_carries_all_of_them_and_says_all_of_them() -> None:
    found = [problem(Place("a", "b"), field, NO_TOML()) for field in ("c", "d")]
    error = DataProblems(iter(found))
    assert error.problems == found
    assert str(error).splitlines() == [str(each) for each in found]


@pytest.mark.parametrize(
    ("name", "shown"), [("GREETING", "GREETING"), ("call-flow_2", "call-flow_2"), ("a b", '"a b"'), ("", '""')]
)
def test_a_field_is_quoted_where_it_is_more_than_a_word(name: str, shown: str) -> None:
    assert field_name(name) == shown
