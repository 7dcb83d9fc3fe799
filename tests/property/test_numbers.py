"""What holds for every text and every number."""

import re
from functools import cache
from typing import Final

import phonenumbers
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat
from phonenumbers.phonemetadata import PhoneMetadata

from dialplan.numbering.numbers import Bare, Unreadable, national, normalise

REGIONS: Final = sorted(phonenumbers.SUPPORTED_REGIONS)
E164: Final = re.compile(r"\+[1-9][0-9]{2,14}")

regions = st.sampled_from(REGIONS)
modes = st.sampled_from(Bare)

# Texts that look like numbers, up to a point: the parts that mean something, in any order.
parts = st.sampled_from(
    [
        *[
            "+",
            "00",
            "011",
            "8~10",
            "0",
            "06",
            "8",
            "1",
            "44",
            "39",
            "(0)",
            "521",
            "590",
            "+8",
            "229",
            "7",
            "20 7946 0000",
            "312 345 6789",
        ],
        *["tel:", "sip:", "<", ">", "@host", ";user=phone", ";phone-context=+44", "%", "\r\n", "\x00", " ", "-"],
        *["\u0664", "\uff0b", "\u200e", "\u00a0", "\ud800", "anonymous", "x"],
    ]
)
written = st.one_of(
    st.text(max_size=140),
    st.lists(st.one_of(parts, st.text("0123456789", max_size=12)), max_size=8).map("".join),
    st.from_regex(r"\+?[0-9]{1,18}", fullmatch=True),
)

separators = st.sampled_from(["", "", "", " ", "-", ".", "/", "\u00a0", "\u2011", "\u200e", "\u2060", "~"])
# Behind more digits than these, `/`, `~` and `.` list numbers, or are what a spreadsheet made: that is refused.
late_separators = separators.filter(lambda sign: sign not in list("./~"))
AREA_DIGITS: Final = 5
scripts = st.sampled_from(["0", "\u0660", "\u06f0", "\u0966", "\uff10", "\U0001d7d8"])
wrappings = st.sampled_from(
    ["{}", " {} ", "tel:{}", "TEL:{};isub=1", "sip:{}@192.0.2.1;user=phone", "<sips:{}@trunk.example>;tag=7"]
)


@cache
def kinds_of(region: str) -> tuple[re.Pattern[str], ...]:
    """The expressions of the fixed and mobile numbers of `region`; `\\d` is an ASCII digit here."""
    metadata = PhoneMetadata.metadata_for_region(region, None)
    assert metadata is not None
    found = (
        description.national_number_pattern for description in (metadata.fixed_line, metadata.mobile) if description
    )
    return tuple(re.compile(pattern, re.ASCII) for pattern in found if pattern)


# France's overseas departments have blocks of its national plan (Arcep, plan national de numérotation, 2.3); some of
# them the library takes for the mainland's as well. Beginning -> calling code.
FRENCH: Final = {"FR", "GP", "BL", "MF", "GF", "MQ", "RE", "YT", "PM"}
OVERSEAS: Final = {
    "262": "262",
    "263": "262",
    "268": "262",
    "269": "262",
    "596": "596",
    "5987": "590",
    "5988": "594",
    "5989": "596",
}


def by_block(number: phonenumbers.PhoneNumber, region: str) -> str | None:
    """The E.164 of a national number of a French block; None where it is of none."""
    significant = phonenumbers.national_significant_number(number)
    if region not in FRENCH or len(significant) != 9:
        return None
    if significant.startswith("508") and phonenumbers.is_valid_number(phonenumbers.parse(f"+{significant}")):
        return f"+{significant}"  # Saint-Pierre-et-Miquelon: the block is the calling code
    code = OVERSEAS.get(significant[:3]) or OVERSEAS.get(significant[:4])
    return f"+{code}{significant}" if code else None


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, str]:
    """A region, and the E.164 of a number that may well be assigned there."""
    region = draw(regions)
    code = phonenumbers.country_code_for_region(region)
    significant = draw(st.sampled_from(kinds_of(region)).flatmap(lambda kind: st.from_regex(kind, fullmatch=True)))
    assume(len(f"{code}{significant}") <= 15)  # Germany plans longer ones than E.164 has room for
    return region, f"+{code}{significant}"


