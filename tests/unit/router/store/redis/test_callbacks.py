"""What is Redis's own of attempts and claims; what every store promises is in test_callback_stores."""

import asyncio
import math
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from dialplan.campaigns.attempts import Heard, Outcome
from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.campaigns.retention import Cutoffs
from router.config.limits import ATTEMPT_KEEP_SECONDS
from router.store.api import StoreError, place_of
from router.store.redis import callback_scripts as scripts
from router.store.redis import callbacks as redis_callbacks
from router.store.redis.address import Options, parse
from router.store.redis.callbacks import RedisCallbackStore
from router.store.redis.connection import Reply
from router.store.redis.counters import RedisCounterStore
from router.store.redis.lua_script import Script
from tests.redis_server import RedisServer
from tests.unit.router.store.attempts import ANNA, BORIS, OUR, SINCE, attempt, ids
from tests.unit.router.store.conftest import PATIENCE_SECONDS


class Kept:
    """A store, and what lies in its Redis."""

    def __init__(self, server: RedisServer) -> None:
        self.prefix = uuid.uuid4().hex
        self.store = RedisCallbackStore(parse(server.url), Options(prefix=self.prefix))
        self.client: Any = server.client()

    def backup(self) -> Callable[[], None]:
        """Keep what lies there now; what is returned brings it back, as a master does that lacks the last writes."""
        kept = {name: self.client.dump(name) for name in self.names()}

        def bring_back() -> None:
            self.client.delete(*self.names())
            for name, content in kept.items():
                self.client.restore(name, 0, content)

        return bring_back

    def names(self) -> list[str]:
        return [key.decode() for key in self.client.keys(f"*{self.prefix}*")]


@pytest.fixture
async def kept(redis_server: RedisServer) -> AsyncIterator[Kept]:
    made = Kept(redis_server)
    await made.store.open()
    yield made
    await made.store.close()


async def test_all_keys_have_the_prefix_as_their_hash_tag(kept: Kept) -> None:
    await kept.store.record([attempt()])
    await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)
    await RedisCounterStore(kept.store.link).next("win-back")
    assert len(kept.names()) >= 7
    assert {key.partition(":")[0] for key in kept.names()} == {f"{{{kept.prefix}}}"}


async def test_nothing_is_left_of_what_is_purged_but_the_stream(kept: Kept) -> None:
    await kept.store.record([attempt(), attempt("2", outcome=Outcome.FAILED)])
    await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)
    assert await kept.store.purge(Cutoffs({}, math.inf)) == 2
    assert {key.partition(":")[2] for key in kept.names()} == {"calls", "news"}


async def test_nothing_is_left_of_what_is_purged_in_several_goes(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_callbacks, "ATTEMPTS_DROPPED_AT_ONCE", 2)
    await kept.store.record([attempt(str(place)) for place in range(5)])
    assert (await asked(kept, kept.store.purge(Cutoffs({}, math.inf))))["zrem"] >= 5
    assert {key.partition(":")[2] for key in kept.names()} == {"calls", "news"}


async def test_a_look_at_an_empty_store_writes_nothing(kept: Kept) -> None:
    kept.client.delete(*kept.names())
    await kept.store.open(make=False)
    assert await ids(kept.store) == []
    assert kept.names() == []


async def test_a_server_that_is_emptied_has_another_history(kept: Kept) -> None:
    await kept.store.record([attempt()])
    cursor = (await kept.store.changes("", 0)).cursor
    kept.client.delete(*kept.names())
    changes = await kept.store.changes(cursor, 0)
    assert (changes.full, changes.attempts, changes.cursor != cursor) == (True, [], True)


async def test_another_history_under_the_same_numbers_is_read_in_full(kept: Kept) -> None:
    """A new master that lost an attempt, and was told of others before this router asked it for changes."""
    await kept.store.record([attempt("1")])
    bring_back = kept.backup()
    await kept.store.record([attempt("lost")])
    cursor = (await kept.store.changes("", 0)).cursor
    bring_back()
    for name in ("2", "3"):
        await kept.store.record([attempt(name)])
        changes = await kept.store.changes(cursor, 0)
        assert changes.full
        assert "2" in {each.id for each in changes.attempts}
    following = await kept.store.changes(changes.cursor, 0)
    assert (following.full, following.attempts) == (False, [])


