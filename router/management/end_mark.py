"""The mark at the end of a dump, by which one that was cut off is known.

TOML that is cut between two rows is whole TOML, so the first line of a dump says that such a mark follows; both are
comments. JSON that is cut off is no JSON; there the mark is the last key, `end`. What people write needs none.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dialplan.dataset.problems import Fault
from dialplan.kinds.registry import RowKind
from dialplan.wording import Code

SECTION = "end"
_BEGIN = "# A dump of Ringway's."
_END = "# End of the dump: "
FIRST_LINE = f"{_BEGIN} Its last line counts its rows: where that is missing, it was cut off.\n"
_COUNT = re.compile(r"(\d{1,12}) (\w+)")

CUT_OFF = Code(
    "dump-cut-off",
    "it is a dump whose end is missing",
    "dump it again; where it is your own by now, delete the line that calls it a dump",
)
_ROWS_MISSING = Code(
    "dump-rows-missing",
    "its end counts {said} {section}, and it has {found}",
    "dump it again; where you took some out, correct the count",
)
_NO_COUNTS = Code("dump-end-wrong", "{section} is no table of counts", "write such as companies = 2, or leave it out")


def last_line(counts: Mapping[str, int]) -> str:
    """The end of a dump in TOML."""
    return f"# End of the dump: {', '.join(f'{count} {kind}' for kind, count in section(counts).items())}.\n"


def section(counts: Mapping[str, int]) -> dict[str, int]:
    """The last key of a dump in JSON."""
    return {str(kind): counts.get(kind, 0) for kind in RowKind} | {str(kind): count for kind, count in counts.items()}


def cut_off(text: str) -> Fault | None:
    """What is wrong with TOML that says that it is a dump, and has no end. Several in one file have one each."""
    begins, ends = list(_lines(text, _BEGIN)), list(_ends(text))
    return CUT_OFF() if len(ends) < len(begins) else None


def _lines(text: str, beginning: str) -> Iterator[str]:
    """The lines that begin so. Files are large, and such lines few."""
    at = 0 if text.startswith(beginning) else text.find(f"\n{beginning}") + 1 or None
    while at is not None:
        end = text.find("\n", at)
        yield text[at : end if end >= 0 else len(text)].rstrip()
        at = text.find(f"\n{beginning}", at) + 1 or None


def _ends(text: str) -> Iterator[str]:
    """Of each mark what it counts; one that was cut off itself is none."""
    for line in _lines(text, _END):
        if line.endswith("."):
            yield line.removeprefix(_END)


def said(text: str, data: Mapping[str, Any]) -> dict[str, int] | Fault:
    """How many rows of each section the marks of a file count, in all; `text` is its TOML, `data` what it says."""
    counts: dict[str, int] = {}
    for mark in _ends(text):
        for count, kind in _COUNT.findall(mark):
            counts[kind] = counts.get(kind, 0) + int(count)
    table = data.get(SECTION, {})
    if not isinstance(table, dict):
        return _NO_COUNTS(section=SECTION)
    for kind, count in table.items():
        if type(count) is not int or count < 0:
            return _NO_COUNTS(section=SECTION)
        counts[kind] = counts.get(kind, 0) + count
    return counts


def missing(said: Mapping[str, int], data: Mapping[str, Any]) -> Iterator[Fault]:
    """What a file lacks of the rows that its marks count. More than those may have been added by hand."""
    for kind, count in said.items():
        rows = data.get(kind, [])
        if isinstance(rows, list) and len(rows) < count:
            yield _ROWS_MISSING(said=count, section=kind, found=len(rows))
