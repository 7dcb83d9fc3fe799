from typing import Any

import pytest

from dialplan.dataset.parameters import (
    check_declaration,
    control_characters,
    delivered,
    missing,
    number_fault,
    read_value,
    read_values,
    takes_as_before,
)
from dialplan.dataset.problems import Fault
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.fields import Destination
from dialplan.kinds.parameter import PARAMETER_TEXT_MAX_CHARS, Parameter, ParameterType, ParameterValue
from dialplan.numbering.line_types import CalledLine
from dialplan.numbering.numbers import Unreadable


def declared(kind: str, **fields: Any) -> Parameter:
    return Parameter("P", ParameterType(kind), **fields)


def a_flow(*parameters: Parameter) -> CallFlow:
    return CallFlow("menu", "Menu", Destination("flow-menu"), parameters=parameters)


def faulty_fields(parameter: Parameter) -> list[str]:
    found = list(check_declaration(parameter, "GB"))
    assert all(fault.text and fault.hint for _, fault in found)
    return [field for field, _ in found]


@pytest.mark.parametrize(
    "parameter",
    [
        declared("text"),
        declared("text", default="Hello", max_length=5),
        declared("integer", default=20, minimum=5, maximum=120),
        declared("integer", minimum=-(10**18 - 1), maximum=10**18 - 1),
        declared("integer", minimum=5, maximum=5, default=5),
        declared("boolean", default=True),
        declared("boolean", default="no"),
        declared("choice", choices=("en", "ru"), default="ru"),
        declared("number", default="02079460000"),
        declared("number", default="02079460000", countries=("IE", "GB"), line_types=(CalledLine.LANDLINE,)),
        declared("number", default="+449098790000", line_types=tuple(CalledLine)),
        Parameter("A" * 64, ParameterType.TEXT),
        Parameter("RING_SECONDS2", ParameterType.TEXT),
    ],
)
def test_a_good_declaration_has_no_fault(parameter: Parameter) -> None:
    assert faulty_fields(parameter) == []


@pytest.mark.parametrize("name", ["", "lower", "2ND", "_P", "A B", "A-B", "A" * 65, "É", "A,B", "P\n"])
def test_a_name_that_cannot_be_a_channel_variable_is_refused(name: str) -> None:
    assert faulty_fields(Parameter(name, ParameterType.TEXT)) == ["name"]


@pytest.mark.parametrize(
    ("parameter", "field"),
    [
        (declared("integer", max_length=5), "max_length"),
        (declared("text", minimum=5), "minimum"),
        (declared("boolean", maximum=0), "maximum"),
        (declared("text", choices=("a",)), "choices"),
        (declared("text", max_length=0), "max_length"),
        (declared("text", max_length=401), "max_length"),
        (declared("integer", minimum=6, maximum=5), "minimum"),
        (declared("integer", minimum=-(10**18)), "minimum"),
        (declared("integer", maximum=10**18), "maximum"),
        (declared("choice"), "choices"),
        (declared("choice", choices=("a", "a")), "choices"),
        (declared("choice", choices=tuple(map(str, range(101)))), "choices"),
        (declared("choice", choices=("a\nb",)), "choices"),
        (declared("choice", choices=("x" * 401,)), "choices"),
        (declared("text", default=5), "default"),
        (declared("text", default="too long", max_length=5), "default"),
        (declared("integer", default=4, minimum=5), "default"),
        (declared("choice", choices=("a",), default="b"), "default"),
        (declared("number", default="call me"), "default"),
        (declared("number", default="+449098790000"), "default"),
        (declared("number", default="02079460000", countries=("IE",)), "default"),
        (declared("number", countries=("UK",)), "countries"),
        (declared("number", countries=("GB",) * 301), "countries"),
        (declared("text", countries=("GB",)), "countries"),
        (declared("integer", line_types=(CalledLine.MOBILE,)), "line_types"),
    ],
)
def test_a_bad_declaration_is_refused_at_its_field(parameter: Parameter, field: str) -> None:
    assert faulty_fields(parameter) == [field]


