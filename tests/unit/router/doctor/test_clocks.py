import pytest

from router.doctor.clocks import Clock, compared
from router.doctor.findings import State


@pytest.mark.parametrize(
    ("ahead", "within", "state", "said"),
    [
        (0.0, 0.001, State.OK, "within 0.0 s"),
        (1.9, 0.0, State.OK, "within 1.9 s"),
        (-2.5, 0.0, State.WRONG, "2.5 s behind this machine"),
        (2.5, 1.0, State.OK, "within 3.5 s"),  # the answer took so long that it may be right
        (3600.0, 0.1, State.WRONG, "3600.0 s ahead of this machine, and callbacks"),
    ],
)
def test_a_clock_against_this_machines(ahead: float, within: float, state: State, said: str) -> None:
    (found,) = compared([Clock("pbx1", ahead, within)])
    assert (found.part, found.state) == ("clock of pbx1", state)
    assert said in found.what
    assert ("NTP" in found.mend) == (state is State.WRONG)


def test_clocks_that_are_near_this_machines_may_be_far_from_each_other() -> None:
    found = compared([Clock("pbx1", 1.5, 0.0), Clock("redis", -1.5, 0.0)])
    assert [each.state for each in found] == [State.OK, State.OK, State.WRONG]
    assert "3.0 s ahead of redis" in found[2].what


def test_one_clock_that_is_wrong_is_told_once() -> None:
    found = compared([Clock("pbx1", 9.0, 0.0), Clock("pbx2", 0.0, 0.0), Clock("redis", 0.0, 0.0)])
    assert [each.state for each in found] == [State.WRONG, State.OK, State.OK]


def test_without_any_other_clock_nothing_is_seen() -> None:
    assert [each.state for each in compared([])] == [State.NOT_SEEN]
