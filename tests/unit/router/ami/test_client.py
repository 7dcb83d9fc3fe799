"""The client against a server that says what a test makes it say, over real sockets."""

import asyncio
import ssl
from collections.abc import Awaitable
from typing import Any

import pytest
import structlog

from router.ami import client
from router.ami.client import connect
from router.ami.dial_tracker import Event
from router.ami.session import AmiError, AmiSession
from router.config.limits import AMI_MESSAGE_MAX_BYTES, AMI_TURN_MESSAGES
from tests.unit.router.ami.peers import Peer, Serve, capturing, hangup_text, server_of, session_with


async def test_a_character_across_two_segments_arrives_whole() -> None:
    data = hangup_text(CallerIDName="Zoë Šimić").replace("\n", "\r\n").encode()

    async def serve(peer: Peer) -> None:
        for place in range(len(data)):
            await peer.say(data[place : place + 1])
            await asyncio.sleep(0)
        await peer.reply(await peer.action())
        await peer.hold()

    events: list[Event] = []
    async with session_with(serve, events) as session:
        await session.ask("Ping")
    assert [event["CallerIDName"] for event in events] == ["Zoë Šimić"]


async def test_what_is_no_event_of_a_dialled_call_does_no_harm() -> None:
    odd = [b"Event: A\r\nName: \xff\xfe\r\n\r\n", b"\r\n\r\n", b"no colon\r\n\r\n", b": \r\n\r\n", b"Response\r\n\r\n"]
    odd += [b"Event: B\r\nasync: x\r\nActionID: nobodys\r\n\r\n", b"Event: C\r\nEvent: D\r\n\r\n", b"Event: E\r\n\r\n"]
    # panoramisk ends the session at this word, and any caller can write it.
    odd += [b"Event: Shutdown\r\nPrivilege: system,all\r\nShutdown: Cleanly\r\nRestart: False\r\n\r\n"]

    async def serve(peer: Peer) -> None:
        await peer.say(b"".join(odd))
        await peer.say(hangup_text())
        await peer.reply(await peer.action())
        await peer.hold()

    events: list[Event] = []
    async with session_with(serve, events) as session:
        await session.ask("Ping")
        assert not session.ended.done()
    assert [event["Event"] for event in events] == ["Hangup"]


async def test_a_forged_event_is_counted_and_said_in_one_line() -> None:
    log, said = capturing()

    async def serve(peer: Peer) -> None:
        for _ in range(100):
            await peer.say(
                hangup_text(CallerIDNum="1\n\nEvent: Shutdown\n\n") + hangup_text(CallerIDNum="1\nUniqueid: x")
            )
        await peer.say(hangup_text(Uniqueid="7.7"))
        await peer.reply(await peer.action())
        await peer.hold()

    events: list[Event] = []
    async with session_with(serve, events, log=log) as session:
        await session.ask("Ping")
    assert [event["Uniqueid"] for event in events] == ["7.7"]
    (line,) = said
    assert (line["event"], line["log_level"], line["times"], "exc_info" in line) == (
        "ami_event_refused",
        "warning",
        1,
        False,
    )


async def test_a_consumer_that_raises_does_not_end_the_session() -> None:
    seen: list[Any] = []
    log, said = capturing()

    def raises(event: Event) -> None:
        seen.append(event["Uniqueid"])
        raise ValueError("a bug")

    async def serve(peer: Peer) -> None:
        for name in ("1", "2", "3"):
            await peer.say(hangup_text(Uniqueid=name))
        await peer.reply(await peer.action())
        await peer.hold()

    async with session_with(serve, dispatch=raises, log=log) as session:
        await session.ask("Ping")
    assert seen == ["1", "2", "3"]
    assert [line["event"] for line in said] == ["ami_message_failed"]


async def test_a_burst_is_read_in_slices_between_which_others_have_their_turn() -> None:
    """Counted in events, not in time: what else runs in the loop runs between any two slices."""
    burst = hangup_text() * (AMI_TURN_MESSAGES * 20)
    taken: list[Event] = []
    slices: list[int] = []

    async def others() -> None:
        before = len(taken)
        while True:
            slices.append(len(taken) - before)
            before = len(taken)
            await asyncio.sleep(0)

    async def serve(peer: Peer) -> None:
        await peer.say(burst)
        await peer.reply(await peer.action())
        await peer.hold()

    async with session_with(serve, taken) as session:
        running = asyncio.create_task(others())
        await session.ask("Ping")
        running.cancel()
    assert len(taken) == AMI_TURN_MESSAGES * 20
    assert max(slices) <= AMI_TURN_MESSAGES


async def test_a_message_without_an_end_ends_the_session() -> None:
    async def serve(peer: Peer) -> None:
        await peer.action()
        await peer.say(b"Event: " + b"x" * (AMI_MESSAGE_MAX_BYTES + 1))
        await peer.hold()

    async with session_with(serve) as session:
        with pytest.raises(AmiError, match="a message has more than"):
            await session.ask("Ping")


# --- connecting -----------------------------------------------------------------------------------------------------


def says(words: bytes) -> Serve:
    async def serve(peer: Peer) -> None:
        await peer.say(words)
        await peer.hold()

    return serve


def connecting(port: int, tls: ssl.SSLContext | None = None) -> Awaitable[AmiSession]:
    return connect("127.0.0.1", port, lambda _event: None, structlog.get_logger(), tls)


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


async def test_a_server_without_tls_is_none_with_it() -> None:
    async with server_of(says(b"Asterisk Call Manager/11.0.0\r\n")) as port:
        with pytest.raises(AmiError, match="SSL"):
            await connecting(port, ssl.create_default_context())


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".example.net", "a\0b"])
async def test_a_host_that_no_name_can_be_is_an_error_of_the_session(host: str) -> None:
    with pytest.raises(AmiError):
        await connect(host, 5038, lambda _event: None, structlog.get_logger())


async def test_a_refused_connection_says_so() -> None:
    async with server_of(says(b"")) as port:
        pass
    with pytest.raises(AmiError, match=r"refused|Connect call failed"):
        await connecting(port)
