"""Texts, and the digits they write."""

import pytest

from dialplan.numbering.parsing import (
    MAX_TEXT,
    PARAMETERS,
    SCHEMES,
    WITHHELD_WORDS,
    Unreadable,
    digits_of,
    is_withheld,
)


@pytest.mark.parametrize("scheme", [*sorted(SCHEMES), "TEL", "Sip"])
def test_a_scheme_and_angle_brackets_say_nothing_about_the_number(scheme: str) -> None:
    for text in (f"{scheme}:+4420", f"<{scheme}:+4420>", f" < {scheme}:+44 20 > ", f"<{scheme}:+4420>;tag=7"):
        assert digits_of(text) == "+4420"


def test_other_schemes_are_refused() -> None:
    assert digits_of("mailto:4420") is Unreadable.LETTERS
    assert digits_of("4420:5060") is Unreadable.SYMBOL


@pytest.mark.parametrize("text", ["<4420", "4420>", "<4420>5", "<<4420>>"])
def test_brackets_come_in_one_pair_around_it_all(text: str) -> None:
    assert digits_of(text) is Unreadable.SYMBOL


@pytest.mark.parametrize("separator", list(" -./()~\u00a0\u2007\u2009\u3000\u2010\u2013\u2212\uff0d\u30fc\u301c"))
def test_separators_stand_anywhere(separator: str) -> None:
    assert digits_of(separator.join(["", "+", "4", "4", "2", "0", ""])) == "+4420"


@pytest.mark.parametrize("mark", list("\u00ad\u200b\u200d\u200e\u200f\u202a\u202c\u2060\u2066\ufeff"))
def test_marks_that_nobody_sees_are_dropped(mark: str) -> None:
    assert digits_of(f"{mark}+44{mark}20{mark}") == "+4420"


@pytest.mark.parametrize(
    "digits",
    [
        "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669",
        "\u0966\u0967\u0968\u0969\u096a\u096b\u096c\u096d\u096e\u096f",
        "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19",
    ],
)
def test_digits_of_every_script_are_digits(digits: str) -> None:
    assert digits_of(digits) == "0123456789"


@pytest.mark.parametrize("sign", list("\u00bd\u2460\u2074\u4e94*#,&!?_[]{}\"'=\U0001f4de"))
def test_signs_that_only_resemble_digits_are_not(sign: str) -> None:
    assert isinstance(digits_of(f"44{sign}20"), Unreadable)


@pytest.mark.parametrize("sign", [chr(point) for point in (*range(32), 0x7F, 0x85, 0x2028, 0x2029)])
def test_control_characters_are_refused_wherever_they_stand(sign: str) -> None:
    for text in (f"{sign}4420", f"44{sign}20", f"4420{sign}", f"sip:4420@host{sign}", f"4420;x={sign}"):
        assert digits_of(text) is Unreadable.CONTROL


def test_a_context_completes_a_local_number_only() -> None:
    assert digits_of("tel:2079;phone-context=+44") == "+442079"
    assert digits_of("tel:2079;isub=1;Phone-Context=+4-4;ext=7") == "+442079"
    assert digits_of("tel:+3320;phone-context=+44") == "+3320"
    assert digits_of("sip:2079;phone-context=+44@host;user=phone") == "+442079"


def test_other_contexts_are_refused() -> None:
    for context in ("", "44", "example.com", "+", "+4x", "++44"):
        assert digits_of(f"tel:2079;phone-context={context}") is Unreadable.CONTEXT


def test_a_withheld_caller_is_told_from_a_word() -> None:
    for word in WITHHELD_WORDS:
        assert digits_of(word.title()) is Unreadable.WITHHELD
        assert digits_of(f"sip:{word}@{word}.invalid") is Unreadable.WITHHELD
        assert digits_of(f"{word}1") is Unreadable.LETTERS


def test_a_text_is_looked_at_up_to_a_bound() -> None:
    assert digits_of("4" * MAX_TEXT) == "4" * MAX_TEXT
    assert digits_of("4" * (MAX_TEXT + 1)) is Unreadable.TOO_LONG


@pytest.mark.parametrize(
    "text",
    [
        '"A" <sip:+4420@h>',
        '"A"<tel:+4420>;tag=7',
        "Anna Smith <+4420>",
        '"4421" <+4420>',
        '"a \\"b\\" <4421>" <sip:+44-20@h;user=phone>',
        "\u00c9lodie <sips:+4420@h>",
    ],
)
def test_a_name_in_front_says_nothing_about_the_number(text: str) -> None:
    assert digits_of(text) == "+4420"


@pytest.mark.parametrize(
    "text", ['"A <sip:+4420@h>', '"A" +4420', '"A"', '"A\\', "4421 <4420>", "A <4420", '"A" <4420>5']
)
def test_a_name_is_whole_and_an_address_follows(text: str) -> None:
    assert isinstance(digits_of(text), Unreadable)


