"""Texts, and the digits they write."""

import pytest

from dialplan.numbering.parsing import MAX_TEXT, SCHEMES, WITHHELD_WORDS, Unreadable, digits_of


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
