"""What a text means in a region, and how a number is shown there."""

import re
import sys
from collections.abc import Callable
from itertools import product
from types import FrameType

import pytest

from dialplan.numbering.numbers import Bare, Unreadable, is_region, national, normalise

LONDON = "+442079460000"
MODES = list(Bare)


@pytest.mark.parametrize(
    "text",
    [
        "+442079460000",
        "02079460000",
        "442079460000",
        "00442079460000",
        "+44 20 7946 0000",
        "+44 (0)20 7946 0000",
        "(020) 7946-0000",
        "020.7946.0000",
        "020/7946/0000",
        "\uff0b\uff14\uff14 \uff12\uff10 \uff17\uff19\uff14\uff16 \uff10\uff10\uff10\uff10",
        "\u0660\u0662\u0660\u0667\u0669\u0664\u0666\u0660\u0660\u0660\u0660",
        "\u200e+44\u00a020\u20117946\u20600000\u200b",
        "tel:+44-20-7946-0000",
        "tel:02079460000;phone-context=+44",
        "sip:+442079460000@203.0.113.7:5060;user=phone",
        "SIPS:02079460000@trunk.example;transport=tls",
        "<sip:442079460000@trunk.example;user=phone>;tag=1928301774",
    ],
)
def test_a_london_number_is_one_number_however_it_arrives(text: str) -> None:
    assert normalise(text, "GB", Bare.E164) == LONDON


@pytest.mark.parametrize(
    ("region", "dialled"),
    [
        ("DE", "00 44 20 7946 0000"),
        ("US", "011 44 20 7946 0000"),
        ("RU", "8~10 44 20 7946 0000"),
        ("KZ", "810442079460000"),
        ("AU", "0011 44 20 7946 0000"),
        ("JP", "010 44 20 7946 0000"),
        ("KR", "00700 44 20 7946 0000"),
        ("BR", "00 14 44 20 7946 0000"),
        ("HK", "001 44 20 7946 0000"),
        ("CL", "1230 44 20 7946 0000"),
        ("CU", "119 44 20 7946 0000"),
        ("WS", "0 44 20 7946 0000"),
    ],
)
@pytest.mark.parametrize("bare", MODES)
def test_each_region_dials_abroad_with_its_own_prefix(region: str, dialled: str, bare: Bare) -> None:
    assert normalise(dialled, region, bare) == LONDON


@pytest.mark.parametrize(
    ("region", "dialled", "number"),
    [
        ("RU", "8 (495) 123-45-67", "+74951234567"),
        ("RU", "8 800 123 45 67", "+78001234567"),
        ("KZ", "8 701 234 56 78", "+77012345678"),
        ("KZ", "8 495 123 45 67", "+74951234567"),
        ("BY", "8 017 123 45 67", "+375171234567"),
        ("LT", "8 612 34567", "+37061234567"),
        ("HU", "06 1 234 5678", "+3612345678"),
        ("US", "1 212 555 0123", "+12125550123"),
        ("JM", "1 876 555 0123", "+18765550123"),
        ("AR", "011 15 2345-6789", "+5491123456789"),
        ("BR", "0 15 11 96123-4567", "+5511961234567"),
        ("BR", "011 96123 4567", "+5511961234567"),
        ("CO", "0 3101234567", "+573101234567"),
    ],
)
@pytest.mark.parametrize("bare", MODES)
def test_the_regions_own_national_prefix_counts_in_every_mode(
    region: str, dialled: str, number: str, bare: Bare
) -> None:
    assert normalise(dialled, region, bare) == number


