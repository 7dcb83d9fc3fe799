"""What the watch asks an Asterisk, and what it shows and says of the answers, over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from router.ami import hearing_watch
from router.ami.decided_calls import DecidedCalls
from router.ami.events import EventReader
from router.ami.hearing_watch import HearingWatch
from router.config.limits import AMI_HEARING_UNKNOWN_CALLS, UNIQUE_ID_LOG_MAX_CHARS
from router.observe.metrics import HEARING, Metrics
from tests.unit.router.ami.peers import Peer, capturing, hangup_text, session_with

PATIENCE_SECONDS = 30.0
UNSEEN = dict.fromkeys(HEARING, -1)


class Listening:
    """A watch over an Asterisk that answers as `channels`, `there` and `refusals` say."""

    def __init__(self, name: str = "pbx1", decided: DecidedCalls | None = None) -> None:
        self.log, self.lines = capturing()
        self.metrics = Metrics()
        self.decided = decided or DecidedCalls()
        self.name = name
        self.watch = HearingWatch(name, self.decided, self.log, self.metrics)
        self.channels: list[int] = [0]
        self.there: set[str] = set()
        self.refusals: dict[str, str] = {}
        self.asked: list[dict[str, str]] = []
        self.news = asyncio.Event()

    @property
    def shown(self) -> Mapping[str, float | None]:
        value = self.metrics.registry.get_sample_value
        return {what: value("ringway_ami_hearing", {"asterisk": self.name, "what": what}) for what in HEARING}

    def said(self, event: str) -> list[Any]:
        return [entry for entry in self.lines if entry["event"] == event]

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110 - of what no event tells
                await asyncio.sleep(0.001)

    async def decide(self, unique_id: str, *, questions: int = 1) -> None:
        """Decide a call, and wait until the watch has asked for it."""
        asked = len(self.of("GetVar"))
        await self.until(lambda: self.decided._waiting)
        self.decided.add(unique_id)
        await self.until(lambda: len(self.of("GetVar")) == asked + questions)

    def of(self, action: str) -> list[dict[str, str]]:
        return [each for each in self.asked if each["action"] == action]

    async def serve(self, peer: Peer) -> None:
        while True:
            asked = await peer.action()
            self.asked.append(asked)
            action = asked["action"]
            if why := self.refusals.get(action):
                await peer.reply(asked, f"Response: Error\nMessage: {why}")
            elif action == "Ping":
                await peer.reply(asked, "Response: Success\nPing: Pong\nTimestamp: 1790000000.123")
            elif action == "CoreStatus":
                now = self.channels.pop(0) if len(self.channels) > 1 else self.channels[0]
                await peer.reply(asked, f"Response: Success\nCoreCurrentCalls: {now}")
            elif asked["channel"] in self.there:
                await peer.reply(asked, f"Response: Success\nVariable: UNIQUEID\nValue: {asked['channel']}")
            else:
                await peer.reply(asked, "Response: Error\nMessage: No such channel")

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[None]:
        """A session that is up while the block runs."""
        async with session_with(self.serve) as session:
            self.watch.up()
            watching = asyncio.create_task(self.watch.watch(session))
            try:
                yield
            finally:
                assert not watching.done() or not watching.exception()
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
                self.watch.down()

    def hears(self, text: str) -> None:
        event = EventReader().read(text.replace("\n", "\r\n").encode().strip(b"\r\n"))
        assert event is not None
        self.watch.event(event)


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Listening:
    monkeypatch.setattr(hearing_watch, "AMI_HEARING_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(hearing_watch, "AMI_HEARING_ASK_SECONDS", 0.0)
    return Listening()


async def test_an_idle_asterisk_is_asked_and_nothing_is_said(listening: Listening) -> None:
    assert listening.shown == UNSEEN
    async with listening.session():
        await listening.until(lambda: len(listening.of("CoreStatus")) > 9)
    assert len(listening.of("Ping")) == 1
    assert (listening.shown, listening.lines) == (UNSEEN, [])


async def test_what_is_missing_is_said_once_over_sessions_and_once_when_it_comes(listening: Listening) -> None:
    for _ in range(3):
        listening.channels = [9, 0, 0]
        async with listening.session():
            await listening.until(lambda: listening.shown["hangups"] == 0)
        assert listening.shown == UNSEEN
    (said,) = listening.said("ami_deaf")
    assert (said["what"], said["log_level"], "read = call" in said["hint"]) == ("hangups", "warning", True)
    async with listening.session():
        for _ in range(3):
            listening.hears(hangup_text())
        assert (listening.shown["hangups"], listening.shown["variables"]) == (1, 1)
    (said,) = listening.said("ami_hears")
    assert (said["what"], said["log_level"]) == ("hangups", "info")
    listening.channels = [9, 0, 0]
    async with listening.session():
        await listening.until(lambda: listening.shown["hangups"] == 0)
    assert len(listening.said("ami_deaf")) == 2, "it is missing anew"


async def test_nothing_is_asked_any_more_when_the_answer_is_known(listening: Listening) -> None:
    async with listening.session():
        listening.hears(hangup_text())
        await listening.until(lambda: listening.asked)
        await listening.decide("1.1")
    assert listening.of("CoreStatus") == []


async def test_an_account_that_may_not_ask_is_not_asked_again_and_nothing_is_missing(listening: Listening) -> None:
    listening.refusals = {"CoreStatus": "Permission denied", "GetVar": "Permission denied"}
    async with listening.session():
        await listening.decide("1.1")
        await listening.until(lambda: listening.of("CoreStatus"))
        for _ in range(9):
            listening.decided.add("1.2")
            await asyncio.sleep(0.002)
    assert [len(listening.of(action)) for action in ("CoreStatus", "GetVar")] == [1, 1]
    assert (listening.shown, listening.lines) == (UNSEEN, [])


@pytest.mark.parametrize("reply", ["x", "", "nan", "-1e999"])
async def test_an_answer_that_is_no_number_is_none(listening: Listening, reply: str) -> None:
    listening.channels = [reply]  # type: ignore[list-item]
    async with listening.session():
        await listening.until(lambda: len(listening.of("CoreStatus")) > 3)
    assert (listening.shown, listening.lines) == (UNSEEN, [])


# --- own calls ------------------------------------------------------------------------------------------------------


async def test_a_decided_call_that_is_there_shows_that_it_is_the_right_asterisk(listening: Listening) -> None:
    listening.there = {"london-1790000000.12"}
    async with listening.session():
        await listening.decide("1790000000.1")
        assert listening.shown["calls"] == -1
        await listening.decide("london-1790000000.12")
        await listening.until(lambda: listening.shown["calls"] == 1)
        assert listening.decided._waiting == [], "nobody asks any more"
    assert listening.lines == []
    assert {(each["channel"], each["variable"]) for each in listening.of("GetVar")} == {
        ("1790000000.1", "UNIQUEID"),
        ("london-1790000000.12", "UNIQUEID"),
    }


async def test_a_call_that_has_ended_already_is_known_by_its_hangup(listening: Listening) -> None:
    async with listening.session():
        listening.hears(hangup_text(Uniqueid="7.7"))
        await listening.until(lambda: listening.decided._waiting)
        listening.decided.add("7.7")
        await listening.until(lambda: listening.shown["calls"] == 1)
    assert listening.of("GetVar") == []


@pytest.mark.parametrize("unique_id", ["", "1\r\nAction: x", "1 2", "é", "x" * (UNIQUE_ID_LOG_MAX_CHARS + 1), "1\n"])
async def test_what_is_no_unique_id_is_not_asked_for(listening: Listening, unique_id: str) -> None:
    async with listening.session():
        await listening.decide(unique_id, questions=0)
        await listening.decide("1.1")
    assert [each["channel"] for each in listening.of("GetVar")] == ["1.1"]


async def decide_many(listening: Listening) -> None:
    """Decide as many calls that it does not have as are enough to say so."""
    for place in range(AMI_HEARING_UNKNOWN_CALLS):
        await listening.decide(f"9.{place}")


async def test_calls_that_are_never_its_own_are_said_once_and_are_not_missing(listening: Listening) -> None:
    async with listening.session():
        await decide_many(listening)
        await listening.until(lambda: listening.said("ami_calls_elsewhere"))
        await decide_many(listening)
    (said,) = listening.said("ami_calls_elsewhere")
    assert "[[ami]] host" in said["hint"]
    assert (listening.shown, listening.said("ami_deaf")) == (UNSEEN, [])
    listening.there = {"own.1"}
    async with listening.session():
        await listening.decide("own.1")
        await listening.until(lambda: listening.shown["calls"] == 1)
    assert [each["what"] for each in listening.said("ami_hears")] == ["calls"]


async def test_calls_of_another_asterisk_that_is_watched_are_not_said(listening: Listening) -> None:
    other = Listening("pbx2", listening.decided)
    other.there = {"own.2"}
    async with listening.session(), other.session():
        await listening.until(lambda: len(listening.decided._waiting) == 2)
        listening.decided.add("own.2")
        await other.until(lambda: other.shown["calls"] == 1)
        await decide_many(listening)
    assert listening.lines == other.lines == []
    assert listening.shown["calls"] == -1


async def test_nor_while_another_one_is_away(listening: Listening) -> None:
    other = Listening("pbx2", listening.decided)
    async with listening.session():
        await decide_many(listening)
        await decide_many(listening)
        assert listening.lines == []
    assert other.lines == []


async def test_nor_where_nobody_knows_which_calls_have_ended(listening: Listening) -> None:
    listening.channels = [9, 0, 0]
    async with listening.session():
        await listening.until(lambda: listening.shown["hangups"] == 0)
        await decide_many(listening)
        await decide_many(listening)
    assert listening.said("ami_calls_elsewhere") == []


async def test_sessions_that_come_and_go_leave_nothing_behind() -> None:
    decided = DecidedCalls()
    for _ in range(9):
        waiting = asyncio.create_task(decided.next())
        await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        assert decided._waiting == []
    waiting = asyncio.create_task(decided.next())
    await asyncio.sleep(0)
    decided.add("1.1")
    assert (await waiting, decided._waiting) == ("1.1", [])
