import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterable, Iterator

import pytest

from router.config.limits import PAGE_MAX_BYTES
from router.util.page import PageError, page_of

Say = Callable[[], Iterable[bytes]]


@contextlib.contextmanager
def page(say: Say) -> Iterator[str]:
    """The address of somebody who says that to whoever asks, until he goes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with listening.accept()[0] as connection, contextlib.suppress(OSError):
                connection.recv(65_536)
                for each in say():
                    connection.sendall(each)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/metrics"
        thread.join(30)
        assert not thread.is_alive(), "whoever asked is still there"


def drip(before: bytes) -> Say:
    """A byte at a time, for ever: each comes soon, and all of them never."""

    def say() -> Iterator[bytes]:
        yield before
        while True:
            pause.wait(0.05)
            yield b"x"

    pause = threading.Event()
    return say


def for_ever(before: bytes) -> Say:
    return lambda: itertools.chain([before], itertools.repeat(b"x" * 65_536))


def test_a_page_is_read_whole_whatever_its_status() -> None:
    for said, expected in (
        (b"HTTP/1.0 200 OK\r\n\r\na\xff", (200, "a\ufffd")),
        (b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno", (503, "no")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", (200, "a")),
    ):
        with page(lambda said=said: [said]) as address:  # type: ignore[misc]
            assert page_of(address, 30) == expected


@pytest.mark.parametrize(
    "before", [b"", b"HTTP/1.1 200 OK\r\nA: ", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 503 No\r\n\r\n"]
)
def test_a_page_that_never_ends_is_given_up(before: bytes) -> None:
    with page(drip(before)) as address, pytest.raises(PageError, match=r"no end of it within 0\.3 s"):
        page_of(address, 0.3)
    with page(for_ever(before)) as address, pytest.raises(PageError, match=f"more than {PAGE_MAX_BYTES} bytes"):
        page_of(address, 30)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
        b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nx",
        b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 \x1b[2J\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    ],
)
def test_what_is_no_page_is_said_on_one_line_of_plain_text(said: bytes) -> None:
    with page(lambda: [said]) as address, pytest.raises(PageError) as caught:
        page_of(address, 30)
    assert not caught.value.refused
    assert str(caught.value).isprintable()
    assert str(caught.value)


def test_nobody_elsewhere_is_asked_whatever_the_page_says() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0)
        there = f"http://127.0.0.1:{other.getsockname()[1]}/"
        with page(lambda: [f"HTTP/1.1 302 Found\r\nLocation: {there}\r\n\r\n".encode()]) as address:
            assert page_of(address, 30)[0] == 302
        with pytest.raises(BlockingIOError):
            other.accept()


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(PageError) as caught:
        page_of(f"http://127.0.0.1:{port}/metrics", 30)
    assert (caught.value.refused, str(caught.value)) == (True, "Connection refused")
    with pytest.raises(PageError):
        page_of("http://a..b:1/metrics", 30)
