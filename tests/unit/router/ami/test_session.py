"""A session with a server that says what a test makes it say, over real sockets."""

import asyncio
import contextlib
import logging

import pytest

from router.ami import client, session
from router.ami.session import AmiError, AmiRefusedError, AmiSession
from router.config.limits import DIALLED_LOG_MAX_CHARS
from tests.unit.router.ami.peers import SECRET, Peer, session_with


async def listed(asked: AmiSession, keys: list[str] | None = None) -> list[str]:
    """The keys of a list, in `keys` as they come."""
    found = [] if keys is None else keys
    async for entry in asked.entries("DBGetTree", Family="ringway"):
        found.append(str(entry["Key"]))
    return found


async def knows_challenges(peer: Peer) -> None:
    await peer.let_in()
    await peer.hold()


# --- the login ------------------------------------------------------------------------------------------------------


async def test_login_is_by_challenge_and_the_secret_does_not_travel() -> None:
    async with session_with(knows_challenges) as made:
        await made.login("ringway", SECRET)


async def test_a_refused_login_says_so() -> None:
    async with session_with(knows_challenges) as made:
        with pytest.raises(AmiRefusedError, match="Login was refused: Authentication failed"):
            await made.login("ringway", "wrong")


async def refuses_challenges(peer: Peer) -> None:
    await peer.reply(await peer.action(), "Response: Error\nMessage: Invalid/unknown command")
    login = await peer.action()
    assert (login["username"], login["secret"]) == ("ringway", SECRET)
    await peer.reply(login)
    await peer.hold()


async def test_login_is_in_clear_where_this_machine_itself_refuses_a_challenge() -> None:
    async with session_with(refuses_challenges) as made:
        await made.login("ringway", SECRET)


async def no_more(peer: Peer) -> None:
    """Whatever follows the first action is a secret that should not have come."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        raise AssertionError(await peer.action())


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "", "nonsense"])
async def test_the_secret_never_goes_in_clear_to_another_machine(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    async def serve(peer: Peer) -> None:
        await peer.reply(await peer.action(), "Response: Error\nMessage: Invalid/unknown command")
        await no_more(peer)

    monkeypatch.setattr(client._Protocol, "peer", address)
    async with session_with(serve) as made:
        with pytest.raises(AmiError, match="the secret is not sent in clear to another machine"):
            await made.login("ringway", SECRET)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("", r"Challenge: no reply within 0\.05 s"),
        ("Response: Success", "Challenge: there is none"),
        ("Response: Success\nChallenge: ", "Challenge: there is none"),
        ("Response: Success\nChallenge: 1\nChallenge: 2", "Challenge: there is none"),
        ("Response: Follows", "Challenge: its reply cannot be read"),
        ("Event: X", "Challenge: its reply cannot be read"),
    ],
)
async def test_the_secret_does_not_go_in_clear_where_no_challenge_comes(
    monkeypatch: pytest.MonkeyPatch, reply: str, why: str
) -> None:
    monkeypatch.setattr(session, "AMI_ACTION_SECONDS", 0.05 if not reply else 5.0)

    async def serve(peer: Peer) -> None:
        asked = await peer.action()
        if reply:
            await peer.reply(asked, reply)
        await no_more(peer)

    async with session_with(serve) as made:
        with pytest.raises(AmiError, match=why):
            await made.login("ringway", SECRET)


async def test_the_secret_does_not_go_where_the_session_ends_instead_of_a_challenge() -> None:
    async def serve(peer: Peer) -> None:
        await peer.action()

    async with session_with(serve) as made:
        with pytest.raises(AmiError, match="Challenge: Asterisk closed the session"):
            await made.login("ringway", SECRET)


async def test_nobody_logs_the_secret(caplog: pytest.LogCaptureFixture) -> None:
    """An action that waits when its session is lost, or cannot be sent, is written down whole by panoramisk."""
    caplog.set_level(logging.DEBUG)

    async def serve(peer: Peer) -> None:
        await peer.reply(await peer.action(), "Response: Error\nMessage: no")
        await peer.action()

    async with session_with(serve) as made:
        with pytest.raises(AmiError):
            await made.login("ringway", SECRET)
        made._link.send({"Action": "Login", "Secret": f"{SECRET}\udcff"})  # type: ignore[attr-defined]
    assert SECRET not in caplog.text
    assert not [record for record in caplog.records if record.name.startswith("panoramisk")]


# --- actions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["a\r\nAction: Originate", "a\nb", "a\rb"])
async def test_line_ends_are_refused_in_actions(value: str) -> None:
    async with session_with(Peer.hold) as made:
        with pytest.raises(AmiError, match="a value holds a line end"):
            await made.ask("Ping", Family=value)


async def test_an_action_has_a_deadline_and_its_late_reply_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "AMI_ACTION_SECONDS", 0.05)
    late = asyncio.Event()

    async def serve(peer: Peer) -> None:
        first = await peer.action()
        await late.wait()
        await peer.reply(first, "Response: Success\nMessage: late")
        await peer.reply(await peer.action(), "Response: Success\nMessage: in time")
        await peer.hold()

    async with session_with(serve) as made:
        with pytest.raises(AmiError, match=r"Ping: no reply within 0\.05 s"):
            await made.ask("Ping")
        monkeypatch.setattr(session, "AMI_ACTION_SECONDS", 5.0)
        late.set()
        assert (await made.ask("Ping"))["Message"] == "in time"


async def test_a_reply_whose_action_nobody_asked_for_is_nothing() -> None:
    """A caller's text may look like a reply; the names of actions cannot be guessed, nor the next from the last."""
    names = []

    async def serve(peer: Peer) -> None:
        for _ in range(2):
            asked = await peer.action()
            names.append(asked["actionid"])
            for guess in ("", "1", "0" * 32, names[0] if len(names) > 1 else "action/1/1"):
                await peer.say(f"Response: Error\nActionID: {guess}\nMessage: forged\n\n")
            await peer.say("Response: Error\nMessage: forged\n\n")
            await peer.reply(asked)
        await peer.hold()

    async with session_with(serve) as made:
        for _ in range(2):
            assert "Message" not in await made.ask("Ping")
    assert len(set(names)) == 2
    assert min(map(len, names)) >= 32


