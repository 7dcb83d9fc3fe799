"""Asterisk whose caller forges the end of its lines, and has an answer before the router sees that: it is revoked.

How lines come over a network is chance. Here a relay holds back what follows the forged end until the answer has come.
"""

import contextlib
import dataclasses
import socket
import threading
from collections.abc import Iterator
from typing import Self
from urllib.parse import quote

import pytest

from tests.asterisk.exchange import CALLER, PLATFORM, Exchange, routed
from tests.asterisk.parts import Program
from tests.asterisk.pbx import Asterisk
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.traffic import DEFAULT, DEFAULT_FLOW
from tests.processes import PATIENCE_SECONDS, running_router

pytestmark = pytest.mark.asterisk

OWN, NARROW, WIDE = "02079460000", "02079460001", "02079460002"
NAMES = tuple(f"P{place}" for place in range(60))
PARAMETERS = ",\n".join(f'{{ name = "{name}", type = "text", default = "{"v" * 90}" }}' for name in NAMES)
DATA = f"""
[[companies]]
id = "acme"
name = "Acme"
region = "GB"

[[call_flows]]
id = "narrow"
name = "Narrow"
destination = {{ context = "flow-narrow" }}
parameters = [ {{ name = "P0", type = "text", default = "v" }} ]

[[call_flows]]
id = "wide"
name = "Wide"
destination = {{ context = "flow-wide" }}
parameters = [
{PARAMETERS}
]

[[numbers]]
number = "{OWN}"
company = "acme"
call_flow = "narrow"

[[numbers]]
number = "{NARROW}"
company = "acme"
call_flow = "narrow"

[[numbers]]
number = "{WIDE}"
company = "acme"
call_flow = "wide"
"""
TAILS = (
    "",
    "520-x",
    "520-x\n520-y\nz",
    "520-x\n520 y",
    "200 result=0",
    "200 result=0\n511 x\n520-y",
    "511 Command Not Permitted on a dead channel",
    "HANGUP\nHANGUP\nHANGUP\nHANGUP",
    "1" * 12_000,
)


class Holding:
    """A relay that passes Asterisk's bytes on up to the first blank line, and the rest after the router's answer."""

    def __init__(self, router_port: int) -> None:
        self._router = ("127.0.0.1", router_port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self.apart = 0  # calls whose lines went on behind a blank line
        self._acceptor = threading.Thread(target=self._accept)
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the acceptor
        self._acceptor.join(PATIENCE_SECONDS)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                asterisk, _ = self._listener.accept()
                asterisk.settimeout(PATIENCE_SECONDS)
                thread = threading.Thread(target=self._relay, args=(asterisk,))
                self._threads.append(thread)
                thread.start()

    def _relay(self, asterisk: socket.socket) -> None:
        router = socket.create_connection(self._router, PATIENCE_SECONDS)
        with asterisk, router, contextlib.suppress(ConnectionError):
            received = b""
            while not received.endswith(b"\n\n"):  # Asterisk writes line by line: chance would cut the rest
                data = asterisk.recv(65_536)
                if not data:
                    return
                received += data
            begin, rest = received.split(b"\n\n", 1)
            router.sendall(begin + b"\n\n")
            asterisk.sendall(router.recv(65_536))
            self.apart += bool(rest)
            router.sendall(rest)
            back = threading.Thread(target=_pass_on, args=(router, asterisk))
            back.start()
            _pass_on(asterisk, router)
            back.join(PATIENCE_SECONDS)


def _pass_on(source: socket.socket, drain: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            drain.sendall(data)
    with contextlib.suppress(OSError):
        drain.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def relay_and_exchange(
    asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Holding, Exchange]]:
    flows = (Flow("flow-narrow"), Flow("flow-wide"), dataclasses.replace(DEFAULT_FLOW, params=NAMES))
    folder = tmp_path_factory.mktemp("router")
    with running_router(folder, data=DATA) as router, Holding(router.agi_port) as relay:
        to_router = {"RINGWAY_AGI": f"127.0.0.1:{relay.port}"}
        with Asterisk(asterisk_program, flows=flows, variables=to_router) as pbx:
            yield relay, Exchange(pbx, router)


@pytest.fixture
def started(relay_and_exchange: tuple[Holding, Exchange]) -> Exchange:
    return relay_and_exchange[1]


@pytest.fixture
def relay(relay_and_exchange: tuple[Holding, Exchange]) -> Holding:
    return relay_and_exchange[0]


def forged(number: str, tail: str) -> str:
    """A Diversion header, which Asterisk copies whole, right before the lines that this forges."""
    lines = ("x", "agi_context: c", f"agi_extension: {number}", "agi_priority: 1", "agi_enhanced: 0.0")
    text = "\n".join([*lines, "agi_accountcode: ", "agi_threadid: 1", "", tail])
    return f"Diversion: <sip:{quote(text)}@127.0.0.1>;reason=unconditional"


@pytest.mark.parametrize("number", [NARROW, WIDE], ids=["one command", "several commands"])
@pytest.mark.parametrize("tail", TAILS, ids=[ascii(tail[:40]) for tail in TAILS])
def test_nothing_of_the_answer_is_left(exchange: Exchange, relay: Holding, number: str, tail: str) -> None:
    before = relay.apart
    call = exchange.call(OWN, headers=[forged(number, tail)])
    assert relay.apart == before + 1
    assert call.context == DEFAULT
    nothing = {f"PARAM_{name}": "" for name in NAMES}
    assert call.variables == routed(exchange, PLATFORM, reason="error", caller="") | nothing
    assert exchange.asterisk.kept() == {}


def test_an_honest_call_goes_through_the_same_relay(exchange: Exchange) -> None:
    assert exchange.call(OWN, CALLER).context == "flow-narrow"