def read_by_library(text: str, region: str) -> str | None:
    """What `phonenumbers` makes of `text`; None where that is no number that may be assigned."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    valid = phonenumbers.is_valid_number(number)
    return phonenumbers.format_number(number, PhoneNumberFormat.E164) if valid else None


@settings(max_examples=500, deadline=None)
@given(text=written, region=st.one_of(regions, st.text(max_size=3)), bare=modes)
def test_any_text_gives_a_number_or_a_reason(text: str, region: str, bare: Bare) -> None:
    number = normalise(text, region, bare)
    assert isinstance(number, Unreadable) or E164.fullmatch(number)


@settings(max_examples=150, deadline=None)
@given(text=written, region=regions, bare=modes)
def test_whatever_was_read_reads_the_same_again_everywhere(text: str, region: str, bare: Bare) -> None:
    number = normalise(text, region, bare)
    if not isinstance(number, Unreadable):
        assert {normalise(number, other, mode) for other in [*REGIONS, ""] for mode in Bare} == {number}


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_is_shown_reads_back_in_every_region_and_mode(data: st.DataObject) -> None:
    # Numbers that may be assigned, and whatever else texts turn out to be.
    number = data.draw(
        st.one_of(
            numbers().map(lambda found: found[1]),
            st.builds(normalise, written, regions, modes).filter(lambda found: not isinstance(found, Unreadable)),
        )
    )
    for region in REGIONS:
        shown = national(number, region)
        assert shown[0] in "+0"
        assert [normalise(shown, region, bare) for bare in Bare] == [number] * len(Bare)


@settings(deadline=None)
@given(found=numbers())
def test_a_number_that_may_be_assigned_stays_what_it_is(found: tuple[str, str]) -> None:
    region, number = found
    assert normalise(number, region, Bare.REFUSE) == number
    assert normalise(number[1:], "GB", Bare.E164) == number


@settings(max_examples=300, deadline=None)
@given(found=numbers(), abroad=regions)
def test_the_librarys_forms_of_it_read_as_the_library_reads_them(found: tuple[str, str], abroad: str) -> None:
    region, text = found
    number = phonenumbers.parse(text)
    dialled = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    meant = by_block(number, region) or read_by_library(dialled, region) or text
    assert normalise(dialled, region, Bare.NATIONAL) == meant, (dialled, region)
    for form, where in [
        (phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL), abroad),
        (phonenumbers.format_out_of_country_calling_number(number, abroad), abroad),
    ]:
        # Where the library cannot read its own form as a number (00 in Hong Kong), what it formatted counts.
        assert normalise(form, where, Bare.NATIONAL) == (read_by_library(form, where) or text), (form, where)


@settings(max_examples=300, deadline=None)
@given(found=numbers(), data=st.data())
def test_how_a_number_is_written_makes_no_difference(found: tuple[str, str], data: st.DataObject) -> None:
    region, number = found
    plain = data.draw(st.sampled_from([number, national(number, region)]))
    zero = ord(data.draw(scripts))
    spread = ""
    for place, sign in enumerate(plain):
        if plain[:place] != "+8":  # 8 by itself is no calling code, but a national prefix
            spread += data.draw(separators if place <= AREA_DIGITS and place < len(plain) - 2 else late_separators)
        spread += sign
    spread = "".join(chr(zero + int(sign)) if sign.isascii() and sign.isdigit() else sign for sign in spread)
    assert normalise(data.draw(wrappings).format(spread), region, data.draw(modes)) == number


@settings(deadline=None)
@given(digits=st.text("0123456789", max_size=17), region=regions)
def test_digits_that_begin_with_zero_are_never_bare(digits: str, region: str) -> None:
    assert len({normalise("0" + digits, region, bare) for bare in Bare}) == 1


@pytest.mark.parametrize("bare", Bare)
@settings(max_examples=30, deadline=None)
@given(number=numbers(), region=regions)
def test_a_line_end_anywhere_refuses_it_all(number: tuple[str, str], region: str, bare: Bare) -> None:
    for text in (number[1] + "\n", "\r" + number[1], number[1].replace("+", "+\n"), f"sip:{number[1]}@h\r\nX"):
        assert normalise(text, region, bare) is Unreadable.CONTROL
