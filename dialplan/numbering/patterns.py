r"""The digit patterns of numbering plans, unrolled into literals.

`phonenumbers` describes plans with regular expressions over digits. The call path has no time for those,
so preparation unrolls each one: first into *shapes* (which digits may stand at each place), then into
*heads* (literal beginnings that settle whether a number of a length fits) or *rewrites* (literal prefixes,
and what takes their place).

Only what the metadata uses is understood: digits, `\d`, `[…]`, groups, `|`, `?`, `{n}`, `{n,m}` and a
closing `$`. Nothing there repeats without end, so every pattern has finitely many shapes. A release of the
metadata that brings anything else is refused by name when the plans are prepared, long before a call.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Final, NamedTuple

# A place of a shape is the set of digits that may stand there, one bit a digit; END is no digit but `$`.
ANY: Final = (1 << 10) - 1
END: Final = 0
Shape = tuple[int, ...]

# The patterns of today unroll to a few hundred shapes; one beyond this bound is a mistake, not a plan.
MAX_SHAPES: Final = 20_000

_DIGITS: Final = "0123456789"
# More digits than any text has that is looked at: a rewrite without an upper bound.
_UNBOUNDED: Final = 99
# What stands for a digit that may be any, when a prefix is tried out.
_SOME_DIGIT: Final = "5"


class PatternError(ValueError):
    """A pattern of the metadata uses something that this module does not understand."""


class Rewrite(NamedTuple):
    """A prefix that is taken off, and what is put in its place.

    Holds for `low` to `high` digits after the prefix.
    """

    prefix: str
    instead: str
    low: int
    high: int


def shapes(pattern: str) -> list[Shape]:
    """Unroll `pattern` into every shape it matches, in the order in which an expression would try them.

    Raises PatternError for a construct that is not understood, or for more than MAX_SHAPES shapes.
    """
    reader = _Reader(pattern)
    found = reader.alternatives()
    if reader.rest():
        raise PatternError(f"numbering pattern {pattern!r}: cannot read {reader.rest()!r}")
    return found


def literals(shape: Shape) -> Iterator[str]:
    """Every string of digits that fits `shape`."""
    choices = [[digit for digit in _DIGITS if mask >> int(digit) & 1] for mask in shape]
    return map("".join, product(*choices))


def heads(found: Iterable[Shape], longest: int) -> dict[int, tuple[str, ...]]:
    """What a number must begin with to fit one of the shapes: length -> beginnings, for `str.startswith`.

    Lengths beyond `longest` are left out. Beginnings are as short as they can be: where anything may
    follow, nothing more is looked at.
    """
    by_length: dict[int, list[Shape]] = {}
    for shape in dict.fromkeys(found):
        if len(shape) <= longest:
            by_length.setdefault(len(shape), []).append(shape)
    return {length: tuple(_beginnings(group, 0)) for length, group in sorted(by_length.items())}


def rewrites(pattern: str, transform: str | None) -> list[Rewrite]:
    """Unroll a national prefix pattern (`national_prefix_for_parsing`) into literal prefixes.

    `transform` is its `national_prefix_transform_rule`. What each prefix turns into is found by trying the
    expression itself on a sample, so that groups and their order mean what they mean to the library.
    """
    compiled = re.compile(pattern)
    found: dict[Rewrite, None] = {}
    for shape in shapes(pattern):
        ended = shape[-1:] == (END,)
        places = shape[:-1] if ended else shape
        # With a transform rule the closing run of free digits is kept, so it is no part of the prefix.
        kept = _free_tail(places) if transform else 0
        for prefix in literals(places[: len(places) - kept]):
            sample = prefix + _SOME_DIGIT * kept
            # Without `$` more digits follow; a letter says so and is never taken for one of them.
            match = compiled.match(sample if ended else sample + "x")
            if not sample or match is None or match.end() != len(sample):
                continue
            whole = match.expand(transform) if transform and match.groups()[-1] is not None else ""
            instead = whole[: len(whole) - kept] if whole else ""
            found[Rewrite(prefix, instead, kept, kept if ended else _UNBOUNDED)] = None
    return list(found)


def by_prefix(found: Iterable[Rewrite]) -> tuple[tuple[int, ...], Mapping[str, tuple[Rewrite, ...]]]:
    """Arrange rewrites for lookup: the lengths of prefixes, longest first, and prefix -> rewrites."""
    table: dict[str, tuple[Rewrite, ...]] = {}
    for rewrite in found:
        table[rewrite.prefix] = (*table.get(rewrite.prefix, ()), rewrite)
    return tuple(sorted({len(prefix) for prefix in table}, reverse=True)), table


def _free_tail(shape: Shape) -> int:
    """How many places at the end of `shape` take any digit."""
    count = 0
    while count < len(shape) and shape[-1 - count] == ANY:
        count += 1
    return count


def _beginnings(group: list[Shape], at: int) -> list[str]:
    """The beginnings, from place `at` on, that make a string fit one of `group` (all of one length)."""
    length = len(group[0]) if group else 0
    if any(_free_tail(shape) >= length - at for shape in group):
        return [""]
    found: list[str] = []
    for value, digit in enumerate(_DIGITS):
        narrowed = [shape for shape in group if shape[at] >> value & 1]
        if narrowed:
            found += [digit + rest for rest in _beginnings(narrowed, at + 1)]
    return [""] if found == list(_DIGITS) else found


class _Reader:
    """Reads one pattern from left to right; every method leaves `_at` behind what it has read."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def rest(self) -> str:
        return self._pattern[self._at :]

    def alternatives(self) -> list[Shape]:
        found = self._sequence()
        while self._take("|"):
            found += self._sequence()
        return found

    def _sequence(self) -> list[Shape]:
        found: list[Shape] = [()]
        while self.rest() and self.rest()[0] not in "|)":
            item = self._quantified(self._atom())
            self._bound(len(found) * len(item))
            found = [before + after for before in found for after in item]
        return found

    def _atom(self) -> list[Shape]:
        if self._take("("):
            self._take("?:")
            inner = self.alternatives()
            self._need(")")
            return inner
        if self._take("["):
            return [(self._set(),)]
        if self._take("\\d"):
            return [(ANY,)]
        if self._take("$"):
            return [(END,)]
        return [(1 << self._digit(),)]

    def _set(self) -> int:
        mask = 0
        while not self._take("]"):
            first = self._digit()
            last = self._digit() if self._take("-") else first
            for value in range(first, last + 1):
                mask |= 1 << value
        return mask

    def _quantified(self, item: list[Shape]) -> list[Shape]:
        if self._take("?"):
            return [*item, ()]
        if not self._take("{"):
            return item
        least = most = self._number()
        if self._take(","):
            most = self._number()
        self._need("}")
        self._bound(len(item) ** most + most)
        # The most first, as an expression is greedy.
        return [sum(parts, ()) for times in range(most, least - 1, -1) for parts in product(item, repeat=times)]

    def _number(self) -> int:
        value = self._digit()
        while self.rest()[:1].isdigit():
            value = value * 10 + self._digit()
        return value

    def _digit(self) -> int:
        digit = self.rest()[:1]
        if not digit or digit not in _DIGITS:
            raise PatternError(f"numbering pattern {self._pattern!r}: cannot read {self.rest()!r}")
        self._at += 1
        return int(digit)

    def _bound(self, count: int) -> None:
        if count > MAX_SHAPES:
            raise PatternError(f"numbering pattern {self._pattern!r}: more than {MAX_SHAPES} shapes")

    def _take(self, text: str) -> bool:
        taken = self._pattern.startswith(text, self._at)
        if taken:
            self._at += len(text)
        return taken

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise PatternError(f"numbering pattern {self._pattern!r}: {text!r} missing before {self.rest()!r}")
