"""What a caller gets while no router answers, and what Asterisk says about it. Needs no router."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.asterisk.conftest import StartAsterisk
from tests.asterisk.pbx import FROM_KEPT, REFUSED, TO_DEFAULT, Asterisk
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.sipp import Dial, place_call, place_calls
from tests.ports import free_port
from tests.processes import PATIENCE_SECONDS

pytestmark = pytest.mark.asterisk

BUSY = 486
# Each would do harm in a dialplan that handles it carelessly: commas, quotes, brackets, functions, expressions, the
# names of Asterisk's special extensions, line feeds, bytes that are no UTF-8, and nothing but blanks.
HOSTILE = (
    "1,2,3",
    'a"b',
    "${SHELL(touch hacked)}",
    '1" & SHELL(id) & "1',
    "$[1/0]",
    "12):0",
    "]|1|[",
    "h",
    "T",
    "t",
    "i",
    "s",
    "e",
    "fax",
    "\n",
    "1\nagi_dnid: +442079460000",
    "é\udcff",
    " ",
    "x" * 300,
)


@pytest.fixture(scope="module")
def started(start_asterisk: StartAsterisk) -> Asterisk:
    """An Asterisk whose router does not run."""
    port = free_port()
    return start_asterisk(
        flows=[Flow("flow-a", params=("GREETING",))],
        variables={"RINGWAY_AGI": f"127.0.0.1:{port}"},
        examples=True,
    )


@pytest.fixture
def lonely(started: Asterisk) -> Asterisk:
    """The same, as if just started."""
    started.wait_idle()
    started.forget()
    return started


def test_it_starts_without_a_word(start_asterisk: StartAsterisk) -> None:
    start_asterisk(examples=True).assert_no_surprise()


@pytest.mark.parametrize("given", ["0", "none", "-1", "1.5 s"])
def test_a_setting_that_makes_no_sense_counts_as_not_set(start_asterisk: StartAsterisk, given: str) -> None:
    asterisk = start_asterisk(variables={"RINGWAY_GUARD_SECONDS": given, "RINGWAY_STALE_SECONDS": f"{given} days"})
    settings = asterisk.cli("dialplan show globals")
    assert "RINGWAY_GUARD_SECONDS=2\n" in settings
    assert "RINGWAY_STALE_SECONDS=86400\n" in settings
    asterisk.assert_no_surprise()


def test_the_settings_of_a_site_hold(start_asterisk: StartAsterisk) -> None:
    asterisk = start_asterisk(variables={"RINGWAY_GUARD_SECONDS": "10", "RINGWAY_STALE_SECONDS": "0"})
    settings = asterisk.cli("dialplan show globals")
    assert "RINGWAY_GUARD_SECONDS=10\n" in settings
    assert "RINGWAY_STALE_SECONDS=0\n" in settings


def test_the_default_takes_the_call(lonely: Asterisk) -> None:
    outcome = place_call(lonely.ports.sip, "+442079460000")
    assert outcome.status == BUSY
    assert outcome.ended_ms is not None
    assert outcome.ended_ms < 1000  # a refused connection needs no timeout
    lonely.wait_idle()
    lonely.assert_no_surprise(REFUSED, TO_DEFAULT)


@pytest.mark.parametrize("number", HOSTILE, ids=ascii)
def test_a_hostile_dialled_text_is_only_text(lonely: Asterisk, number: str) -> None:
    assert place_call(lonely.ports.sip, number).status == BUSY
    lonely.wait_idle()
    lonely.assert_no_surprise(REFUSED, TO_DEFAULT)
    assert lonely.kept() == {}
    assert not list(lonely.run.rglob("hacked"))


@pytest.mark.parametrize("caller", ["1\nagi_extension: 2", '" & SHELL(id) & "', "${EXTEN}", "a,b", None], ids=ascii)
def test_a_hostile_caller_is_only_text(lonely: Asterisk, caller: str | None) -> None:
    dial = Dial("+442079460000", caller, caller_name='${SHELL(touch hacked)}, "x"\\')
    assert [outcome.status for outcome in place_calls(lonely.ports.sip, [dial])] == [BUSY]
    lonely.wait_idle()
    lonely.assert_no_surprise(REFUSED, TO_DEFAULT)


def test_a_kept_answer_takes_the_call_with_its_parameters(lonely: Asterisk) -> None:
    number = "+442079460001"
    lonely.keep(number, "flow-a", params={"GREETING": "Hello, you"}, age_s=60)
    assert place_call(lonely.ports.sip, number).answered
    (call,) = lonely.calls()
    assert (call.context, call.dialled) == ("flow-a", number)
    assert call.variables["ROUTE_STATUS"] == "KEPT"
    assert call.variables["ROUTE_REASON"] == "kept"
    assert 60 <= int(call.variables["ROUTE_AGE"]) < 70
    assert call.variables["PARAM_GREETING"] == "Hello, you"
    lonely.assert_no_surprise(REFUSED, TO_DEFAULT, FROM_KEPT)


def test_a_kept_answer_that_is_too_old_does_not(lonely: Asterisk) -> None:
    number = "+442079460002"
    lonely.keep(number, "flow-a", age_s=86_460)
    assert place_call(lonely.ports.sip, number).status == BUSY
    lonely.assert_no_surprise(REFUSED, TO_DEFAULT, FROM_KEPT)


def test_a_clock_that_was_set_back_makes_no_age_below_nothing(lonely: Asterisk) -> None:
    number = "+442079460003"
    lonely.keep(number, "flow-a", age_s=-3600)
    assert place_call(lonely.ports.sip, number).answered
    (call,) = lonely.calls()
    assert call.variables["ROUTE_AGE"] == "0"
    lonely.assert_no_surprise(REFUSED, FROM_KEPT)


def test_nothing_stays_of_an_answer_that_came_half(lonely: Asterisk) -> None:
    number = "+442079460004"
    lonely.keep(number, "flow-a", age_s=60)

    def send_half(router: socket.socket) -> None:
        connection, _ = router.accept()
        with connection, connection.makefile("rb") as lines:
            connection.settimeout(PATIENCE_SECONDS)
            while lines.readline().strip():
                pass
            half = "ROUTE_PARAMS=GREETING:MORE,PARAM_GREETING=half,ROUTE_CALLER=+1,ROUTE_CONTEXT=flow-b"
            connection.sendall(f'EXEC MSet "{half}"\n'.encode())
            assert lines.readline().startswith(b"200 ")

    first = lonely.variables["RINGWAY_AGI"]
    with socket.create_server(("127.0.0.1", 0)) as router, ThreadPoolExecutor(1) as pool:
        router.settimeout(PATIENCE_SECONDS)
        sent = pool.submit(send_half, router)
        lonely.set_global("RINGWAY_AGI", f"127.0.0.1:{router.getsockname()[1]}")
        try:
            assert place_call(lonely.ports.sip, number).answered
        finally:
            lonely.set_global("RINGWAY_AGI", first)
        sent.result()
    (call,) = lonely.calls()
    assert (call.context, call.variables["ROUTE_STATUS"]) == ("flow-a", "KEPT")
    assert (call.variables["PARAM_GREETING"], call.variables["ROUTE_CALLER"]) == ("", "")
    lonely.assert_no_surprise(FROM_KEPT)
