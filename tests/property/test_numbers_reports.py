"""What public reports found, over every region that it can happen in: examples of `phonenumbers` as people write them.

Each list of exceptions has the reading that wins there, and why.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final

import phonenumbers
import pytest
from phonenumbers import PhoneNumber, PhoneNumberType
from phonenumbers.phonemetadata import PhoneMetadata

from dialplan.numbering.numbers import Bare, Unreadable, national, normalise
from dialplan.numbering.plans import plans
from dialplan.numbering.shared import REGIONS as SHARED

REGIONS: Final = sorted(phonenumbers.SUPPORTED_REGIONS)
KINDS: Final = [kind for kind in range(11) if kind != PhoneNumberType.FIXED_LINE_OR_MOBILE]


def examples_of(region: str) -> Iterator[PhoneNumber]:
    for kind in KINDS:
        number = phonenumbers.example_number_for_type(region, kind)
        if number is not None:
            yield number


def significant(number: PhoneNumber) -> str:
    return phonenumbers.national_significant_number(number)


def e164(number: PhoneNumber) -> str:
    return f"+{number.country_code}{significant(number)}"


def everywhere(text: str, region: str) -> set[str]:
    """What a text means in all modes of bare digits."""
    return {str(normalise(text, region, bare)) for bare in Bare}


def valid(text: str) -> bool:
    return bool(phonenumbers.is_valid_number(phonenumbers.parse(text)))


# --- (0) after a calling code ---------------------------------------------------------------------------------------


@cache
def may_begin_with_zero(region: str) -> bool:
    return plans()[region].leading_zero


@pytest.mark.parametrize("region", REGIONS)
def test_a_zero_in_brackets_after_the_calling_code_is_dropped_in_every_region(region: str) -> None:
    for number in examples_of(region):
        code, rest = number.country_code, significant(number)
        if rest.startswith("0") or f"+{code}0{rest}" in everywhere(f"+{code}0{rest}", "GB"):
            # The number begins with a 0 itself, or may just as well: it has one digit more then, and fits as it stands.
            assert may_begin_with_zero(region), number
            continue
        if len(rest) not in plans()[region].code.lengths:  # 310 1234, which is whole in Canada alone
            assert everywhere(f"+{code} (0) {rest}", region) == {Unreadable.TOO_SHORT}
            continue
        for text in (
            f"+{code} (0) {rest}",
            f"+{code}0{rest}",
            f"{code} (0){rest}",
            f"tel:0{rest};phone-context=+{code}",
        ):
            assert everywhere(text, region) == {e164(number)}, text
        assert normalise(f"{code}0{rest}", "GB", Bare.E164) == e164(number)
        assert everywhere(f"00 {code} (0) {rest}", "GB") == {e164(number)}


def test_only_these_regions_have_numbers_that_are_whole_with_a_zero_in_front_too() -> None:
    keep = {
        region
        for region in REGIONS
        for number in examples_of(region)
        if not significant(number).startswith("0")
        and f"+{number.country_code}0{significant(number)}"
        in everywhere(f"+{number.country_code}0{significant(number)}", "GB")
    }
    assert keep == {"AC", "IT", "VA"}


@pytest.mark.parametrize("region", REGIONS)
def test_where_no_number_begins_with_zero_none_is_read_with_one(region: str) -> None:
    code = plans()[region].code
    if code.zeros:
        return
    for length in range(3, 15 - code.size):
        for digit in "123456789":
            read = normalise(f"+{code.digits} (0) {digit * length}", region, Bare.E164)
            assert isinstance(read, Unreadable) or not read.startswith(f"+{code.digits}0")


# --- 00 where the country dials something else ----------------------------------------------------------------------

DIALS_OTHERWISE: Final = [region for region in REGIONS if "00" not in plans()[region].idd]


def own_reading(text: str, region: str) -> str | None:
    """What the region itself means by `text`, as the library reads it; None where that may not be assigned."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    return e164(number) if phonenumbers.is_valid_number(number) else None


def own_number(text: str, region: str) -> str:
    """The number of `region` that begins with 00 itself, as 001800… in Thailand."""
    number = f"+{plans()[region].code.digits}{text}"
    return number if valid(number) else ""


@pytest.mark.parametrize("where", DIALS_OTHERWISE)
def test_double_zero_and_an_international_number_is_read_in_every_region(where: str) -> None:
    missed: dict[str, tuple[str, str | None]] = {}
    for region in REGIONS:
        for number in examples_of(region):
            text = f"00{number.country_code}{significant(number)}"
            read = everywhere(text, where)
            assert len(read) == 1, (text, where)
            if read != {e164(number)} and read != {own_number(text, where)}:
                missed[text] = read.pop(), own_reading(text, where)
    # What is left is what the region's own prefix makes of it: a number that fits there.
    for text, (found, own) in missed.items():
        prefix = max((each for each in plans()[where].idd if text.startswith(each)), key=len, default="")
        assert prefix, (text, where, found)
        assert own in (None, found), (text, where, found, own)
        assert everywhere("+" + text.removeprefix(prefix), where) == {found}, (text, where, found)
        assert not text.startswith("00" + plans()[where].code.digits), (text, where, found)


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_reads_its_own_numbers_behind_double_zero(region: str) -> None:
    for number in examples_of(region):
        if phonenumbers.region_code_for_number(number) == region:
            assert everywhere(f"00{number.country_code}{significant(number)}", region) == {e164(number)}


