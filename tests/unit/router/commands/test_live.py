import socket
import threading
from collections.abc import Iterator

import prometheus_client
import pytest

from dialplan.routing.decide import Kind
from router.commands import live
from router.config.settings import Agi, Settings
from router.observe.metrics import HEARING, Metrics
from tests.unit.router.agi.test_client import server
from tests.unit.router.commands.conftest import Run


@pytest.fixture
def router() -> Iterator[int]:
    """Somebody on a port who answers one FastAGI connection with one command."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as lines:
                while lines.readline() not in (b"\n", b""):
                    pass
                connection.sendall(b'EXEC MSet "ROUTE_CONTEXT=flow\\\\,menu,ROUTE_STATUS=OK"\n')
                lines.readline()

        thread = threading.Thread(target=answer)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(30)


def test_call_shows_what_asterisk_would_get(run: Run, router: int) -> None:
    done = run("call", "02079460000", "--agi", f"127.0.0.1:{router}")
    assert done.status == 0
    assert done.out.startswith('ROUTE_CONTEXT = "flow,menu"\nROUTE_STATUS = "OK"\n')
    assert f"answered by 127.0.0.1:{router} in " in done.out


@pytest.mark.parametrize("status", ["OK", "NODATA"])
def test_call_shows_the_answer_of_a_router_without_data_too(run: Run, status: str) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(f'EXEC MSet "ROUTE_REASON=x,ROUTE_STATUS={status}"\n'.encode())

    with server(answer) as port:
        done = run("call", "020", "--agi", f"127.0.0.1:{port}")
    assert (done.status, done.err) == (0, "")
    assert f'ROUTE_STATUS = "{status}"\n' in done.out


def test_call_shows_names_and_values_of_any_bytes_on_one_line_each(run: Run) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b'EXEC MSet "A\x1b[2J\xff=\xed\xa0\x80\x07,ROUTE_STATUS=OK"\n')

    with server(answer) as port:
        done = run("call", "020", "--agi", f"127.0.0.1:{port}")
    assert done.status == 0
    name, status, _ = done.out.splitlines()
    assert name.isprintable()
    assert status == 'ROUTE_STATUS = "OK"'


def test_call_prints_json(run: Run, router: int) -> None:
    found = run("call", "02079460000", "--agi", f"127.0.0.1:{router}", "--json").json()
    assert found == {"ROUTE_CONTEXT": "flow,menu", "ROUTE_STATUS": "OK"}


def test_nobody_there_is_one_line_with_where_it_looked(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    done = run("call", "02079460000", "--agi", f"127.0.0.1:{port}")
    assert (done.status, done.out) == (1, "")
    where = f"ringway: the router at 127.0.0.1:{port} gave no answer"
    assert done.err == f"{where}: Connection refused; is `ringway serve` running?\n"


@pytest.mark.parametrize(
    "address",
    [
        *("", "4573", "host:", "host:port", ":4573", "host:0", "host:00000", "host:65536", "host:70109"),
        *("host::0655359", "host:0655359", "host:0004573", "host:" + "9" * 5_000, "host:\u0661\u0662", "host:4573\n"),
        *("host:-1", "host:+1", "host: 1", "host:4_5"),
    ],
)
def test_an_address_that_is_none_is_refused(run: Run, address: str) -> None:
    done = run("call", "020", "--agi", address)
    assert done.status == 1
    assert "is not HOST:PORT" in done.err


@pytest.mark.parametrize(
    ("host", "text", "address"),
    [
        ("127.0.0.1", None, ("127.0.0.1", 4573)),
        ("", None, ("127.0.0.1", 4573)),
        ("0.0.0.0", None, ("127.0.0.1", 4573)),
        ("::", None, ("::1", 4573)),
        ("x", "[::1]:4600", ("::1", 4600)),
        ("x", "pbx.example:4600", ("pbx.example", 4600)),
    ],
)
def test_the_router_is_asked_where_it_listens(host: str, text: str | None, address: tuple[str, int]) -> None:
    assert live.agi_address(text, Settings(agi=Agi(host=host))) == address


def test_status_without_metrics_says_why_it_cannot_tell(run: Run) -> None:
    done = run("status")  # the tests' configuration has its metrics off
    assert done.status == 1
    assert "[metrics] port is 0" in done.err


METRICS_OF_A_STRANGER = """ringway_table_version {version}
ringway_store_up{{store="a\x1b[2J"}} 1
ringway_store_unfit{{cause="\x9b2J"}} 1
ringway_store_unfit 1
ringway_ami_connected{{asterisk="\x1b]0;x\x07"}} 1
ringway_ami_hearing{{asterisk="\x1b]0;x\x07",what="\x1b[2J"}} 0
ringway_ami_hearing 0
ringway_store_up 1
"""


@pytest.mark.parametrize("version", ["1", "NaN", "+Inf"])
def test_status_lets_nothing_through_that_a_terminal_obeys(
    run: Run, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    text = METRICS_OF_A_STRANGER.format(version=version)

    def answer(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(f"HTTP/1.1 200 OK\r\n\r\n{text}".encode())

    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("RINGWAY_METRICS__PORT", str(listening.getsockname()[1]))

        def serve() -> None:
            for _ in range(2 if version == "1" else 1):
                with listening.accept()[0] as connection:
                    answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        done = run("status")
        thread.join(30)
    assert all(line.isprintable() for line in (done.out + done.err).split("\n"))
    assert ("is no router" in done.err) is (version != "1"), done
    assert ("2J" in done.out) is (version == "1")


def test_status_without_a_router_says_where_it_looked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        monkeypatch.setenv("RINGWAY_METRICS__PORT", str(gone.getsockname()[1]))
    done = run("status")
    assert done.status == 1
    assert "is `ringway serve` running?" in done.err


@pytest.fixture(
    params=[
        b"SSH-2.0-x\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n<a>{",
        b"HTTP/1.0 200 OK\r\n\r\n\xff",
        b"HTTP/1.0 200 OK\r\n\r\n",
    ]
)
def stranger(request: pytest.FixtureRequest) -> Iterator[int]:
    """Somebody on a port who is no router, and answers one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(request.param)

        thread = threading.Thread(target=answer)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(30)


