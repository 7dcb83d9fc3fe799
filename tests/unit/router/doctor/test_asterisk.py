"""An Asterisk that says what a test makes it say: what a real one does not, such as another time."""

import asyncio
import pathlib
import threading
import time
from collections.abc import Mapping

import pytest

from router.ami import session
from router.config.settings import Agi, Ami, Endpoint
from router.doctor import agi, asterisk, router_page
from router.doctor.asterisk import GLOBALS, Seen, look
from router.doctor.clocks import compared
from router.doctor.findings import State
from tests.unit.router.ami.peers import BANNER, SECRET, Peer, hangup_text, server_of

UP = "CAMPAIGN_ID=", "RINGWAY_ATTEMPT="


class Pbx:
    """What it answers; each of `channels` is a list of those that are up at one question, the last for all later."""

    def __init__(self, *channels: Mapping[str, tuple[str, ...]], ahead: float | None = 0.0) -> None:
        self.channels = list(channels) or [{}]
        self.ahead = ahead
        self.values = dict.fromkeys(GLOBALS, "1")
        self.ends: list[str] = []  # events that are told when a channel is asked for the second time
        self.silent = ""  # the action that is never answered

    async def __call__(self, peer: Peer) -> None:
        await peer.say(BANNER)
        if not await peer.let_in():
            await peer.hold()
            return
        while True:
            asked = await peer.action()
            name = asked["action"]
            if name == self.silent:
                await peer.hold()
                return
            await getattr(self, name.lower())(peer, asked)

    async def ping(self, peer: Peer, asked: dict[str, str]) -> None:
        told = "" if self.ahead is None else f"\nTimestamp: {time.time() + self.ahead:.6f}"
        await peer.reply(asked, f"Response: Success\nPing: Pong{told}")

    async def coresettings(self, peer: Peer, asked: dict[str, str]) -> None:
        await peer.reply(asked, "Response: Success\nSystemName: london")

    async def dbgettree(self, peer: Peer, asked: dict[str, str]) -> None:
        await peer.reply(asked, "Response: Error\nMessage: Database entry not found")

    async def getvar(self, peer: Peer, asked: dict[str, str]) -> None:
        name = asked["variable"]
        await peer.reply(asked, f"Response: Success\nVariable: {name}\nValue: {self.values[name]}")

    async def status(self, peer: Peer, asked: dict[str, str]) -> None:
        up = self.channels.pop(0) if len(self.channels) > 1 else self.channels[0]
        await peer.reply(asked, "Response: Success\nEventList: start\nMessage: Channel status will follow")
        for unique_id, variables in up.items():
            lines = "".join(f"ChanVariable: {each}\n" for each in variables)
            await peer.say(f"Event: Status\nActionID: {asked['actionid']}\nUniqueid: {unique_id}\n{lines}\n")
        await peer.say(f"Event: StatusComplete\nActionID: {asked['actionid']}\nEventList: Complete\n\n")
        if len(self.channels) == 1:
            for each in self.ends:
                await peer.say(each)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "AMI_ACTION_SECONDS", 0.5)
    monkeypatch.setattr(asterisk, "DOCTOR_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(asterisk, "DOCTOR_LISTEN_SECONDS", 0.2)
    monkeypatch.setattr(asterisk, "DOCTOR_TOLD_SECONDS", 0.1)


async def seen_of(pbx: Pbx, folder: pathlib.Path, secret: str = SECRET) -> Seen:
    path = folder / "secret"
    path.write_text(secret)
    async with server_of(pbx) as port:
        return await look(Ami("pbx1", port=port, secret_file=str(path)))


async def test_an_idle_one(tmp_path: pathlib.Path) -> None:
    seen = await seen_of(Pbx(), tmp_path)
    assert (seen.stage, seen.error, seen.broken_off, seen.here) == ("in", "", "", True)
    assert (seen.system_name, seen.astdb, seen.dialplan) == ("london", "", "")
    assert (seen.lacking, seen.hangups) == (None, None)


@pytest.mark.parametrize(("ahead", "state"), [(0.0, State.OK), (3600.0, State.WRONG), (-7.0, State.WRONG)])
async def test_a_clock_that_is_off(tmp_path: pathlib.Path, ahead: float, state: State) -> None:
    seen = await seen_of(Pbx(ahead=ahead), tmp_path)
    assert seen.clock is not None
    (found,) = compared([seen.clock])
    assert found.state is state


async def test_a_clock_that_is_not_told(tmp_path: pathlib.Path) -> None:
    assert (await seen_of(Pbx(ahead=None), tmp_path)).clock is None


@pytest.mark.parametrize(
    ("channels", "lacking"),
    [
        ({"1.1": UP}, ()),
        ({"1.1": UP, "1.2": ()}, ("CAMPAIGN_ID", "RINGWAY_ATTEMPT")),
        ({"1.1": ("CAMPAIGN_ID=x",)}, ("RINGWAY_ATTEMPT",)),
        ({"1.1": ("OTHER=CAMPAIGN_ID=", "RINGWAY_ATTEMPT=")}, ("CAMPAIGN_ID",)),
    ],
)
async def test_the_variables_of_channels_that_are_up(
    tmp_path: pathlib.Path, channels: Mapping[str, tuple[str, ...]], lacking: tuple[str, ...]
) -> None:
    seen = await seen_of(Pbx(channels), tmp_path)
    assert (seen.lacking, seen.hangups) == (lacking, None)  # none of them has ended


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (hangup_text(Uniqueid="1.2"), True),
        (hangup_text(Uniqueid="1.9"), False),
        ("", False),
        (hangup_text(Uniqueid="1.2", CallerIDNum="1\nChannel: x"), None),  # it may have told of it: not believed
    ],
)
async def test_the_end_of_a_call_is_told_or_not(tmp_path: pathlib.Path, event: str, told: bool | None) -> None:
    pbx = Pbx({"1.1": UP, "1.2": UP}, {"1.1": UP})
    pbx.ends = [event] if event else []
    assert (await seen_of(pbx, tmp_path)).hangups is told


