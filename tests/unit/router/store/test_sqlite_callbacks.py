import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dialplan.attempts import Attempt, Outcome
from dialplan.callbacks import Claim, History, Verdict
from router.store.base import StoreError
from router.store.sqlite_callbacks import SqliteCallbackStore

OUR, ALSO_OURS = "+442079460000", "+442079460001"
ANNA, BORIS = "+447700900123", "+447700900456"
SINCE = {"win-back": 0.0, "survey": 0.0}


def attempt(name: str = "1.1", at: float = 100.0, outcome: Outcome = Outcome.MISSED, **fields: str) -> Attempt:
    values = {"campaign": "win-back", "number": OUR, "subscriber": ANNA} | fields
    return Attempt(name, at=at, outcome=outcome, **values)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteCallbackStore]:
    opened = SqliteCallbackStore(tmp_path / "calls" / "ringway-calls.db")
    await opened.open()
    yield opened
    await opened.close()


async def test_an_attempt_counts_once(store: SqliteCallbackStore) -> None:
    assert await store.record([attempt(), attempt()]) == [attempt()]
    assert await store.record([attempt(at=101.0)]) == []
    assert await store.attempts(None, None, 10) == [attempt()]


@pytest.mark.parametrize(
    ("first", "second", "stands"),
    [
        (Outcome.MISSED, Outcome.ANSWERED, Outcome.ANSWERED),
        (Outcome.ANSWERED, Outcome.MISSED, Outcome.ANSWERED),
        (Outcome.FAILED, Outcome.MISSED, Outcome.MISSED),
        (Outcome.MISSED, Outcome.FAILED, Outcome.MISSED),
    ],
)
async def test_of_two_words_the_one_that_saw_more_stands(
    store: SqliteCallbackStore, first: Outcome, second: Outcome, stands: Outcome
) -> None:
    await store.record([attempt(outcome=first)])
    news = await store.record([attempt(outcome=second)])
    assert [each.outcome for each in news] == ([second] if stands is second else [])
    assert [each.outcome for each in await store.attempts(None, None, 10)] == [stands]


async def test_a_right_is_given_once_and_the_same_call_gets_it_again(store: SqliteCallbackStore) -> None:
    await store.record([attempt()])
    right = Claim(Verdict.RIGHT, attempt())
    assert await store.claim(OUR, ANNA, "call-1", 150.0, SINCE) == right
    assert await store.claim(OUR, ANNA, "call-2", 151.0, SINCE) == Claim(Verdict.USED, attempt())
    assert await store.claim(OUR, ANNA, "call-1", 152.0, SINCE) == right
    assert await store.claim(OUR, ANNA, "call-2", 153.0, {}) == Claim(Verdict.USED, attempt())


async def test_a_call_without_a_right_stays_without_it(store: SqliteCallbackStore) -> None:
    assert await store.claim(OUR, ANNA, "call-1", 170.0, SINCE) == Claim(Verdict.NONE)
    await store.record([attempt(at=160.0)])
    assert await store.claim(OUR, ANNA, "call-1", 170.0, SINCE) == Claim(Verdict.NONE)
    assert await store.claim(OUR, ANNA, "call-2", 171.0, SINCE) == Claim(Verdict.RIGHT, attempt(at=160.0))


async def test_pairs_do_not_touch_each_other(store: SqliteCallbackStore) -> None:
    await store.record([attempt("1"), attempt("2", number=ALSO_OURS), attempt("3", subscriber=BORIS)])
    for name, (number, subscriber) in {"1": (OUR, ANNA), "2": (ALSO_OURS, ANNA), "3": (OUR, BORIS)}.items():
        claim = await store.claim(number, subscriber, "the same call id", 150.0, SINCE)
        assert claim.attempt is not None
        assert (claim.verdict, claim.attempt.id) == (Verdict.RIGHT, name)
    assert (await store.claim(ALSO_OURS, BORIS, "c", 150.0, SINCE)).verdict is Verdict.NONE


async def test_an_attempt_that_ended_later_is_for_a_later_call(store: SqliteCallbackStore) -> None:
    """He is busy because he is on this very call: asked again, it gets what it got before."""
    later = attempt("2", at=160.0)
    await store.record([attempt("1"), later])
    assert await store.claim(OUR, ANNA, "call-1", 150.0, SINCE) == Claim(Verdict.RIGHT, attempt("1"))
    assert await store.claim(OUR, ANNA, "call-1", 150.0, SINCE) == Claim(Verdict.RIGHT, attempt("1"))
    assert await store.claim(OUR, ANNA, "call-2", 151.0, SINCE) == Claim(Verdict.USED, attempt("1"))
    assert await store.claim(OUR, ANNA, "call-3", 170.0, SINCE) == Claim(Verdict.RIGHT, later)


