"""What a caller gets while no router answers, and what Asterisk says about it. Needs no router."""

import pytest

from tests.asterisk.conftest import StartAsterisk
from tests.asterisk.pbx import FROM_KEPT, REFUSED, TO_DEFAULT, Asterisk, free_ports
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.sipp import Dial, place_call, place_calls

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
    port = free_ports(1)[0]
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


def test_the_default_takes_the_call(lonely: Asterisk) -> None:
    outcome = place_call(lonely.ports.sip, "+442079460000")
    assert outcome.status == BUSY
    assert outcome.ended_ms is not None
    assert outcome.ended_ms < 1000  # a refused connection needs no guard
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