@pytest.mark.parametrize("action", ["Ping", "CoreSettings", "DBGetTree", "Getvar", "Status"])
async def test_one_that_stops_answering_is_left_and_what_it_said_stands(tmp_path: pathlib.Path, action: str) -> None:
    pbx = Pbx()
    pbx.silent = action
    seen = await seen_of(pbx, tmp_path)
    assert (seen.stage, f"{action}: no reply within" in seen.broken_off) == ("in", True)
    assert (seen.clock is None) == (action == "Ping")


async def test_one_that_takes_for_ever_is_left(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asterisk, "DOCTOR_ASTERISK_SECONDS", 0.3)
    monkeypatch.setattr(session, "AMI_ACTION_SECONDS", 60.0)
    pbx = Pbx()
    pbx.silent = "Ping"
    assert "not answered all within" in (await seen_of(pbx, tmp_path)).broken_off


async def test_a_wrong_secret_and_none(tmp_path: pathlib.Path) -> None:
    seen = await seen_of(Pbx(), tmp_path, "another")
    assert (seen.stage, "Authentication failed" in seen.error) == ("login", True)
    seen = await look(Ami("pbx1", port=1, secret_file=str(tmp_path / "none")))
    assert (seen.stage, "No such file" in seen.error) == ("files", True)
    assert seen.addresses == ("127.0.0.1",)


async def test_a_name_that_nobody_resolves_is_not_waited_for(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setattr(asterisk, "addresses_of", lambda _: [str(never.wait())])
    seen = await look(Ami("pbx1", port=1, secret_file=str(tmp_path / "none")))
    assert (seen.stage, seen.addresses) == ("files", ())
    monkeypatch.setattr(agi, "DOCTOR_PART_SECONDS", 0.1)
    monkeypatch.setattr(agi, "_ask", lambda _: never.wait())
    assert (await agi.look(Agi())).answer is agi.Answer.SILENT
    monkeypatch.setattr(router_page, "DOCTOR_PART_SECONDS", 0.1)
    monkeypatch.setattr(router_page, "_asked", lambda _: never.wait())
    assert (await router_page.look(Endpoint(port=1)))[1].state is State.WRONG
    never.set()


async def test_whoever_refuses_the_connection_is_told_in_the_systems_words(tmp_path: pathlib.Path) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    (tmp_path / "secret").write_text(SECRET)
    seen = await look(Ami("pbx1", port=port, secret_file=str(tmp_path / "secret")))
    assert (seen.stage, seen.error) == ("connect", "Connection refused")
