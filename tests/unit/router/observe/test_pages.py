"""The pages that a router shows: each path what it says, whatever the request is."""

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from router.observe import pages
from router.observe.metrics import Metrics
from router.observe.pages import Pages, served, turning
from router.observe.readiness import Readiness

PATIENCE_SECONDS = 30.0


class Shown:
    """Pages, and what they are made of."""

    def __init__(self) -> None:
        self.turns, self.why_not, self.remark = True, "", ""
        readiness = Readiness(lambda: self.why_not)
        readiness.add_remark(lambda: self.remark)
        self.pages = Pages(Metrics().registry, lambda: self.turns, readiness)

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
        """The status, the headers and the text of an answer."""
        found: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            found.extend([int(status[:3]), dict(headers)])

        environ = {"REQUEST_METHOD": method, "PATH_INFO": path} | {f"HTTP_{key}": text for key, text in headers.items()}
        text = b"".join(self.pages(environ, start_response)).decode()
        return found[0], found[1], text


@pytest.fixture
def shown() -> Shown:
    return Shown()


def test_a_router_that_is_ready_says_so_on_each_page(shown: Shown) -> None:
    assert shown.ask("/live")[::2] == (200, "live\n")
    assert shown.ask("/ready")[::2] == (200, "ready\n")
    status, headers, text = shown.ask("/metrics")
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    assert "ringway_table_numbers 0.0" in text


def test_one_that_is_not_ready_is_alive_and_says_why_it_is_not(shown: Shown) -> None:
    shown.why_not = "it is draining"
    assert shown.ask("/ready")[::2] == (503, "not ready: it is draining\n")
    assert shown.ask("/live")[::2] == (200, "live\n")


def test_what_is_wrong_although_the_table_serves_is_a_remark(shown: Shown) -> None:
    shown.remark = "the store has lost a part of its data"
    assert shown.ask("/ready")[::2] == (200, "ready, but the store has lost a part of its data\n")
    assert shown.ask("/live")[::2] == (200, "live\n")
    shown.why_not = "it is draining"
    assert shown.ask("/ready")[::2] == (503, "not ready: it is draining\n")


def test_one_whose_event_loop_stands_still_is_neither_alive_nor_ready(shown: Shown) -> None:
    shown.turns = False
    for page in ("live", "ready"):
        status, _, text = shown.ask(f"/{page}")
        assert status == 503
        assert text.startswith(f"not {page}: the event loop has not turned for ")
    assert shown.ask("/metrics")[0] == 200


@pytest.mark.parametrize("path", ["/", "", "/metrics/", "/favicon.ico", "/live/x", "/\xff"])
def test_another_path_is_none(shown: Shown, path: str) -> None:
    assert shown.ask(path)[::2] == (404, "there is /metrics, /live and /ready\n")


def test_a_head_has_no_text_and_another_method_is_refused(shown: Shown) -> None:
    for path in ("/metrics", "/live", "/ready"):
        assert shown.ask(path, "HEAD")[::2] == (200, "")
        assert shown.ask(path, "POST")[::2] == (405, "use GET or HEAD\n")


OPEN_METRICS = "application/openmetrics-text"


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        (OPEN_METRICS, True),
        (f"{OPEN_METRICS};version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
        (f"text/plain, {OPEN_METRICS.upper()} ; version=0.0.1", True),
        (f"{OPEN_METRICS};version=banana", False),
        (f"{OPEN_METRICS};version=99", False),
        (f"{OPEN_METRICS};version=", True),
        ("text/plain;version=banana;escaping=banana", False),
        ("", False),
        ("*/*", False),
        (";;,,=;=", False),
    ],
)
def test_open_metrics_is_given_to_whoever_names_it_in_a_version_that_there_is(
    shown: Shown, accept: str, is_open: bool
) -> None:
    status, headers, text = shown.ask("/metrics", ACCEPT=accept)
    assert (status, headers["Content-Type"].startswith(OPEN_METRICS)) == (200, is_open)
    if is_open:
        assert "version=1.0.0" in headers["Content-Type"]
        assert list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


SHOWN = Shown()
PARTS = st.sampled_from(
    [
        OPEN_METRICS,
        "text/plain",
        "version",
        "escaping",
        "q",
        "=",
        ";",
        ",",
        '"',
        "1.0.0",
        "2",
        "banana",
        "allow-utf-8",
        " ",
    ]
)


@settings(deadline=None)
@given(st.lists(PARTS, max_size=12).map("".join) | st.text(max_size=30), st.text(max_size=20))
def test_no_header_and_no_query_makes_it_fail(accept: str, query: str) -> None:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", "HTTP_ACCEPT": accept, "QUERY_STRING": query}
    statuses: list[str] = []
    assert SHOWN.pages(environ, lambda status, _headers: statuses.append(status))
    assert statuses == ["200 OK"]


# --- over HTTP --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def on_a_port(made: Pages) -> Iterator[int]:
    bound = socket.create_server(("127.0.0.1", 0))
    with served(made, [bound]):
        yield bound.getsockname()[1]
    assert bound.fileno() == -1


def test_the_pages_are_served_on_the_sockets_that_are_handed_in(shown: Shown) -> None:
    with on_a_port(shown.pages) as port:
        for path in ("/live", "/none"):
            asking = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
            with contextlib.closing(asking):
                asking.request("GET", path)
                answer = asking.getresponse()
                assert (answer.status, answer.read().decode()) == shown.ask(path)[::2]


def test_a_peer_that_sends_nothing_or_goes_is_let_go_without_a_word(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pages._Handler, "timeout", 0.05)
    with on_a_port(shown.pages) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as idle:
            assert idle.recv(10) == b""
        for sent in (b"", b"GET /metrics HTTP/1.0\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port)) as gone:
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                gone.sendall(sent)
        names = [thread.name for thread in threading.enumerate()]
    end = time.monotonic() + PATIENCE_SECONDS
    while any("process_request_thread" in each.name for each in threading.enumerate()):
        assert time.monotonic() < end, names
        time.sleep(0.005)
    assert capfd.readouterr().err == ""


async def test_a_loop_that_turns_is_told_from_one_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LIVE_SECONDS", PATIENCE_SECONDS)
    loop = asyncio.get_running_loop()
    assert await asyncio.to_thread(turning(loop))
    monkeypatch.setattr(pages, "LIVE_SECONDS", 0.01)
    assert not turning(loop)()  # asked by the loop itself, which cannot turn meanwhile


def test_a_loop_that_has_ended_does_not_turn() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    assert not turning(loop)()
