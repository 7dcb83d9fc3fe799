"""The parameters of a flow as Asterisk's channel has them: every type, every character, and very many."""

import tomllib
from collections.abc import Iterator

import pytest

from tests.asterisk.exchange import CALLER, Exchange, destination, routed, running_exchange
from tests.asterisk.parts import Program
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.sipp import Dial
from tests.asterisk.worst_values import (
    NUMBERS,
    TEXT_FLOW,
    VALUES,
    data_file,
    many_parameters,
    most_there_can_be,
    worst_numbers,
)

pytestmark = pytest.mark.asterisk

NAMES = ("GREETING", "SECONDS", "OPEN", "LANGUAGE", "TRANSFER", "ODD")
# One flow with every type; the numbers differ in the values that they give.
TYPES = r"""
[[call_flows]]
id = "types"
name = "Types"
destination = { context = "flow-types" }
parameters = [
  { name = "GREETING", type = "text", default = " \"Hi\", ${EPOCH} " },
  { name = "SECONDS", type = "integer", default = 20, minimum = -5 },
  { name = "OPEN", type = "boolean", default = false },
  { name = "LANGUAGE", type = "choice", choices = ["en", "ru", "a,\"b\""], required = true },
  { name = "TRANSFER", type = "number" },
  { name = "ODD", type = "text", required = true, default = "given" },
]

[[numbers]]
number = "02079460000"
company = "acme"
call_flow = "types"
parameters = { GREETING = "Hello", SECONDS = 30, OPEN = true, LANGUAGE = "ru", TRANSFER = "02079460001", ODD = "x" }

[[numbers]]
number = "02079460001"
company = "acme"
call_flow = "types"
parameters = { LANGUAGE = "en" }

[[numbers]]
number = "02079460002"
company = "acme"
call_flow = "types"
parameters = { GREETING = "", SECONDS = -5, OPEN = false, LANGUAGE = "a,\"b\"", TRANSFER = "+7 495 1234567", ODD = "" }

[[numbers]]
number = "02079460003"
company = "acme"
call_flow = "types"
parameters = { SECONDS = 999999999999999999, OPEN = "yes", LANGUAGE = "en", TRANSFER = "00390612345678" }

[[numbers]]
number = "02079460004"
company = "acme"
call_flow = "types"
parameters = { SECONDS = "+0042", OPEN = "no", LANGUAGE = "en" }

"""
DELIVERED = {
    "02079460000": ("Hello", "30", "1", "ru", "+442079460001", "x"),
    "02079460001": (' "Hi", ${EPOCH} ', "20", "0", "en", "", "given"),
    "02079460002": ("", "-5", "0", 'a,"b"', "+74951234567", ""),
    "02079460003": (' "Hi", ${EPOCH} ', "999999999999999999", "1", "en", "+390612345678", "given"),
    "02079460004": (' "Hi", ${EPOCH} ', "42", "0", "en", "", "given"),
}
MANY = {str(count): many_parameters(count) for count in (14, 15, 24, 25, 40)} | {
    "99 empty": many_parameters(99, []),
    "most": most_there_can_be(),
}
FLOWS = (Flow("flow-types", params=NAMES), TEXT_FLOW, *(flow for flow, _, _ in MANY.values()))


@pytest.fixture(scope="module")
def started(asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    data = data_file(tomllib.loads(TYPES), worst_numbers(), *(entries for _, entries, _ in MANY.values()))
    with running_exchange(asterisk_program, tmp_path_factory.mktemp("router"), data, FLOWS) as running:
        yield running


@pytest.mark.parametrize("dialled", DELIVERED)
def test_every_type_given_defaulted_and_empty(exchange: Exchange, dialled: str) -> None:
    call = exchange.call(dialled)
    params = dict(zip(NAMES, DELIVERED[dialled], strict=True))
    number = f"+44{dialled[1:]}"
    expected = routed(exchange, destination("flow-types", "types"), number=number, company="acme", params=params)
    assert call.variables == expected


def test_every_value_arrives_byte_for_byte(exchange: Exchange) -> None:
    exchange.asterisk.cli("database put canary live 1")
    _, calls = exchange.place(*(Dial(number, CALLER) for number in NUMBERS), rate=100)
    assert [call.dialled for call in calls] == list(NUMBERS)
    for call, value in zip(calls, VALUES, strict=True):
        to, params = destination("flow-text", "text"), {"TEXT": value}
        assert call.context == "flow-text"
        assert call.variables == routed(exchange, to, number=call.dialled, company="acme", params=params)
    assert exchange.asterisk.kept("canary") == {"canary/live": "1"}
    assert "HACKED" not in exchange.asterisk.cli("dialplan show globals")


@pytest.mark.parametrize("count", MANY)
def test_any_number_of_parameters_arrives(exchange: Exchange, count: str) -> None:
    recording, entries, values = MANY[count]
    number = entries["numbers"][0]["number"]
    call = exchange.call(number)
    to = destination(recording.context, entries["call_flows"][0]["id"])
    assert call.variables == routed(exchange, to, number=number, company="acme", params=values)


def test_a_changed_value_is_in_the_next_call(exchange: Exchange) -> None:
    number = "+442079460050"
    for value in ("one", "", 'three, "3"'):
        exchange.load(
            data_file(
                {"numbers": [{"number": number, "company": "acme", "call_flow": "text", "parameters": {"TEXT": value}}]}
            )
        )
        call = exchange.call(number)
        to = destination("flow-text", "text")
        assert call.variables == routed(exchange, to, number=number, company="acme", params={"TEXT": value})
