"""User-configurable parameters: declared on a call flow, valued on a number, delivered as channel variables."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from dialplan.dataset.problems import Fault, Faults
from dialplan.kinds.parameter import (
    CHOICES_PER_PARAMETER,
    COUNTRIES_PER_PARAMETER,
    PARAMETER_INTEGER_MAX,
    PARAMETER_NAME_MAX_CHARS,
    PARAMETER_TEXT_MAX_CHARS,
    Parameter,
    ParameterType,
    ParameterValue,
)
from dialplan.numbering.line_types import COSTLY, CalledLine, countries_of, lines_of
from dialplan.numbering.numbers import Bare, Unreadable, is_region, normalise
from dialplan.wording import Code, quote

_CONTROL = Code("control-character", "{value!q} holds the control character {character}", "take it out")
_NOT_A_NAME = Code(
    "not-a-parameter-name",
    "{name!q} is not a parameter's name",
    "use A-Z, 0-9 and _, a letter first, at most {limit}",
)
_NO_SUCH_LIMIT = Code(
    "limit-of-another-type", "a parameter of type {type} has no {field}", "take it out or make it {other}"
)
_LENGTH = Code("length-out-of-bounds", "{value!q} is out of bounds", "choose 1 to {limit} characters")
_DIGITS = Code("integer-out-of-bounds", "{value!q} is out of bounds", "use at most 18 digits")
_CROSSED = Code("limits-crossed", "the minimum {minimum!q} is above the maximum {maximum!q}", "swap them")
_CHOICES = Code("number-of-choices", "a choice among {count} values", "list 1 to {limit}")
_CHOICE_TWICE = Code("choice-twice", "a choice is listed twice", "list each once")
_CHOICE_LENGTH = Code("choice-too-long", "{value!q} is too long", "use at most {limit} characters")
_NOT_QUOTED = Code("value-not-text", "{value!q} is not text", "put it in quotes")
_NOT_A_CHOICE = Code("not-a-choice", "{value!q} is not a choice", "use one of {choices}")
_TOO_LONG = Code("value-too-long", "{value!q} has {length} characters", "use at most {limit}")
_NOT_AN_INTEGER = Code("value-not-integer", "{value!q} is not a whole number", "write digits")
_TOO_SMALL = Code("value-too-small", "{value} is too small", "use at least {limit}")
_TOO_LARGE = Code("value-too-large", "{value} is too large", "use at most {limit}")
_NOT_A_TRUTH_VALUE = Code("value-not-boolean", "{value!q} is not a truth value", "write true or false")
_NOT_A_COUNTRY = Code("parameter-country", "{value!q} is not a country", "use its ISO 3166 code, such as GB")
_TOO_MANY_COUNTRIES = Code("parameter-countries", "{count} countries", "list at most {limit}")
_ELSEWHERE = Code("number-of-another-country", "{value!q} is {of}", "use a number of {countries}")
_OTHER_LINE = Code("number-of-another-line", "{value!q} is a {line} number", "use one of these: {lines}")
_COSTLY = Code(
    "number-costly", "{value!q} is a {line} number", "use another one, or list {line!q} in the parameter's line_types"
)
_UNDECLARED = Code("parameter-undeclared", "call flow {flow!q} declares no such parameter", "it has: {known}")
_REQUIRED = Code("parameter-required", "call flow {flow!q} requires it and has no default", "give it a value")


def _no_number(reason: Unreadable) -> Code:
    """The reason's sentence says what is wrong, then how to mend it."""
    what, _, hint = reason.text.rstrip(".").partition("; ")
    return Code(
        f"number-{reason.value}",
        "{value!q} is not a phone number: " + what,
        hint or "write it with 0 or + in front",
    )


_NO_NUMBER = {reason: _no_number(reason) for reason in Unreadable}
NO_REGION = _NO_NUMBER[Unreadable.UNKNOWN_REGION]

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_ONLY_FOR = {
    "max_length": ParameterType.TEXT,
    "minimum": ParameterType.INTEGER,
    "maximum": ParameterType.INTEGER,
    "choices": ParameterType.CHOICE,
    "countries": ParameterType.NUMBER,
    "line_types": ParameterType.NUMBER,
}


class Declaring(Protocol):
    """A call flow, as far as its parameters go."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What it declares."""