def test_an_escaped_plus_is_one() -> None:
    for text in ("%2B4420", "%2b44 20", "sip:%2B4420@h", "<sip:%2b4420@h>", "tel:20;phone-context=%2B44"):
        assert digits_of(text) == "+4420"
    assert digits_of("44%2B20") is Unreadable.LETTERS
    assert digits_of("%3044") is Unreadable.SYMBOL


@pytest.mark.parametrize(
    "text", ["4420;4421", "4420; 4421", "4420;+4421", "sip:4420;4421@h", "sip:1@h,sip:2@h", "sip:1@h@i"]
)
def test_a_second_number_is_never_lost(text: str) -> None:
    assert digits_of(text) is Unreadable.SEVERAL


def test_only_known_parameters_follow_a_number() -> None:
    for name in PARAMETERS - {"phone-context"}:
        assert digits_of(f"4420;{name}") == digits_of(f"4420;{name.upper()}=x") == "4420"
    for text in ("4420;", "4420;;ext=1", "sip:4420;npdi;rn=+4421@h"):
        assert digits_of(text) == "4420"
    for text in ("4420;x", "4420;x=4421", "4420;ext 5", "4420;ext=1;x=2", "tel:20;phone-context=+44;x"):
        assert digits_of(text) is Unreadable.PARAMETER


RANGES = [
    *("+49 30 123456-10/-11", "+49 30 123456-10 / -11", "+49 30 123456-10/11", "+49 30 123456-100/101"),
    *("030 123456/57", "030 123456 / 57", "030 123456\u204457", "03-1234-5678/5679", "0312345678~80"),
    *("03-1234-5678~9", "03-1234-5678\u301c9", "03-1234-5678\uff5e9", "030 12345610..20", "030 12345610~-20"),
]


@pytest.mark.parametrize("text", RANGES)
def test_a_range_or_a_list_is_no_number(text: str) -> None:
    assert digits_of(text) is Unreadable.SEVERAL


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("+49 (0)6221/54-0", "+4906221540"),
        ("06221/54-0", "06221540"),
        ("06221/541", "06221541"),
        ("+49 30/123456-10", "+493012345610"),
        ("+49-30/123456", "+4930123456"),
        ("+49-33056/75410", "+493305675410"),
        ("030-12345/6-0", "0301234560"),
        ("01/31336/4567", "01313364567"),
        ("020/7946/0000", "02079460000"),
        ("02/123/45/67", "021234567"),
        ("01.23.45.67.80", "0123456780"),
        ("+1-212/555-0123", "+12125550123"),
        ("8~10 44 20 7946 0000", "810442079460000"),
    ],
)
def test_a_slash_or_a_tilde_that_divides_one_number_is_a_separator(text: str, digits: str) -> None:
    assert digits_of(text) == digits


@pytest.mark.parametrize("text", ["4930123456.0", "+4930123456.0", " 4930123456.00 ", "0.0", "\u0664\u0664.\u0660"])
def test_what_a_spreadsheet_makes_of_a_number_is_none(text: str) -> None:
    assert digits_of(text) is Unreadable.DECIMAL


def test_a_stop_before_a_zero_is_a_separator_elsewhere() -> None:
    assert digits_of("01.23.45.67.0") == "012345670"
    assert digits_of("4930123456.10") == "493012345610"
    assert digits_of("+49 30 123456.0") == "+49301234560"


@pytest.mark.parametrize(
    "text", ["+8 800 555 35 35", "+8(800)5553535", "+8-800-555", "+(8)800", "+ 8 800", "\uff0b8\u00a0800"]
)
def test_a_national_prefix_behind_a_plus_is_no_calling_code(text: str) -> None:
    assert digits_of(text) is Unreadable.KEPT_PREFIX


def test_a_calling_code_behind_a_plus_may_stand_apart() -> None:
    assert digits_of("+ 81 3 1234") == "+8131234"
    assert digits_of("+880 1712") == "+8801712"
    assert digits_of("+2 010 1234") == "+20101234"  # as Egypt writes +20 10
    assert digits_of("+(86) 10") == "+8610"


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("49(0)345", "+490345"),
        ("49 (0) 345", "+490345"),
        ("+49(0)345", "+490345"),
        ("\uff14\uff19\uff08\uff10\uff09345", "+490345"),
    ],
)
def test_a_zero_in_brackets_marks_a_calling_code(text: str, digits: str) -> None:
    assert digits_of(text) == digits


@pytest.mark.parametrize(("text", "digits"), [("(0)345", "0345"), ("049(0)345", "0490345"), ("4930(0)345", "49300345")])
def test_it_marks_none_elsewhere(text: str, digits: str) -> None:
    assert digits_of(text) == digits


def test_a_withheld_caller_is_told_from_one_that_cannot_be_read() -> None:
    assert all(
        map(is_withheld, ["", "anonymous", "Unknown", "sip:anonymous@anonymous.invalid", '"Anna" <sip:restricted@h>'])
    )
    assert not any(map(is_withheld, ["FLOWERS", "anonymous1", "sip:@h", " ", "02079460000", "x" * 500]))