@pytest.mark.parametrize(
    ("region", "dialled", "number"),
    [
        ("US", "0212 555 0123", "+12125550123"),
        ("RU", "0495 123 45 67", "+74951234567"),
        ("HU", "01 234 5678", "+3612345678"),
        ("ES", "0912 345 678", "+34912345678"),
        ("MX", "055 1234 5678", "+525512345678"),
        ("NO", "021 23 45 67", "+4721234567"),
        ("GG", "020 7946 0000", LONDON),
    ],
)
@pytest.mark.parametrize("bare", MODES)
def test_zero_and_the_significant_number_is_national_in_every_country(
    region: str, dialled: str, number: str, bare: Bare
) -> None:
    assert normalise(dialled, region, bare) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("06 1234 5678", "+390612345678"),
        ("+39 06 1234 5678", "+390612345678"),
        ("+39 (0)6 1234 5678", "+390612345678"),
        ("031 234 5678", "+390312345678"),  # Como, and no mobile 312 345 678 behind a 0
        ("+39 312 345 6789", "+393123456789"),
    ],
)
def test_in_italy_the_zero_belongs_to_the_number(text: str, number: str) -> None:
    assert normalise(text, "IT", Bare.REFUSE) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+44 (0)20 7946 0000", LONDON),
        ("+49 (0)30 123456", "+4930123456"),
        ("+7 8 (495) 123-45-67", "+74951234567"),
        ("+54 11 15 2345 6789", "+5491123456789"),
        ("+378 886377", "+3780549886377"),
    ],
)
def test_a_trunk_prefix_after_the_calling_code_is_dropped(text: str, number: str) -> None:
    assert normalise(text, "US", Bare.REFUSE) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+48 (0) 22 512 12 34", "+48225121234"),
        ("+36 (0) 1 234 5678", "+3612345678"),
        ("+352 (0) 621 123 456", "+352621123456"),
        ("+372 (0) 6123456", "+3726123456"),
        ("+1 (0) 212 555 0123", "+12125550123"),
        ("00 48 (0) 22 512 12 34", "+48225121234"),
        ("tel:0225121234;phone-context=+48", "+48225121234"),
        ("+48 (0) 00 512 12 34", Unreadable.IMPOSSIBLE),  # no number of Poland begins with 0
        ("+48 (0)(0) 22 512 12 34", Unreadable.IMPOSSIBLE),
        ("+81 (0) 1 1111", Unreadable.TOO_SHORT),  # nor one of Japan with a single one
        ("+390612345678", "+390612345678"),
        ("+39 (0) 6 1234 5678", "+390612345678"),
    ],
)
def test_a_zero_that_nobody_dials_is_dropped_where_the_rest_fits(text: str, number: str) -> None:
    assert [normalise(text, "GB", bare) for bare in MODES] == [number] * 3


@pytest.mark.parametrize(
    ("region", "text", "number"),
    [
        ("BR", "005511961234567", "+5511961234567"),
        ("JP", "0081312345678", "+81312345678"),
        ("JP", "00442079460000", LONDON),
        ("ID", "0062218350123", "+62218350123"),
        ("TH", "006621234567", "+6621234567"),
        ("US", "00442079460000", LONDON),
        ("US", "00 44 (0)20 7946 0000", LONDON),
        ("RU", "00442079460000", LONDON),
        ("TH", "001 44 20 7946 0000", LONDON),
        ("TH", "006 62 218350123", "+62218350123"),  # no number of Thailand has so many digits
        ("TH", "001800 123 4567", "+660018001234567"),  # free of charge within Thailand
        ("JP", "0077 7123456", "+8100777123456"),  # free of charge within Japan
        ("BR", "00 55 51 912345678", "+5551912345678"),
        ("US", "0044 7946", Unreadable.TOO_SHORT),
    ],
)
@pytest.mark.parametrize("bare", MODES)
def test_double_zero_is_read_where_the_country_dials_something_else(
    region: str, text: str, number: str, bare: Bare
) -> None:
    assert normalise(text, region, bare) == number


@pytest.mark.parametrize(
    ("region", "text", "number"),
    [
        ("FR", "0696000000", "+596696000000"),
        ("FR", "0590123456", "+590590123456"),
        ("FR", "0508 43 01 23", "+508430123"),
        ("FR", "06 12 34 56 78", "+33612345678"),
        ("FR", "0800 123 456", "+33800123456"),
        ("MQ", "06 12 34 56 78", "+33612345678"),
        ("MQ", "0596 12 34 56", "+596596123456"),
        ("RE", "0639 01 23 45", "+262639012345"),
        ("GP", "0800 123 456", "+590800123456"),
        ("PM", "043 01 23", "+508430123"),
        ("FR", "+33 696000000", "+33696000000"),  # who says which calling code it is is believed
    ],
)
@pytest.mark.parametrize("bare", MODES)
def test_a_plan_over_several_calling_codes_tells_which_one(region: str, text: str, number: str, bare: Bare) -> None:
    assert normalise(text, region, bare) == number