def test_whoever_else_answers_is_said_in_one_line(run: Run, stranger: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGWAY_METRICS__PORT", str(stranger))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # of no concern to a router on this machine
    done = run("status")
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert f"http://127.0.0.1:{stranger}/metrics" in done.err
    assert "is no router" in done.err or "SSH-2.0-x" in done.err


def test_a_host_that_no_name_can_be_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGWAY_METRICS__HOST", "a..b")
    monkeypatch.setenv("RINGWAY_METRICS__PORT", "9173")
    for words in (["status"], ["call", "020", "--agi", "a..b:4573"]):
        done = run(*words)
        assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
        assert "a..b" in done.err


def test_the_state_is_read_off_the_routers_own_page() -> None:
    metrics = Metrics()
    metrics.table_numbers.set(6)
    metrics.table_version.set(3)
    metrics.store_up.labels("sqlite").set(0)
    metrics.store_up.labels("callbacks").set(1)
    metrics.in_step_at(lambda: 1e12)
    metrics.decided["assigned", Kind.CALL_FLOW].inc(2)
    metrics.decided["bad-number", Kind.DEFAULT].inc()
    page = prometheus_client.generate_latest(metrics.registry).decode()
    assert live._state(page) == {
        "table_version": 3,
        "table_numbers": 6,
        "agi_connections": 0,
        "table_digest": "0000000000000",
        "table_age_seconds": 0.0,
        "store": "sqlite, DOWN",
        "callbacks_store": "up",
        "decisions": 3,
    }


@pytest.mark.parametrize("first", ["callbacks", "redis"])
def test_a_store_of_callbacks_that_is_away_is_no_other_one(first: str) -> None:
    links = {"callbacks": 0, "redis": 1}
    names = sorted(links, key=lambda name: name != first)
    state = live._state("".join(f'ringway_store_up{{store="{name}"}} {links[name]}\n' for name in names))
    assert (state["store"], state["callbacks_store"]) == ("redis, up", "DOWN")


def test_links_to_asterisk_are_shown_where_there_are_some() -> None:
    page = 'ringway_ami_connected{asterisk="pbx1"} 1.0\nringway_ami_connected{asterisk="pbx2"} 0.0\n'
    state = live._state(page)
    assert (state["ami pbx1"], state["ami pbx2"]) == ("connected", "DOWN")


def test_what_a_link_lets_the_router_hear_stands_beside_it_while_it_is_up() -> None:
    metrics = Metrics()
    for name, up in (("pbx1", 1), ("pbx2", 0), ("pbx3", 1)):
        metrics.ami_connected.labels(name).set(up)
        for what in HEARING:
            metrics.ami_hearing.labels(name, what).set(-1)
    metrics.ami_hearing.labels("pbx1", "hangups").set(1)
    metrics.ami_hearing.labels("pbx1", "variables").set(0)
    state = live._state(prometheus_client.generate_latest(metrics.registry).decode())
    assert state["ami pbx1"] == (
        "connected; channel variables: MISSING; hangups: ok; dials: not seen yet; own calls: not seen yet"
        " (the log's ami_deaf says what to do)"
    )
    assert state["ami pbx2"] == "DOWN"
    assert state["ami pbx3"] == (
        "connected; channel variables: not seen yet; hangups: not seen yet; dials: not seen yet;"
        " own calls: not seen yet"
    )


def test_what_a_later_router_hears_is_shown_by_its_own_name() -> None:
    page = 'ringway_ami_connected{asterisk="pbx1"} 1\nringway_ami_hearing{asterisk="pbx1",what="tones"} 1\n'
    assert live._state(page)["ami pbx1"] == "connected; tones: ok"
