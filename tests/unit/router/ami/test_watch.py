"""The watch over an Asterisk that behaves as a test makes it, session by session, over real sockets."""

import asyncio
import contextlib
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dialplan.attempts import Outcome, Sighting
from router.ami import client, watch
from router.ami.watch import AmiWatch, Asterisk
from router.limits import AMI_RETRY_MAX_SECONDS, AMI_RETRY_MIN_SECONDS, RECORD_RETRY_SECONDS
from router.observe.metrics import Metrics
from tests.unit.router.ami.peers import BANNER, SECRET, Peer, Serve, capturing, dial_text, hangup_text, server_of

PATIENCE_SECONDS = 30.0
REFUSED = "Login was refused: Authentication failed"
CLOSED = "Asterisk closed the session"
BEGIN = dial_text(
    "DialBegin",
    "+447700900123@trunk",
    ("CAMPAIGN_ID=win-back", "RINGWAY_ATTEMPT={name}"),
    Uniqueid="{name}",
    DestUniqueid="leg-{name}",
    DestLinkedid="{name}",
)
RINGING = dial_text("DialState", "RINGING", Uniqueid="{name}", DestUniqueid="leg-{name}", DestLinkedid="{name}")
HANGUP = hangup_text(Uniqueid="leg-{name}")


class Watched:
    """A watch, what it has handed over, said and counted, and how long it paused."""

    def __init__(self, secret_file: Path) -> None:
        self.secret_file = secret_file
        self.log, self.lines = capturing()
        self.metrics = Metrics()
        self.seen: list[Sighting] = []
        self.told = asyncio.Event()
        self.refusals: dict[str, int] = {}  # how often each sighting is not taken before it is
        self.pauses: list[float] = []
        self.waits: dict[int, asyncio.Event] = {}
        self.sessions = 0
        self.made: AmiWatch | None = None
        self.system_names: dict[str, str] | None = None

    async def take(self, sighting: Sighting) -> bool:
        self.seen.append(sighting)
        self.told.set()
        left = self.refusals.get(sighting.id, 0)
        self.refusals[sighting.id] = left - 1
        return left <= 0

    async def pause(self, seconds: float) -> None:
        """Stands for asyncio.sleep: notes how long, and waits for nothing."""
        self.pauses.append(seconds)
        for count, event in self.waits.items():
            if len(self.pauses) >= count:
                event.set()
        await asyncio.sleep(0)

    async def paused(self, count: int) -> None:
        """Return when it has paused so often."""
        event = self.waits.setdefault(count, asyncio.Event())
        if len(self.pauses) < count:
            await event.wait()

    async def until_told(self, count: int) -> list[str]:
        """The ids of what was handed over, when there are so many."""
        while len(self.seen) < count:
            self.told.clear()
            await self.told.wait()
        return [each.id for each in self.seen]

    def said(self, event: str) -> list[Any]:
        return [entry for entry in self.lines if entry["event"] == event]

    def dropped(self, cause: str) -> float | None:
        return self.metrics.registry.get_sample_value("ringway_attempts_dropped_total", {"cause": cause})

    @property
    def connected(self) -> float | None:
        return self.metrics.registry.get_sample_value("ringway_ami_connected", {"asterisk": "pbx1"})

    @contextlib.asynccontextmanager
    async def over(self, *scripts: Serve) -> AsyncIterator[None]:
        """Watch an Asterisk whose sessions go by these scripts, one after the other; further ones end at once."""
        left = list(scripts)

        async def serve(peer: Peer) -> None:
            self.sessions += 1
            await peer.say(BANNER)
            if left:
                await left.pop(0)(peer)

        async with server_of(serve) as port:
            here = Asterisk("pbx1", "127.0.0.1", port, "ringway", str(self.secret_file))
            made = AmiWatch(here, self.take, self.log, self.metrics, system_names=self.system_names)
            self.made = made
            running = asyncio.create_task(made.run())
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    yield
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    secret_file = tmp_path / "ami.secret"
    secret_file.write_text(f"{SECRET}\n")
    made = Watched(secret_file)
    clock = types.SimpleNamespace(
        TaskGroup=asyncio.TaskGroup,
        Event=asyncio.Event,
        gather=asyncio.gather,
        create_task=asyncio.create_task,
        CancelledError=asyncio.CancelledError,
        sleep=made.pause,
    )
    monkeypatch.setattr(watch, "asyncio", clock)
    return made