@pytest.mark.parametrize(
    ("region", "text", "number"),
    [
        ("DE", "49(0)345279580", "+49345279580"),
        ("DE", "4915123456789", "+4915123456789"),
        ("DE", "49015123456789", "+4915123456789"),
        ("DE", "4930123456", "+4930123456"),
        ("DE", "4921123456", "+494921123456"),  # Emden
        ("ID", "62812345678", "+62812345678"),
        ("PL", "480225121234", "+48225121234"),
        ("GB", "442079460000", LONDON),
    ],
)
def test_the_own_calling_code_under_national(region: str, text: str, number: str) -> None:
    assert normalise(text, region, Bare.NATIONAL) == number


@pytest.mark.parametrize(
    ("region", "text", "read"),
    [
        ("RU", "+8 800 555 35 35", Unreadable.KEPT_PREFIX),
        ("GB", "+8 800 555 35 35", Unreadable.KEPT_PREFIX),
        ("GB", "+8 (495) 123-45-67", Unreadable.KEPT_PREFIX),
        ("RU", "+8~10 44 20 7946 0000", Unreadable.KEPT_PREFIX),
        ("RU", "+88005553535", Unreadable.KEPT_PREFIX),
        ("KZ", "+88005553535", Unreadable.KEPT_PREFIX),
        ("BD", "+88005553535", "+8805553535"),
        ("RU", "+8801712345678", "+8801712345678"),
        ("RU", "+84951234567", "+84951234567"),  # as it stands a number of Vietnam
    ],
)
@pytest.mark.parametrize("bare", MODES)
def test_a_national_prefix_behind_a_plus_is_refused(region: str, text: str, read: str, bare: Bare) -> None:
    assert normalise(text, region, bare) == read


@pytest.mark.parametrize("region", ["MX", "GB", "US"])
def test_a_superseded_form_is_the_number_of_today_wherever_it_comes_from(region: str) -> None:
    for text in ("+5215512345678", "+52 1 55 1234 5678", "sip:+5215512345678@h"):
        assert {normalise(text, region, bare) for bare in MODES} == {"+525512345678"}


@pytest.mark.parametrize(
    ("region", "text", "e164", "as_national", "refused"),
    [
        ("GB", "442079460000", LONDON, LONDON, Unreadable.BARE_NUMBER),
        ("GB", "2079460000", "+2079460000", LONDON, Unreadable.BARE_NUMBER),
        ("US", "2025550123", "+2025550123", "+12025550123", Unreadable.BARE_NUMBER),
        ("FR", "442079460000", LONDON, Unreadable.TOO_LONG, Unreadable.BARE_NUMBER),
        ("BM", "2921234", Unreadable.UNKNOWN_COUNTRY_CODE, "+14412921234", Unreadable.BARE_NUMBER),
        ("RU", "4951234567", "+4951234567", "+74951234567", Unreadable.BARE_NUMBER),
        ("CN", "125931062345678", Unreadable.TOO_LONG, "+861062345678", Unreadable.BARE_NUMBER),
        ("LU", "15125551234", "+15125551234", "+352551234", Unreadable.BARE_NUMBER),
    ],
)
def test_bare_digits_mean_what_the_setting_says(
    region: str, text: str, e164: str, as_national: str, refused: str
) -> None:
    assert [normalise(text, region, bare) for bare in MODES] == [e164, as_national, refused]


def test_where_a_national_prefix_looks_like_a_calling_code_the_region_wins() -> None:
    vietnam = "84951234567"
    assert normalise(vietnam, "GB", Bare.E164) == "+84951234567"
    assert normalise(vietnam, "RU", Bare.E164) == "+74951234567"
    # Nothing Russian begins with 1, so this one can only be Tokyo.
    assert normalise("81312345678", "RU", Bare.E164) == "+81312345678"


