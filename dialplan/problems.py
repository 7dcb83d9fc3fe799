"""What is wrong with a data set, said so that the reader can mend it: the thing, the place, the mend."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

_QUOTE_MAX_CHARS = 60


class Fault(NamedTuple):
    """One thing wrong with one value, before anybody knows where the value stands."""

    text: str
    mend: str


class Place(msgspec.Struct, frozen=True):
    """Where a row stands: the file's name as the user gave it, and the entry in it (`numbers[3] "02079460000"`)."""

    file: str
    entry: str


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong, at its place. `field` is the dotted path inside the entry, empty for the whole entry."""

    file: str
    entry: str
    field: str
    text: str
    mend: str

    def __str__(self) -> str:
        """One line: file, entry, field, what is wrong, how to mend it."""
        where = ": ".join(part for part in (self.file, self.entry, self.field) if part)
        return f"{where}: {self.text}; {self.mend}"


def problem(place: Place, field: str, fault: Fault) -> Problem:
    """Put a fault into its place."""
    return Problem(place.file, place.entry, field, fault.text, fault.mend)


class DataProblems(Exception):  # noqa: N818 - it carries problems, it is not one error
    """A data set was refused. `problems` holds every one that was found, in the order of the files."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(each) for each in self.problems))


def quote(value: object) -> str:
    """A value as it may stand in a message: on one line, printable, of bounded length.

    Data comes from files and pages of other people: what is not printable is shown as an escape.
    """
    text = value if isinstance(value, str) else str(value)
    shown = "".join(
        char
        if char.isprintable() and char not in '"\\'
        else char.encode("unicode_escape").decode()
        if not char.isprintable()
        else f"\\{char}"
        for char in text[:_QUOTE_MAX_CHARS]
    )
    return f'"{shown}…"' if len(text) > _QUOTE_MAX_CHARS else f'"{shown}"'
