"""The scripts by themselves: each may be sent twice, and tells what happened with the id of its request."""

import uuid
from typing import Any

import pytest

from router.store.redis import scripts
from router.store.redis.lua_script import Script
from router.store.redis.scripts import CommitEntry, entry_of, led_to
from tests.redis_server import RedisServer

LAST = b"\x92\x93\x02\xa1b\xa4more\x93\x02\xa1a\xc2"  # b is more, a goes
ALL = {name: script for name, script in vars(scripts).items() if isinstance(script, Script)}


class Data:
    """A data set of its own, and the scripts run on it by a client."""

    def __init__(self, server: RedisServer) -> None:
        self.redis: Any = server.client()
        self.prefix = f"{{{uuid.uuid4().hex}}}"
        self.meta, self.lock, self.changes = (self.key(name) for name in ("meta", "lock", "changes"))
        self.rows = [self.key(f"rows:{code}") for code in range(1, 5)]

    def key(self, name: str) -> str:
        return f"{self.prefix}:{name}"

    def run(self, script: Script, keys: list[str], *values: object) -> list[Any]:
        request_id, *reply = self.redis.eval(script.text, len(keys), *keys, "request 5", *values)
        assert request_id == b"request 5"
        return list(reply)

    def commit(self, name: str, who: str = "me", version: int = 0, head: str = "first", staged: int = 0) -> list[Any]:
        """Of one row a chunk."""
        keys = [self.meta, self.lock, self.changes, self.key(f"log:{name}"), *self.rows]
        return self.run(scripts.COMMIT, keys, who, version, head, name, staged, staged + 1, LAST, head)

    def apply(self, name: str, version: int, chunk: int) -> list[Any]:
        return self.run(scripts.APPLY, [self.meta, self.key(f"log:{name}"), *self.rows], version, chunk)

    def stage(self, name: str, place: int, chunk: bytes = b"\x91\x93\x02\xa1a\xa4body") -> list[Any]:
        return self.run(scripts.STAGE, [self.key(f"log:{name}")], place, chunk, 600)


@pytest.fixture
def data(redis_server: RedisServer) -> Data:
    """An empty data set, locked by `me`."""
    made = Data(redis_server)
    made.run(scripts.MAKE, [made.meta, made.changes, *made.rows], "first", 1)
    made.run(scripts.LOCK, [made.meta, made.lock], "me", 60_000)
    return made


@pytest.mark.parametrize("name", ALL)
def test_every_script_begins_its_reply_with_its_request(name: str, redis_server: RedisServer) -> None:
    data = Data(redis_server)
    keys = [data.key(str(place)) for place in range(7)]
    values = {"COMMIT": 7, "TRIM": 5, "STAGE": 3}.get(name, 2)
    count = {"MAKE": 2, "STATE": 0, "LOCK": 2, "UNLOCK": 1, "SERVER": 0, "MEMORY": 0, "GET": 1}.get(name, values)
    if name == "TRIM":
        data.redis.hset(keys[0], mapping={"kept": 0, "applied": 0, "version": 0})
    if name == "APPLY":
        data.redis.hset(keys[0], mapping={"applied": 5, "chunk": 0})
    assert isinstance(data.run(ALL[name], keys, *["1"] * count), list)


def test_what_is_made_twice_is_made_once(data: Data) -> None:
    again = data.run(scripts.MAKE, [data.meta, data.changes, *data.rows], "second", 2)
    assert again == [b"ok", b"0", b"first", b"0", b"0", b"first", b"1", b"0:0", *[b"0", b"0", 0] * 4]


def test_a_part_of_a_data_set_is_not_taken_for_a_new_one(redis_server: RedisServer) -> None:
    data = Data(redis_server)
    data.redis.hset(data.rows[2], "a", "body")
    assert data.run(scripts.MAKE, [data.meta, data.changes, *data.rows], "first", 1) == [b"rest"]
    assert data.redis.exists(data.meta) == 0


def test_the_lock_is_one_writers_until_it_lets_it_go(data: Data) -> None:
    assert data.run(scripts.LOCK, [data.meta, data.lock], "me", 60_000)[0] == b"mine"
    assert data.run(scripts.LOCK, [data.meta, data.lock], "you", 60_000) == [b"held"]
    data.run(scripts.UNLOCK, [data.lock], "you")
    assert data.run(scripts.LOCK, [data.meta, data.lock], "you", 60_000) == [b"held"]
    data.run(scripts.UNLOCK, [data.lock], "me")
    assert data.run(scripts.LOCK, [data.meta, data.lock], "you", 60_000)[0] == b"mine"