@pytest.mark.parametrize(
    "text",
    [
        *["anonymous", "Anonymous", "UNKNOWN", "restricted", "private", "unavailable", "withheld"],
        *["sip:anonymous@anonymous.invalid", "<sip:Restricted@203.0.113.7>;tag=1"],
    ],
)
def test_a_caller_who_hides_is_withheld(text: str) -> None:
    assert normalise(text, "GB", Bare.E164) is Unreadable.WITHHELD


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Unreadable.EMPTY),
        ("  ", Unreadable.EMPTY),
        ("+", Unreadable.EMPTY),
        ("()-", Unreadable.EMPTY),
        ("sip:@trunk.example", Unreadable.EMPTY),
        ("0800-FLOWERS", Unreadable.LETTERS),
        ("020 7946 0000 x12", Unreadable.LETTERS),
        ("*98", Unreadable.SYMBOL),
        ("#31#02079460000", Unreadable.SYMBOL),
        ("++442079460000", Unreadable.SYMBOL),
        ("44+2079460000", Unreadable.SYMBOL),
        ("%30207946000", Unreadable.SYMBOL),
        ("02079460100;02079460101", Unreadable.SEVERAL),
        ("02079460100-10/-11", Unreadable.SEVERAL),
        ("02079460100;x=y", Unreadable.PARAMETER),
        ("+442079460000.0", Unreadable.DECIMAL),
        ("\u00b2079460000", Unreadable.SYMBOL),
        ("02079460000\r\nEXEC", Unreadable.CONTROL),
        ("02079460000\n", Unreadable.CONTROL),
        ("0207946\x000000", Unreadable.CONTROL),
        ("0207946\t0000", Unreadable.CONTROL),
        ("0207946\u20280000", Unreadable.CONTROL),
        ("sip:02079460000@host\r\n", Unreadable.CONTROL),
        ("sip:02079460000@h\u00f6st", Unreadable.SYMBOL),
        ("tel:7042;phone-context=example.com", Unreadable.CONTEXT),
        ("tel:7042;phone-context=44", Unreadable.CONTEXT),
        ("tel:7042;phone-context=+44;phone-context=+1", Unreadable.CONTEXT),
        ("+1", Unreadable.TOO_SHORT),
        ("112", Unreadable.TOO_SHORT),
        ("+44207946", Unreadable.TOO_SHORT),
        ("0207946", Unreadable.TOO_SHORT),
        ("+4420794600001", Unreadable.TOO_LONG),
        ("020794600001", Unreadable.TOO_LONG),
        ("0" * 129, Unreadable.TOO_LONG),
        ("+44" + "7" * 60, Unreadable.TOO_LONG),
        ("+4420794600", Unreadable.IMPOSSIBLE),
        ("+44 00 20 7946 0000", Unreadable.TOO_LONG),
        ("+999 1234567", Unreadable.UNKNOWN_COUNTRY_CODE),
        ("+0044 20 7946 0000", Unreadable.UNKNOWN_COUNTRY_CODE),
        ("00 999 1234567", Unreadable.UNKNOWN_COUNTRY_CODE),
        ("\ud800", Unreadable.SYMBOL),
    ],
)
def test_what_is_no_number_is_refused_with_its_reason(text: str, reason: Unreadable) -> None:
    assert normalise(text, "GB", Bare.E164) is reason


def test_a_number_need_not_be_assigned_but_must_have_a_possible_length() -> None:
    assert normalise("+446666666666", "GB", Bare.E164) == "+446666666666"
    assert normalise("06666666666", "GB", Bare.E164) == "+446666666666"
    assert normalise("+49" + "2" * 13, "DE", Bare.E164) == "+49" + "2" * 13
    # Germany knows longer ones, E.164 does not.
    assert normalise("+49" + "2" * 14, "DE", Bare.E164) is Unreadable.TOO_LONG


def test_seven_digits_are_a_whole_number_in_canada_alone() -> None:
    assert normalise("1 310-1234", "CA", Bare.NATIONAL) == "+13101234"
    assert normalise("310-1234", "CA", Bare.NATIONAL) == "+13101234"
    assert normalise("310-1234", "US", Bare.NATIONAL) is Unreadable.TOO_SHORT
    assert normalise("+1 555-1234", "CA", Bare.NATIONAL) is Unreadable.TOO_SHORT


