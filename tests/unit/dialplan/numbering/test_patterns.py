"""Expressions over digits, unrolled into literals."""

import pytest

from dialplan.numbering.patterns import ANY, END, PatternError, Rewrite, by_prefix, heads, literals, rewrites, shapes


def written_out(pattern: str) -> list[str]:
    return [literal for shape in shapes(pattern) for literal in literals(shape)]


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("", [""]),
        ("00", ["00"]),
        ("0[09]", ["00", "09"]),
        ("0(?:0|1[1-3])", ["00", "011", "012", "013"]),
        ("810?", ["810", "81"]),
        ("(1{2})3", ["113"]),
        ("7{1,3}", ["777", "77", "7"]),
        ("1(?:2|3)?4", ["124", "134", "14"]),
        ("(?:12){2}|5", ["1212", "5"]),
        ("3{12}", ["3" * 12]),
    ],
)
def test_a_pattern_unrolls_into_all_it_matches(pattern: str, matches: list[str]) -> None:
    assert written_out(pattern) == matches


def test_any_digit_and_the_end_stay_marks() -> None:
    assert shapes(r"1\d$|2") == [(1 << 1, ANY, END), (1 << 2,)]


@pytest.mark.parametrize(
    "pattern",
    ["1*", "1+", "1.", "[^1]", "(1", "1)", "1{2", "1{,2}", "[1", "x", "\\w", "(?:1?){20}", "1?" * 20, "1{99999}"],
)
def test_what_is_not_understood_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(PatternError, match="numbering pattern"):
        shapes(pattern)


def test_heads_are_as_short_as_they_can_be() -> None:
    assert heads(shapes(r"\d{3}"), 15) == {3: ("",)}
    assert heads(shapes(r"[2-9]\d\d|1\d{2}|0\d\d"), 15) == {3: ("",)}
    assert heads(shapes(r"12\d\d|1[3-9]\d{2}"), 15) == {4: tuple(f"1{digit}" for digit in range(2, 10))}
    assert heads(shapes(r"1234"), 15) == {4: ("1234",)}


def test_heads_leave_out_what_is_too_long() -> None:
    assert heads(shapes(r"1\d{4,9}"), 6) == {5: ("1",), 6: ("1",)}
    assert heads(shapes(r"1\d{9}"), 6) == {}


def test_a_prefix_without_a_rule_is_taken_off() -> None:
    assert rewrites("0|80?", None) == [
        Rewrite("0", "", 0, 99),
        Rewrite("80", "", 0, 99),
        Rewrite("8", "", 0, 99),
    ]


def test_a_local_number_gets_its_area_at_one_length_only() -> None:
    # Jersey: six digits are local, and 0 is the trunk prefix as well.
    found = rewrites(r"([0-2]\d{5})$|0|180020", r"1534\1")
    assert found == [
        Rewrite("0", "15340", 5, 5),
        Rewrite("1", "15341", 5, 5),
        Rewrite("2", "15342", 5, 5),
        Rewrite("0", "", 0, 99),
        Rewrite("180020", "", 0, 99),
    ]
    sizes, table = by_prefix(found)
    assert sizes == (6, 1)
    assert [rewrite.instead for rewrite in table["0"]] == ["15340", ""]


def test_a_carrier_is_taken_off_only_before_a_whole_number() -> None:
    # Brazil: 0, the carrier, then ten or eleven digits.
    found = rewrites(r"(?:0|90)(?:(1[24])(\d{10,11}))?", r"\2")
    assert Rewrite("012", "", 10, 99) in found
    assert Rewrite("0", "", 0, 99) in found
    assert all(rewrite.low >= 10 for rewrite in found if len(rewrite.prefix) > 2)


def test_an_infix_moves_to_the_front() -> None:
    # Argentina: 0, area, 15 and the subscriber's number is 9, area, number.
    assert set(rewrites("0?(?:(11|22[13])15)?", r"9\1")) == {
        Rewrite("01115", "911", 0, 99),
        Rewrite("022115", "9221", 0, 99),
        Rewrite("022315", "9223", 0, 99),
        Rewrite("1115", "911", 0, 99),
        Rewrite("22115", "9221", 0, 99),
        Rewrite("22315", "9223", 0, 99),
        Rewrite("0", "", 0, 99),
    }
