import http
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import prometheus_client
import pytest

from router.config.settings import Endpoint
from router.doctor.findings import State
from router.doctor.router_page import Page, Sample, hearing, look, read
from router.observe.metrics import Metrics


@contextmanager
def served(*answers: bytes) -> Iterator[int]:
    """Somebody who gives one answer to each connection, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            for each in answers:
                with listening.accept()[0] as connection:
                    connection.recv(65_536)
                    connection.sendall(each)

        thread = threading.Thread(target=answer)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(30)


def http_of(text: bytes, status: http.HTTPStatus = http.HTTPStatus.OK) -> bytes:
    return f"HTTP/1.0 {status.value} {status.phrase}\r\n\r\n".encode() + text


METRICS = http_of(prometheus_client.generate_latest(Metrics().registry))


async def test_a_router_that_is_ready_and_one_that_is_not() -> None:
    with served(METRICS, http_of(b"ready\n")) as port:
        page, found = await look(Endpoint(port=port))
    assert (page is not None, found.state) == (True, State.OK)
    starting = http_of(b"not ready: it is starting\n", http.HTTPStatus.SERVICE_UNAVAILABLE)
    with served(METRICS, starting) as port:
        page, found = await look(Endpoint(port=port))
    assert (page is not None, found.state) == (True, State.WRONG)
    assert "it is starting" in found.what


@pytest.mark.parametrize("answer", [http_of(b"<a>{"), http_of(b""), http_of(b"\xff"), b"SSH-2.0-x\r\n"])
async def test_somebody_else(answer: bytes) -> None:
    with served(answer, answer) as port:
        page, found = await look(Endpoint(port=port))
        with socket.create_connection(("127.0.0.1", port)) as rest:  # a connection that was not made
            rest.sendall(b"x")
    assert (page, found.state) == (None, State.WRONG)
    assert "[metrics]" in found.mend


async def test_nobody_and_no_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    for number in (port, 0):
        page, found = await look(Endpoint(port=number))
        assert (page, found.state, bool(found.mend)) == (None, State.NOT_SEEN, True)
    page, found = await look(Endpoint(host="a..b", port=port))
    assert (page, found.state) == (None, State.WRONG)


def test_what_its_links_hear_is_read_off_its_metrics() -> None:
    values = {"variables": 1.0, "hangups": 0.0, "dials": -1.0}
    samples = [Sample("ringway_ami_hearing", {"asterisk": "pbx1", "what": each}, values[each]) for each in values]
    assert hearing(Page(tuple(samples))) == {"pbx1": {"variables": State.OK, "hangups": State.WRONG}}
    assert hearing(None) == hearing(Page(())) == {}


def test_a_page_of_another_program_is_none() -> None:
    assert read("go_goroutines 5\n") is None
    assert read("{") is None


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e400"])
def test_a_count_that_is_none_is_taken_for_nothing(value: str) -> None:
    page = read(f"ringway_table_version 1\nringway_decisions_total {value}\n")
    assert page is not None
    assert page.total("ringway_decisions_total") == 0
