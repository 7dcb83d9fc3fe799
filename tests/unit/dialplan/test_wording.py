import pytest

from dialplan.wording import Code, printable, quote, say


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("there is no flow {flow!q}", {"flow": "x"}, 'there is no flow "x"'),
        ("use at most {limit}", {"limit": 5}, "use at most 5"),
        ("write {{ at }}", {}, "write { at }"),
        ("{name}", {"name": "a\nb"}, r"a\nb"),
        ("{name!q}", {"name": "a\nb"}, r'"a\nb"'),
        ("{name!q}", {"name": "{other}"}, '"{other}"'),
    ],
)
def test_a_sentence_takes_its_arguments_as_they_may_be_shown(
    text: str, arguments: dict[str, object], said: str
) -> None:
    assert say(text, arguments) == said


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", '"plain"'),
        ("", '""'),
        ('say "yes"', r'"say \"yes\""'),
        ("back\\slash", r'"back\\slash"'),
        ("two\nlines", r'"two\nlines"'),
        ("\x1b[2J", r'"\x1b[2J"'),
        ("\u202eoverride", r'"\u202eoverride"'),
        ("\ud800", r'"\ud800"'),
        ("Привет", '"Привет"'),
        (17, '"17"'),
        (None, '"null"'),
        (True, '"true"'),
    ],
)
def test_a_quoted_value_stays_on_its_line(value: object, shown: str) -> None:
    assert quote(value) == shown


def test_a_quoted_value_has_bounds() -> None:
    assert quote("x" * 60) == '"' + "x" * 60 + '"'
    assert quote("x" * 61) == '"' + "x" * 60 + '…"'


def test_what_python_itself_cannot_print_is_named_by_its_type() -> None:
    assert quote(1 << 100_000) == '"a very large number"'
    assert quote([1 << 100_000]) == '"a very large list"'
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert quote(deep) == '"a very large list"'


def test_a_list_and_a_table_are_shown_as_data_files_have_them() -> None:
    assert quote(["a", True]) == r'"[\"a\",true]"'
    assert quote({"a": None}) == r'"{\"a\":null}"'


def test_printable_text_is_left_alone() -> None:
    assert printable('a b é \\ "') == 'a b é \\ "'
    assert printable("a\0b\u2028") == r"a\x00b\u2028"


def test_a_message_may_stand_inside_another_one() -> None:
    inner, outer = Code("target", "call flow {flow!q}"), Code("since", "{target}: since {at}", "ask {who}")
    said = outer(target=inner(flow="menu"), at="noon", who="Anna")
    assert (said.text, said.hint) == ('call flow "menu": since noon', "ask Anna")
    assert said.plain() == {"target": {"code": "target", "arguments": {"flow": "menu"}}, "at": "noon", "who": "Anna"}
