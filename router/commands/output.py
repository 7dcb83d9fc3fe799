"""What commands print besides their own text: JSON, and the warnings of a change."""

import json
import re
import sys
from collections.abc import Iterable
from typing import Any

import msgspec

from dialplan.dataset.problems import Problem

_ESCAPED = re.compile(r"[^\x20-\x7e]")


def print_json(value: object) -> None:
    """Print a value as indented JSON. What was no text where it came from is shown as an escape in the text.

    What is not printable is an escape of JSON's own, which reads the same: a terminal does nothing that it says.
    """
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_escaped(msgspec.to_builtins(value)))
    lines = msgspec.json.format(encoded, indent=2).decode().split("\n")
    print("\n".join(line if line.isprintable() else _ESCAPED.sub(_escape, line) for line in lines))


def _escape(found: re.Match[str]) -> str:
    """A character, as JSON writes it in ASCII."""
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]


def _escaped(value: Any) -> Any:
    """A value with text alone that UTF-8 can hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_escaped(key): _escaped(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(each) for each in value]
    return value


def print_warnings(warnings: Iterable[Problem]) -> None:
    """Print warnings on standard error, one a line."""
    for each in warnings:
        print(f"warning: {each}", file=sys.stderr)
