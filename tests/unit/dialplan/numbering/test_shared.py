"""Plans over several calling codes."""

import phonenumbers
import pytest

from dialplan.numbering.shared import REGIONS, shared_plans


def test_each_region_of_a_plan_has_it() -> None:
    assert set(shared_plans()) == {region for regions in REGIONS for region in regions}
    assert len({id(plan) for plan in shared_plans().values()}) == len(REGIONS)


@pytest.mark.parametrize(
    ("significant", "owner"),
    [
        ("590123456", "590"),
        ("690123456", "590"),
        ("594123456", "594"),
        ("596123456", "596"),
        ("696123456", "596"),
        ("262123456", "262"),
        ("692123456", "262"),
        ("269012345", "262"),
        ("639012345", "262"),
        ("508430123", "508"),
        ("708401234", "508"),
        ("709012345", "590"),
        ("709112345", "596"),
        ("709212345", "262"),
        ("709301234", "594"),
        ("709351234", "262"),
        ("709501234", "33"),
        ("612345678", "33"),
        ("123456789", "33"),
        ("800123456", None),
        ("912345678", None),
        ("59012345", None),
        ("", None),
    ],
)
def test_the_blocks_of_france(significant: str, owner: str | None) -> None:
    assert shared_plans()["FR"].owner(significant) == owner


def test_each_fixed_and_mobile_example_is_in_a_block_of_its_calling_code() -> None:
    for region in REGIONS[0]:
        for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE):
            number = phonenumbers.example_number_for_type(region, kind)
            assert number is not None
            significant = phonenumbers.national_significant_number(number)
            if len(significant) == 9:
                assert shared_plans()[region].owner(significant) == str(number.country_code)
