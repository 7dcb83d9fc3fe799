"""An entitlement is used once and none is lost: two routers on one Redis, whose links break and whose callers give up.

Each history is small, and drawn from its seed: words about a few attempts of one pair, callbacks at both routers at
once, and faults among them. What the callers saw is judged by `tests.property.linearizable`. Redis keeps its data.
A failure names its seed, and shows what was seen; RINGWAY_HISTORY=SEED plays that one alone, and again and again,
since the seed draws what is done and when, but not how the machine's tasks interleave.
"""

import multiprocessing
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from dialplan.campaigns.callbacks import Claim
from router.store.api import StoreError
from router.store.redis import callback_scripts as scripts
from router.store.redis.callbacks import RedisCallbackStore
from router.store.redis.lua_script import Script
from tests.property.callback_plans import FAULTS
from tests.property.callback_players import AS_FAR, SHOWN, Tally, play_all

USUAL, LONG = 300, 10_000
ALONE = 100  # how often the history that was asked for is played
BATCH = 250


def told(tally: Tally, seeds: range, seconds: float) -> None:
    """Print what was played, and fail where something does not fit."""
    seen = ", ".join(f"{count} {what}" for what, count in sorted(tally.seen.items()))
    print(f"\nseeds {seeds.start} to {seeds[-1]}, in {seconds:.0f} s: {seen}")  # noqa: T201 - for whoever runs it
    if tally.wrong:
        texts = [
            f"history {seed} (RINGWAY_HISTORY={seed} plays it alone): {text}" for seed, text in tally.wrong[:SHOWN]
        ]
        seeds_wrong = sorted({seed for seed, _ in tally.wrong})
        pytest.fail(f"not as one after the other, seeds {seeds_wrong}\n\n" + "\n\n".join(texts), pytrace=False)
    # What should be shown has happened.
    assert all(tally.seen[what] for what in (*FAULTS, "unanswered", "right", "used", "none", "told"))


def test_two_routers_give_no_right_twice_and_lose_none() -> None:
    began = time.monotonic()
    if alone := os.environ.get("RINGWAY_HISTORY"):
        tally = play_all([int(alone)] * ALONE, enough=1)
        told(tally, range(int(alone), int(alone) + 1), time.monotonic() - began)
        return
    told(play_all(range(USUAL)), range(USUAL), time.monotonic() - began)


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(1200)
def test_two_routers_give_no_right_twice_and_lose_none_in_ten_thousand_histories() -> None:
    began = time.monotonic()
    whole = Tally([], Counter())
    batches = [range(first, first + BATCH) for first in range(0, LONG, BATCH)]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), multiprocessing.get_context("spawn")) as processes:
        for part in processes.map(play_all, batches):
            whole.wrong.extend(part.wrong)
            whole.seen.update(part.seen)
    assert whole.wrong or whole.seen["histories"] == LONG
    told(whole, range(LONG), time.monotonic() - began)


KNOWN = "local known = redis.call('HGET', KEYS[1], 'c:' .. call)"
REV = "if (redis.call('HGET', KEYS[1], 'rev') or '0') ~= rev then"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([("CLAIM", REV, "if false then")], id="two decide at once"),
        pytest.param([(name, KNOWN, "local known = false") for name in ("LOOK", "CLAIM")], id="answers forgotten"),
        pytest.param([("CLAIM", "if used_at ~= '' then", "if false then")], id="nothing consumed"),
        pytest.param([("WRITE", "if there == known then", "if true then")], id="the last word stands"),
    ],
)
def test_a_store_that_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch, changes: list[tuple[str, str, str]]) -> None:
    """The very scripts, each with one thing left out."""
    for name, right, wrong in changes:
        text = getattr(scripts, name).text
        assert text.count(right) == 1
        monkeypatch.setattr(scripts, name, Script(text.replace(right, wrong)))
    assert AS_FAR in play_all(range(LONG), enough=1).wrong[0][1]


def test_a_caller_who_takes_an_error_for_an_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a fault at the worst moment, and shows that there are such faults."""
    claim = RedisCallbackStore.claim

    async def hasty(store: RedisCallbackStore, number: str, subscriber: str, call_id: str, *other: Any) -> Claim:
        try:
            return await claim(store, number, subscriber, call_id, *other)
        except StoreError:
            return await claim(store, number, subscriber, f"{call_id} again", *other)

    monkeypatch.setattr(RedisCallbackStore, "claim", hasty)
    assert AS_FAR in play_all(range(LONG), enough=1).wrong[0][1]
