"""What is wrong with a data set, said so that the reader can correct it: the thing, the place, the hint."""

import re
from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from dialplan.wording import Message, quote

_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")

# One thing wrong with one value, before anybody knows where the value stands.
Fault: TypeAlias = Message
# Faults and the fields that they are in, dotted paths inside an entry.
Faults: TypeAlias = list[tuple[str, Fault]]


class Place(msgspec.Struct, frozen=True):
    """Where a row stands: the file's name as the user gave it, and the entry in it (`numbers[3] "02079460000"`)."""

    file: str
    entry: str


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong, at its place. `field` is the dotted path inside the entry, empty for the whole entry.

    `code` and `arguments` are for programs, `text` and `hint` say the same to people.
    """

    file: str
    entry: str
    field: str
    code: str
    arguments: dict[str, object]
    text: str
    hint: str

    def __str__(self) -> str:
        """One line: file, entry, field, what is wrong, and the hint."""
        where = ": ".join(part for part in (self.file, self.entry, self.field) if part)
        return f"{where}: {self.text}; {self.hint}"


def problem(place: Place, field: str, fault: Fault) -> Problem:
    """Put a fault into its place."""
    return Problem(place.file, place.entry, field, fault.code.slug, fault.plain(), fault.text, fault.hint)


class DataProblems(Exception):  # noqa: N818 - it carries problems, it is not one error
    """A data set was refused. `problems` holds every one that was found.

    Kind by kind in the order of the registry, rows by themselves first, then what they say about each other. `more`:
    something could not be checked before these are corrected.
    """

    def __init__(self, problems: Iterable[Problem], *, more: bool = False) -> None:
        self.problems = list(problems)
        self.more = more
        super().__init__(f"{len(self.problems)} problems")

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))  # made when it is asked for: there may be a million


def field_name(name: str) -> str:
    """A name that somebody else chose, as a part of a field's path: quoted where it is more than a plain word."""
    return name if _WORD.fullmatch(name) else quote(name)
