"""The client against a server that says what a test makes it say, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from router.ami import client
from router.ami.client import AmiError, AmiSession, Event, connect
from router.limits import AMI_LIST_MAX, AMI_MESSAGE_MAX_BYTES
from tests.unit.router.ami.peers import BANNER, SECRET, Peer, Serve, server_of


@asynccontextmanager
async def session_with(
    serve: Serve, events: list[Event] | None = None, dispatch: Callable[[Event], None] | None = None
) -> AsyncIterator[AmiSession]:
    """A session, not logged in, with a server that has sent its banner and goes on with `serve`."""

    async def introduce(peer: Peer) -> None:
        await peer.say(BANNER)
        await serve(peer)

    taken: list[Event] = [] if events is None else events
    async with server_of(introduce) as port:
        session = await connect("127.0.0.1", port, dispatch or taken.append, structlog.get_logger())
        try:
            yield session
        finally:
            session.close()


async def knows_challenges(peer: Peer) -> None:
    await peer.let_in()
    await peer.hold()


async def test_login_is_by_challenge_and_the_secret_does_not_travel() -> None:
    async with session_with(knows_challenges) as session:
        await session.login("ringway", SECRET)


async def test_a_refused_login_says_so() -> None:
    async with session_with(knows_challenges) as session:
        with pytest.raises(AmiError, match="Login was refused: Authentication failed"):
            await session.login("ringway", "wrong")


async def test_login_is_in_clear_where_there_is_no_challenge() -> None:
    async def serve(peer: Peer) -> None:
        await peer.reply(await peer.action(), "Response: Error\nMessage: Invalid/unknown command")
        login = await peer.action()
        assert (login["username"], login["secret"]) == ("ringway", SECRET)
        await peer.reply(login)
        await peer.hold()

    async with session_with(serve) as session:
        await session.login("ringway", SECRET)


async def test_a_character_across_two_segments_arrives_whole() -> None:
    data = "Event: DialBegin\r\nDestCallerIDName: Zoë Šimić\r\n\r\n".encode()

    async def serve(peer: Peer) -> None:
        for place in range(len(data)):
            await peer.say(data[place : place + 1])
            await asyncio.sleep(0)
        await peer.reply(await peer.action())
        await peer.hold()

    events: list[Event] = []
    async with session_with(serve, events) as session:
        await session.ask("Ping")
    assert [event["DestCallerIDName"] for event in events] == ["Zoë Šimić"]


async def test_bytes_that_are_no_utf8_and_messages_that_are_none_do_no_harm() -> None:
    odd = [b"Event: A\r\nName: \xff\xfe\r\n\r\n", b"\r\n\r\n", b"no colon\r\n\r\n", b": \r\n\r\n", b"Response\r\n\r\n"]
    odd += [b"Event: B\r\nasync: x\r\nActionID: nobodys\r\n\r\n", b"Event: C\r\nEvent: D\r\n\r\n", b"Event: E\r\n\r\n"]

    async def serve(peer: Peer) -> None:
        await peer.say(b"".join(odd))
        await peer.reply(await peer.action())
        await peer.hold()

    events: list[Event] = []
    async with session_with(serve, events) as session:
        await session.ask("Ping")
    assert [event["Event"] for event in events if isinstance(event["Event"], str)] == ["A", "B", "E"]


async def test_a_consumer_that_raises_does_not_end_the_session() -> None:
    seen: list[Any] = []

    def raises(event: Event) -> None:
        seen.append(event["Event"])
        raise ValueError("a bug")

    async def serve(peer: Peer) -> None:
        await peer.say("Event: One\n\nEvent: Two\n\n")
        await peer.reply(await peer.action())
        await peer.hold()

    async with session_with(serve, dispatch=raises) as session:
        await session.ask("Ping")
    assert seen == ["One", "Two"]


@pytest.mark.parametrize("value", ["a\r\nAction: Originate", "a\nb", "a\rb"])
async def test_line_ends_are_refused_in_actions(value: str) -> None:
    async with session_with(Peer.hold) as session:
        with pytest.raises(AmiError, match="a value holds a line end"):
            await session.ask("DBGetTree", Family=value)


async def test_an_action_has_a_deadline_and_its_late_reply_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "AMI_ACTION_SECONDS", 0.05)
    late = asyncio.Event()

    async def serve(peer: Peer) -> None:
        first = await peer.action()
        await late.wait()
        await peer.reply(first, "Response: Success\nMessage: late")
        await peer.reply(await peer.action(), "Response: Success\nMessage: in time")
        await peer.hold()

    async with session_with(serve) as session:
        with pytest.raises(AmiError, match=r"Ping: no reply within 0\.05 s"):
            await session.ask("Ping")
        monkeypatch.setattr(client, "AMI_ACTION_SECONDS", 5.0)
        late.set()
        (reply,) = await session.ask("Ping")
        assert reply["Message"] == "in time"


async def test_a_link_that_says_nothing_any_more_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "AMI_ACTION_SECONDS", 0.05)
    monkeypatch.setattr(client, "AMI_PING_SECONDS", 0.01)
    async with session_with(Peer.hold) as session:
        assert await session.keep() == "Ping: no reply within 0.05 s"


async def test_pings_keep_a_link_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "AMI_PING_SECONDS", 0.01)

    async def serve(peer: Peer) -> None:
        for _ in range(5):
            await peer.reply(await peer.action(), "Response: Success\nPing: Pong")

    async with session_with(serve) as session:
        assert await session.keep() == "Asterisk closed the session"


async def test_a_session_that_ends_ends_what_waits_for_it() -> None:
    async def serve(peer: Peer) -> None:
        await peer.action()

    async with session_with(serve) as session:
        with pytest.raises(AmiError, match="Ping: Asterisk closed the session"):
            await session.ask("Ping")
        with pytest.raises(AmiError, match="closed the session"):
            await session.ask("Ping")


async def test_a_tree_of_the_database_is_a_list() -> None:
    async def serve(peer: Peer) -> None:
        asked = await peer.action()
        number = asked["actionid"]
        await peer.reply(asked, "Response: Success\nEventList: start\nMessage: Result will follow")
        for key in ("a", "b"):
            await peer.say(f"Event: DBGetTreeResponse\nActionID: {number}\nKey: /ringway/{key}\nVal: 1|2: 3\n\n")
        await peer.say(f"Event: DBGetTreeComplete\nActionID: {number}\nEventList: Complete\nListItems: 2\n\n")
        await peer.hold()

    async with session_with(serve) as session:
        found = await session.ask("DBGetTree", Family="ringway")
    assert [(each["Key"], each["Val"]) for each in found[1:-1]] == [("/ringway/a", "1|2: 3"), ("/ringway/b", "1|2: 3")]


async def test_a_message_without_an_end_ends_the_session() -> None:
    async def serve(peer: Peer) -> None:
        await peer.action()
        await peer.say(b"Event: " + b"x" * (AMI_MESSAGE_MAX_BYTES + 1))
        await peer.hold()

    async with session_with(serve) as session:
        with pytest.raises(AmiError, match="a message has more than"):
            await session.ask("Ping")


async def test_a_list_without_an_end_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    assert AMI_LIST_MAX > 1000
    monkeypatch.setattr(client, "AMI_LIST_MAX", 10)

    async def serve(peer: Peer) -> None:
        asked = await peer.action()
        await peer.reply(asked, "Response: Success\nEventList: start\nMessage: Result will follow")
        while True:
            await peer.say(f"Event: DBGetTreeResponse\nActionID: {asked['actionid']}\nKey: x\nVal: y\n\n")
            await asyncio.sleep(0)

    async with session_with(serve) as session:
        with pytest.raises(AmiError, match="a list has more than 10 entries"):
            await session.ask("DBGetTree", Family="ringway")


def says(words: bytes) -> Serve:
    async def serve(peer: Peer) -> None:
        await peer.say(words)
        await peer.hold()

    return serve


def connecting(port: int) -> Awaitable[AmiSession]:
    return connect("127.0.0.1", port, lambda _event: None, structlog.get_logger())


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail.example.net\r\n", b"x" * 300_000])
async def test_another_service_is_no_manager_interface(words: bytes) -> None:
    async with server_of(says(words)) as port:
        with pytest.raises(AmiError, match="what answered is no manager interface"):
            await connecting(port)


async def test_a_server_without_a_word_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "AMI_CONNECT_SECONDS", 0.05)
    async with server_of(says(b"")) as port:
        with pytest.raises(AmiError, match=r"no answer within 0\.05 s"):
            await connecting(port)


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".example.net", "a\0b"])
async def test_a_host_that_no_name_can_be_is_an_error_of_the_session(host: str) -> None:
    with pytest.raises(AmiError):
        await connect(host, 5038, lambda _event: None, structlog.get_logger())


async def test_a_refused_connection_says_so() -> None:
    async with server_of(says(b"")) as port:
        pass
    with pytest.raises(AmiError, match=r"refused|Connect call failed"):
        await connecting(port)