@pytest.mark.parametrize(
    ("parameter", "value", "read"),
    [
        (declared("text"), "", ""),
        (declared("text"), ' a,b;c"\\[${EPOCH}] ', ' a,b;c"\\[${EPOCH}] '),
        (declared("text", max_length=2), "éé", "éé"),
        (declared("text"), "x" * 400, "x" * 400),
        (declared("integer"), 7, 7),
        (declared("integer"), "-7", -7),
        (declared("integer"), "007", 7),
        (declared("integer"), "9" * 18, 10**18 - 1),
        (declared("boolean"), False, False),
        (declared("boolean"), "Yes", True),
        (declared("boolean"), "0", False),
        (declared("choice", choices=("en", "")), "", ""),
        (declared("number"), "020 7946 0000", "+442079460000"),
        (declared("number"), "+12025550143", "+12025550143"),
        (declared("number"), "+447700900123", "+447700900123"),
        (declared("number", countries=("US", "GB")), "020 7946 0000", "+442079460000"),
        (declared("number", countries=("JE",)), "+447700900123", "+447700900123"),
        (declared("number", line_types=(CalledLine.MOBILE,)), "+12025550143", "+12025550143"),
        (declared("number", line_types=(CalledLine.PREMIUM_RATE,)), "09098790000", "+449098790000"),
    ],
)
def test_a_value_is_read_in_its_parameters_type(parameter: Parameter, value: ParameterValue, read: object) -> None:
    assert read_value(parameter, value, "GB") == read
    assert type(read_value(parameter, value, "GB")) is type(read)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (declared("text"), 5),
        (declared("text"), True),
        (declared("text"), "x" * 401),
        (declared("text", max_length=2), "abc"),
        (declared("text"), "a\nb"),
        (declared("text"), "a\x7f"),
        (declared("text"), "a\u2028b"),
        (declared("integer"), "seven"),
        (declared("integer"), ""),
        (declared("integer"), "1.5"),
        (declared("integer"), "٣"),
        (declared("integer"), "9" * 19),
        (declared("integer"), True),
        (declared("integer"), 10**18),
        (declared("integer"), -(10**18)),
        pytest.param(declared("integer"), 1 << 100_000, id="huge"),
        (declared("integer", minimum=5), 4),
        (declared("integer", maximum=5), "6"),
        (declared("boolean"), 1),
        (declared("boolean"), "maybe"),
        (declared("choice", choices=("1",)), 1),
        (declared("choice", choices=("en",)), "EN"),
        (declared("number"), 2079460000),
        (declared("number"), "2079460000"),
        (declared("number"), "none"),
        (declared("number"), "09098790000"),
        (declared("number"), "+881612345678"),
        (declared("number"), "+979123456789"),
        (declared("number", countries=("GB",)), "+12025550143"),
        (declared("number", countries=("GB",)), "+881612345678"),
        (declared("number", line_types=(CalledLine.MOBILE,)), "02079460000"),
        (declared("number", line_types=(CalledLine.MOBILE, CalledLine.LANDLINE)), "+449098790000"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_a_mend(parameter: Parameter, value: ParameterValue) -> None:
    fault = read_value(parameter, value, "GB")
    assert isinstance(fault, Fault)
    assert fault.text
    assert fault.hint


def test_a_refused_choice_names_those_there_are() -> None:
    fault = read_value(declared("choice", choices=("en", "ru")), "de", "GB")
    assert isinstance(fault, Fault)
    assert (fault.text, fault.hint) == ('"de" is not a choice', 'use one of "en", "ru"')


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (declared("text"), 5),
        (declared("choice", choices=("5",)), 5),
        (declared("number"), 442079460000),
        (declared("number"), True),
    ],
)
def test_what_should_be_text_and_is_not_wants_quotes(parameter: Parameter, value: ParameterValue) -> None:
    fault = read_value(parameter, value, "GB")
    assert isinstance(fault, Fault)
    shown = str(value).lower()  # true, as data files have it
    assert (fault.text, fault.hint) == (f'"{shown}" is not text', "put it in quotes")


def test_both_limits_are_told_where_both_are_out_of_bounds() -> None:
    assert faulty_fields(declared("integer", minimum=-(10**18), maximum=10**18)) == ["minimum", "maximum"]


@pytest.mark.parametrize("reason", Unreadable)
def test_every_reason_against_a_number_comes_with_a_mend_of_its_own(reason: Unreadable) -> None:
    fault = number_fault("x", reason)
    assert fault.text.startswith('"x" is not a phone number: ')
    assert fault.hint
    assert not fault.hint.endswith(".")
    assert ";" not in fault.text


def test_values_are_typed_and_every_fault_among_them_is_told() -> None:
    flow = a_flow(
        Parameter("NAME", ParameterType.TEXT),
        Parameter("SECONDS", ParameterType.INTEGER, maximum=10),
        Parameter("LANGUAGE", ParameterType.CHOICE, choices=("en",), required=True),
    )
    good, faults = read_values(flow, {"NAME": "x", "SECONDS": "99", "COLOUR": "red"}, "GB")
    assert good == {"NAME": "x"}
    assert [name for name, _ in faults] == ["SECONDS", "COLOUR", "LANGUAGE"]
    assert "NAME, SECONDS, LANGUAGE" in dict(faults)["COLOUR"].hint