async def nothing_kept(peer: Peer) -> None:
    """The beginning of every session: the login, and no attempt that waits in AstDB."""
    assert await peer.let_in()
    asked = await peer.action()
    assert (asked["action"], asked["family"]) == ("DBGetTree", "ringway-attempts")
    await peer.reply(asked, "Response: Error\nMessage: Database entry not found")


def kept(*entries: tuple[str, str]) -> Serve:
    """The same, with attempts that wait there."""

    async def serve(peer: Peer) -> None:
        assert await peer.let_in()
        await peer.list(await peer.action(), [(f"/ringway-attempts/{key}", value) for key, value in entries])
        await peer.hold()

    return serve


def rings(*names: str) -> Callable[[Peer], Awaitable[None]]:
    """A session in which these calls ring and are not answered."""

    async def serve(peer: Peer) -> None:
        await nothing_kept(peer)
        for name in names:
            await peer.say((BEGIN + RINGING + HANGUP).format(name=name))
        await peer.hold()

    return serve


async def refuses(peer: Peer) -> None:
    await peer.reply(await peer.action(), "Response: Error\nMessage: Permission denied")
    await peer.reply(await peer.action(), "Response: Error\nMessage: Authentication failed")
    await peer.hold()


# --- sessions -------------------------------------------------------------------------------------------------------


async def test_a_refused_login_is_tried_again_and_said_once(watched: Watched) -> None:
    async with watched.over(refuses, refuses, refuses, rings("1")):
        assert await watched.until_told(1) == ["1"]
        assert watched.connected == 1
    assert watched.sessions == 4
    assert [entry["why"] for entry in watched.said("ami_down")] == [REFUSED]
    assert [entry["asterisk"] for entry in watched.lines] == ["pbx1"] * len(watched.lines)
    assert SECRET not in str(watched.lines)


async def test_pauses_double_up_to_their_bound_and_are_spread(watched: Watched) -> None:
    async with watched.over(*[refuses] * 12):
        await watched.paused(12)
    longest = [min(AMI_RETRY_MIN_SECONDS * 2**step, AMI_RETRY_MAX_SECONDS) for step in range(12)]
    assert longest[-1] == AMI_RETRY_MAX_SECONDS
    assert all(most / 2 <= pause <= most for pause, most in zip(watched.pauses, longest, strict=False))
    assert len({pause / most for pause, most in zip(watched.pauses, longest, strict=False)}) > 6


async def test_after_a_session_that_lasted_the_next_try_comes_soon(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "AMI_STEADY_SECONDS", -1.0)  # every one has
    async with watched.over(*[refuses] * 8):
        await watched.paused(8)
    assert max(watched.pauses) <= AMI_RETRY_MIN_SECONDS


async def test_the_metric_tells_whether_the_session_is_up(watched: Watched) -> None:
    end = asyncio.Event()

    async def ends(peer: Peer) -> None:
        await nothing_kept(peer)
        await peer.say((BEGIN + RINGING + HANGUP).format(name="1"))
        await end.wait()

    async with watched.over(ends):
        await watched.until_told(1)
        assert watched.connected == 1
        end.set()
        await watched.paused(1)
        assert watched.connected == 0


async def test_an_asterisk_that_was_never_there_is_counted_as_down(watched: Watched) -> None:
    async with watched.over():
        assert watched.connected in (None, 0)
        await watched.paused(1)
        assert watched.connected == 0


async def test_each_loss_of_a_session_that_was_up_is_said(watched: Watched) -> None:
    """The second loss has the same reason as the first: the log must not end with `ami_up` all the same."""
    async with watched.over(nothing_kept, nothing_kept, refuses, refuses):
        await watched.paused(4)
    said = [(entry["event"], entry.get("why")) for entry in watched.lines if entry["log_level"] != "debug"]
    assert said[:5] == [("ami_up", None), ("ami_down", CLOSED)] * 2 + [("ami_down", REFUSED)]
    assert [why for event, why in said if event == "ami_down"].count(REFUSED) == 1


async def test_a_secret_file_that_is_missing_is_named_and_looked_for_again(watched: Watched) -> None:
    watched.secret_file.unlink()
    async with watched.over(rings("1")):
        await watched.paused(3)
        assert watched.sessions == 0
        assert watched.connected == 0
        watched.secret_file.write_text(SECRET)
        await watched.until_told(1)
    (entry,) = watched.said("ami_down")
    assert entry["why"] == f"secret_file {watched.secret_file}: No such file or directory"


