"""Forms that plans have given up."""

import phonenumbers
import pytest
from phonenumbers.phonemetadata import PhoneMetadata

from dialplan.numbering.patterns import Rewrite
from dialplan.numbering.superseded import DIALLED, NUMBERS

RULES = [(region, rule) for table in (NUMBERS, DIALLED) for region, rules in table.items() for rule in rules]


def may_be_assigned(region: str, significant: str) -> bool:
    number = phonenumbers.PhoneNumber(phonenumbers.country_code_for_region(region))
    number.national_number = int(significant)
    number.italian_leading_zero = significant.startswith("0")
    return bool(phonenumbers.is_valid_number(number))


@pytest.mark.parametrize(("region", "rule"), RULES)
def test_a_superseded_form_has_a_length_of_its_own_and_gives_one_of_today(region: str, rule: Rewrite) -> None:
    metadata = PhoneMetadata.metadata_for_region(region, None)
    assert metadata is not None
    assert metadata.general_desc is not None
    assert rule.low == rule.high
    assert len(rule.instead) + rule.low in metadata.general_desc.possible_length


@pytest.mark.parametrize("region", sorted(NUMBERS))
def test_no_number_that_may_be_assigned_looks_like_a_superseded_one(region: str) -> None:
    for kind in range(11):
        number = phonenumbers.example_number_for_type(region, kind)
        if number is None:
            continue
        significant = phonenumbers.national_significant_number(number)
        assert may_be_assigned(region, significant)
        for rule in NUMBERS[region]:
            matches = significant.startswith(rule.prefix) and len(significant) - len(rule.prefix) == rule.low
            assert not matches or significant.startswith("46")  # of Colombia: what fits as it stands stays as it is