async def test_an_entitlement_that_was_given_and_lost_is_another_history(kept: Kept) -> None:
    """Whoever heard that it was given finds out, even where the new master has given it again."""
    await kept.store.record([attempt("1")])
    bring_back = kept.backup()
    await kept.store.claim(OUR, ANNA, "lost", 150.0, SINCE)
    changes = await kept.store.changes("", 0)
    assert not (await kept.store.changes(changes.cursor, 0)).full
    bring_back()
    assert (await kept.store.claim(OUR, ANNA, "another", 151.0, SINCE)).status is ClaimStatus.GRANTED
    assert (await kept.store.changes(changes.cursor, 0)).full


async def test_a_claim_that_looked_at_one_master_is_not_written_at_another(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one lacks the last word about the pair, and has another claim in its place: as many changes as before."""
    await kept.store.record([attempt("1")])
    bring_back = kept.backup()
    await kept.store.record([attempt("lost", outcome=Outcome.FAILED)])
    look = kept.store._look
    others: list[Claim] = []

    async def looks_before(*asked: Any) -> Any:
        seen = await look(*asked)
        monkeypatch.undo()
        bring_back()
        others.append(await kept.store.claim(OUR, ANNA, "another", 150.0, SINCE))
        return seen

    monkeypatch.setattr(kept.store, "_look", looks_before)
    claim = await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)
    assert [each.status for each in (*others, claim)] == [ClaimStatus.GRANTED, ClaimStatus.CONSUMED]


async def test_what_is_left_of_older_news_is_in_nobodys_way(kept: Kept) -> None:
    for read_first in (True, False):
        await kept.store.record([attempt(f"old {read_first}")])
        kept.client.delete(f"{{{kept.prefix}}}:calls")
        if read_first:
            await kept.store.open()
        recorded = await kept.store.record([attempt(f"new {read_first}")])
        assert [each.heard for each in recorded] == [Heard.NEW]
        cursor = (await kept.store.changes("", 0)).cursor
        await kept.store.record([attempt(f"newer {read_first}")])
        assert [each.id for each in (await kept.store.changes(cursor, 0)).attempts] == [f"newer {read_first}"]


async def test_what_earlier_development_versions_wrote_stays_good(kept: Kept) -> None:
    """Revisions counted, entries without ids and of attempts alone, claims not counted."""
    await kept.store.record([attempt("1"), attempt("2", subscriber=BORIS)])
    calls, news, pair = (f"{{{kept.prefix}}}:{name}" for name in ("calls", "news", f"pair:{OUR} {ANNA}"))
    written = kept.client.xrange(news)
    await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)
    kept.client.delete(news)
    for name, fields in written:
        kept.client.xadd(news, {"attempt": fields[b"attempt"]}, name)
    kept.client.hset(calls, "seq", len(written))
    kept.client.hdel(calls, "head")
    kept.client.hset(pair, "rev", 2)
    kept.client.hdel(pair, "claims")
    cursor = (await kept.store.changes("", 0)).cursor
    behind = await kept.store.changes(f"{cursor.partition(':')[0]}:1:", 0)
    assert (behind.full, [each.id for each in behind.attempts], behind.cursor) == (False, ["1"], cursor)
    assert not (await kept.store.changes(cursor, 0)).full
    claim = await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)
    assert (claim.status, claim.again) == (ClaimStatus.GRANTED, True)
    assert (await kept.store.claim(OUR, ANNA, "later", 151.0, SINCE)).status is ClaimStatus.CONSUMED
    assert (await kept.store.claim(OUR, BORIS, "call", 150.0, SINCE)).status is ClaimStatus.GRANTED
    await kept.store.record([attempt("3", at=160.0)])
    assert (await kept.store.claim(OUR, ANNA, "last", 170.0, SINCE)).status is ClaimStatus.GRANTED
    following = await kept.store.changes(cursor, 0)
    assert (following.full, [each.id for each in following.attempts]) == (False, ["3"])


async def test_a_robot_that_rings_on_fills_nothing(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_callbacks, "CALLBACK_PAIR_CLAIMS_MAX", 3)
    await kept.store.record([attempt("1")])
    for place in range(9):
        claim = await kept.store.claim(OUR, ANNA, f"call-{place}", 150.0 + place, SINCE)
        assert claim.status is (ClaimStatus.CONSUMED if place else ClaimStatus.GRANTED)
    fields = kept.client.hkeys(f"{{{kept.prefix}}}:pair:{OUR} {ANNA}")
    assert sorted(each for each in fields if each.startswith(b"c:")) == [b"c:call-0", b"c:call-1", b"c:call-2"]
    await kept.store.record([attempt("2", at=170.0)])
    for again in (False, True):  # an entitlement is remembered, however many have rung
        claim = await kept.store.claim(OUR, ANNA, "call-9", 180.0, SINCE)
        assert (claim.status, claim.again) == (ClaimStatus.GRANTED, again)


async def test_what_gave_rights_is_read_page_by_page(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks would wait a second for a million of them in one piece."""
    names = [f"{OUR} {ANNA} {place}" for place in range(3_000)]
    kept.client.sadd(f"{{{kept.prefix}}}:claimed", *names)
    monkeypatch.setattr(redis_callbacks, "PURGE_ROWS_AT_ONCE", 100)
    pages = [page async for page in kept.store._pages(scripts.CLAIMED, kept.store._claimed)]
    assert {name.decode() for page in pages for name in page} == set(names)
    assert max(map(len, pages)) < 1_000
    assert len(pages) < 150, "nor are there more questions than it takes"


async def test_a_router_whose_clock_is_ahead_takes_no_rights_away(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    now, day = time.time(), 86_400.0
    clock = SimpleNamespace(time=lambda: time.time() + 10 * day, monotonic=time.monotonic)
    monkeypatch.setattr(redis_callbacks, "time", clock)
    await kept.store.record([attempt("young", at=now - day), attempt("old", at=now - 9 * day)])
    assert await kept.store.purge(Cutoffs({"win-back": now + 10 * day - 8 * day}, now - 300 * day)) == 1
    assert await ids(kept.store) == ["young"]


async def test_an_attempt_that_comes_while_others_are_listed_shows_none_twice(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_callbacks, "ATTEMPTS_PAGE_MAX", 1)
    await kept.store.record([attempt("1", at=1), attempt("2", at=2)])
    another = RedisCallbackStore(kept.store.address, Options(prefix=kept.prefix))
    ask = kept.store.link.script

    async def another_comes(script: Script, *values: Any) -> Reply:
        found = await ask(script, *values)
        if script is scripts.PAGE:
            await another.record([attempt("3", at=3)])
        return found

    monkeypatch.setattr(kept.store.link, "script", another_comes)
    assert await ids(kept.store) == ["2", "1"]
    await another.close()


# --- lists of attempts ----------------------------------------------------------------------------------------------


async def asked(kept: Kept, work: Awaitable[object]) -> dict[str, int]:
    """How often each command was given meanwhile, by scripts too."""
    kept.client.config_resetstat()
    await work
    told = kept.client.info("commandstats")
    return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in told.items()}


LISTS = ((OUR, None, None), (None, ANNA, None), (None, None, "win-back"))


async def test_a_page_reads_what_it_has_however_many_attempts_there_are(kept: Kept) -> None:
    told = [attempt(str(place), at=1000.0 + place, subscriber=(ANNA, BORIS)[place % 2]) for place in range(600)]
    pages: list[dict[str, int]] = []
    for many in (told[:60], told[60:]):
        await kept.store.record(many)
        await kept.store.attempts(OUR, None, 1)
        for number, subscriber, campaign in (*LISTS, (None, None, None), (OUR, ANNA, None)):
            page = kept.store.attempts(number, subscriber, 10, campaign=campaign, after=place_of(told[40]))
            read = await asked(kept, page)
            assert read["hget"] <= 2 * 11
            assert read["zrevrangebyscore"] <= 2
            assert not {"hscan", "zrangebyscore", "xrange", "zrevrange", "hgetall"} & read.keys()
            pages.append(read)
    assert pages[:5] == pages[5:]


async def test_lists_follow_the_stream_when_they_are_asked_for(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report, whichever version writes it down, does nothing for them."""
    monkeypatch.setattr(redis_callbacks, "ATTEMPTS_LISTED_AT_ONCE", 2)
    await kept.store.attempts(OUR, None, 10)
    writing = await asked(kept, kept.store.record([attempt(str(place), at=place) for place in range(1, 5)]))
    await kept.store.claim(OUR, ANNA, "call", 10.0, SINCE)
    assert writing["zadd"] == 2 * 4
    read = await asked(kept, kept.store.attempts(OUR, None, 10))
    assert (read["xrange"], "hscan" in read) == (3, False)
    for number, subscriber, campaign in LISTS:
        found = await kept.store.attempts(number, subscriber, 10, campaign=campaign)
        assert [each.id for each in found] == ["4", "3", "2", "1"]
    assert not {"hscan", "xrange"} & (await asked(kept, kept.store.attempts(OUR, None, 10))).keys()


@pytest.mark.parametrize("why", ["of the release before", "trimmed", "another history", "beyond the end"])
async def test_where_the_stream_does_not_reach_back_all_attempts_are_listed_once(kept: Kept, why: str) -> None:
    calls, news = (f"{{{kept.prefix}}}:{name}" for name in ("calls", "news"))
    if why != "of the release before":
        await kept.store.attempts(OUR, None, 10)
    await kept.store.record([attempt(str(place), at=place) for place in range(5)])
    if why == "trimmed":
        kept.client.xtrim(news, maxlen=2, approximate=False)
    if why == "beyond the end":
        kept.client.hset(calls, "listed", f"{kept.client.hget(calls, 'epoch').decode()}:9")
    if why == "another history":
        kept.client.delete(calls, news)
        await kept.store.record([attempt("5", at=5)])
    read = await asked(kept, kept.store.attempts(None, ANNA, 2))
    assert read["hscan"] == 1
    await kept.store.record([attempt("6", at=6)])
    assert "hscan" not in await asked(kept, kept.store.attempts(None, ANNA, 2))
    expected = ["6", *(["5"] if why == "another history" else []), "4", "3", "2", "1", "0"]
    for number, subscriber, campaign in LISTS:
        found = await kept.store.attempts(number, subscriber, 10, campaign=campaign)
        assert [each.id for each in found] == expected


async def test_what_an_older_version_has_purged_goes_from_a_list_when_it_is_met(kept: Kept) -> None:
    """One that does not know of the lists leaves it there."""
    await kept.store.record([attempt(str(place), at=place) for place in range(9)])
    of_number, attempts = (f"{{{kept.prefix}}}:{name}" for name in (f"of-number:{OUR}", "attempts"))
    assert len(await ids(kept.store, OUR)) == 9
    kept.client.hdel(attempts, *(f"{OUR} {ANNA} {place}" for place in range(5)))
    assert kept.client.zcard(of_number) == 9
    assert await ids(kept.store, OUR) == ["8", "7", "6", "5"]
    assert kept.client.zcard(of_number) == 4


@pytest.mark.parametrize("by", ["purge", "changes"])
async def test_lists_are_seen_to_before_the_stream_loses_what_they_lack(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr(redis_callbacks, "ATTEMPTS_UNLISTED_MAX", 3)
    await kept.store.attempts(OUR, None, 10)
    cursor = (await kept.store.changes("", 0)).cursor
    await kept.store.record([attempt(str(place), at=10.0 + place) for place in range(3)])
    await (kept.store.purge(Cutoffs({}, 0.0)) if by == "purge" else kept.store.changes(cursor, 0))
    assert not {"xrange", "hscan"} & (await asked(kept, kept.store.attempts(OUR, None, 10))).keys()


async def test_an_attempt_that_goes_while_others_are_listed_is_left_out(kept: Kept) -> None:
    await kept.store.record([attempt("1", at=1), attempt("2", at=2), attempt("3", at=3)])
    kept.client.hdel(f"{{{kept.prefix}}}:attempts", f"{OUR} {ANNA} 2")
    assert await ids(kept.store) == ["3", "1"]


async def test_those_that_stay_are_passed_over(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some at the same moment, on both sides of the end of a page, and some whose body is missing."""
    monkeypatch.setattr(redis_callbacks, "PURGE_ROWS_AT_ONCE", 2)
    stay = [attempt(f"stays {place}", at=at) for place, at in enumerate((1, 5, 5, 5, 5, 6, 7, 7, 7))]
    go = [attempt(f"goes {place}", at=at, campaign="survey") for place, at in enumerate((2, 5, 5, 5, 7, 8))]
    await kept.store.record([*stay, *go])
    kept.client.zadd(f"{{{kept.prefix}}}:times", {f"{OUR} {ANNA} missing {at}": at for at in (1, 5, 7)})
    assert await kept.store.purge(Cutoffs({"survey": 9.0}, 0.0)) == len(go)
    assert sorted(await ids(kept.store)) == sorted(each.id for each in stay)
    assert kept.client.zcard(f"{{{kept.prefix}}}:times") == len(stay)


async def test_what_cannot_be_read_is_an_error_that_names_the_server(kept: Kept) -> None:
    await kept.store.record([attempt()])
    kept.client.hset(f"{{{kept.prefix}}}:attempts", f"{OUR} {ANNA} 1.1", "no attempt")
    with pytest.raises(StoreError, match=r"redis://127\.0\.0\.1:\d+/0: an attempt cannot be read"):
        await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)
    kept.client.hdel(f"{{{kept.prefix}}}:attempts", f"{OUR} {ANNA} 1.1")
    kept.client.hset(f"{{{kept.prefix}}}:pair:{OUR} {ANNA}", "c:call", '{"attempt": "1.1"}')
    with pytest.raises(StoreError, match="a claim cannot be read"):
        await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)


