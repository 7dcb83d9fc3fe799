"""Callers who send what would do harm to a careless router or dialplan: their calls are refused, others go on."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.asterisk.exchange import BUSY, CALLER, PLATFORM, Exchange, destination, routed, running_exchange
from tests.asterisk.parts import OLDEST, Program
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.sipp import Dial, place_call
from tests.asterisk.traffic import DEFAULT

pytestmark = pytest.mark.asterisk

OWN, VICTIM = "02079460000", "02079460001"
INCOMPLETE = 484
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
parameters = [{{ name = "GREETING", type = "text" }}]

[[numbers]]
number = "{OWN}"
company = "acme"
call_flow = "own"

[[numbers]]
number = "{VICTIM}"
company = "globex"
call_flow = "victim"
parameters = {{ GREETING = "of globex alone" }}
"""
OWN_FLOW = destination("flow-own", "own")
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

# At most 79 bytes reach the dialplan; whatever they say, lines that Asterisk itself writes come after them.
FORGED_NUMBERS = (
    f"{OWN}\nagi_extension: {VICTIM}",
    f"x\nagi_dnid: {VICTIM}",
    f"x\nagi_rdnis: x\n{REST}"[:79],
    f"{VICTIM}\n\nx",
    f"x\nagi_rdnis: x\nagi_context: c\nagi_extension: {VICTIM}",
    f"{VICTIM}\nagi_arg_1: {VICTIM}",
    f"x\nagi_network_script: route\nagi_extension: {VICTIM}",
    f"x\n200 result=0\nagi_extension: {VICTIM}",
    f"{VICTIM}\nHANGUP\nx",
)
FORGED_CALLERS = (
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
)
NO_CALLERS = (
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
)