def test_a_required_parameter_with_a_default_may_be_left_out() -> None:
    flow = a_flow(Parameter("A", ParameterType.TEXT, required=True), Parameter("B", ParameterType.TEXT, "b", True))
    assert missing(flow, {}) == ["A"]
    assert missing(flow, {"A": ""}) == []


def test_a_call_gets_every_parameter_in_the_order_of_its_declaration() -> None:
    flow = a_flow(
        Parameter("TEXT", ParameterType.TEXT, default="Hello"),
        Parameter("COUNT", ParameterType.INTEGER, default=3),
        Parameter("LOUD", ParameterType.BOOLEAN, default=True),
        Parameter("QUIET", ParameterType.BOOLEAN),
        Parameter("NOTHING", ParameterType.NUMBER),
    )
    assert delivered(flow, {"COUNT": 0, "QUIET": False}) == [
        ("TEXT", "Hello"),
        ("COUNT", "0"),
        ("LOUD", "1"),
        ("QUIET", "0"),
        ("NOTHING", ""),
    ]


def test_an_empty_text_is_a_value_and_not_the_default() -> None:
    assert delivered(a_flow(Parameter("A", ParameterType.TEXT, default="x")), {"A": ""}) == [("A", "")]


@pytest.mark.parametrize("char", ["\0", "\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"])
def test_what_no_line_can_carry_is_refused_by_its_code_point(char: str) -> None:
    fault = control_characters(f"a{char}b")
    assert fault is not None
    assert f"U+{ord(char):04X}" in fault.text


@pytest.mark.parametrize("text", ["", " ", "a\u00a0b", "🙂", "\u200f", "中文", "e\u0301"])
def test_other_text_is_carried(text: str) -> None:
    assert control_characters(text) is None


@pytest.mark.parametrize(
    ("before", "after", "as_before"),
    [
        ([], [], True),
        ([declared("text")], [], False),
        ([], [declared("text")], True),
        ([], [declared("text", required=True)], False),
        ([], [declared("text", required=True, default="a")], True),
        ([declared("text")], [declared("text", required=True)], False),
        ([declared("text", required=True)], [declared("text", required=True)], True),
        ([declared("text", required=True)], [declared("text")], True),
        ([declared("text", required=True, default="a")], [declared("text", required=True)], False),
        ([declared("text", default="a")], [declared("text", default="b")], True),
        ([declared("integer")], [declared("text")], False),
        ([declared("text", max_length=5)], [declared("text", max_length=5)], True),
        ([declared("text", max_length=5)], [declared("text", max_length=4)], False),
        ([declared("text", max_length=5)], [declared("text")], True),
        ([declared("text")], [declared("text", max_length=PARAMETER_TEXT_MAX_CHARS)], True),
        ([declared("text")], [declared("text", max_length=PARAMETER_TEXT_MAX_CHARS - 1)], False),
        ([declared("integer", minimum=1)], [declared("integer", minimum=1)], True),
        ([declared("integer", minimum=1)], [declared("integer", minimum=2)], False),
        ([declared("integer", minimum=1)], [declared("integer", minimum=0)], True),
        ([declared("integer", minimum=1)], [declared("integer")], True),
        ([declared("integer")], [declared("integer", minimum=1)], False),
        ([declared("integer", maximum=1)], [declared("integer", maximum=1)], True),
        ([declared("integer", maximum=1)], [declared("integer", maximum=0)], False),
        ([declared("integer", maximum=1)], [declared("integer", maximum=2)], True),
        ([declared("integer")], [declared("integer", maximum=1)], False),
        ([declared("choice", choices=("a", "b"))], [declared("choice", choices=("b", "c", "a"))], True),
        ([declared("choice", choices=("a", "b"))], [declared("choice", choices=("a", "c"))], False),
        ([declared("number", countries=("GB",))], [declared("number", countries=("IE", "GB"))], True),
        ([declared("number", countries=("GB",))], [declared("number")], True),
        ([declared("number")], [declared("number", countries=("GB",))], False),
        ([declared("number", countries=("GB", "IE"))], [declared("number", countries=("GB",))], False),
        ([declared("number", line_types=(CalledLine.MOBILE,))], [declared("number")], True),
        ([declared("number", line_types=(CalledLine.SATELLITE,))], [declared("number")], False),
        ([declared("number")], [declared("number", line_types=(CalledLine.MOBILE,))], False),
        ([declared("number")], [declared("number", line_types=tuple(CalledLine))], True),
    ],
)
def test_declarations_take_values_as_before_where_nothing_was_narrowed(
    before: list[Parameter], after: list[Parameter], as_before: bool
) -> None:
    assert takes_as_before(before, after) is as_before
