from dialplan.kinds.number import Number
from dialplan.routing.entries import Entries
from dialplan.routing.steps import COMPILING, REASONS, STEPS


def test_each_step_and_each_reason_has_a_name_of_its_own() -> None:
    names = [step.name for step in STEPS]
    assert len(set(names)) == len(names)
    assert len(set(REASONS)) == len(REASONS)


def test_only_the_last_step_looks_at_what_others_have_ended() -> None:
    assert [step.last for step in STEPS] == [False] * (len(STEPS) - 1) + [True]


def test_only_those_steps_are_asked_at_load_that_make_something_of_a_row() -> None:
    assert [step.name for step in COMPILING] == ["status", "assignment"]


def test_the_usual_number_has_no_steps_of_its_own() -> None:
    assert Entries().of(Number("+442079460000", company="acme", call_flow="menu"))[0].steps == ()
