"""What `phonenumbers` knows of a region's numbers, as preparation asks for it."""

from functools import cache
from typing import Final

import phonenumbers
from phonenumbers.phonemetadata import PhoneMetadata, PhoneNumberDesc

from dialplan.numbering import patterns
from dialplan.numbering.patterns import Rewrite, Shape

# Every kind of number that may be assigned.
KINDS: Final = (
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost"),
    *("personal_number", "voip", "pager", "uan", "voicemail"),
)


# Regions of one calling code often have the same pattern, and each is asked for more than once.
_unrolled = cache(patterns.shapes)


def forget() -> None:
    """Let go of what only preparation needs."""
    _unrolled.cache_clear()


def metadata_of(code: int, region: str) -> PhoneMetadata:
    """The metadata of a region, or of a calling code without one ("001"). Raises LookupError."""
    found = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    if found is None:
        raise LookupError(f"phonenumbers names region {region} (+{code}) but has no metadata for it")
    return found


def calling_code(region: str) -> int:
    """The calling code of a region."""
    return int(phonenumbers.country_code_for_region(region))


def general(metadata: PhoneMetadata) -> PhoneNumberDesc:
    """What is true of all numbers of the region. Raises LookupError."""
    if metadata.general_desc is None:
        raise LookupError(f"phonenumbers does not describe the numbers of {metadata.id}")
    return metadata.general_desc


def shapes(metadata: PhoneMetadata) -> list[Shape]:
    """The shapes of the region's numbers. Patterns may match lengths that are said not to be possible."""
    found = _unrolled(general(metadata).national_number_pattern or "")
    return [shape for shape in found if len(shape) in general(metadata).possible_length]


def shapes_of(metadata: PhoneMetadata, *kinds: str) -> list[Shape]:
    """The shapes of the region's numbers of some kinds, such as `mobile`."""
    descriptions: list[PhoneNumberDesc | None] = [getattr(metadata, kind) for kind in kinds]
    return [
        shape
        for each in descriptions
        if each is not None and each.national_number_pattern
        for shape in _unrolled(each.national_number_pattern)
    ]


def rewrites(metadata: PhoneMetadata) -> list[Rewrite]:
    """The region's national prefixes."""
    pattern = metadata.national_prefix_for_parsing
    return patterns.rewrites(pattern, metadata.national_prefix_transform_rule) if pattern else []
