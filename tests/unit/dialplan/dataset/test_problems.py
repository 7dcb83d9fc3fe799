import pytest

from dialplan.dataset.problems import DataProblems, Fault, Place, Problem, field_name, problem


def test_a_problem_reads_as_place_thing_and_mend_on_one_line() -> None:
    found = problem(Place("set.toml", 'numbers[3] "020"'), "name", Fault("too long", "shorten it"))
    assert str(found) == 'set.toml: numbers[3] "020": name: too long; shorten it'


def test_a_problem_of_a_whole_entry_or_file_leaves_the_empty_parts_out() -> None:
    assert str(Problem("set.toml", "", "", "no TOML", "correct it")) == "set.toml: no TOML; correct it"
    assert str(Problem("set.toml", "numbers[1]", "", "twice", "keep one")) == "set.toml: numbers[1]: twice; keep one"


def test_data_problems_carries_all_of_them_and_says_all_of_them() -> None:
    found = [Problem("a", "b", "c", "first", "hint"), Problem("a", "b", "d", "second", "hint")]
    error = DataProblems(iter(found))
    assert error.problems == found
    assert str(error).splitlines() == [str(each) for each in found]


@pytest.mark.parametrize(
    ("name", "shown"), [("GREETING", "GREETING"), ("call-flow_2", "call-flow_2"), ("a b", '"a b"'), ("", '""')]
)
def test_a_field_is_quoted_where_it_is_more_than_a_word(name: str, shown: str) -> None:
    assert field_name(name) == shown
