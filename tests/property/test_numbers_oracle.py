"""`phonenumbers` itself is the oracle: its examples, in its own formats, must read as it reads them.

Every region and calling code, every kind of number that the library has an example of, in national,
international and as-dialled form. A form with a prefix is read in all three modes of bare digits, one
without in the mode that its setting is for.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

import phonenumbers
import pytest
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType
from phonenumbers.phonemetadata import PhoneMetadata

from dialplan.numbering.numbers import Bare, Unreadable, national, normalise

REGIONS: Final = sorted(phonenumbers.SUPPORTED_REGIONS)
NO_COUNTRY: Final = sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS)
KINDS: Final = {
    number: name
    for name, number in vars(PhoneNumberType).items()
    if name.isupper() and number != PhoneNumberType.UNKNOWN
}
WORLD: Final = "001"

# The only forms that the library writes and reads as other numbers than they were: kind of form, and where
# it is dialled. In Hong Kong it takes the first digit of some calling codes for a carrier's after 00; what
# it then reads is never a number that may be assigned, and here the number is found that was meant.
MISREAD_BY_LIBRARY: Final = {("dialled abroad", "HK")}
# Numbers that can be dialled in one country only. For people in the others of +1 the library still writes
# `1 310-1234`, and itself reads it as another number in most of them; here it is Canada's, or refused.
HOME_ONLY: Final = {("CA", "UAN")}


class Example(NamedTuple):
    """A number that the library gives as an example."""

    region: str
    kind: str
    number: PhoneNumber

    @property
    def e164(self) -> str:
        return phonenumbers.format_number(self.number, PhoneNumberFormat.E164)

    @property
    def significant(self) -> str:
        return phonenumbers.national_significant_number(self.number)


class Form(NamedTuple):
    """A way of writing an example, as people in `where` would."""

    name: str
    text: str
    where: str


def examples_of(region: str) -> list[Example]:
    found = [(name, phonenumbers.example_number_for_type(region, kind)) for kind, name in KINDS.items()]
    return [Example(region, name, number) for name, number in found if number]


def example_without_country(code: int) -> Example:
    number = phonenumbers.example_number_for_non_geo_entity(code)
    assert number is not None
    return Example(WORLD, str(code), number)


@cache
def dialling_regions() -> list[str]:
    """One region for each way of dialling abroad, and those that people ask about first."""
    by_prefix: dict[str | None, str] = {}
    for region in REGIONS:
        metadata = PhoneMetadata.metadata_for_region(region, None)
        assert metadata is not None
        by_prefix.setdefault(metadata.international_prefix, region)
    return sorted({*by_prefix.values(), "AU", "BR", "FI", "GB", "HK", "IT", "JP", "KR", "RU", "US"})


def international_forms(example: Example) -> Iterator[Form]:
    for name in ("E164", "INTERNATIONAL", "RFC3966"):
        text = phonenumbers.format_number(example.number, getattr(PhoneNumberFormat, name))
        yield Form(name, text, "ZZ")


def forms_dialled_abroad(example: Example, where: list[str]) -> Iterator[Form]:
    for region in where:
        text = phonenumbers.format_out_of_country_calling_number(example.number, region)
        yield Form("dialled abroad", text, region)
        mobile = phonenumbers.format_number_for_mobile_dialing(example.number, region, True)
        if mobile:  # empty where the number cannot be dialled from there
            yield Form("dialled on a mobile", mobile, region)


def forms_at_home(example: Example) -> Iterator[Form]:
    region, _, number = example
    text = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    yield Form("NATIONAL", text, region)
    yield Form("significant number", example.significant, region)
    dialled = phonenumbers.parse(text, region, keep_raw_input=True)
    yield Form("as it was dialled", phonenumbers.format_in_original_format(dialled, region), region)
    for formatted in (True, False):
        mobile = phonenumbers.format_number_for_mobile_dialing(number, region, formatted)
        if mobile:
            yield Form("dialled on a mobile", mobile, region)


def modes_for(form: Form, example: Example) -> list[Bare]:
    """The modes in which the form must be read: all of them, where it says itself how it is meant."""
    digits = "".join(filter(str.isdigit, form.text))
    bare = "+" not in form.text and not digits.startswith("0") and digits == example.significant
    return [Bare.NATIONAL] if bare else list(Bare)


def read_by_library(form: Form) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(form.text, form.where)
    except phonenumbers.NumberParseException:
        return None


def is_out_of_reach(form: Form, example: Example) -> bool:
    """Whether the form is what people of another country of the same calling code would dial in vain."""
    home = (example.region, example.kind) in HOME_ONLY and form.where != example.region
    return home and phonenumbers.country_code_for_region(form.where) == example.number.country_code


def check(form: Form, example: Example) -> None:
    read = {str(normalise(form.text, form.where, bare)) for bare in modes_for(form, example)}
    if is_out_of_reach(form, example):
        assert read <= {example.e164, Unreadable.TOO_SHORT}, (form, example)
        return
    theirs = read_by_library(form)
    if theirs is not None and phonenumbers.format_number(theirs, PhoneNumberFormat.E164) in read:
        assert len(read) == 1, (form, example)
    else:
        assert (form.name, form.where) in MISREAD_BY_LIBRARY, (form, example, theirs, read)
        assert theirs is None or not phonenumbers.is_valid_number(theirs), (form, example)
        assert read == {example.e164}, (form, example)


@pytest.mark.parametrize("region", REGIONS)
def test_every_example_reads_as_the_library_reads_it(region: str) -> None:
    examples = examples_of(region)
    assert {"FIXED_LINE", "MOBILE"} & {example.kind for example in examples}
    for example in examples:
        assert len(example.e164) <= 16  # no example is longer than E.164 allows, so none is left out
        for form in international_forms(example):
            check(form, example)
        for form in forms_at_home(example):
            check(form, example)
        for form in forms_dialled_abroad(example, dialling_regions()):
            check(form, example)


@pytest.mark.parametrize("code", NO_COUNTRY)
def test_every_example_without_a_country_reads_as_the_library_reads_it(code: int) -> None:
    example = example_without_country(code)
    for form in international_forms(example):
        check(form, example)
    for form in forms_dialled_abroad(example, REGIONS):
        check(form, example)


@pytest.mark.long
@pytest.mark.parametrize("region", REGIONS)
def test_fixed_and_mobile_examples_dialled_from_every_region(region: str) -> None:
    for example in examples_of(region):
        if example.kind in {"FIXED_LINE", "MOBILE"}:
            for form in forms_dialled_abroad(example, REGIONS):
                check(form, example)


@pytest.mark.parametrize("region", REGIONS)
def test_bare_e164_reads_as_the_library_reads_it_with_a_plus(region: str) -> None:
    for example in examples_of(region):
        assert normalise(example.e164[1:], region, Bare.E164) == example.e164
        assert normalise(example.e164[1:], "GB", Bare.E164) == example.e164


@pytest.mark.parametrize("region", REGIONS)
def test_our_national_form_is_its_number_or_is_not_shown(region: str) -> None:
    for example in examples_of(region):
        zero = example.significant if example.significant.startswith("0") else "0" + example.significant
        read = {normalise(zero, region, bare) for bare in Bare}
        assert len(read) == 1
        shown = national(example.e164, region)
        assert shown == (zero if read == {example.e164} else example.e164)
        # Whatever the library finds there that may be assigned is what we find: its reading of 0 and the
        # number differs only where the country has no 0, and is then no number at all.
        theirs = read_by_library(Form("ours", zero, region))
        if theirs is not None and phonenumbers.is_valid_number(theirs):
            assert read == {phonenumbers.format_number(theirs, PhoneNumberFormat.E164)}


def test_a_number_is_shown_with_a_plus_at_home_only_where_its_zero_form_is_another() -> None:
    hidden = {
        (example.region, example.kind): normalise("0" + example.significant, example.region, Bare.REFUSE)
        for region in REGIONS
        for example in examples_of(region)
        if national(example.e164, region).startswith("+")
    }
    assert all(not isinstance(other, Unreadable) for other in hidden.values())
    assert {region for region, _ in hidden} == {"AC", "IT", "VA"}


def test_the_exceptions_are_still_needed() -> None:
    (_, hong_kong), *_ = MISREAD_BY_LIBRARY
    ascension = examples_of("AC")[0]
    misread = phonenumbers.format_out_of_country_calling_number(ascension.number, hong_kong)
    assert phonenumbers.parse(misread, hong_kong) != ascension.number
    (home, kind), *_ = HOME_ONLY
    (canadian,) = (example for example in examples_of(home) if example.kind == kind)
    misread = phonenumbers.format_out_of_country_calling_number(canadian.number, "BM")
    assert phonenumbers.parse(misread, "BM") != canadian.number
