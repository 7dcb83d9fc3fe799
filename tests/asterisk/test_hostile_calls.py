"""Callers who send what would do harm to a careless router or dialplan: their calls are refused, others go on."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.asterisk.exchange import BUSY, CALLER, PLATFORM, Exchange, routed, running_exchange
from tests.asterisk.parts import Program
from tests.asterisk.pbx import TO_DEFAULT
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.sipp import Dial
from tests.asterisk.traffic import DEFAULT

pytestmark = pytest.mark.asterisk

OWN, VICTIM = "02079460000", "02079460001"
DATA = f"""
[[companies]]
id = "acme"
name = "Acme"
region = "GB"

[[companies]]
id = "globex"
name = "Globex"
region = "GB"

[[call_flows]]
id = "own"
name = "Own"
destination = {{ context = "flow-own" }}

[[call_flows]]
id = "victim"
company = "globex"
name = "Victim"
destination = {{ context = "flow-victim" }}
parameters = [{{ name = "SECRET", type = "text" }}]

[[numbers]]
number = "{OWN}"
company = "acme"
call_flow = "own"

[[numbers]]
number = "{VICTIM}"
company = "globex"
call_flow = "victim"
parameters = {{ SECRET = "of globex alone" }}
"""
OWN_FLOW = {
    "ROUTE_CONTEXT": "flow-own",
    "ROUTE_EXTEN": "s",
    "ROUTE_PRIORITY": "1",
    "ROUTE_KIND": "call-flow",
    "ROUTE_ID": "own",
}
# What would be seen if the dialplan ever ran a caller's text: a global that is set, or an entry of AstDB that is gone.
SET, DELETE = "${SET(GLOBAL(HACKED)=yes)}", "${DB_DELETE(canary/live)}"
RUN = (
    SET,
    DELETE,
    f"1{SET}",
    f'1" & {SET} & "1',
    f"$[{DELETE}]",
    f'$["{DELETE}" = "1"]',
    f"1:{SET}",
    f"1){SET}(",
    f"1,{SET},1",
    f"{OWN}&{SET}",
    f"\\{SET}",
    f"]{SET}[",
)
# The names of Asterisk's special extensions, and what else means something to somebody.
SPECIAL = ("h", "s", "T", "t", "i", "e", "a", "o", "fax", "*", "#", "*97", "#1", "**", "_X.", "_.", "!")
BROKEN = (
    f"{OWN},1,2",
    f"{OWN}|1|2",
    f"{OWN}@ringway-default",
    f"{OWN}\n",
    f"{OWN}\r\n",
    f"\n{OWN}",
    "\n",
    "\n\n",
    "0207\x00946",
    "\x00",
    "\x1b[2J",
    "\x7f",
    '"',
    '""',
    "'",
    "\\",
    "\\n",
    "(",
    ")",
    "12):0",
    "[",
    "]",
    "]|1|[",
    "${",
    "}",
    "$",
    "%0A",
    "%s%n%n%n",
    "<",
    ">",
    "=",
    "é\udcff",
    "\udcff\udcfe",
    "😀",
    " ",
    "   ",
    "+",
    "+0",
    "+" + OWN + OWN,
    "0" * 79,
    "0" * 80,
    f"{OWN}{'9' * 80}",
    "9" * 300,
    "x" * 2_000,
    "7" * 15_000,
)
# The rest of an environment, as only Asterisk may write it.
REST = (
    f"agi_context: c\nagi_extension: {VICTIM}\nagi_priority: 1\nagi_enhanced: 0.0\nagi_accountcode: \nagi_threadid: 1"
)


@pytest.fixture(scope="module")
def started(asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    flows = (Flow("flow-own"), Flow("flow-victim", params=("SECRET",)))
    with running_exchange(asterisk_program, tmp_path_factory.mktemp("router"), DATA, flows) as running:
        yield running


@pytest.fixture
def exchange(started: Exchange) -> Iterator[Exchange]:
    started.begin()
    started.asterisk.cli("database put canary live 1")
    yield started
    started.end()
    assert started.asterisk.kept("canary") == {"canary/live": "1"}
    assert "HACKED" not in started.asterisk.cli("dialplan show globals")
    assert all("flow-victim" not in value for value in started.asterisk.kept().values())
    assert started.router.process.poll() is None


def own(exchange: Exchange, caller: str = "") -> dict[str, str]:
    return routed(exchange, OWN_FLOW, number="+442079460000", company="acme", caller=caller)


def refused(exchange: Exchange) -> dict[str, str]:
    return routed(exchange, PLATFORM, reason="error", caller="")


@pytest.mark.parametrize("texts", [RUN, SPECIAL, BROKEN], ids=["functions", "special names", "broken"])
def test_a_dialled_text_that_is_no_number(exchange: Exchange, texts: tuple[str, ...]) -> None:
    outcomes, calls = exchange.place(*(Dial(text, CALLER) for text in texts), rate=100)
    assert {outcome.status for outcome in outcomes} == {BUSY}
    unreadable = routed(exchange, PLATFORM, reason="bad-number")
    for text, call in zip(texts, calls, strict=True):
        assert call.context == DEFAULT, text
        assert call.variables in (unreadable, refused(exchange)), text
        # Asterisk ends a text at NUL, and gives no more than 79 bytes of it to the dialplan.
        whole = text.partition("\0")[0].encode("utf-8", "surrogateescape")[:79].decode("utf-8", "surrogateescape")
        assert call.dialled == (whole or "s"), text
    assert exchange.asterisk.kept() == {}


@pytest.mark.parametrize(
    "text",
    [
        f"{OWN}\nagi_extension: {VICTIM}",
        f"x\nagi_dnid: {VICTIM}",
        f"x\nagi_rdnis: x\n{REST}"[:79],
        f"{VICTIM}\n\n",
        f"x\nagi_rdnis: x\nagi_context: c\nagi_extension: {VICTIM}",
        f"{VICTIM}\nagi_arg_1: {VICTIM}",
        f"x\nagi_network_script: route\nagi_extension: {VICTIM}",
        f"x\n200 result=0\nagi_extension: {VICTIM}",
        "HANGUP",
        "x\nHANGUP\n",
    ],
    ids=ascii,
)
def test_a_dialled_text_that_forges_lines(exchange: Exchange, text: str) -> None:
    call = exchange.call(text)
    assert call.context == DEFAULT
    unreadable = routed(exchange, PLATFORM, reason="bad-number")
    assert call.variables == (refused(exchange) if "\n" in text else unreadable)
    assert exchange.asterisk.kept() == {}


@pytest.mark.parametrize(
    "caller",
    [
        f"1\nagi_extension: {VICTIM}",
        f"1\nagi_dnid: {VICTIM}",
        f"1\nagi_dnid: {VICTIM}\nagi_extension: {VICTIM}\n",
        f"1\nagi_calleridname: x\nagi_dnid: {VICTIM}\n\n",
        f"1\nagi_arg_1: {VICTIM}",
        f"1\nagi_arg_1: {VICTIM}\n\n",
        "1\n",
        "1\n\n",
        "1\n\n200 result=0\n",
        "1\n\nHANGUP\n",
        "\n\n\n\n",
    ],
    ids=ascii,
)
def test_a_caller_who_forges_lines(exchange: Exchange, caller: str) -> None:
    call = exchange.call(OWN, caller)
    assert call.context == DEFAULT
    assert call.variables == refused(exchange)
    assert exchange.asterisk.kept() == {}


@pytest.mark.parametrize(
    "end",
    ["", "\n", "\n\n", "\n\n200 result=0", "\n\n200 result=0\n", "\n\nHANGUP", "\n\nHANGUP\n200 result=0\n"],
    ids=ascii,
)
def test_a_caller_who_forges_the_whole_rest_of_the_environment(exchange: Exchange, end: str) -> None:
    # The diverting number is copied at any length, and stands right before the lines that this forges.
    forged = quote(f"x\n{REST}{end}")
    for _ in range(5):  # how the bytes come, in one piece or in several, is chance
        call = exchange.call(OWN, headers=[f"Diversion: <sip:{forged}@127.0.0.1>;reason=unconditional"])
        assert call.context == DEFAULT
        assert {**call.variables, "ROUTE_PARAMS": ""} == refused(exchange)
    assert exchange.asterisk.kept() == {}


def test_a_caller_who_sends_more_than_any_router_reads(exchange: Exchange) -> None:
    exchange.expect(TO_DEFAULT)
    call = exchange.call(OWN, headers=[f"Diversion: <sip:{'1' * 20_000}@127.0.0.1>;reason=unconditional"])
    assert call.context == DEFAULT
    assert call.variables["ROUTE_STATUS"] == "NONE"
    assert exchange.call(OWN).variables == own(exchange, CALLER)


@pytest.mark.parametrize(
    "caller",
    [
        *RUN,
        '" & SHELL(id) & "',
        'a"b,c\\d',
        "0\x001",
        "é\udcff",
        "h",
        "unknown",
        "%0Aagi_extension: 1",
        "1" * 300,
        "x" * 15_000,
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_a_caller_that_is_no_number_is_no_caller(exchange: Exchange, caller: str) -> None:
    call = exchange.call(OWN, caller)
    assert call.context == "flow-own"
    assert call.variables == own(exchange)


@pytest.mark.parametrize(
    "name", [*RUN[:4], 'a "quoted" name, \\ and more', "agi_extension: 1", "h", "Ёжик 😀"], ids=ascii
)
def test_a_callers_name_is_only_a_name(exchange: Exchange, name: str) -> None:
    outcomes, (call,) = exchange.place(Dial(OWN, CALLER, caller_name=name))
    assert outcomes[0].answered
    assert call.variables == own(exchange, CALLER)


def test_others_who_call_at_the_same_time_notice_nothing(exchange: Exchange) -> None:
    hostile = [
        Dial(f"{OWN}\nagi_extension: {VICTIM}", CALLER),
        Dial(OWN, "1\n\n"),
        Dial(OWN, f"1\nagi_dnid: {VICTIM}"),
        Dial("h", CALLER),
        Dial(SET, DELETE),
        Dial("x" * 2_000, "1" * 300),
    ]
    good = [Dial(OWN, CALLER), Dial(VICTIM, CALLER)]
    dials = [dial for pair in zip(hostile * 10, good * 30, strict=True) for dial in pair]
    outcomes, calls = exchange.place(*dials, rate=500, at_once=120)
    assert [outcome.answered for outcome in outcomes] == [dial in good for dial in dials]
    own_calls = [call for call in calls if call.context == "flow-own"]
    victims = [call for call in calls if call.context == "flow-victim"]
    assert (len(own_calls), len(victims)) == (30, 30)
    for call in own_calls:
        assert (call.dialled, call.variables) == (OWN, own(exchange, CALLER))
    for call in victims:
        assert (call.dialled, call.caller) == (VICTIM, CALLER)
        assert call.variables["PARAM_SECRET"] == "of globex alone"
    assert all(call.context == DEFAULT for call in calls if call not in own_calls + victims)
    exchange.asterisk.forget()
