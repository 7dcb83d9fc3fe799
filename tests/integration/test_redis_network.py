"""The store in a real Redis, behind a proxy that cuts, delays, swallows, and resets in the middle of a reply."""

import asyncio
import contextlib

import pytest

from dialplan.campaigns.attempts import Attempt, Heard, Outcome
from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.dataset.changes import ChangeSet, Stored
from dialplan.kinds.registry import RowKind
from router.store.api import Commit, StoreError
from router.store.redis import callback_scripts
from router.store.redis import scripts as redis_scripts
from router.store.redis import store as store_redis
from tests.fault_proxy import FaultProxy
from tests.integration.redis_stores import (
    ANNA,
    BORIS,
    OUR,
    SINCE,
    Armed,
    Stores,
    at_last,
    before,
    content,
    flows,
    removal,
    through,
    until,
)
from tests.redis_server import RedisServer

pytestmark = pytest.mark.usefixtures("soon")


@pytest.mark.parametrize("after_bytes", [0, 2, 11])
@pytest.mark.parametrize(
    "name", ["LOCK", "GET", "SCAN", "STAGE", "COMMIT", "STATE", "CHANGES", "APPLY", "TRIM", "UNLOCK"]
)
async def test_a_commit_whose_reply_is_lost_is_done_once(
    stores: Stores,
    emptied: RedisServer,
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    after_bytes: int,
) -> None:
    monkeypatch.setattr(store_redis, "STORE_BATCH_ROWS", 2)
    monkeypatch.setattr(store_redis, "REDIS_LOG_COMMITS_MAX", 1)  # else there is nothing to trim
    writer, other = stores.of(through(proxy)), stores.of(emptied.url)
    await writer.open()
    await writer.commit(flows("old", "a", "b", "c"))
    router = await stores.router(other)
    armed = Armed(proxy, monkeypatch, getattr(redis_scripts, name), after_bytes)

    def prepare(stored: Stored) -> ChangeSet:
        stored.get(RowKind.CALL_FLOW, "a")
        assert [row.id for row in stored.rows(RowKind.CALL_FLOW)] == ["a", "b", "c"]  # type: ignore[union-attr] # flows
        return flows("new", "b", "c", "d", "e", "f")(stored)

    assert await writer.commit(prepare) == Commit(2, 5)
    assert armed.gone_off
    new = dict.fromkeys("bcdef", "new") | {"a": "old"}
    assert await content(other) == (2, new)
    await router.equals(other)
    assert router.full == 1
    assert await other.commit(removal("a")) == Commit(3, 1)  # nothing is held up
    assert emptied.client().hgetall("{ringway}:rows:2").keys() == {b"b", b"c", b"d", b"e", b"f"}


async def test_connections_that_are_cut_again_and_again_lose_and_double_nothing(
    stores: Stores, emptied: RedisServer, proxy: FaultProxy
) -> None:
    """Cut by the network, and by CLIENT KILL. What was not acknowledged may be done, once, or not at all."""
    writer = stores.of(through(proxy))
    await writer.open()
    router = await stores.router(stores.of(through(proxy)))
    acknowledged: list[int] = []
    tried: list[str] = []
    done = False

    async def write() -> None:
        while not done:
            tried.append(f"v{len(tried)}")
            with contextlib.suppress(StoreError):
                acknowledged.append((await writer.commit(flows(tried[-1], "a", "b", tried[-1]))).version)

    writing = asyncio.create_task(write())
    for step in range(12):
        before = len(tried)
        await until(lambda wanted=before: len(tried) > wanted)  # type: ignore[misc] # bound now
        if step % 2:
            await asyncio.to_thread(proxy.cut)
        else:
            emptied.client().client_kill_filter(_type="normal", skipme=True)
    done = True
    await writing
    version, found = await content(stores.of(emptied.url))
    assert acknowledged == sorted(set(acknowledged))
    kept = set(found) - {"a", "b"}
    assert version == len(kept)
    assert len(acknowledged) <= version <= len(tried)
    assert found["a"] == found["b"] == max(kept, key=lambda name: int(name[1:]))
    await router.equals(stores.of(emptied.url))


@pytest.mark.long
async def test_a_link_that_swallows_everything_is_noticed_and_survived(stores: Stores, proxy: FaultProxy) -> None:
    writer = stores.of(through(proxy))
    await writer.open()
    await writer.commit(flows("old", "a"))
    router = await stores.router(stores.of(through(proxy)))
    proxy.swallow()
    with pytest.raises(StoreError, match=r"no answer within 1 s; is it running, and there\?"):
        await writer.commit(flows("new", "a"))
    await until(lambda: not router.up)
    assert router.flows() == {"a": "old"}
    assert router.value("table_age_seconds") > 0
    proxy.pass_on()
    commit = await at_last(lambda: writer.commit(flows("newer", "a")))
    assert commit.version in (2, 3)
    await router.equals(writer)
    assert router.flows() == {"a": "newer"}
    assert router.full == 1


