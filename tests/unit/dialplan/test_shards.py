import gc
import weakref

import pytest

from dialplan.numbering.numbers import Unreadable
from dialplan.shards import SHARD_MASK, SHARDS, Shards, Steps, finished, let_go, untracked

NUMBERS = [f"+44207946{place:04}" for place in range(3_000)]


def filled() -> Shards[int]:
    made: Shards[int] = Shards()
    for place, number in enumerate(NUMBERS):
        made[number] = place
    return made


def test_it_is_a_mapping() -> None:
    made = filled()
    assert dict(made) == {number: place for place, number in enumerate(NUMBERS)} == made
    assert len(made) == len(NUMBERS)
    assert (made["+442079460007"], made.get("+442079460007"), "+442079460007" in made) == (7, 7, True)
    del made["+442079460007"]
    assert (made.get("+442079460007"), made.get("+442079460007", -1), "+442079460007" in made) == (None, -1, False)
    with pytest.raises(KeyError):
        made["+442079460007"]
    assert len(made) == len(NUMBERS) - 1


def test_each_number_stands_in_the_piece_that_its_hash_says_and_all_pieces_are_in_use() -> None:
    made = filled()
    for place, number in enumerate(NUMBERS):
        assert made.dicts[hash(number) & SHARD_MASK].get(number) == place
    assert len(made.dicts) == SHARDS
    assert max(map(len, made.dicts)) < 30  # 3 a piece


@pytest.mark.parametrize("number", [*Unreadable])
def test_what_is_no_number_is_not_in_it(number: Unreadable) -> None:
    assert filled().dicts[hash(number) & SHARD_MASK].get(number) is None


def test_steps_are_taken_to_their_result() -> None:
    taken: list[int] = []

    def steps() -> Steps[str]:
        for step in range(3):
            taken.append(step)
            yield
        return "done"

    assert (finished(steps()), taken) == ("done", [0, 1, 2])


class Thing:
    """Something that can be looked for."""


def test_groups_are_let_go_of_one_by_one() -> None:
    groups = [[Thing(), Thing()] for _ in range(3)]
    known = [weakref.ref(thing) for group in groups for thing in group]
    assert [sum(each() is not None for each in known) for _ in let_go(groups)] == [4, 2]
    assert (groups, [each() for each in known]) == ([], [None] * 6)


def test_a_dictionary_in_the_last_group_is_let_go_of_by_a_few_and_left_whole_for_who_has_it_too() -> None:
    shard = {place: Thing() for place in range(40)}
    known = [weakref.ref(thing) for thing in shard.values()]
    assert len(list(let_go([[shard]]))) == 3
    assert len(shard) == 40
    groups = [[shard]]
    del shard
    assert [sum(each() is not None for each in known) for _ in let_go(groups)] == [24, 8, 0]


def test_a_tuple_of_numbers_is_none_of_the_garbage_collectors() -> None:
    made = untracked(iter(NUMBERS))
    assert made == tuple(NUMBERS)
    assert not gc.is_tracked(made)
