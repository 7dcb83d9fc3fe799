"""The use cases as an API calls them: open stores and values in, structs out, and no command around them."""

import json
import pathlib
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import msgspec
import pytest

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.dataset.changes import ChangeSet, Stored, prepare
from dialplan.dataset.problems import DataProblems, Place, problem
from dialplan.kinds.fields import Destination
from dialplan.kinds.number import CallbackRule, Number, NumberKind
from dialplan.kinds.registry import RowKind
from dialplan.numbering.numbers import Bare
from dialplan.routing.decide import Call
from dialplan.wording import Code
from router.management import attempts as listing
from router.management import check as checking
from router.management import load as loading
from router.management.dump import dump
from router.management.explain import BadTimeError, Past, explain, past_of
from router.store.api import place_of
from router.store.sqlite.callbacks import SqliteCallbackStore, beside
from router.store.sqlite.store import SqliteStore, from_url
from tests.samples import campaign, company, flow, number, raw

OURS, ANNA = "+442079460000", "+447700900123"
NOW = 1_782_907_200.0  # 2026-07-01T12:00:00Z
DEFAULT = Destination("ringway-default")
ROWS = raw(
    company(),
    flow("menu"),
    campaign("win-back", direction="outbound", accept_incoming=True),
    number(call_flow="menu"),
    number("02079460001", call_flow="menu", status="disabled"),
)
DOUBT = problem(
    Place("set.toml", "numbers[4]"), "call_flow", Code("takes-no-calls", "it takes no calls", "name another one")()
)


@pytest.fixture
async def store(tmp_path: pathlib.Path) -> AsyncIterator[SqliteStore]:
    made = from_url(f"sqlite:{tmp_path / 'ringway.db'}")
    await made.open()
    await loading.load(made, ROWS)
    yield made
    await made.close()


@pytest.fixture
async def calls(tmp_path: pathlib.Path) -> AsyncIterator[SqliteCallbackStore]:
    """One that knows of a missed attempt, and of one that never got through."""
    made = beside(tmp_path / "ringway.db")
    await made.open()
    missed = Attempt("1.1", "win-back", OURS, ANNA, NOW - 600, Outcome.MISSED)
    await made.record([missed, Attempt("1.2", "win-back", OURS, "+447700900456", NOW - 60.25, Outcome.FAILED)])
    yield made
    await made.close()


async def nobody_asks(*_: object) -> Past:
    raise AssertionError


def to(dialled: str, caller: str = "") -> Call:
    return Call(dialled, caller, "GB", Bare.E164)


# --- check, load, dump ----------------------------------------------------------------------------------------------


def test_a_set_that_stands_alone_is_counted() -> None:
    checked = checking.check(ROWS, [])
    assert checked.rows == {"companies": 1, "call_flows": 1, "campaigns": 1, "numbers": 2}
    assert checked.warnings == ()


def test_what_was_wrong_with_the_files_is_told_with_the_rest() -> None:
    with pytest.raises(DataProblems) as refused:
        checking.check(raw(number()), [DOUBT])
    assert refused.value.problems[0] == DOUBT
    assert len(refused.value.problems) == 2


async def test_a_load_says_what_it_did_and_the_next_one_that_nothing_was_left(store: SqliteStore) -> None:
    one = raw(number("02079460002", call_flow="menu"))
    assert await loading.load(store, one) == loading.Loaded(2, 1, ())
    assert await loading.load(store, one) == loading.Loaded(2, 0, ())
    assert await loading.load(store, ROWS, replace=True) == loading.Loaded(3, 1, ())


async def test_a_refused_load_changes_nothing(store: SqliteStore) -> None:
    with pytest.raises(DataProblems):
        await loading.load(store, raw(number("02079460002")), before=[DOUBT])
    with pytest.raises(DataProblems):
        await loading.load(store, raw(number("02079460002")), as_company="globex")
    assert await loading.load(store, ROWS, replace=True) == loading.Loaded(1, 0, ())