def test_who_has_the_lock_holds_on_to_it_for_longer_and_nobody_else_does(data: Data) -> None:
    assert 0 < data.redis.pttl(data.lock) <= 60_000
    for who, milliseconds in (("me", 6_000_000), ("you", 60_000)):
        data.run(scripts.LOCK, [data.meta, data.lock], who, milliseconds)
        assert 60_000 < data.redis.pttl(data.lock) <= 6_000_000


def test_a_chunk_that_is_sent_twice_stands_there_once(data: Data) -> None:
    assert [data.stage("a", place) for place in (0, 0, 1, 1, 0)] == [[1], [1], [2], [2], [2]]
    assert 0 < data.redis.ttl(data.key("log:a")) <= 600


def test_a_small_commit_that_is_sent_twice_is_done_once_its_rows_too(data: Data) -> None:
    data.redis.hset(data.rows[1], "a", "body")
    assert data.commit("a") == [b"done", b"1", b"1", 1, 1]
    assert data.commit("a") == [b"done", b"1", b"1", b"1", 1]
    _, entries = data.run(scripts.CHANGES, [data.meta, data.changes], 0, 10)
    assert [entry_of(each) for each in entries] == [CommitEntry(1, "a", "first", 1)]
    assert data.redis.lrange(data.key("log:a"), 0, -1) == [LAST]
    assert data.redis.ttl(data.key("log:a")) == -1
    assert data.redis.hgetall(data.rows[1]) == {b"b": b"more"}


def test_of_the_changes_as_many_are_told_as_are_asked_for(data: Data) -> None:
    for version, head in enumerate(("first", "a", "b")):
        data.commit("abc"[version], version=version, head=head)
    for count in (1, 2):
        _, entries = data.run(scripts.CHANGES, [data.meta, data.changes], 2, count)
        assert [entry_of(each).version for each in entries] == [2, 3][:count]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"who": "you"}, b"lost"),
        ({"version": 1}, b"moved"),
        ({"head": "other"}, b"moved"),
        ({"staged": 0}, b"lost"),
        ({"staged": 2}, b"lost"),
    ],
)
def test_a_commit_of_one_whose_turn_is_over_changes_nothing(data: Data, how: dict[str, Any], told: bytes) -> None:
    data.stage("a", 0)
    before = data.redis.hgetall(data.meta)
    assert data.commit("a", **{"staged": 1} | how) == [told]
    assert data.redis.hgetall(data.meta) == before
    assert data.redis.exists(data.changes, *data.rows) == 0
    assert data.redis.llen(data.key("log:a")) == 1


def test_chunks_go_into_the_rows_one_by_one_and_each_once(data: Data) -> None:
    data.stage("a", 0)
    assert data.commit("a", staged=1) == [b"done", b"1", b"0", 2, 1]
    assert data.redis.exists(*data.rows) == 0
    apply = [data.apply("a", 1, chunk) for chunk in (1, 0, 0, 1, 1)]
    assert apply == [[b"moved"], [b"more"], [b"moved"], [b"done"], [b"moved"]]
    assert data.redis.hgetall(data.rows[1]) == {b"b": b"more"}
    assert data.redis.hmget(data.meta, "applied", "chunk") == [b"1", b"0"]


def test_a_small_commit_behind_a_large_one_waits_for_its_rows(data: Data) -> None:
    data.stage("a", 0)
    data.commit("a", staged=1)
    assert data.commit("b", version=1, head="a") == [b"done", b"2", b"0", 3, 2]
    assert [data.apply(*each) for each in (("b", 2, 0), ("a", 1, 0), ("a", 1, 1), ("b", 2, 0))] == [
        [b"moved"],
        [b"more"],
        [b"done"],
        [b"done"],
    ]


def test_rows_that_are_gone_are_not_passed_over(data: Data) -> None:
    data.stage("a", 0)
    data.commit("a", staged=1)
    data.redis.delete(data.key("log:a"))
    assert data.apply("a", 1, 0) == [b"missing"]
    assert data.redis.hget(data.meta, "applied") == b"0"


def test_an_entry_is_read_whatever_stands_in_it_besides() -> None:
    fields = [b"before", b"first", b"more", b"fields", b"id", b"second", b"rows", b"12"]
    assert entry_of((b"7-0", fields)) == CommitEntry(7, "second", "first", 12)


def test_entries_lead_on_only_where_each_follows_the_one_before() -> None:
    entries = [CommitEntry(1, "a", "first", 1), CommitEntry(2, "b", "a", 1), CommitEntry(3, "c", "b", 1)]
    assert led_to([], 5, "x") == (5, "x")
    assert led_to(entries, 0, "first") == (3, "c")
    assert led_to(entries[1:], 1, "a") == (3, "c")
    for broken in ([entries[0], entries[2]], entries[1:], [entries[0], CommitEntry(2, "b", "other", 1)]):
        assert led_to(broken, 0, "first") is None
    assert led_to(entries, 0, "another history") is None
