"""National plans over several calling codes: `0696…` in France is a number of Martinique, +596."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from dialplan.numbering import patterns
from dialplan.numbering.metadata import calling_code, metadata_of, shapes_of
from dialplan.numbering.patterns import Shape

# The regions of each such plan, the main one first. France's overseas departments and Saint-Pierre-et-Miquelon have
# blocks of its plan (Arcep, plan national de numérotation, 2.3).
REGIONS: Final = (("FR", "GP", "BL", "MF", "GF", "MQ", "RE", "YT", "PM"),)
_SIZE: Final = 9
# A block is told by three digits, and by more where numbers of two calling codes begin with these.
_BLOCK_DIGITS: Final = 3
# 08 and 09, special rates and VoIP, are no blocks: each of the calling codes has them.
_WITHOUT_BLOCKS: Final = ("8", "9")


class SharedPlan(NamedTuple):
    """One plan, and which calling code its numbers have."""

    blocks: Mapping[str, str]
    """How significant numbers of the other calling codes begin, and which code that is."""
    sizes: tuple[int, ...]
    """The lengths of those beginnings."""
    whole: frozenset[str]
    """Those blocks that are the calling code itself: what follows is the number (0508 and six digits: +508)."""
    main: str

    def owner(self, significant: str) -> str | None:
        """The calling code of a significant number; None where the plan does not say."""
        if len(significant) != _SIZE or significant.startswith(_WITHOUT_BLOCKS):
            return None
        for size in self.sizes:
            code = self.blocks.get(significant[:size])
            if code is not None:
                return code
        return self.main

    def international(self, significant: str) -> str | None:
        """The digits of E.164 of a significant number; None where the plan does not say."""
        code = self.owner(significant)
        if code is None:
            return None
        return significant if code in self.whole and significant.startswith(code) else code + significant

    def others(self, code: str) -> list[str]:
        """How the numbers begin that are not, or not all, of that calling code: as few beginnings as tell it."""
        several = self.whole | {block[:_BLOCK_DIGITS] for block in self.blocks if len(block) > _BLOCK_DIGITS}
        beginnings = [str(each) for each in range(10 ** (_BLOCK_DIGITS - 1), 10**_BLOCK_DIGITS)]
        return _shortest(
            [
                each
                for each in beginnings
                if not each.startswith(_WITHOUT_BLOCKS)
                and (each in several or self.blocks.get(each, self.main) != code)
            ]
        )


def _shortest(beginnings: list[str]) -> list[str]:
    """The same with ten that differ in their last digit alone as one, in the order of the alphabet."""
    found = set(beginnings)
    for size in range(_BLOCK_DIGITS, 1, -1):
        for head in {each[: size - 1] for each in found if len(each) == size}:
            ten = {f"{head}{digit}" for digit in range(10)}
            if ten <= found:
                found = {*found - ten, head}
    return sorted(found)


def shared_plans() -> dict[str, SharedPlan]:
    """The plan of each region that has one in common with others."""
    return {region: plan for regions in REGIONS for plan in (_prepared(regions),) for region in regions}


def _prepared(regions: tuple[str, ...]) -> SharedPlan:
    """Each calling code but the main one is a block, and its regions' fixed and mobile numbers tell the others."""
    numbers = {
        (str(code), shape)
        for region in regions[1:]
        for code in (calling_code(region),)
        for shape in shapes_of(metadata_of(code, region), "fixed_line", "mobile")
        if len(shape) == _SIZE
    }
    told = dict(_blocks(numbers, ""))
    whole = frozenset(str(calling_code(region)) for region in regions[1:]) - told.keys()
    blocks = told | {code: code for code in whole}
    sizes = tuple(sorted({len(block) for block in blocks}, reverse=True))
    return SharedPlan(blocks, sizes, whole, str(calling_code(regions[0])))


def _blocks(numbers: Iterable[tuple[str, Shape]], before: str) -> Iterator[tuple[str, str]]:
    """Each shortest beginning that numbers of one calling code alone have, and that code."""
    by_beginning: dict[str, set[tuple[str, Shape]]] = {}
    size = len(before) + 1 if before else _BLOCK_DIGITS
    for code, shape in numbers:
        for end in patterns.literals(shape[len(before) : size]):
            if not (before + end).startswith(_WITHOUT_BLOCKS):
                by_beginning.setdefault(before + end, set()).add((code, shape))
    for beginning, group in by_beginning.items():
        codes = {code for code, _ in group}
        if len(codes) == 1:
            yield beginning, codes.pop()
        elif size < _SIZE:  # else two of them have the same number
            yield from _blocks(group, beginning)
