"""What commands print besides their own text: JSON, and the warnings of a change."""

import sys
from collections.abc import Iterable

import msgspec

from dialplan.dataset.problems import Problem


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_warnings(warnings: Iterable[Problem]) -> None:
    """Print warnings on standard error, one a line."""
    for each in warnings:
        print(f"warning: {each}", file=sys.stderr)
