"""The example flows as they are shipped, with the demo data as it is shipped: who answers, and with which values."""

import tomllib
from collections.abc import Iterator

import pytest
import tomli_w

from tests.asterisk.exchange import CALLER, Exchange, destination, routed, running_exchange
from tests.asterisk.parts import Program
from tests.asterisk.pbx import Arrival
from tests.asterisk.pbx_conf import Flow
from tests.processes import DEMO_DATA

pytestmark = pytest.mark.asterisk

MENU = ("GREETING", "RING_SECONDS", "LANGUAGE", "AGENT")
QUEUE = ("QUEUE", "MAX_WAIT_SECONDS", "OVERFLOW_NUMBER")
# Writes down each call as it leaves a flow: the flows themselves stay the shipped ones.
LEAVING = (
    Flow("flow-main-menu", extens=("h",), params=MENU, answer=False),
    Flow("flow-queue", extens=("h",), params=QUEUE, answer=False),
    Flow("flow-closed", extens=("h",), params=("MESSAGE", "QUEUE"), answer=False),
)
# The demo's queues, where a caller waits although nobody is there to answer.
QUEUES = """[general]
#include "ringway/examples/queues.conf"

[sales](ringway-example)
joinempty = yes
leavewhenempty = no

[support](ringway-example)
joinempty = yes
leavewhenempty = no
"""
# A system that has no sounds for Asterisk says so; the flows go on all the same.
NO_SOUNDS = (r"file\.c: (File|Unable to open) vm-", r"app_playback\.c: Playback failed on .* for vm-goodbye")


@pytest.fixture(scope="module")
def started(asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    demo = tomllib.loads(DEMO_DATA.read_text("utf-8"))
    for number in demo["numbers"]:
        number.pop("updates", None)  # so that the result does not depend on the day
    folder = tmp_path_factory.mktemp("router")
    with running_exchange(
        asterisk_program, folder, tomli_w.dumps(demo), LEAVING, files={"queues.conf": QUEUES}, examples=True
    ) as running:
        yield running


@pytest.fixture
def exchange(exchange: Exchange) -> Exchange:
    exchange.expect(*NO_SOUNDS)
    return exchange


def left(exchange: Exchange) -> Arrival:
    (call,) = exchange.asterisk.calls()
    return call


def test_the_menu_asks_for_a_choice(exchange: Exchange) -> None:
    def asked() -> bool:
        channels = exchange.asterisk.cli("core show channels concise")
        return "!flow-main-menu!s!" in channels and "!Read!" in channels

    assert exchange.watch("02079460000", asked, "the menu asks").answered
    call = left(exchange)
    assert call.context == "flow-main-menu"
    values = dict(zip(MENU, ("Good morning, Acme", "20", "en", ""), strict=True))
    expected = routed(
        exchange, destination("flow-main-menu", "main-menu"), number="+442079460000", company="acme", params=values
    )
    assert call.variables == expected


@pytest.mark.parametrize(
    ("dialled", "queue", "number", "company", "overflow"),
    [
        ("02079460001", "support", "+442079460001", "acme", "+442079460000"),
        ("+12025550143", "sales", "+12025550143", "globex", ""),
    ],
)
def test_the_queue_that_the_number_names(
    exchange: Exchange, dialled: str, queue: str, number: str, company: str, overflow: str
) -> None:
    def waiting() -> bool:
        return "Callers:" in exchange.asterisk.cli(f"queue show {queue}")

    assert exchange.watch(dialled, waiting, f"a caller waits in {queue}").answered
    call = left(exchange)
    assert call.context == "flow-queue"
    values = dict(zip(QUEUE, (queue, "300", overflow), strict=True))
    expected = routed(exchange, destination("flow-queue", "basic-queue"), number=number, company=company, params=values)
    assert call.variables == expected


def test_closed(exchange: Exchange) -> None:
    call = exchange.call("02079460003")
    assert call.context == "flow-closed"
    to_closed = destination("flow-closed", "acme-closed", "default")
    expected = routed(exchange, to_closed, reason="disabled", number="+442079460003", company="acme")
    assert call.variables == expected | {"PARAM_MESSAGE": "", "PARAM_QUEUE": ""}
    assert call.variables["ROUTE_CALLER"] == CALLER


def test_a_queue_that_does_not_exist_ends_as_closed(exchange: Exchange) -> None:
    # The commas do not end the queue's name, and what stands after them is no other argument of Queue.
    exchange.expect(r"app_queue\.c: Unable to join queue 'no-suchqueue'")
    exchange.load(
        """
[[call_flows]]
id = "any-queue"
name = "Any queue"
destination = { context = "flow-queue" }
parameters = [{ name = "QUEUE", type = "text" }]

[[numbers]]
number = "02079460009"
company = "acme"
call_flow = "any-queue"
parameters = { QUEUE = "no-such,,,,queue" }
"""
    )
    call = exchange.call("02079460009")
    assert call.context == "flow-closed"
    assert call.variables["PARAM_QUEUE"] == "no-such,,,,queue"


def test_a_message_is_a_file_of_the_sounds_folder(exchange: Exchange) -> None:
    exchange.expect("soundsothersclosed")
    exchange.load(
        """
[[call_flows]]
id = "any-message"
name = "Any message"
destination = { context = "flow-closed" }
parameters = [{ name = "MESSAGE", type = "text" }]

[[numbers]]
number = "02079460008"
company = "acme"
call_flow = "any-message"
parameters = { MESSAGE = "/sounds/../others&closed" }
"""
    )
    call = exchange.call("02079460008")
    assert call.variables["PARAM_MESSAGE"] == "/sounds/../others&closed"
    assert "soundsothersclosed" in exchange.asterisk.log()