@pytest.mark.parametrize(
    ("region", "text", "read"),
    [
        ("IT", "00 39 354 1409", "+393541409"),  # not 039 354 1409 of Monza behind a 0
        ("NO", "000394", Unreadable.IMPOSSIBLE),
        ("AT", "00 687 675 15017", Unreadable.TOO_LONG),  # of New Caledonia, and no 0687 675 15017 of Austria
    ],
)
@pytest.mark.parametrize("bare", MODES)
def test_a_zero_before_a_zero_is_no_trunk_prefix(region: str, text: str, read: str, bare: Bare) -> None:
    assert normalise(text, region, bare) == read


def test_of_several_readings_that_fail_the_first_one_says_why() -> None:
    assert normalise("8~10 42 82", "TJ", Bare.E164) is Unreadable.UNKNOWN_COUNTRY_CODE  # and +81… would be too short
    assert normalise("00 1402740268", "HK", Bare.NATIONAL) is Unreadable.IMPOSSIBLE


def test_numbers_without_a_country_are_read_too() -> None:
    assert normalise("+800 1234 5678", "GB", Bare.REFUSE) == "+80012345678"
    assert normalise("00 883 1300 12345", "GB", Bare.REFUSE) == "+883130012345"
    assert normalise("00 883 510 012345", "GB", Bare.REFUSE) == "+883510012345"


def test_an_unknown_region_still_reads_what_needs_none() -> None:
    for region, bare in product(["", "XX", "gb", "001"], MODES):
        assert normalise("+44 20 7946 0000", region, bare) == LONDON
        assert normalise("020 7946 0000", region, bare) is Unreadable.UNKNOWN_REGION
        assert normalise("00 44 20 7946 0000", region, bare) is Unreadable.UNKNOWN_REGION
    assert normalise("442079460000", "XX", Bare.E164) == LONDON
    assert normalise("442079460000", "XX", Bare.NATIONAL) is Unreadable.UNKNOWN_REGION
    assert normalise("442079460000", "XX", Bare.REFUSE) is Unreadable.BARE_NUMBER


@pytest.mark.parametrize(
    ("number", "region", "shown"),
    [
        (LONDON, "GB", "02079460000"),
        (LONDON, "US", LONDON),
        (LONDON, "XX", LONDON),
        (LONDON, "GG", "02079460000"),
        ("+12125550123", "US", "02125550123"),
        ("+74951234567", "RU", "04951234567"),
        ("+3612345678", "HU", "012345678"),
        ("+390612345678", "IT", "0612345678"),
        ("+393123456789", "IT", "+393123456789"),  # 0312… is a number of Como
        ("+22521234567", "CI", "+22521234567"),  # too short to be one
        ("+80012345678", "GB", "+80012345678"),
        ("+44", "GB", "+44"),
        ("", "GB", ""),
        ("nonsense", "GB", "nonsense"),
    ],
)
def test_people_see_their_own_numbers_with_a_zero(number: str, region: str, shown: str) -> None:
    assert national(number, region) == shown


def test_regions_are_iso_codes_in_capitals() -> None:
    assert all(map(is_region, ["GB", "US", "RU", "XK", "AC"]))
    assert not any(map(is_region, ["", "gb", "UK", "001", "44", "GBR"]))


def test_every_reason_has_a_slug_and_a_sentence_with_the_mend() -> None:
    for reason in Unreadable:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", reason.value)
        assert reason.text[0].isupper()
        assert reason.text.endswith(".")
    assert len({reason.text for reason in Unreadable}) == len(Unreadable)


def test_reading_calls_neither_the_library_nor_an_expression() -> None:
    normalise(LONDON, "GB", Bare.E164)  # prepares the plans
    seen: set[str] = set()

    def watch(frame: FrameType, event: str, called: Callable[..., object] | None) -> None:
        if event == "call":
            seen.add(str(frame.f_globals["__name__"]))
        elif event == "c_call" and called is not None:
            seen.add(type(getattr(called, "__self__", None)).__module__)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        for text, bare in product([LONDON, "02079460000", "(020) 7946 0000", "0", "sip:1@x"], MODES):
            number = normalise(text, "GB", bare)
            national(number, "GB")
    finally:
        sys.setprofile(before)
    own = {"dialplan.numbering.numbers", "dialplan.numbering.plans", "dialplan.numbering.parsing"}
    assert own <= seen
    assert {name for name in seen - own if name.partition(".")[0] in {"re", "regex", "phonenumbers"}} == set()
