"""The numbering plans of the world, prepared once from the metadata of `phonenumbers`.

Preparation takes the regular expressions of the metadata apart (see `dialplan.numbering.patterns`), so that reading a
number needs dictionary lookups and `str.startswith` alone. All regions and all calling codes, those without
a country (+800, +870, …) among them, are prepared together, in some two tenths of a second.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import and_
from typing import Final, NamedTuple

import phonenumbers
from phonenumbers.phonemetadata import PhoneMetadata

from dialplan.numbering import patterns, superseded
from dialplan.numbering.metadata import KINDS, forget, general, metadata_of, rewrites, shapes, shapes_of
from dialplan.numbering.patterns import Rewrite, Shape
from dialplan.numbering.shared import SharedPlan, shared_plans

# E.164, section 6.2.1: calling code and national significant number together.
MAX_DIGITS: Final = 15
# Every calling code has one to three digits, so three digits always tell which one it is.
CODE_DIGITS: Final = 3

Heads = Mapping[int, tuple[str, ...]]
_NOTHING: Final[tuple[str, ...]] = ()
# What most of the world dials abroad with, and what carriers send where a country dials something else.
_DOUBLE_ZERO: Final = "00"
_NO_REWRITES: Final[tuple[Rewrite, ...]] = ()


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Literal prefixes of a plan, and what takes their place."""

    sizes: tuple[int, ...]
    """The lengths of the prefixes, longest first: the longest that gives a number is the one meant."""
    table: Mapping[str, tuple[Rewrite, ...]]

    @classmethod
    def of(cls, found: Iterable[Rewrite]) -> "Prefixes":
        """Arrange `found` for lookup."""
        sizes, table = patterns.by_prefix(found)
        return cls(sizes, table)

    def rewritten(self, digits: str, heads: Heads) -> str | None:
        """The first rewriting of `digits` that fits `heads`, or None."""
        table, length = self.table, len(digits)
        for size in self.sizes:
            for _, instead, low, high in table.get(digits[:size], _NO_REWRITES):
                if low <= length - size <= high:
                    number = instead + digits[size:]
                    if number.startswith(heads.get(len(number), _NOTHING)):
                        return number
        return None


@dataclass(frozen=True, slots=True)
class Code:
    """A country calling code, with what is known of the numbers behind it in all its regions together."""

    digits: str
    size: int
    lengths: frozenset[int]
    """Lengths of a national significant number in the main region, as far as E.164 has room for them."""
    heads: Heads
    """How the numbers of any region of the code begin, by length."""
    main_heads: Heads
    """The same, at the lengths of the main region: 310 1234, in Canada alone, is no sign of a prefix."""
    prefixes: Prefixes
    """What people write between the calling code and the number, as in `+44 (0)20`: the main region's."""
    superseded: Prefixes
    """Forms of its numbers that the plan has given up."""
    trunk_zero: bool
    """Whether a 0 there is a trunk prefix: it is one somewhere, and no number of the code begins with it."""
    zeros: tuple[str, ...]
    """How numbers of the code begin, by two digits, that begin with 0 themselves."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one region needs to read the numbers that its people dial."""

    region: str
    code: Code
    lengths: frozenset[int]
    """Lengths of a significant number in this region or in the main one of its calling code."""
    heads: Heads
    """How the region's own numbers begin, by length."""
    within: Heads
    """How those begin that its people dial as national: all of the calling code, at the lengths above."""
    marks: tuple[str, ...]
    """How digits begin that may have an international prefix, or be of a shared plan."""
    idd_sizes: tuple[int, ...]
    idd: frozenset[str]
    """International prefixes (`00`, `011`, `810`, …), each with any carrier selection it needs."""
    own: Prefixes
    """Prefixes that mark a number as national: `0`, `06`, `8`, `1`, `0` with a carrier's code, …"""
    other: Prefixes
    """Rewritings that need a bare national number: local dialling, carrier codes like `12593`."""
    plain: tuple[str, ...]
    """The national prefix itself, where numbers of possible length but unknown range may follow it."""
    leading_zero: bool
    """Whether numbers of the calling code may begin with 0 themselves, as in Italy."""
    bold_heads: Heads
    """Beginnings that say more than the international prefix they start with, as `00800` in Bulgaria."""
    bare_marks: tuple[str, ...]
    """How bare national digits begin that may have the calling code in front, or be of a shared plan."""
    shared: SharedPlan | None
    """The plan that the region has in common with regions of other calling codes."""
    home: Heads
    """How assignable numbers of the region begin, where 00 and its calling code may be read as something else, too."""
    double_zeros: Heads
    """How those begin that begin with 00 themselves."""
    like_code: Heads
    """How those begin that begin with the calling code, where they may be read as that code and a number, too."""
    mobiles: Heads
    """How mobile numbers of the calling code begin, where there are such."""