async def test_a_load_returns_the_warnings_of_its_change(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(rows: Any, stored: Stored, **options: Any) -> ChangeSet:
        return ChangeSet(prepare(rows, stored, **options).rows, (DOUBT,))

    monkeypatch.setattr(loading, "prepare", warn)
    assert (await loading.load(store, ROWS)).warnings == (DOUBT,)


async def test_a_dump_is_handed_over_in_pieces(store: SqliteStore) -> None:
    pieces: list[str] = []
    assert await dump(store, pieces.append, as_json=True) == 1
    assert len(pieces) > 5
    found = json.loads("".join(pieces))
    assert [len(found[kind]) for kind in ("companies", "call_flows", "campaigns", "numbers")] == [1, 1, 1, 2]


async def test_a_pool_number_that_was_stored_with_a_rule_is_dumped_so_that_it_loads(store: SqliteStore) -> None:
    pooled = Number("+447700900100", kind=NumberKind.POOL, callback_rule=CallbackRule.FORCE_NO)
    await store.commit(lambda _: ChangeSet({RowKind.NUMBER: {pooled.number: pooled}}))
    held: list[object] = []
    await store.view(lambda stored: held.append(stored.get(RowKind.NUMBER, pooled.number)))
    assert held == [pooled]
    pieces: list[str] = []
    await dump(store, pieces.append, as_json=True)
    dumped = json.loads("".join(pieces))
    (entry,) = [each for each in dumped["numbers"] if each.get("kind") == "pool"]
    assert entry == {"number": "+447700900100", "kind": "pool"}
    rows = raw(*((kind, values) for kind in RowKind for values in dumped.get(kind, ())))
    assert (await loading.load(store, rows, replace=True)).changed == 1


# --- explain --------------------------------------------------------------------------------------------------------


async def test_a_decision_comes_with_its_steps(store: SqliteStore) -> None:
    found = await explain(store, nobody_asks, to("02079460000"), NOW, DEFAULT)
    assert (found.number, found.kind, found.id, found.reason) == (OURS, "call-flow", "menu", "assigned")
    assert (found.at, found.version, found.company) == ("2026-07-01T12:00:00Z", 1, "acme")
    assert [step.step for step in found.steps][:3] == ["caller", "dialled number", "number"]


@pytest.mark.parametrize(
    ("dialled", "caller"),
    [("02079460000", ""), ("02079460000", "anonymous"), ("02079460001", ANNA), ("02079469999", ANNA), ("x", ANNA)],
)
async def test_the_past_is_asked_for_only_where_it_may_matter(store: SqliteStore, dialled: str, caller: str) -> None:
    await explain(store, nobody_asks, to(dialled, caller), NOW, DEFAULT)


async def test_a_callback_is_decided_by_the_past_of_that_moment(store: SqliteStore, calls: SqliteCallbackStore) -> None:
    past = partial(past_of, calls)
    found = await explain(store, past, to("02079460000", ANNA), NOW, DEFAULT)
    assert (found.reason, found.kind, found.id) == ("callback-campaign", "campaign", "win-back")
    found = await explain(store, past, to("02079460000", ANNA), NOW - 3600, DEFAULT)
    assert (found.reason, found.id) == ("assigned", "menu")


async def test_a_time_in_words_is_the_companys_own(store: SqliteStore) -> None:
    found = await explain(store, nobody_asks, to("02079460000"), "2026-07-01T13:00:00", DEFAULT)
    assert found.at == "2026-07-01T12:00:00Z"
    with pytest.raises(BadTimeError, match="is not a date and time; write it like"):
        await explain(store, nobody_asks, to("02079460000"), "soon", DEFAULT)


# --- attempts -------------------------------------------------------------------------------------------------------


async def test_attempts_are_listed_newest_first(calls: SqliteCallbackStore) -> None:
    asked = listing.wanted("020 7946 0000", None, 9, "GB", Bare.E164)
    assert asked == listing.Wanted(OURS, None, 9)
    assert await listing.attempts(calls, asked) == [
        listing.Listed("2026-07-01T11:58:59.750Z", "failed", "win-back", OURS, "+447700900456", "1.2"),
        listing.Listed("2026-07-01T11:50:00.000Z", "missed", "win-back", OURS, ANNA, "1.1"),
    ]


async def test_attempts_of_a_campaign_are_listed_page_by_page(calls: SqliteCallbackStore) -> None:
    asked = listing.wanted(None, None, 1, "GB", Bare.E164, "win-back")
    assert asked.campaign == "win-back"
    (first,) = await listing.attempts(calls, asked)
    (newest,) = await calls.attempts(None, None, 1)
    (second,) = await listing.attempts(calls, msgspec.structs.replace(asked, after=place_of(newest)))
    assert (first.id, second.id) == ("1.2", "1.1")
    assert await listing.attempts(calls, msgspec.structs.replace(asked, campaign="survey")) == []


@pytest.mark.parametrize(("number", "subscriber", "field"), [("x", None, "number"), (OURS, "x", "subscriber")])
def test_a_number_that_cannot_be_read_is_told_by_its_field(number: str, subscriber: str | None, field: str) -> None:
    with pytest.raises(listing.BadNumberError, match=re.escape("no letters")) as error:
        listing.wanted(number, subscriber, 9, "GB", Bare.E164)
    assert (error.value.field, error.value.value) == (field, "x")
