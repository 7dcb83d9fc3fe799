"""Pauses between tries: ever longer, bounded, short again after a success, and spread where that was asked for."""

from router.util.backoff import Backoff


def test_each_pause_is_twice_the_last_one_up_to_the_bound() -> None:
    backoff = Backoff(0.5, 5.0)
    assert [backoff.next_seconds() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_after_a_success_it_begins_again() -> None:
    backoff = Backoff(0.5, 5.0)
    assert not backoff.failing
    for _ in range(4):
        backoff.next_seconds()
        assert backoff.failing
    backoff.reset()
    assert not backoff.failing
    assert [backoff.next_seconds() for _ in range(2)] == [0.5, 1.0]


def test_spread_pauses_lie_between_half_of_it_and_all_of_it_and_differ() -> None:
    drawn = []
    for _ in range(50):
        backoff = Backoff(1.0, 4.0, spread=True)
        drawn.append([backoff.next_seconds() for _ in range(4)])
    for place, longest in enumerate((1.0, 2.0, 4.0, 4.0)):
        pauses = {each[place] for each in drawn}
        assert len(pauses) > 1
        assert all(longest / 2 <= pause <= longest for pause in pauses)
