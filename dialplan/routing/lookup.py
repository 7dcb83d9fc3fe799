"""How a number is found in the table."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from dialplan.routing.entry import Entry

Lookup: TypeAlias = Callable[[str], Entry | None]


def exact(numbers: Mapping[str, Entry]) -> Lookup:
    """Find what stands under just this number, E.164."""
    return numbers.get