def control_characters(text: str) -> Fault | None:
    """Refuse what no AGI line can carry (LF, CR, NUL), and with it every other control character."""
    if text.isprintable():  # as nearly all are
        return None
    for char in text:
        if char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff" or char in "\u2028\u2029":
            return _CONTROL(value=text, character=f"U+{ord(char):04X}")
    return None


def check_declaration(parameter: Parameter, region: str) -> Iterator[tuple[str, Fault]]:
    """Everything wrong with one declaration: (field, fault) pairs."""
    if not _NAME.fullmatch(parameter.name) or len(parameter.name) > PARAMETER_NAME_MAX_CHARS:
        yield "name", _NOT_A_NAME(name=parameter.name, limit=PARAMETER_NAME_MAX_CHARS)
    for field, kind in _ONLY_FOR.items():
        if getattr(parameter, field) not in (None, ()) and parameter.type is not kind:
            yield field, _NO_SUCH_LIMIT(type=str(parameter.type), field=field, other=str(kind))
    limits = list(_check_limits(parameter))
    yield from limits
    if parameter.default is not None and not limits:
        value = read_value(parameter, parameter.default, region)
        if isinstance(value, Fault):
            yield "default", value


def _check_limits(parameter: Parameter) -> Iterator[tuple[str, Fault]]:
    if parameter.max_length is not None and not 1 <= parameter.max_length <= PARAMETER_TEXT_MAX_CHARS:
        yield "max_length", _LENGTH(value=parameter.max_length, limit=PARAMETER_TEXT_MAX_CHARS)
    low, high = parameter.minimum, parameter.maximum
    for field, bound in (("minimum", low), ("maximum", high)):
        if bound is not None and abs(bound) > PARAMETER_INTEGER_MAX:
            yield field, _DIGITS(value=bound)
    if low is not None and high is not None and low > high:
        yield "minimum", _CROSSED(minimum=low, maximum=high)
    if len(parameter.countries) > COUNTRIES_PER_PARAMETER:
        yield "countries", _TOO_MANY_COUNTRIES(count=len(parameter.countries), limit=COUNTRIES_PER_PARAMETER)
    for country in parameter.countries:
        if not is_region(country):
            yield "countries", _NOT_A_COUNTRY(value=country)
    if parameter.type is ParameterType.CHOICE:
        yield from _check_choices(parameter)


def _check_choices(parameter: Parameter) -> Iterator[tuple[str, Fault]]:
    if not 1 <= len(parameter.choices) <= CHOICES_PER_PARAMETER:
        yield "choices", _CHOICES(count=len(parameter.choices), limit=CHOICES_PER_PARAMETER)
    if len(set(parameter.choices)) != len(parameter.choices):
        yield "choices", _CHOICE_TWICE()
    for choice in parameter.choices:
        if fault := control_characters(choice):
            yield "choices", fault
        elif len(choice) > PARAMETER_TEXT_MAX_CHARS:
            yield "choices", _CHOICE_LENGTH(value=choice, limit=PARAMETER_TEXT_MAX_CHARS)


def read_value(parameter: Parameter, value: ParameterValue, region: str) -> ParameterValue | Fault:
    """The value in the parameter's own type, or what is wrong with it.

    A number or truth value written as text is taken too, since CSV knows nothing else. `region` reads national
    phone numbers.
    """
    if parameter.type is ParameterType.INTEGER:
        return _read_integer(parameter, value)
    if parameter.type is ParameterType.BOOLEAN:
        return _read_boolean(value)
    if not isinstance(value, str):
        return _NOT_QUOTED(value=value)
    if parameter.type is ParameterType.CHOICE:
        if value in parameter.choices:
            return value
        return _NOT_A_CHOICE(value=value, choices=", ".join(map(quote, parameter.choices)))
    if parameter.type is ParameterType.NUMBER:
        number = normalise(value, region, Bare.REFUSE)
        return number_fault(value, number) if isinstance(number, Unreadable) else _allowed(parameter, value, number)
    return _read_text(parameter, value)


def _allowed(parameter: Parameter, value: str, number: str) -> str | Fault:
    """The number, unless the parameter takes none of its country or of its line."""
    if parameter.countries and not countries_of(number) & set(parameter.countries):
        of = " or ".join(sorted(countries_of(number))) or "of no country"
        return _ELSEWHERE(value=value, of=of, countries=", ".join(parameter.countries))
    lines = lines_of(number)
    if lines & _lines_taken(parameter):
        return number
    line = ", ".join(sorted(lines))
    if parameter.line_types:
        return _OTHER_LINE(value=value, line=line, lines=", ".join(parameter.line_types))
    return _COSTLY(value=value, line=line)