async def test_a_store_that_is_closed_leaves_no_connection(kept: Kept) -> None:
    """Neither that of its questions nor the one that waits for news."""

    def connections() -> int:
        return len(kept.client.client_list())

    before = connections()
    other = RedisCallbackStore(kept.store.address, Options(prefix=kept.prefix))
    await other.changes((await other.changes("", 0)).cursor, 0.01)
    assert connections() >= before + 2
    await other.close()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while connections() > before:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)


async def test_nothing_of_a_pair_outlives_everything_else(kept: Kept) -> None:
    """Whatever becomes of the routers, which purge: each key of a pair goes by itself, long after."""
    pair, reached, failed = (f"{{{kept.prefix}}}:{name}:{OUR} {ANNA}" for name in ("pair", "reached", "failed"))
    await kept.store.record([attempt("1"), attempt("2", outcome=Outcome.FAILED)])
    keep = 2 * ATTEMPT_KEEP_SECONDS
    assert [keep - 60 < kept.client.ttl(key) <= keep for key in (pair, reached, failed)] == [True] * 3
    for again in (kept.store.record([attempt("3")]), kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)):
        kept.client.expire(pair, 5)
        await again
        assert keep - 60 < kept.client.ttl(pair) <= keep


async def test_the_stream_keeps_what_routers_may_be_behind_and_little_more(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attempts and claims: Redis lets the oldest go, a hundred at a time."""
    monkeypatch.setattr(redis_callbacks, "REDIS_ATTEMPT_CHANGES_MAX", 1)
    callers = [f"+4477009{place:05}" for place in range(250)]
    await kept.store.record([attempt(subscriber=caller) for caller in callers])
    news = f"{{{kept.prefix}}}:news"
    assert kept.client.xlen(news) < 150
    kept.client.xtrim(news, maxlen=0)
    for caller in callers:
        await kept.store.claim(OUR, caller, "call", 150.0, SINCE)
    assert 0 < kept.client.xlen(news) < 150


async def test_a_pair_that_others_change_each_time_is_given_up_in_the_end(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error, which its source hears: it tells again, and a callback has its declared answer."""
    monkeypatch.setattr(redis_callbacks, "REDIS_TRIES", 3)
    look, bodies = kept.store._look, kept.store._bodies
    left = 0

    async def looks_before(*asked: Any) -> Any:
        nonlocal left
        seen = await look(*asked)
        if left:
            left -= 1
            kept.client.hset(f"{{{kept.prefix}}}:pair:{OUR} {ANNA}", "rev", f"another {left}")
        return seen

    async def reads_before(names: Iterable[str]) -> dict[str, bytes]:
        nonlocal left
        seen = await bodies(names)
        if left:
            left -= 1
            kept.client.hset(f"{{{kept.prefix}}}:attempts", f"{OUR} {ANNA} 1.1", failed + b" " * left)
        return seen

    await kept.store.record([attempt(outcome=Outcome.FAILED)])
    failed = kept.client.hget(f"{{{kept.prefix}}}:attempts", f"{OUR} {ANNA} 1.1")
    monkeypatch.setattr(kept.store, "_bodies", reads_before)
    left = 3
    with pytest.raises(StoreError, match="too many words about one attempt at once"):
        await kept.store.record([attempt()])
    left = 1
    assert [each.heard for each in await kept.store.record([attempt()])] == [Heard.MORE]

    monkeypatch.setattr(kept.store, "_look", looks_before)
    left = 3
    with pytest.raises(StoreError, match="too many callbacks of one subscriber at once"):
        await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)
    left = 2
    assert (await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)).status is ClaimStatus.GRANTED


