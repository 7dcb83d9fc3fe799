from bisect import bisect_right
from collections.abc import Sequence

import pytest

from dialplan.routing import pool as pool_module
from dialplan.routing.pool import Pool
from dialplan.shards import Shards, Steps, finished

NUMBERS = [f"+44207946{place:04}" for place in range(100)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of few numbers, and few changes that are many."""
    monkeypatch.setattr(pool_module, "CHUNK", 4)
    monkeypatch.setattr(pool_module, "_STEP_CHUNKS", 2)
    monkeypatch.setattr(pool_module, "_REBUILD_CHANGES", 20)


def shards(numbers: Sequence[str]) -> Shards[None]:
    made: Shards[None] = Shards()
    made.update(dict.fromkeys(numbers))
    return made


def changed(pool: Pool, comes: list[str] | None = None, goes: list[str] | None = None) -> Pool:
    return finished(pool.changing(shards(comes or []), shards(goes or [])))


def test_an_empty_one_has_nothing() -> None:
    pool = Pool()
    assert (len(pool), list(pool), bool(pool), pool == []) == (0, [], False, True)
    with pytest.raises(IndexError):
        pool[0]


@pytest.mark.parametrize("count", [1, 4, 5, 20, 21, 100])
def test_numbers_come_in_any_order_and_stand_in_theirs(count: int) -> None:
    pool = changed(Pool(), NUMBERS[:count][::-1])
    assert pool == NUMBERS[:count]
    assert pool != NUMBERS[1:count]
    assert [pool[place] for place in range(-count, count)] == NUMBERS[:count] * 2
    assert pool[1:3] == NUMBERS[:count][1:3]
    for place in (count, -count - 1):
        with pytest.raises(IndexError):
            pool[place]
    assert [bisect_right(pool, number) for number in NUMBERS[:count]] == list(range(1, count + 1))


def test_a_change_leaves_the_one_before_and_the_chunks_that_it_does_not_touch_as_they_were() -> None:
    pool = changed(Pool(), NUMBERS[::2])
    chunks = list(pool.chunks)
    after = changed(pool, [NUMBERS[1]], [NUMBERS[2]])
    assert after == [*NUMBERS[:2], *NUMBERS[4::2]]
    assert pool == NUMBERS[::2]
    assert [id(chunk) for chunk in after.chunks[1:]] == [id(chunk) for chunk in chunks[1:]]
    assert changed(after) is after


def test_a_chunk_that_grows_is_split_and_one_that_is_emptied_goes() -> None:
    pool = changed(Pool(), NUMBERS[:50])
    for number in NUMBERS[50:]:
        pool = changed(pool, [number])
    assert pool == NUMBERS
    assert all(0 < len(chunk) <= 8 for chunk in pool.chunks)
    for number in NUMBERS[:98]:
        pool = changed(pool, [], [number])
        assert all(pool.chunks)
    assert changed(pool, [], NUMBERS[98:]) == []


def test_small_chunks_do_not_pile_up() -> None:
    pool = changed(Pool(), NUMBERS)
    for number in [number for place, number in enumerate(NUMBERS) if place % 4]:
        pool = changed(pool, [], [number])
    assert pool == NUMBERS[::4]
    assert len(pool.chunks) <= 4 * len(pool) // 4 + 16
    for round_ in range(40):  # whatever comes and goes, they are merged again once there are too many
        pool = changed(pool, [f"+1{round_:03}{place:04}" for place in range(8)])
        pool = changed(pool, [], [f"+1{round_:03}{place:04}" for place in range(7)])
        assert len(pool.chunks) <= len(pool) + 16


@pytest.mark.parametrize(("comes", "goes", "steps"), [(10, 10, 1), (0, 19, 2), (50, 50, 12), (50, 0, 25)])
def test_a_change_is_made_in_steps(comes: int, goes: int, steps: int) -> None:
    pool, made = changed(Pool(), NUMBERS[:50]), []

    def noted() -> Steps[None]:
        some, others = shards(NUMBERS[50 : 50 + comes]), shards(NUMBERS[50 - goes : 50])
        made.append((yield from pool.changing(some, others)))

    assert len(list(noted())) >= steps
    assert made == [[*NUMBERS[: 50 - goes], *NUMBERS[50 : 50 + comes]]]


class Counted(Shards[None]):
    """Counts how often it is asked whether it has a number."""

    asked = 0

    def __contains__(self, number: object) -> bool:
        self.asked += 1
        return super().__contains__(number)


def test_a_step_passes_over_few_of_the_many_that_go_in_a_row() -> None:
    pool, goes = changed(Pool(), NUMBERS), Counted()
    goes.update(dict.fromkeys(NUMBERS[:80]))
    steps = []
    for _ in pool.changing(shards([]), goes):
        steps.append(goes.asked)
        goes.asked = 0
    assert (sum(steps), max(steps)) == (len(NUMBERS), 8)
