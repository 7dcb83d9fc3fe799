"""Rows as they are read add up to what is there in the end, whatever was read twice or has changed meanwhile."""

from hypothesis import given
from hypothesis import strategies as st

from router.store.redis.sums import Sum, Tally, difference, sum_of

_KEYS = st.sampled_from([f"+4420794600{place:02}" for place in range(8)])
_STEPS = st.lists(st.tuples(st.sampled_from([1, 2]), _KEYS, st.none() | st.binary(max_size=3), st.booleans()))


@given(_STEPS)
def test_a_tally_is_of_what_was_told_last_of_each_row(steps: list[tuple[int, str, bytes | None, bool]]) -> None:
    tally, kinds = Tally(2), ({}, {})  # type: tuple[Tally, tuple[dict[str, bytes], dict[str, bytes]]]
    for code, key, body, is_read in steps:
        rows = kinds[code - 1]
        if body is not None and is_read:
            assert tally.add(code, key.encode(), body) == key
            rows[key] = body
        elif body is None:
            tally.change(code, key, None)
            rows.pop(key, None)
        else:
            tally.change(code, key, body.hex())
            rows[key] = body.hex().encode()
    assert tally.sums() == tuple(map(sum_of, kinds))


def test_a_tally_of_nothing_is_nothing() -> None:
    assert Tally(3).sums() == (Sum(0, 0),) * 3


def test_the_first_kind_that_differs_is_told() -> None:
    said, found = [Sum(1, 5), Sum(2, 7), Sum(3, 9)], [Sum(1, 5), Sum(2, 8), Sum(3, 8)]
    assert difference(said, found) == (2, Sum(2, 7), Sum(2, 8))
    assert difference(said, said) is None