async def test_of_200_callbacks_at_once_one_has_the_right(store: SqliteCallbackStore) -> None:
    await store.record([attempt()])
    claims = await asyncio.gather(*(store.claim(OUR, ANNA, f"call-{place}", 150.0, SINCE) for place in range(200)))
    assert sorted(claim.verdict for claim in claims) == [Verdict.RIGHT, *[Verdict.USED] * 199]


async def test_everything_outlives_the_process(store: SqliteCallbackStore) -> None:
    await store.record([attempt("1"), attempt("2", subscriber=BORIS)])
    await store.claim(OUR, ANNA, "call-1", 150.0, SINCE)
    again = SqliteCallbackStore(store.path)
    try:
        await again.open(make=False)
        assert {each.id for each in await again.missed()} == {"1", "2"}
        assert (await again.claim(OUR, ANNA, "call-2", 160.0, SINCE)).verdict is Verdict.USED
        assert (await again.claim(OUR, ANNA, "call-1", 160.0, SINCE)).verdict is Verdict.RIGHT
        assert (await again.claim(OUR, BORIS, "call-3", 160.0, SINCE)).verdict is Verdict.RIGHT
    finally:
        await again.close()


async def test_a_history_is_shown_and_uses_up_nothing(store: SqliteCallbackStore) -> None:
    await store.record([attempt("1"), attempt("2", at=120.0)])
    for _ in range(2):
        assert await store.history(OUR, ANNA) == History((attempt("2", at=120.0), attempt("1")), None)
    await store.claim(OUR, ANNA, "call-1", 150.0, SINCE)
    assert (await store.history(OUR, ANNA)).used_at == 150.0


async def test_attempts_are_listed_newest_first(store: SqliteCallbackStore) -> None:
    await store.record(
        [attempt("1"), attempt("2", at=120.0, subscriber=BORIS), attempt("3", at=90.0, number=ALSO_OURS)]
    )

    async def listed(number: str | None, subscriber: str | None, limit: int = 10) -> list[str]:
        return [each.id for each in await store.attempts(number, subscriber, limit)]

    assert await listed(None, None) == ["2", "1", "3"]
    assert await listed(None, None, 2) == ["2", "1"]
    assert await listed(OUR, None) == ["2", "1"]
    assert await listed(None, ANNA) == ["1", "3"]
    assert await listed(OUR, BORIS) == ["2"]
    assert await listed(ALSO_OURS, BORIS) == []


async def test_what_is_past_its_window_is_forgotten_with_its_claims(store: SqliteCallbackStore) -> None:
    await store.record([attempt("1"), attempt("2", campaign="survey", subscriber=BORIS), attempt("3", at=900.0)])
    await store.claim(OUR, BORIS, "call-1", 150.0, SINCE)
    assert await store.forget({"win-back": 100.0, "survey": 101.0}, 0.0) == 1
    assert [each.id for each in await store.attempts(None, None, 10)] == ["3", "1"]
    assert await store.claim(OUR, BORIS, "call-1", 160.0, SINCE) == Claim(Verdict.NONE)
    assert await store.forget({}, 900.0) == 1
    assert [each.id for each in await store.attempts(None, None, 10)] == ["3"]


async def test_an_answer_ends_the_rights_of_campaigns_with_a_longer_window_for_as_long(
    store: SqliteCallbackStore,
) -> None:
    await store.record([attempt("1"), attempt("2", at=110.0, campaign="survey", outcome=Outcome.ANSWERED)])
    assert await store.forget({"win-back": 50.0, "survey": 900.0}, 0.0) == 0
    assert (await store.claim(OUR, ANNA, "call-1", 950.0, SINCE)).verdict is Verdict.NONE
    assert await store.forget({"win-back": 901.0, "survey": 900.0}, 0.0) == 2


async def test_a_store_that_is_not_there_is_not_made_for_a_look(tmp_path: Path) -> None:
    missing = SqliteCallbackStore(tmp_path / "none.db")
    with pytest.raises(StoreError, match=r"none\.db: there is none"):
        await missing.open(make=False)
    await missing.close()
    assert list(tmp_path.iterdir()) == []


async def test_somebody_who_holds_the_file_is_named_as_the_reason(store: SqliteCallbackStore) -> None:
    with sqlite3.connect(store.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"somebody else has written to it for more than 0\.2 s"):
            await store.record([attempt()])
        other.execute("ROLLBACK")
    other.close()
    assert await store.record([attempt()]) == [attempt()]


async def test_damaged_content_is_an_error_and_not_a_crash(store: SqliteCallbackStore) -> None:
    with sqlite3.connect(store.path) as other:
        other.execute("INSERT INTO attempts VALUES ('1', 'c', ?, ?, 1.0, 'lost')", (OUR, ANNA))
    other.close()
    with pytest.raises(StoreError, match="the file is damaged"):
        await store.claim(OUR, ANNA, "call", 1.0, SINCE)