@pytest.mark.parametrize("content", [b"\xff\xfe\xfd", None])
async def test_a_secret_file_that_cannot_be_read_is_named(watched: Watched, content: bytes | None) -> None:
    watched.secret_file.unlink()
    if content is None:
        watched.secret_file.mkdir()
    else:
        watched.secret_file.write_bytes(content)
    async with watched.over():
        await watched.paused(2)
    (entry,) = watched.said("ami_down")
    assert str(watched.secret_file) in entry["why"]


async def test_a_path_that_no_file_can_have_does_not_end_the_router(watched: Watched) -> None:
    watched.secret_file = Path("/etc/ami\0.secret")
    async with watched.over():
        await watched.paused(2)
    assert "null byte" in watched.said("ami_down")[0]["why"]


async def test_the_secret_is_read_anew_for_each_session(watched: Watched) -> None:
    watched.secret_file.write_text("the old one")

    async def refused_and_changed(peer: Peer) -> None:
        assert not await peer.let_in()
        watched.secret_file.write_text(SECRET)

    async with watched.over(refused_and_changed, rings("1")):
        await watched.until_told(1)


# --- what is seen ---------------------------------------------------------------------------------------------------


async def test_a_missed_call_is_handed_over_as_it_was_seen(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "time", types.SimpleNamespace(time=lambda: 1000.5, monotonic=lambda: 0.0))
    async with watched.over(rings("1.1")):
        await watched.until_told(1)
    expected = Sighting("1.1", "win-back", "+442079460000", "+447700900123", 1000.5, Outcome.MISSED)
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
        Sighting("1.1", "win-back", "02079460000", "07700900123", 1_800_000_000.25, Outcome.MISSED),
        Sighting("1.3", "survey", "02079460000", "07700900456", 1_800_000_001.0, Outcome.ANSWERED),
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

    async def slow(sighting: Sighting) -> bool:
        await seen.wait()
        return await take(sighting)

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

    async def never(_sighting: Sighting) -> bool:
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

    async def fails(sighting: Sighting) -> bool:
        if sighting.id == "bad":
            failed.set()
            raise RuntimeError("a bug")
        return await take(sighting)

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


# --- system names ---------------------------------------------------------------------------------------------------


def named(reply: str) -> Serve:
    """A session of an Asterisk that says so when it is asked for its settings; then a call rings."""

    async def serve(peer: Peer) -> None:
        assert await peer.let_in()
        asked = await peer.action()
        assert asked["action"] == "CoreSettings"
        await peer.reply(asked, reply)
        await peer.reply(await peer.action(), "Response: Error\nMessage: Database entry not found")
        await peer.say((BEGIN + RINGING + HANGUP).format(name="1"))
        await peer.hold()

    return serve


@pytest.mark.parametrize(
    ("reply", "others", "said"),
    [
        ("Response: Success\nSystemName: leeds", {"pbx2": "london", "pbx1": "leeds"}, []),
        ("Response: Success\nSystemName: ", {}, ["ami_no_system_name"]),
        ("Response: Success", {"pbx2": ""}, ["ami_no_system_name"]),
        ("Response: Success\nSystemName: london", {"pbx2": "london"}, ["ami_same_system_name"]),
        ("Response: Error\nMessage: Permission denied", {}, ["ami_system_name_unknown"]),
        ("Response: Follows\nMessage: x", {}, ["ami_system_name_unknown"]),
        ("Event: X\nSystemName: x", {}, ["ami_system_name_unknown"]),
    ],
)
async def test_the_systems_name_is_advice_and_the_session_goes_on(
    watched: Watched, reply: str, others: dict[str, str], said: list[str]
) -> None:
    watched.system_names = others
    async with watched.over(named(reply)):
        assert await watched.until_told(1) == ["1"]
        assert watched.connected == 1
    assert watched.sessions == 1
    warned = [line["event"] for line in watched.lines if line["log_level"] == "warning"]
    assert [event for event in warned if event != "ami_down"] == said


async def test_what_was_not_written_down_is_told_again_in_its_order(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.refusals = {"1": 2, "2": 2}
    asked, free = asyncio.Event(), asyncio.Event()
    take = watched.take

    async def slow(sighting: Sighting) -> bool:
        asked.set()
        await free.wait()
        return await take(sighting)

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

    async def slow(sighting: Sighting) -> bool:
        await free.wait()
        return await take(sighting)

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

    async def slow(sighting: Sighting) -> bool:
        asked.set()
        await free.wait()
        return await take(sighting)

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