async def test_an_attempt_that_turns_out_to_have_come_to_its_subscriber_is_listed_with_those_alone(kept: Kept) -> None:
    await kept.store.record([attempt(outcome=Outcome.FAILED)])
    await kept.store.record([attempt()])
    reached, failed = (
        kept.client.zrange(f"{{{kept.prefix}}}:{name}:{OUR} {ANNA}", 0, -1) for name in ("reached", "failed")
    )
    assert (reached, failed) == ([b"1.1"], [])


async def test_a_call_that_got_nothing_marks_no_attempt_as_one_that_gave_an_entitlement(kept: Kept) -> None:
    await kept.store.record([attempt(outcome=Outcome.ANSWERED)])
    assert await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE) == Claim(ClaimStatus.NONE)
    assert await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE) == Claim(ClaimStatus.NONE, again=True)
    assert kept.client.smembers(f"{{{kept.prefix}}}:claimed") == set()


async def test_a_router_whose_clock_is_behind_takes_its_own_time(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's clock only holds purges back."""
    now, day = time.time(), 86_400.0
    clock = SimpleNamespace(time=lambda: time.time() - 10 * day, monotonic=time.monotonic)
    monkeypatch.setattr(redis_callbacks, "time", clock)
    await kept.store.record([attempt("young", at=now - 17 * day), attempt("old", at=now - 19 * day)])
    assert await kept.store.purge(Cutoffs({"win-back": now - 18 * day}, now - 300 * day)) == 1
    assert await ids(kept.store) == ["young"]


async def test_a_server_that_does_not_tell_its_clock_holds_no_purge_back(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = kept.store.link.script

    async def says_nothing(asked: Script, *rest: Any) -> Any:
        return [None] if asked is scripts.CLOCK else await script(asked, *rest)

    await kept.store.record([attempt(at=100.0)])
    monkeypatch.setattr(kept.store.link, "script", says_nothing)
    assert await kept.store.purge(Cutoffs({"win-back": 100.5}, 0.0)) == 1


async def test_a_caller_whom_nobody_rang_costs_no_key(kept: Kept) -> None:
    assert (await kept.store.claim(OUR, ANNA, "call", 150.0, SINCE)).status is ClaimStatus.NONE
    assert not [key for key in kept.names() if "pair" in key]