class Numbering(NamedTuple):
    """Everything that reading a number looks at."""

    plans: Mapping[str, Plan]
    codes: Mapping[str, Code]
    """By the first three digits of an international number."""


def plans() -> Mapping[str, Plan]:
    """The plan of every region that `phonenumbers` knows, by its ISO code ("GB")."""
    return numbering().plans


@cache
def numbering() -> Numbering:
    """All plans and calling codes. The first call prepares them; a program that takes calls does so at start.

    Raises `dialplan.numbering.patterns.PatternError` where the metadata has a pattern of an unknown kind.
    """
    by_code = {
        number: _code(str(number), [metadata_of(number, region) for region in regions])
        for number, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()
    }
    shared = shared_plans()
    made: dict[str, Plan] = {}
    for number, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        for region in regions:
            # "001" stands for the whole world: a calling code without a country, so without a plan.
            if region != phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY:
                made[region] = _plan(metadata_of(number, region), by_code[number], regions, shared.get(region))
    codes: dict[str, Code] = {}
    for code in by_code.values():
        free = CODE_DIGITS - code.size
        for tail in range(10**free):
            codes[code.digits + (f"{tail:0{free}}" if free else "")] = code
    forget()
    return Numbering(made, codes)


def _lengths(metadata: PhoneMetadata, code: str) -> frozenset[int]:
    longest = MAX_DIGITS - len(code)
    return frozenset(length for length in general(metadata).possible_length if 0 < length <= longest)


def _code(digits: str, regions: list[PhoneMetadata]) -> Code:
    """The calling code `digits`; the first of `regions` is the main one, as in the metadata's own order."""
    found = [shape for metadata in regions for shape in shapes(metadata)]
    heads = patterns.heads(found, MAX_DIGITS - len(digits))
    lengths = _lengths(regions[0], digits)
    main = Prefixes.of(rewrites(regions[0]))
    return Code(
        digits=digits,
        size=len(digits),
        lengths=lengths,
        heads=heads,
        main_heads=_at(lengths, heads),
        prefixes=main,
        superseded=Prefixes.of(superseded.NUMBERS.get(str(regions[0].id), ())),
        trunk_zero="0" in main.table and not _may_begin_with_zero(heads),
        zeros=tuple(sorted({zero for shape in _beginning(found, "0") for zero in patterns.literals((1, *shape[1:2]))})),
    )