@pytest.fixture(scope="module")
def started(asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    flows = (Flow("flow-own"), Flow("flow-victim", params=("GREETING",)))
    with running_exchange(asterisk_program, tmp_path_factory.mktemp("router"), DATA, flows) as running:
        yield running


@pytest.fixture
def exchange(exchange: Exchange) -> Iterator[Exchange]:
    exchange.asterisk.cli("database put canary live 1")
    yield exchange
    assert exchange.asterisk.kept("canary") == {"canary/live": "1"}
    assert "HACKED" not in exchange.asterisk.cli("dialplan show globals")
    assert all("flow-victim" not in value for value in exchange.asterisk.kept().values())
    assert exchange.router.process.poll() is None


def own(exchange: Exchange, caller: str = "") -> dict[str, str]:
    return routed(exchange, OWN_FLOW, number="+442079460000", company="acme", caller=caller)


def refused(exchange: Exchange) -> dict[str, str]:
    return routed(exchange, PLATFORM, reason="error", caller="")


def as_held(text: str) -> str:
    """Return a dialled text as the dialplan has it: up to NUL, 79 bytes of it, and without blanks around it."""
    held = text.partition("\0")[0].encode("utf-8", "surrogateescape")[:79] or b"s"
    return held.strip(bytes(range(33))).decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("texts", [RUN, SPECIAL, BROKEN], ids=["functions", "special names", "broken"])
def test_a_dialled_text_that_is_no_number(exchange: Exchange, texts: tuple[str, ...]) -> None:
    if exchange.asterisk.program.version == OLDEST and "\0" in texts:  # refused ahead of the dialplan
        assert place_call(exchange.asterisk.ports.sip, "\0").status == INCOMPLETE
        texts = tuple(text for text in texts if text != "\0")
    outcomes, calls = exchange.place(*(Dial(text, CALLER) for text in texts), rate=100)
    assert {outcome.status for outcome in outcomes} == {BUSY}
    unreadable = routed(exchange, PLATFORM, reason="bad-number")
    for text, call in zip(texts, calls, strict=True):
        assert call.context == DEFAULT, text
        assert call.variables in (unreadable, refused(exchange)), text
        assert call.dialled == as_held(text), text
    assert exchange.asterisk.kept() == {}


def test_a_dialled_text_that_forges_lines(exchange: Exchange) -> None:
    _, calls = exchange.place(*(Dial(text, CALLER) for text in FORGED_NUMBERS), rate=100)
    for text, call in zip(FORGED_NUMBERS, calls, strict=True):
        assert call.context == DEFAULT, text
        assert call.variables == refused(exchange), text
    assert exchange.asterisk.kept() == {}


def test_what_stands_around_a_number_changes_nothing(exchange: Exchange) -> None:
    texts = (f"{OWN}\n", f"{OWN}\r\n", f"{OWN}\n\n", f"\n{OWN}", f" {OWN} ", f"{OWN}\0,1", f"{OWN}@ringway-default")
    _, calls = exchange.place(*(Dial(text, CALLER) for text in texts), rate=100)
    for text, call in zip(texts, calls, strict=True):
        assert (call.dialled, call.context) == (as_held(text), "flow-own"), text
        assert call.variables == own(exchange, CALLER), text


def test_a_caller_who_forges_lines(exchange: Exchange) -> None:
    _, calls = exchange.place(*(Dial(OWN, caller) for caller in FORGED_CALLERS), rate=100)
    for caller, call in zip(FORGED_CALLERS, calls, strict=True):
        assert call.context == DEFAULT, caller
        assert call.variables == refused(exchange), caller
    assert exchange.asterisk.kept() == {}


@pytest.mark.parametrize(
    "end",
    ["", "\n", "\n\n", "\n\n200 result=0", "\n\n200 result=0\n", "\n\nHANGUP", "\n\nHANGUP\n200 result=0\n"],
    ids=ascii,
)
def test_a_caller_who_forges_the_whole_rest_of_the_environment(exchange: Exchange, end: str) -> None:
    # The diverting number is copied at any length, and stands right before the lines that this forges.
    forged = quote(f"x\n{REST}{end}")
    dial = Dial(OWN, CALLER, headers=(f"Diversion: <sip:{forged}@127.0.0.1>;reason=unconditional",))
    # How the bytes come, in one piece or in several, is chance. These two ends look whole where they come apart.
    count = 150 if end in ("\n", "\n\nHANGUP") else 20
    _, calls = exchange.place(*[dial] * count, rate=300)
    for call in calls:
        assert call.context == DEFAULT
        # Where the forgery was seen only after the answer, that one was revoked with all that it had set.
        assert call.variables == refused(exchange)
    assert exchange.asterisk.kept() == {}


def test_a_caller_cannot_choose_to_be_decided_without_the_router(exchange: Exchange) -> None:
    call = exchange.call(OWN, headers=[f"Diversion: <sip:{'1' * 20_000}@127.0.0.1>;reason=unconditional"])
    assert call.variables == own(exchange, CALLER)


def test_a_caller_who_forges_much_has_his_answer_taken_back(exchange: Exchange) -> None:
    forged = quote(f"x\n{REST}\n\n") + "1" * 12_000
    dial = Dial(OWN, CALLER, headers=(f"Diversion: <sip:{forged}@127.0.0.1>;reason=unconditional",))
    _, calls = exchange.place(*[dial] * 20, rate=100)
    assert {call.context for call in calls} == {DEFAULT}


def test_a_caller_that_is_no_number_is_no_caller(exchange: Exchange) -> None:
    _, calls = exchange.place(*(Dial(OWN, caller) for caller in NO_CALLERS), rate=100)
    for caller, call in zip(NO_CALLERS, calls, strict=True):
        assert call.context == "flow-own", caller
        assert call.variables == own(exchange), caller


def test_a_callers_name_is_only_a_name(exchange: Exchange) -> None:
    names = (*RUN, 'a "quoted" name, \\ and more', f"agi_extension: {VICTIM}", "h", "Ёжик 😀", "x" * 79)
    outcomes, calls = exchange.place(*(Dial(OWN, CALLER, caller_name=name) for name in names), rate=100)
    assert all(outcome.answered for outcome in outcomes)
    for name, call in zip(names, calls, strict=True):
        assert call.variables == own(exchange, CALLER), name


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
        assert call.variables["PARAM_GREETING"] == "of globex alone"
    assert all(call.context == DEFAULT for call in calls if call not in own_calls + victims)
    exchange.asterisk.forget()