async def test_a_slow_link_is_slow_and_no_more(stores: Stores, emptied: RedisServer, proxy: FaultProxy) -> None:
    writer = stores.of(through(proxy))
    await writer.open()
    router = await stores.router(stores.of(through(proxy)))
    proxy.delay(0.01)
    for version in range(1, 4):
        assert await writer.commit(flows(f"v{version}", "a")) == Commit(version, 1)
    await router.equals(stores.of(emptied.url))
    assert router.full == 1


async def test_a_commit_without_an_answer_says_that_nobody_knows(
    stores: Stores, emptied: RedisServer, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = stores.of(through(proxy))
    await writer.open()
    with monkeypatch.context() as patched:
        before(patched, redis_scripts.COMMIT, proxy.swallow)
        with pytest.raises(StoreError, match="whether the change is made is not known: make it again"):
            await writer.commit(flows("new", "a"))
    proxy.pass_on()
    assert (await at_last(lambda: writer.commit(flows("new", "a")))).version in (1, 2)
    assert (await content(stores.of(emptied.url)))[1] == {"a": "new"}


@pytest.mark.parametrize("name", ["LOOK", "CLAIM"])
async def test_a_claim_whose_reply_is_lost_gives_one_entitlement_to_one_call(
    stores: Stores, emptied: RedisServer, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    near, far = stores.calls_of(emptied.url), stores.calls_of(through(proxy))
    await near.record([Attempt("1", "win-back", OUR, ANNA, 100.0, Outcome.MISSED)])
    await far.open()
    armed = Armed(proxy, monkeypatch, getattr(callback_scripts, name))
    claims: list[Claim] = [await far.claim(OUR, ANNA, "call", 200.0, SINCE)]
    assert armed.gone_off
    claims += [await near.claim(OUR, ANNA, "another", 200.5, SINCE), await near.claim(OUR, ANNA, "call", 200.0, SINCE)]
    assert [claim.status for claim in claims] == [ClaimStatus.GRANTED, ClaimStatus.CONSUMED, ClaimStatus.GRANTED]
    assert [claim.again for claim in claims] == [False, False, True]


async def test_a_claim_whose_answer_never_comes_has_used_its_entitlement_once(
    stores: Stores, emptied: RedisServer, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis hears all of it, and nothing of what it says arrives: half a link."""
    near, far = stores.calls_of(emptied.url), stores.calls_of(through(proxy))
    for subscriber in (ANNA, BORIS):
        await near.record([Attempt("1", "win-back", OUR, subscriber, 100.0, Outcome.MISSED)])
    await near.claim(OUR, BORIS, "first", 150.0, SINCE)  # Redis has the script then, and need not ask for it
    await far.open()
    with monkeypatch.context() as patched:
        before(patched, callback_scripts.CLAIM, proxy.swallow_replies)
        with pytest.raises(StoreError, match="no answer within 1 s"):
            await far.claim(OUR, ANNA, "call", 200.0, SINCE)
    another = await near.claim(OUR, ANNA, "another", 200.5, SINCE)
    proxy.pass_on()
    again = await far.claim(OUR, ANNA, "call", 200.0, SINCE)
    assert (another.status, again.status, again.again) == (ClaimStatus.CONSUMED, ClaimStatus.GRANTED, True)


async def test_what_is_said_into_a_dead_link_counts_once_however_late_it_arrives(
    stores: Stores, emptied: RedisServer, proxy: FaultProxy
) -> None:
    """Nothing gets through in either direction; what was sent arrives after its sender has given up."""
    near, far = stores.calls_of(emptied.url), stores.calls_of(through(proxy))
    told = [Attempt("1", "win-back", OUR, ANNA, 100.0, Outcome.MISSED)]
    await far.open()
    proxy.swallow()
    with pytest.raises(StoreError, match="no answer within 1 s"):
        await far.record(told)
    assert [each.heard for each in await near.record(told)] == [Heard.NEW]
    with pytest.raises(StoreError, match="no answer within 1 s"):
        await far.claim(OUR, ANNA, "call", 200.0, SINCE)
    assert (await near.claim(OUR, ANNA, "another", 200.5, SINCE)).status is ClaimStatus.GRANTED
    proxy.pass_on()
    assert [each.heard for each in await far.record(told)] == [Heard.KNOWN]
    assert (await far.claim(OUR, ANNA, "call", 200.0, SINCE)).status is ClaimStatus.CONSUMED
    assert len(await near.attempts(OUR, ANNA, 10)) == 1