def _plan(metadata: PhoneMetadata, code: Code, regions: Sequence[str], shared: SharedPlan | None) -> Plan:
    region = str(metadata.id)
    found = rewrites(metadata)
    national = metadata.national_prefix or "0"
    lengths = _lengths(metadata, code.digits) | code.lengths
    idd = frozenset(
        literal
        for shape in patterns.shapes(metadata.international_prefix or "")
        for literal in patterns.literals(shape)
    )
    longest = MAX_DIGITS - code.size
    numbers = shapes(metadata)
    # All kinds of numbers are many, and few regions have readings that are to be told from one another by them.
    like_code, mobiles, double_zeros, home = _readings_by_kind(metadata, numbers, idd, code, regions)
    idd_marks = (_common(idd), *([_DOUBLE_ZERO] if home else []))
    others = shared.others(code.digits) if shared is not None else []
    return Plan(
        region=region,
        code=code,
        lengths=lengths,
        heads=patterns.heads(numbers, longest),
        within=_at(lengths, code.heads),
        marks=tuple(dict.fromkeys((*idd_marks, *("0" + other for other in others)))),
        idd_sizes=tuple(sorted({len(literal) for literal in idd}, reverse=True)),
        idd=idd,
        own=Prefixes.of(
            [each for each in found if _marks_national(each, national)] + [*superseded.DIALLED.get(region, ())]
        ),
        other=Prefixes.of([each for each in found if not _marks_national(each, national)]),
        plain=tuple(dict.fromkeys((national, "0"))),
        leading_zero=_may_begin_with_zero(code.heads),
        bold_heads=_beyond(idd, code.heads),
        bare_marks=(code.digits, *others),
        shared=shared,
        home=patterns.heads(home, longest),
        double_zeros=patterns.heads(double_zeros, longest),
        like_code=patterns.heads(like_code, longest),
        mobiles=patterns.heads(mobiles, longest),
    )


def _marks_national(rewrite: Rewrite, national: str) -> bool:
    """Whether the prefix shows by itself that a national number follows, whatever trunks send bare."""
    alone = len(rewrite.prefix) == 1 and not rewrite.instead
    return alone or rewrite.prefix.startswith(("0", national))


def _readings_by_kind(
    metadata: PhoneMetadata, numbers: list[Shape], idd: frozenset[str], code: Code, regions: Sequence[str]
) -> tuple[list[Shape], list[Shape], list[Shape], list[Shape]]:
    """The fields `like_code`, `mobiles`, `double_zeros` and `home` of a plan, as shapes."""
    between = {0, 1, *code.prefixes.sizes}  # what people write between calling code and number
    doubtful = {
        len(shape)
        for shape in _beginning(numbers, code.digits)
        if any(len(shape) - code.size - size in code.heads for size in between)
    }
    abroad = _DOUBLE_ZERO + code.digits
    doubled = any(_beginning(numbers, _DOUBLE_ZERO))
    at_home = _DOUBLE_ZERO not in idd and (
        any(_beginning(numbers, abroad)) or any(abroad.startswith(each) or each.startswith(abroad) for each in idd)
    )
    assignable = shapes_of(metadata, *KINDS) if doubtful or doubled or at_home else []
    like_code = [shape for shape in _beginning(assignable, code.digits) if len(shape) in doubtful]
    mobiles = [
        shape
        for each in regions
        if like_code
        for shape in shapes_of(metadata_of(int(code.digits), each), "mobile")
        if any(len(shape) + code.size + size in doubtful for size in between)
    ]
    return like_code, mobiles, list(_beginning(assignable, _DOUBLE_ZERO)), assignable if at_home else []


def _beginning(found: Iterable[Shape], digits: str) -> Iterator[Shape]:
    """Those of the shapes that may begin with `digits`."""
    masks = [1 << int(digit) for digit in digits]
    return (shape for shape in found if len(shape) >= len(masks) and all(map(and_, shape, masks)))


def _may_begin_with_zero(heads: Heads) -> bool:
    return any(head[:1] in ("", "0") for group in heads.values() for head in group)


def _common(idd: frozenset[str]) -> str:
    """What all of them begin with."""
    first, last = min(idd), max(idd)  # in the order of the alphabet the others are between these
    return next(first[:size] for size in range(len(first), -1, -1) if last.startswith(first[:size]))


def _beyond(idd: frozenset[str], heads: Heads) -> Heads:
    """Those heads that begin with an international prefix and go on."""
    prefixes = tuple(idd)
    return {
        length: bold
        for length, group in heads.items()
        if (bold := tuple(head for head in group if head.startswith(prefixes) and head not in idd))
    }


def _at(lengths: frozenset[int], heads: Heads) -> Heads:
    return {length: group for length, group in heads.items() if length in lengths}
