"""The plans that preparation makes out of the metadata."""

import random
import re

import phonenumbers
import pytest
from phonenumbers.phonemetadata import PhoneMetadata

from dialplan.numbering.plans import CODE_DIGITS, MAX_DIGITS, Plan, numbering, plans
from dialplan.numbering.shared import REGIONS as SHARED


def metadata_of(region: str) -> PhoneMetadata:
    metadata = PhoneMetadata.metadata_for_region(region, None)
    assert metadata is not None
    return metadata


def fits(plan: Plan, number: str) -> bool:
    return number.startswith(plan.heads.get(len(number), ()))


def test_every_region_of_the_library_has_a_plan() -> None:
    assert set(plans()) == phonenumbers.SUPPORTED_REGIONS
    for region, plan in plans().items():
        assert plan.region == region
        assert plan.code.digits == str(phonenumbers.country_code_for_region(region))


def test_every_calling_code_is_found_by_its_first_three_digits() -> None:
    codes = numbering().codes
    for number in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
        code = codes[f"{number}55"[:CODE_DIGITS]]
        assert code.digits == str(number)
        assert code.size == len(code.digits)
    assert {int(code.digits) for code in codes.values()} >= phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS
    assert not any(head.startswith("0") for head in codes)


def test_preparation_happens_once_and_gives_the_same_again() -> None:
    assert plans() is plans()
    assert numbering.__wrapped__() == numbering()


def test_no_length_goes_beyond_what_e164_has_room_for() -> None:
    for plan in plans().values():
        room = MAX_DIGITS - plan.code.size
        assert plan.lengths
        assert plan.code.lengths <= plan.lengths
        assert max(plan.lengths) <= room
        assert max(plan.code.heads) <= room


def test_heads_decide_exactly_as_the_librarys_expressions_do() -> None:
    draw = random.Random(20)
    for region, plan in plans().items():
        description = metadata_of(region).general_desc
        assert description is not None
        pattern = re.compile(description.national_number_pattern or "")
        possible = set(description.possible_length)
        assert set(plan.heads) <= possible
        for length in possible & set(range(MAX_DIGITS - plan.code.size + 1)):
            for _ in range(40):
                number = "".join(draw.choices("0123456789", k=length))
                assert fits(plan, number) == bool(pattern.fullmatch(number)), (region, number)
            for group in plan.heads.values():
                for head in group:
                    number = head.ljust(length, "7")[:length]
                    assert fits(plan, number) == bool(pattern.fullmatch(number)), (region, number)


def test_international_prefixes_are_those_of_the_library() -> None:
    for region, plan in plans().items():
        pattern = re.compile(metadata_of(region).international_prefix or "")
        assert all(map(pattern.fullmatch, plan.idd)), region
        assert list(plan.idd_sizes) == sorted({len(prefix) for prefix in plan.idd}, reverse=True)
    assert plans()["RU"].idd == {"810"}
    assert plans()["US"].idd == {"011"}
    assert {"00", "990", "994"} <= plans()["FI"].idd


@pytest.mark.parametrize(
    ("region", "own", "other", "plain"),
    [
        ("GB", {"0"}, {"180020"}, ("0",)),
        ("HU", {"06"}, set(), ("06", "0")),
        ("RU", {"8"}, set(), ("8", "0")),
        ("BY", {"8", "80", "0"}, set(), ("8", "0")),
        ("LT", {"8", "0"}, set(), ("0",)),
        ("US", {"1"}, set(), ("1", "0")),
        ("IT", set(), set(), ("0",)),
        ("BM", {"1"}, set("23456789"), ("1", "0")),
        ("LI", {"0"}, {"1001"}, ("0",)),
        ("SM", set(), {"8", "9"}, ("0",)),
    ],
)
def test_prefixes_that_mark_a_national_number_stand_apart_from_the_others(
    region: str, own: set[str], other: set[str], plain: tuple[str, ...]
) -> None:
    plan = plans()[region]
    assert set(plan.own.table) == own
    assert set(plan.other.table) == other
    assert plan.plain == plain


def test_a_trunk_zero_is_dropped_only_where_no_number_begins_with_it() -> None:
    assert plans()["GB"].code.trunk_zero
    assert plans()["DE"].code.trunk_zero
    assert not plans()["IT"].code.trunk_zero
    assert not plans()["US"].code.trunk_zero
    assert not plans()["JP"].code.trunk_zero


def test_two_zeros_are_looked_at_closely_only_where_they_may_be_two_things() -> None:
    assert {region for region, plan in plans().items() if plan.home} >= {"BR", "CO", "ID", "JP", "KR", "SG", "TH"}
    assert not any(plan.home for plan in plans().values() if "00" in plan.idd)
    assert {region for region, plan in plans().items() if len(plan.marks) > 2} == set(SHARED[0])
    assert all(plan.marks == ("00",) for plan in plans().values() if plan.idd == {"00"} and plan.shared is None)
    assert {region for region, plan in plans().items() if len(plan.bare_marks) > 1} == set(SHARED[0])
    assert max(len(plan.marks) for plan in plans().values()) < 60


def test_kinds_of_numbers_are_looked_at_only_where_the_own_calling_code_may_begin_a_national_number() -> None:
    few = {region for region, plan in plans().items() if plan.like_code}
    assert {"DE", "ID", "FI", "AT"} <= few
    assert len(few) < 40
    assert {region for region, plan in plans().items() if plan.mobiles} <= few


def test_what_a_call_has_to_look_through_stays_small() -> None:
    # A tuple of heads is gone through one by one for each number, so its length is time on the call path.
    longest = max(len(group) for plan in plans().values() for group in plan.code.heads.values())
    assert longest <= 120
    assert max(len(plan.own.sizes) for plan in plans().values()) <= 8
