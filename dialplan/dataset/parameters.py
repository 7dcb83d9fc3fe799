"""User-configurable parameters (S5): declared on a call flow, valued on a number, delivered as channel variables."""

import re
from collections.abc import Iterator, Mapping

from dialplan.dataset.problems import Fault
from dialplan.kinds.call_flow import (
    CHOICES_PER_PARAMETER,
    PARAMETER_INTEGER_MAX,
    PARAMETER_NAME_MAX_CHARS,
    PARAMETER_TEXT_MAX_CHARS,
    CallFlow,
    Parameter,
    ParameterType,
    ParameterValue,
)
from dialplan.numbering.numbers import Bare, Unreadable, normalise
from dialplan.wording import quote

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_ONLY_FOR = {
    "max_length": ParameterType.TEXT,
    "minimum": ParameterType.INTEGER,
    "maximum": ParameterType.INTEGER,
    "choices": ParameterType.CHOICE,
}


def control_characters(text: str) -> Fault | None:
    """Refuse what no AGI line can carry (LF, CR, NUL), and with it every other control character."""
    for char in text:
        if char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff" or char in "\u2028\u2029":
            return Fault(f"{quote(text)} holds the control character U+{ord(char):04X}", "take it out")
    return None


def check_declaration(parameter: Parameter, region: str) -> Iterator[tuple[str, Fault]]:
    """Everything wrong with one declaration: (field, fault) pairs."""
    if not _NAME.fullmatch(parameter.name) or len(parameter.name) > PARAMETER_NAME_MAX_CHARS:
        hint = f"use A-Z, 0-9 and _, a letter first, at most {PARAMETER_NAME_MAX_CHARS}"
        yield "name", Fault(f"{quote(parameter.name)} is not a parameter's name", hint)
    for field, kind in _ONLY_FOR.items():
        if getattr(parameter, field) not in (None, ()) and parameter.type is not kind:
            yield field, Fault(f"a parameter of type {parameter.type} has no {field}", f"take it out or make it {kind}")
    limits = list(_check_limits(parameter))
    yield from limits
    if parameter.default is not None and not limits:
        value = read_value(parameter, parameter.default, region)
        if isinstance(value, Fault):
            yield "default", value


def _check_limits(parameter: Parameter) -> Iterator[tuple[str, Fault]]:
    if parameter.max_length is not None and not 1 <= parameter.max_length <= PARAMETER_TEXT_MAX_CHARS:
        hint = f"choose 1 to {PARAMETER_TEXT_MAX_CHARS} characters"
        yield "max_length", Fault(f"{quote(parameter.max_length)} is out of bounds", hint)
    low, high = parameter.minimum, parameter.maximum
    for field, bound in (("minimum", low), ("maximum", high)):
        if bound is not None and abs(bound) > PARAMETER_INTEGER_MAX:
            yield field, Fault(f"{quote(bound)} is out of bounds", "use at most 18 digits")
    if low is not None and high is not None and low > high:
        yield "minimum", Fault(f"the minimum {quote(low)} is above the maximum {quote(high)}", "swap them")
    if parameter.type is not ParameterType.CHOICE:
        return
    if not 1 <= len(parameter.choices) <= CHOICES_PER_PARAMETER:
        hint = f"list 1 to {CHOICES_PER_PARAMETER}"
        yield "choices", Fault(f"a choice among {len(parameter.choices)} values", hint)
    if len(set(parameter.choices)) != len(parameter.choices):
        yield "choices", Fault("a choice is listed twice", "list each once")
    for choice in parameter.choices:
        if fault := control_characters(choice):
            yield "choices", fault
        elif len(choice) > PARAMETER_TEXT_MAX_CHARS:
            yield "choices", Fault(f"{quote(choice)} is too long", f"use at most {PARAMETER_TEXT_MAX_CHARS} characters")


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
        return Fault(f"{quote(value)} is not text", "put it in quotes")
    if parameter.type is ParameterType.CHOICE:
        if value in parameter.choices:
            return value
        return Fault(f"{quote(value)} is not a choice", f"use one of {', '.join(map(quote, parameter.choices))}")
    if parameter.type is ParameterType.NUMBER:
        number = normalise(value, region, Bare.REFUSE)
        return number_fault(value, number) if isinstance(number, Unreadable) else number
    return _read_text(parameter, value)


def number_fault(value: object, reason: Unreadable) -> Fault:
    """The fault of a value that is no phone number; the reason's sentence says what is wrong, then how to hint it."""
    what, _, hint = reason.text.rstrip(".").partition("; ")
    return Fault(f"{quote(value)} is not a phone number: {what}", hint or "write it with 0 or + in front")


def _read_text(parameter: Parameter, value: str) -> str | Fault:
    limit = parameter.max_length or PARAMETER_TEXT_MAX_CHARS
    if len(value) > limit:
        return Fault(f"{quote(value)} has {len(value)} characters", f"use at most {limit}")
    return control_characters(value) or value


def _read_integer(parameter: Parameter, value: ParameterValue) -> int | Fault:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return Fault(f"{quote(value)} is not a whole number", "write digits")
    if abs(value) > PARAMETER_INTEGER_MAX:
        return Fault(f"{quote(value)} is out of bounds", "use at most 18 digits")
    if parameter.minimum is not None and value < parameter.minimum:
        return Fault(f"{value} is too small", f"use at least {parameter.minimum}")
    if parameter.maximum is not None and value > parameter.maximum:
        return Fault(f"{value} is too large", f"use at most {parameter.maximum}")
    return value


def _read_boolean(value: ParameterValue) -> bool | Fault:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE + _FALSE:
        return value.lower() in _TRUE
    return Fault(f"{quote(value)} is not a truth value", "write true or false")


def read_values(
    flow: CallFlow, values: Mapping[str, ParameterValue], region: str
) -> tuple[dict[str, ParameterValue], list[tuple[str, Fault]]]:
    """The values that a number gives to the parameters of `flow`, typed, and every (name, fault) among them."""
    declared = {parameter.name: parameter for parameter in flow.parameters}
    good: dict[str, ParameterValue] = {}
    faults: list[tuple[str, Fault]] = []
    for name, value in values.items():
        if name not in declared:
            known = ", ".join(declared) or "none"
            faults.append((name, Fault(f'call flow "{flow.id}" declares no such parameter', f"it has: {known}")))
            continue
        read = read_value(declared[name], value, region)
        if isinstance(read, Fault):
            faults.append((name, read))
        else:
            good[name] = read
    faults.extend(
        (name, Fault(f'call flow "{flow.id}" requires it and has no default', "give it a value"))
        for name in missing(flow, values)
    )
    return good, faults


def missing(flow: CallFlow, values: Mapping[str, ParameterValue]) -> list[str]:
    """The parameters of `flow` that must have a value, have no default, and get none from `values`."""
    return [p.name for p in flow.parameters if p.required and p.default is None and p.name not in values]


def delivered(flow: CallFlow, values: Mapping[str, ParameterValue]) -> list[tuple[str, str]]:
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