# --- one plan over several calling codes ----------------------------------------------------------------------------


@pytest.mark.parametrize("where", SHARED[0])
def test_each_region_of_a_shared_plan_reads_the_fixed_and_mobile_numbers_of_all(where: str) -> None:
    for region in SHARED[0]:
        for kind in (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE):
            number = phonenumbers.example_number_for_type(region, kind)
            assert number is not None
            block = "508" if len(significant(number)) == 6 else ""  # of Saint-Pierre-et-Miquelon
            assert everywhere(f"0{block}{significant(number)}", where) == {e164(number)}
            assert normalise(block + significant(number), where, Bare.NATIONAL) == e164(number)
            assert normalise(national(e164(number), where), where, Bare.REFUSE) == e164(number)


@pytest.mark.parametrize("where", SHARED[0])
def test_special_rates_and_voip_of_a_shared_plan_are_of_the_region_itself(where: str) -> None:
    code = plans()[where].code.digits
    for digits in ("800123456", "806123456"):
        assert everywhere("0" + digits, where) == {f"+{code}{digits}"}


# --- the own calling code in national mode --------------------------------------------------------------------------

# The numbers whose digits are, in the region, a national number that may be assigned, too: that wins, unless a mobile
# number follows the calling code.
NATIONAL_TOO: Final = {"BR", "DE", "ID", "NL", "SE", "VN", "XK"}


@pytest.mark.parametrize("region", REGIONS)
def test_digits_with_the_own_calling_code_are_read_under_national(region: str) -> None:
    for number in examples_of(region):
        digits = e164(number)[1:]
        read = normalise(digits, region, Bare.NATIONAL)
        if read == e164(number):
            continue
        mobile = phonenumbers.number_type(number) == PhoneNumberType.MOBILE
        assert not mobile, (digits, read)
        assert read == f"+{number.country_code}{digits}", (digits, read)
        assert valid(read), (digits, read)
        assert region in NATIONAL_TOO


@pytest.mark.parametrize("region", REGIONS)
def test_a_significant_number_stays_one_under_national(region: str) -> None:
    for number in examples_of(region):
        digits = significant(number)
        read = normalise(digits, region, Bare.NATIONAL)
        if read == e164(number) or digits.startswith("0"):
            continue
        # Only where the same digits are the calling code and a mobile number.
        assert digits.startswith(str(number.country_code)), (digits, read)
        assert phonenumbers.number_type(phonenumbers.parse(str(read))) == PhoneNumberType.MOBILE


# --- a + before a national prefix -----------------------------------------------------------------------------------


def prefixes() -> Iterator[tuple[str, str]]:
    for region in REGIONS:
        metadata = PhoneMetadata.metadata_for_region(region, None)
        assert metadata is not None
        if metadata.national_prefix:
            yield region, metadata.national_prefix


def test_the_only_national_prefix_that_calling_codes_begin_with_and_none_is_is_8() -> None:
    codes = {str(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE}
    lonely = {
        prefix for _, prefix in prefixes() if prefix not in codes and any(code.startswith(prefix) for code in codes)
    }
    assert lonely == {"8"}


@pytest.mark.parametrize(("region", "prefix"), list(prefixes()))
def test_a_plus_before_a_national_prefix_is_refused_in_every_region(region: str, prefix: str) -> None:
    for number in examples_of(region):
        rest = significant(number)
        grouped = normalise(f"+{prefix} {rest[:3]} {rest[3:]}", region, Bare.E164)
        if prefix == str(number.country_code):
            assert grouped == e164(number)
        else:
            assert isinstance(grouped, Unreadable), (region, rest, grouped)
        if prefix == "8":
            # Without spaces it may be a number abroad as it stands: +84 951234567. Then it is that one.
            packed = normalise(f"+8{rest}", region, Bare.E164)
            assert isinstance(packed, Unreadable) or packed == f"+8{rest}", (region, rest, packed)


# --- superseded forms -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bare", Bare)
def test_superseded_forms_become_those_of_today(bare: Bare) -> None:
    for region, old, new in [
        ("MX", "+52 1 55 1234 5678", "+525512345678"),
        ("MX", "00 52 1 55 1234 5678", "+525512345678"),
        ("MX", "044 55 1234 5678", "+525512345678"),
        ("MX", "045 55 1234 5678", "+525512345678"),
        ("MX", "01 55 1234 5678", "+525512345678"),
        ("BJ", "+229 97 12 34 56", "+2290197123456"),
        ("BJ", "00 229 21 12 34 56", "+2290121123456"),
        ("CO", "+57 1 234 5678", "+576012345678"),
        ("CO", "01 234 5678", "+576012345678"),
        ("CO", "+57 4 234 5678", "+576042345678"),
    ]:
        assert normalise(old, region, bare) == new
        assert valid(new)


def test_superseded_forms_come_bare_too() -> None:
    assert normalise("5215512345678", "GB", Bare.E164) == "+525512345678"
    assert normalise("15512345678", "MX", Bare.E164) == "+15512345678"  # New Jersey
    assert normalise("97123456", "BJ", Bare.NATIONAL) == "+2290197123456"


def test_a_number_of_today_is_never_taken_for_a_superseded_one() -> None:
    for region in ("MX", "BJ", "CO"):
        for number in examples_of(region):
            assert everywhere(e164(number), region) == {e164(number)}
    assert normalise("+57 46123456", "CO", Bare.E164) == "+5746123456"
