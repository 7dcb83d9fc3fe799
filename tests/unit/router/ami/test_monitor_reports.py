"""What the watch sees, and hands over: whole calls, each once, in order, and no more than the bound."""

import asyncio
import types
from typing import Any

import pytest

from dialplan.campaigns.attempts import AttemptReport, Outcome
from router.ami import client
from router.ami import monitor as watch
from router.config.limits import RECORD_RETRY_SECONDS
from tests.unit.router.ami.peers import Peer
from tests.unit.router.ami.watching import (
    BEGIN,
    HANGUP,
    RINGING,
    Watched,
    kept,
    nothing_kept,
    rings,
)


async def test_a_missed_call_is_handed_over_as_it_was_seen(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "time", types.SimpleNamespace(time=lambda: 1000.5, monotonic=lambda: 0.0))
    async with watched.over(rings("1.1")):
        await watched.until_told(1)
    expected = AttemptReport("1.1", "win-back", "+442079460000", "+447700900123", 1000.5, Outcome.MISSED)
    assert watched.seen == [expected]


async def test_what_waited_in_astdb_is_taken_over(watched: Watched) -> None:
    script = kept(
        ("1.1", "win-back|07700900123|02079460000|NOANSWER|19|1|1800000000250"),
        ("1.2", "somebody else's"),
        ("1.3", "survey|07700900456|02079460000|ANSWER|16|1|1800000001000"),
    )
    async with watched.over(script):
        await watched.until_told(2)
    assert watched.seen == [
        AttemptReport("1.1", "win-back", "02079460000", "07700900123", 1_800_000_000.25, Outcome.MISSED),
        AttemptReport("1.3", "survey", "02079460000", "07700900456", 1_800_000_001.0, Outcome.ANSWERED),
    ]


