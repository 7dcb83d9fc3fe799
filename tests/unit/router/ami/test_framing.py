import pytest

from router.ami.framing import Framer, FramingError, action_id
from router.config.limits import AMI_MESSAGE_MAX_BYTES
from tests.unit.router.ami.peers import BANNER


def introduced() -> Framer:
    wire = Framer()
    wire.feed(BANNER)
    assert wire.take(10) == []
    assert wire.introduced
    return wire


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_messages_are_whole_however_the_bytes_come(size: int) -> None:
    data = BANNER + "Event: A\r\nName: Zoë\r\n\r\n\r\nEvent: B\r\n\r\nEvent: half".encode()
    wire, found = Framer(), []
    for place in range(0, len(data), size):
        wire.feed(data[place : place + size])
        found += wire.take(10)
    assert found == ["Event: A\r\nName: Zoë".encode(), b"Event: B"]


def test_no_more_is_taken_than_is_asked_for() -> None:
    wire = introduced()
    wire.feed(b"1\r\n\r\n2\r\n\r\n3\r\n\r\n4")
    assert [wire.take(2), wire.take(2), wire.take(2)] == [[b"1", b"2"], [b"3"], []]


def test_what_is_longer_than_a_message_may_wait_where_it_is_many() -> None:
    wire = introduced()
    wire.feed(b"x\r\n\r\n" * AMI_MESSAGE_MAX_BYTES)
    assert wire.take(1) == [b"x"]
    assert len(wire.take(10 * AMI_MESSAGE_MAX_BYTES)) == AMI_MESSAGE_MAX_BYTES - 1


def test_a_message_without_an_end_is_an_error() -> None:
    wire = introduced()
    wire.feed(b"Event: " + b"x" * AMI_MESSAGE_MAX_BYTES)
    with pytest.raises(FramingError, match="a message has more than"):
        wire.take(1)


@pytest.mark.parametrize(
    "words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail.example.net\r\n", b"x" * (AMI_MESSAGE_MAX_BYTES + 1)]
)
def test_another_banner_is_an_error(words: bytes) -> None:
    wire = Framer()
    wire.feed(words)
    with pytest.raises(FramingError, match="what answered is no manager interface"):
        wire.take(1)


def test_the_action_that_a_message_replies_to() -> None:
    assert action_id(b"Response: Success\r\nActionID: abc\r\nPing: Pong") == "abc"
    assert action_id(b"Event: X\r\nActionID: abc") == "abc"
    assert action_id(b"Event: Hangup\r\nCause: 1") == ""
    assert action_id(b"Event: X\r\nActionID: \xff") == "\N{REPLACEMENT CHARACTER}"