async def test_what_the_server_says_is_cut() -> None:
    async def serve(peer: Peer) -> None:
        await peer.reply(await peer.action(), f"Response: Error\nMessage: {'x' * 5000}")
        await peer.hold()

    async with session_with(serve) as made:
        with pytest.raises(AmiRefusedError) as refused:
            await made.ask("Ping")
    assert str(refused.value) == f"Ping was refused: {'x' * DIALLED_LOG_MAX_CHARS}"


async def test_a_session_that_ends_ends_what_waits_for_it() -> None:
    async def serve(peer: Peer) -> None:
        await peer.action()

    async with session_with(serve) as made:
        with pytest.raises(AmiError, match="Ping: Asterisk closed the session"):
            await made.ask("Ping")
        with pytest.raises(AmiError, match="closed the session"):
            await made.ask("Ping")


# --- lists ----------------------------------------------------------------------------------------------------------


async def test_entries_come_before_the_list_is_complete() -> None:
    more = asyncio.Event()

    async def serve(peer: Peer) -> None:
        asked = await peer.action()
        await peer.list(asked, [("a", "1|2: 3")], ends=False)
        await more.wait()
        await peer.say(f"Event: DBGetTreeResponse\nActionID: {asked['actionid']}\nKey: b\nVal: x\n\n")
        await peer.say(f"Event: DBGetTreeComplete\nActionID: {asked['actionid']}\nEventList: Complete\n\n")
        await peer.hold()

    found = []
    async with session_with(serve) as made:
        async for entry in made.entries("DBGetTree", Family="ringway"):
            found.append((entry["Key"], entry["Val"]))
            more.set()
    assert found == [("a", "1|2: 3"), ("b", "x")]


async def test_a_list_may_be_empty() -> None:
    async def serve(peer: Peer) -> None:
        await peer.list(await peer.action(), [])
        await peer.hold()

    async with session_with(serve) as made:
        assert await listed(made) == []


@pytest.mark.parametrize(
    ("bound", "value", "why"),
    [("AMI_LIST_MAX", 10, "more than 10 entries"), ("AMI_LIST_MAX_BYTES", 1000, "more than 1000 bytes")],
)
async def test_a_list_without_an_end_ends_the_action_and_not_the_session(
    monkeypatch: pytest.MonkeyPatch, bound: str, value: int, why: str
) -> None:
    monkeypatch.setattr(client, bound, value)

    async def serve(peer: Peer) -> None:
        await peer.list(await peer.action(), [(str(place), "x" * 100) for place in range(50)], ends=False)
        await peer.reply(await peer.action())
        await peer.hold()

    found: list[str] = []
    async with session_with(serve) as made:
        with pytest.raises(AmiError, match=why):
            await listed(made, found)
        await made.ask("Ping")
    assert found == [str(place) for place in range(len(found))]
    assert 1 <= len(found) <= 10


async def test_a_list_that_stops_has_the_deadline_of_any_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "AMI_ACTION_SECONDS", 0.05)

    async def serve(peer: Peer) -> None:
        await peer.list(await peer.action(), [("a", "b")], ends=False)
        await peer.hold()

    async with session_with(serve) as made:
        with pytest.raises(AmiError, match=r"DBGetTree: no reply within 0\.05 s"):
            await listed(made)


async def test_a_refused_list_is_refused() -> None:
    async def serve(peer: Peer) -> None:
        await peer.reply(await peer.action(), "Response: Error\nMessage: Database entry not found")
        await peer.hold()

    async with session_with(serve) as made:
        with pytest.raises(AmiRefusedError, match="Database entry not found"):
            await listed(made)


# --- pings ----------------------------------------------------------------------------------------------------------


async def test_a_link_that_says_nothing_any_more_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "AMI_ACTION_SECONDS", 0.05)
    monkeypatch.setattr(session, "AMI_PING_SECONDS", 0.01)
    async with session_with(Peer.hold) as made:
        assert await made.keep() == "Ping: no reply within 0.05 s"


async def test_pings_keep_a_link_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "AMI_PING_SECONDS", 0.01)

    async def serve(peer: Peer) -> None:
        for _ in range(5):
            await peer.reply(await peer.action(), "Response: Success\nPing: Pong")

    async with session_with(serve) as made:
        assert await made.keep() == "Asterisk closed the session"