async def test_however_much_waited_in_astdb_all_of_it_is_taken_over(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than fits into the queue: it is handed over as there is room, and what is seen now has room beside it."""
    monkeypatch.setattr(watch, "RECORD_BATCH_MAX", 3)
    monkeypatch.setattr(watch, "RECORD_QUEUE_MAX", 7)
    waited = [(f"1.{place}", "win-back|07700900123|02079460000|BUSY|17|0|1800000000250") for place in range(100)]
    seen = asyncio.Event()
    take = watched.take

    async def slow(report: AttemptReport) -> bool:
        await seen.wait()
        return await take(report)

    monkeypatch.setattr(watched, "take", slow)

    async def serve(peer: Peer) -> None:
        assert await peer.let_in()
        await peer.list(await peer.action(), [(f"/ringway-attempts/{key}", value) for key, value in waited])
        for name in ("a", "b"):
            await peer.say((BEGIN + RINGING + HANGUP).format(name=name))
        await peer.reply(await peer.action())  # a ping: all before it has been read
        seen.set()
        await peer.hold()

    monkeypatch.setattr("router.ami.session.AMI_PING_SECONDS", 0.001)
    async with watched.over(serve):
        names = await watched.until_told(102)
    assert sorted(names) == sorted([*(key for key, _ in waited), "a", "b"])
    assert watched.dropped("queue-full") == 0
    assert watched.said("attempt_dropped") == []


async def test_pings_go_on_while_what_waited_has_no_room(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "RECORD_BATCH_MAX", 1)
    monkeypatch.setattr("router.ami.session.AMI_PING_SECONDS", 0.001)
    free, pinged = asyncio.Event(), asyncio.Event()

    async def never(_report: AttemptReport) -> bool:
        await free.wait()
        return True

    monkeypatch.setattr(watched, "take", never)

    async def serve(peer: Peer) -> None:
        assert await peer.let_in()
        value = "win-back|07700900123|02079460000|BUSY|17|0|1800000000250"
        await peer.list(await peer.action(), [(f"/ringway-attempts/1.{place}", value) for place in range(50)])
        for _ in range(3):
            asked = await peer.action()
            assert asked["action"] == "Ping"
            await peer.reply(asked)
        pinged.set()
        await peer.hold()

    async with watched.over(serve):
        await pinged.wait()
        assert watched.connected == 1


async def test_what_makes_the_consumer_fail_is_dropped_and_said(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, failed = watched.take, asyncio.Event()

    async def fails(report: AttemptReport) -> bool:
        if report.id == "bad":
            failed.set()
            raise RuntimeError("a bug")
        return await take(report)

    async def serve(peer: Peer) -> None:
        await nothing_kept(peer)
        await peer.say((BEGIN + RINGING + HANGUP).format(name="1"))
        await peer.say((BEGIN + RINGING + HANGUP).format(name="bad"))
        await failed.wait()
        await peer.say((BEGIN + RINGING + HANGUP).format(name="2"))
        await peer.hold()

    monkeypatch.setattr(watched, "take", fails)
    async with watched.over(serve):
        assert await watched.until_told(2) == ["1", "2"]
        assert watched.connected == 1
    (line,) = watched.said("attempt_dropped")
    assert (line["attempt"], "a bug" in line["why"]) == ("bad", True)
    assert watched.dropped("not-recorded") == 1


async def test_a_defect_in_a_session_ends_that_session_alone(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = client.connect, [RuntimeError("a bug")]

    async def connect(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return await real(*arguments)

    monkeypatch.setattr(watch, "connect", connect)
    async with watched.over(rings("1")):
        await watched.until_told(1)
    assert [entry["why"] for entry in watched.said("ami_down")] == ["a defect of the router: RuntimeError('a bug')"]


async def test_what_was_not_written_down_is_told_again_in_its_order(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.refusals = {"1": 2, "2": 2}
    asked, free = asyncio.Event(), asyncio.Event()
    take = watched.take

    async def slow(report: AttemptReport) -> bool:
        asked.set()
        await free.wait()
        return await take(report)

    monkeypatch.setattr(watched, "take", slow)

    async def two_while_one_is_written(peer: Peer) -> None:
        await nothing_kept(peer)
        for name in "012":
            await peer.say((BEGIN + RINGING + HANGUP).format(name=name))
            await asked.wait()
        await peer.reply(await peer.action())  # a ping: all before it has been read
        free.set()
        await peer.hold()

    monkeypatch.setattr("router.ami.session.AMI_PING_SECONDS", 0.001)
    async with watched.over(two_while_one_is_written):
        assert await watched.until_told(7) == ["0", "1", "2", "1", "2", "1", "2"]
    assert watched.pauses[:2] == [RECORD_RETRY_SECONDS] * 2


async def test_who_cannot_be_told_keeps_no_more_than_the_bound(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "RECORD_QUEUE_MAX", 2)
    free, dropped = asyncio.Event(), asyncio.Event()
    take = watched.take

    async def slow(report: AttemptReport) -> bool:
        await free.wait()
        return await take(report)

    monkeypatch.setattr(watched, "take", slow)

    async def rings_five_times(peer: Peer) -> None:
        await nothing_kept(peer)
        for name in "12345":
            await peer.say((BEGIN + RINGING + HANGUP).format(name=name))
        await peer.reply(await peer.action())  # a ping: all before it has been read
        dropped.set()
        await peer.hold()

    monkeypatch.setattr("router.ami.session.AMI_PING_SECONDS", 0.001)
    async with watched.over(rings_five_times):
        await dropped.wait()
        free.set()
        assert await watched.until_told(2) == ["1", "2"]
    (line,) = watched.said("attempt_dropped")  # one, however many
    assert (line["attempt"], line["times"]) == ("3", 1)
    assert watched.dropped("queue-full") == 3


async def test_half_a_call_of_a_lost_session_is_nothing_in_the_next(watched: Watched) -> None:
    """Its end would be taken for the end of a call that may have been answered meanwhile."""

    async def begins(peer: Peer) -> None:
        await nothing_kept(peer)
        await peer.say((BEGIN + RINGING).format(name="half"))

    async def ends(peer: Peer) -> None:
        await nothing_kept(peer)
        await peer.say(HANGUP.format(name="half"))
        await peer.say((BEGIN + RINGING + HANGUP).format(name="whole"))
        await peer.hold()

    async with watched.over(begins, ends):
        assert await watched.until_told(1) == ["whole"]
    assert watched.sessions == 2


async def test_at_the_end_what_was_seen_is_written_down_first(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else may have seen it."""
    asked, free = asyncio.Event(), asyncio.Event()
    take = watched.take

    async def slow(report: AttemptReport) -> bool:
        asked.set()
        await free.wait()
        return await take(report)

    monkeypatch.setattr(watched, "take", slow)
    async with watched.over(rings("1")):
        await asked.wait()
        assert watched.made is not None
        finishing = asyncio.create_task(watched.made.finish())
        await asyncio.sleep(0)
        assert (finishing.done(), watched.connected) == (False, 0)
        free.set()
        await finishing
        assert [each.id for each in watched.seen] == ["1"]
