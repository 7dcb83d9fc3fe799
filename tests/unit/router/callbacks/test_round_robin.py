"""Which comes next among the numbers that all routers show, and that nobody waits for it in vain."""

import pytest

from tests.unit.router.rung import PATIENCE_SECONDS, Running, Store


async def test_the_store_says_which_comes_next(store: Store) -> None:
    here = Running(store, shared=True)
    assert here.made.round_robin.shared
    assert [await here.made.round_robin.next_index("win-back") for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("why", ["no route to host", "no answer in time"])
async def test_where_the_store_cannot_say_which_comes_next_nobody_can(store: Store, why: str) -> None:
    slow = why == "no answer in time"
    here = Running(store, claim_seconds=0.01 if slow else PATIENCE_SECONDS, shared=True)
    if slow:
        store.held.clear()
    else:
        store.broken = why
    assert await here.made.round_robin.next_index("win-back") is None
    assert [entry["error"] for entry in here.said("round_robin_failed")] == [why]


async def test_nobody_waits_for_a_turn_of_a_store_that_is_known_to_be_away(store: Store) -> None:
    here = Running(store, shared=True)
    store.broken = "no route to host"
    await here.made.load()
    assert await here.made.round_robin.next_index("win-back") is None
    assert (store.turns, here.said("round_robin_failed")) == (0, [])


async def test_a_router_that_shares_no_store_counts_for_itself(store: Store) -> None:
    here = Running(store)
    assert not here.made.round_robin.shared
    assert await here.made.round_robin.next_index("win-back") is None
    assert (store.turns, here.said("round_robin_failed")) == (0, [])