def _lines_taken(parameter: Parameter) -> frozenset[CalledLine]:
    return frozenset(parameter.line_types) or frozenset(CalledLine) - COSTLY


def number_fault(value: object, reason: Unreadable) -> Fault:
    """The fault of a value that is no phone number."""
    return _NO_NUMBER[reason](value=value)


def _read_text(parameter: Parameter, value: str) -> str | Fault:
    limit = parameter.max_length or PARAMETER_TEXT_MAX_CHARS
    if len(value) > limit:
        return _TOO_LONG(value=value, length=len(value), limit=limit)
    return control_characters(value) or value


def _read_integer(parameter: Parameter, value: ParameterValue) -> int | Fault:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return _NOT_AN_INTEGER(value=value)
    if abs(value) > PARAMETER_INTEGER_MAX:
        return _DIGITS(value=value)
    if parameter.minimum is not None and value < parameter.minimum:
        return _TOO_SMALL(value=value, limit=parameter.minimum)
    if parameter.maximum is not None and value > parameter.maximum:
        return _TOO_LARGE(value=value, limit=parameter.maximum)
    return value


def _read_boolean(value: ParameterValue) -> bool | Fault:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE + _FALSE:
        return value.lower() in _TRUE
    return _NOT_A_TRUTH_VALUE(value=value)


def read_values(
    flow: Declaring, values: Mapping[str, ParameterValue], region: str
) -> tuple[dict[str, ParameterValue], Faults]:
    """The values that a number gives to the parameters of `flow`, typed, and every (name, fault) among them."""
    declared = {parameter.name: parameter for parameter in flow.parameters}
    good: dict[str, ParameterValue] = {}
    faults: Faults = []
    for name, value in values.items():
        if name not in declared:
            known = ", ".join(declared) or "none"
            faults.append((name, _UNDECLARED(flow=flow.id, known=known)))
            continue
        read = read_value(declared[name], value, region)
        if isinstance(read, Fault):
            faults.append((name, read))
        else:
            good[name] = read
    faults.extend((name, _REQUIRED(flow=flow.id)) for name in missing(flow, values))
    return good, faults


def missing(flow: Declaring, values: Mapping[str, ParameterValue]) -> list[str]:
    """The parameters of `flow` that must have a value, have no default, and get none from `values`."""
    return [each.name for each in flow.parameters if _must_be_given(each) and each.name not in values]


def takes_as_before(before: Sequence[Parameter], after: Sequence[Parameter]) -> bool:
    """Whether all that numbers may have given to the parameters `before` is as good, and reads the same, `after`.

    Then nobody has to look at their values.
    """
    now = {parameter.name: parameter for parameter in after}
    names = {parameter.name for parameter in before}
    return all(each.name in now and _takes_as_before(each, now[each.name]) for each in before) and not any(
        _must_be_given(each) for each in after if each.name not in names
    )


def _must_be_given(parameter: Parameter) -> bool:
    return parameter.required and parameter.default is None


def _takes_as_before(before: Parameter, after: Parameter) -> bool:
    if before.type is not after.type or (_must_be_given(after) and not _must_be_given(before)):
        return False
    longest = before.max_length or PARAMETER_TEXT_MAX_CHARS, after.max_length or PARAMETER_TEXT_MAX_CHARS
    return (
        longest[0] <= longest[1]
        and (after.minimum is None or (before.minimum is not None and before.minimum >= after.minimum))
        and (after.maximum is None or (before.maximum is not None and before.maximum <= after.maximum))
        and set(before.choices) <= set(after.choices)
        and (not after.countries or (before.countries != () and set(before.countries) <= set(after.countries)))
        and _lines_taken(before) <= _lines_taken(after)
    )


def delivered(flow: Declaring, values: Mapping[str, ParameterValue]) -> list[tuple[str, str]]:
    """What a call gets: (name, text) for each parameter of `flow`, its value, else its default, else empty text.

    A truth value is delivered as 1 or 0, which the dialplan's expressions take as they are.
    """
    result = []
    for parameter in flow.parameters:
        value = values.get(parameter.name, parameter.default)
        if value is None:
            value = ""
        result.append((parameter.name, str(int(value)) if isinstance(value, bool) else str(value)))
    return result
