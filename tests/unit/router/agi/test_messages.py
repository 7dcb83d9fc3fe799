"""The words of FastAGI, against what res_agi.c writes and reads."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.agi.messages import (
    ENVIRONMENT_KEYS,
    AgiError,
    AgiReply,
    AgiRequest,
    Refused,
    escape,
    mset,
    pair,
    parse_environment,
    parse_reply,
    split_pairs,
)
from router.config.limits import COMMAND_MAX_BYTES, ENVIRONMENT_MAX_LINES, MSET_MAX_PAIRS
from tests.fastagi import ENVIRONMENT, NEW_MSET_PAIRS, OLD_MSET_PAIRS, environment_lines, executed, words

USED = ("agi_network_script", "agi_uniqueid", "agi_callerid", "agi_callingpres", "agi_dnid", "agi_extension")
HOSTILE = st.text(st.sampled_from("\\\",()[]=${}; |&\t'aé€😀%#<>:"), max_size=60)
VALUES = HOSTILE | st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=60)


def block(lines: Sequence[bytes]) -> bytes:
    """Lines as `parse_environment` takes them: without the last line feed and the blank line."""
    return b"".join(lines).rstrip(b"\n")


def usual() -> list[bytes]:
    return environment_lines()[:-1]


def refusal(data: bytes) -> Refused:
    with pytest.raises(AgiError) as error:
        parse_environment(data)
    assert str(error.value) == error.value.cause
    return error.value.cause


def test_what_asterisk_22_sends_is_read() -> None:
    assert parse_environment(block(usual())) == AgiRequest(
        script="route",
        query="",
        unique_id="1795316003.7",
        caller_id="+447700900123",
        calling_presentation="0",
        dnid="02079460000",
        extension="s",
        arguments=(),
    )


def test_the_keys_are_those_of_setup_env_in_its_order() -> None:
    assert tuple(ENVIRONMENT) == ENVIRONMENT_KEYS


def test_arguments_are_read_in_their_order_empty_ones_too() -> None:
    request = parse_environment(block(environment_lines(arguments=["02079460001", "", "GB", "a: b"])))
    assert request.arguments == ("02079460001", "", "GB", "a: b")


@pytest.mark.parametrize(
    ("path", "script", "query"),
    [
        ("route", "route", ""),
        ("route?params", "route", "params"),
        ("route?", "route", ""),
        ("route?a?b=c", "route", "a?b=c"),
        ("", "", ""),
    ],
)
def test_a_question_mark_parts_the_script_and_its_query(path: str, script: str, query: str) -> None:
    request = parse_environment(block(environment_lines({"agi_network_script": path})))
    assert (request.script, request.query) == (script, query)


@pytest.mark.parametrize("place", [0, 1, 9, 22])
def test_a_key_of_a_later_asterisk_changes_nothing_wherever_it_stands(place: int) -> None:
    lines = usual()
    lines.insert(place, b"agi_colour: blue\n")
    assert parse_environment(block(lines)) == parse_environment(block(usual()))


def test_a_key_of_a_later_asterisk_may_follow_the_arguments() -> None:
    lines = [*environment_lines(arguments=["1"])[:-1], b"agi_colour: blue\n"]
    assert parse_environment(block(lines)).arguments == ("1",)


@pytest.mark.parametrize("key", sorted(set(ENVIRONMENT) - set(USED)))
def test_a_key_that_nobody_uses_may_be_missing(key: str) -> None:
    lines = [line for line in usual() if not line.startswith(f"{key}: ".encode())]
    assert parse_environment(block(lines)) == parse_environment(block(usual()))


@pytest.mark.parametrize("key", USED)
def test_a_call_without_a_key_that_is_needed_is_refused(key: str) -> None:
    lines = [line for line in usual() if not line.startswith(f"{key}: ".encode())]
    assert refusal(block(lines)) is Refused.MISSING_KEY


@pytest.mark.parametrize("key", ENVIRONMENT)
@pytest.mark.parametrize("again", [True, False])
def test_a_key_that_comes_twice_is_a_forged_line(key: str, again: bool) -> None:
    lines = usual()
    place = list(ENVIRONMENT).index(key)
    lines.insert(place + 1 if again else 0, f"{key}: forged\n".encode())
    assert refusal(block(lines)) is Refused.BAD_ORDER


@pytest.mark.parametrize("place", range(len(ENVIRONMENT) - 1))
def test_keys_in_another_order_are_forged_lines(place: int) -> None:
    lines = usual()
    lines[place : place + 2] = reversed(lines[place : place + 2])
    assert refusal(block(lines)) is Refused.BAD_ORDER


@pytest.mark.parametrize(
    "lines",
    [
        [b"agi_arg_2: x\n"],
        [b"agi_arg_0: x\n"],
        [b"agi_arg_01: x\n"],
        [b"agi_arg_: x\n"],
        [b"agi_arg_1: x\n", b"agi_arg_1: y\n"],
        [b"agi_arg_1: x\n", b"agi_arg_3: y\n"],
        [b"agi_arg_1: x\n", b"agi_threadid: 1\n"],
        ["agi_arg_\N{FULLWIDTH DIGIT ONE}: x\n".encode()],
    ],
)
def test_arguments_that_are_not_counted_from_one_are_forged_lines(lines: list[bytes]) -> None:
    assert refusal(block(usual() + lines)) is Refused.BAD_ORDER


def test_a_known_key_after_an_argument_is_a_forged_line() -> None:
    lines = usual()
    lines.insert(-1, b"agi_arg_1: x\n")
    assert refusal(block(lines)) is Refused.BAD_ORDER


@pytest.mark.parametrize(
    "line", [b"x", b"agi_x", b"agi_x:y", b"AGI_x: y", b"callerid: 1", b": y", b"200 result=0", b"\0"]
)
def test_a_line_that_is_none_of_an_environment_is_refused(line: bytes) -> None:
    lines = usual()
    lines.insert(4, line + b"\n")
    assert refusal(block(lines)) is Refused.BAD_LINE


def test_an_environment_of_too_many_lines_is_refused() -> None:
    most = [f"agi_new_{place}: x\n".encode() for place in range(ENVIRONMENT_MAX_LINES - len(ENVIRONMENT))]
    assert parse_environment(block(usual() + most)).extension == "s"
    assert refusal(block([*usual(), *most, b"agi_new_last: x\n"])) is Refused.BAD_LINE


@pytest.mark.parametrize(
    "forged",
    [
        "1\nagi_extension: 999",
        "1\nagi_dnid: 999\nagi_extension: 999",
        "1\nagi_callerid: 2",
        "1\nagi_arg_1: 999",
        "1\n" + "".join(f"{key}: x\n" for key in list(ENVIRONMENT)[9:]).rstrip("\n"),
        "1\nsomething else",
        "\n",
    ],
)
@pytest.mark.parametrize("key", ["agi_callerid", "agi_calleridname", "agi_dnid", "agi_rdnis", "agi_extension"])
def test_line_feeds_in_a_callers_text_never_forge_a_key(key: str, forged: str) -> None:
    refusal(block(environment_lines({key: forged})))


@pytest.mark.parametrize(
    "text", ["\r", "a\rb", "\0", "x: y: z", "\x1b[2J", " lead and trail ", "", "\N{LINE SEPARATOR}"]
)
def test_any_other_character_stays_in_the_value_that_holds_it(text: str) -> None:
    request = parse_environment(block(environment_lines({"agi_callerid": text, "agi_dnid": text})))
    assert request.caller_id == text
    assert request.dnid == text


def test_bytes_that_are_no_utf_8_are_replaced_and_the_rest_is_read() -> None:
    request = parse_environment(block(environment_lines({"agi_dnid": "12\udcff34"})))
    assert request.dnid == "12\N{REPLACEMENT CHARACTER}34"
    assert request.extension == "s"


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"200 result=0", AgiReply(200, "result=0")),
        (b"200 result=1 (a b)", AgiReply(200, "result=1 (a b)")),
        (b"510 Invalid or unknown command", AgiReply(510, "Invalid or unknown command")),
        (b"511 Command Not Permitted on a dead channel", AgiReply(511, "Command Not Permitted on a dead channel")),
        (b"520-Invalid command syntax.", AgiReply(520, "Invalid command syntax.")),
        (b"200", AgiReply(200, "")),
        (b"200 \xff", AgiReply(200, "\N{REPLACEMENT CHARACTER}")),
    ],
)
def test_a_reply_is_a_code_and_a_text(line: bytes, reply: AgiReply) -> None:
    assert parse_reply(line) == reply


@pytest.mark.parametrize(
    "line", [b"", b"2", b"20", b"2000", b"200result", b" 200 ok", b"-20 x", b"HANGUP", b"agi_x: 1", b"\xef\xbc\x92 x"]
)
def test_what_begins_otherwise_is_no_reply(line: bytes) -> None:
    assert parse_reply(line) is None


@pytest.mark.parametrize("places", [OLD_MSET_PAIRS, NEW_MSET_PAIRS])
@given(value=VALUES)
def test_every_value_that_a_line_can_carry_arrives_byte_for_byte(places: int, value: str) -> None:
    command = mset([pair("VALUE", value), pair("LAST", "OK")])
    assert executed(command, places) == [("VALUE", value), ("LAST", "OK")]


@given(st.lists(VALUES, min_size=1, max_size=8))
def test_no_value_touches_its_neighbours(values: list[str]) -> None:
    named = [(f"V{place}", value) for place, value in enumerate(values)]
    assert executed(mset([*(pair(*each) for each in named), pair("LAST", "OK")])) == [*named, ("LAST", "OK")]


@pytest.mark.parametrize(
    "value",
    [" ", "  two  ", "\t", "${EPOCH}", "$[1+1]", ";", "'", "=", "a=b", ",", "\\", '"', '\\"', "((", "]", "é", "%0A"],
)
def test_the_values_that_went_wrong_elsewhere_arrive(value: str) -> None:
    assert executed(mset([pair("A", value), pair("B", value), "END=1"])) == [("A", value), ("B", value), ("END", "1")]


@given(st.text(st.sampled_from('\n\r\0",\\ ab'), max_size=30))
def test_what_a_line_cannot_carry_becomes_a_space_and_never_ends_the_command(value: str) -> None:
    plain = value.replace("\n", " ").replace("\r", " ").replace("\0", " ")
    assert executed(mset([pair("A", value), "END=1"])) == [("A", plain), ("END", "1")]


def test_a_lone_surrogate_never_breaks_the_command() -> None:
    assert executed(mset([pair("A", "x\ud800y"), "END=1"])) == [("A", "x?y"), ("END", "1")]


def test_plain_text_needs_no_escape() -> None:
    assert escape("Hello world, + - * # . _ : ; $ {} !") == "Hello world\\\\, + - * # . _ : ; $ {} !"
    assert words(b'EXEC MSet "A=1"\n') == [b"EXEC", b"MSet", b"A=1"]


@given(
    ahead=st.lists(st.integers(min_value=10, max_value=1900), max_size=100),
    last=st.lists(st.integers(min_value=10, max_value=100), min_size=1, max_size=14),
    room=st.integers(min_value=0, max_value=100),
    opening=st.lists(st.integers(min_value=10, max_value=500), max_size=2),
)
def test_pairs_are_laid_out_over_commands_that_every_asterisk_takes(
    ahead: list[int], last: list[int], room: int, opening: list[int]
) -> None:
    given_ahead = [f"P{place}=".ljust(size, "x") for place, size in enumerate(ahead)]
    given_last = [f"L{place}=".ljust(size, "x") for place, size in enumerate(last)]
    first = [f"O{place}=".ljust(size, "x") for place, size in enumerate(opening)]
    groups, fitting = split_pairs(given_ahead, given_last, room, first)
    everything = [*fitting, *(each for group in groups for each in group)]
    assert sorted(everything) == sorted([*given_ahead, *first])
    assert [each for each in everything if each not in first] == given_ahead
    assert (groups[0] if groups else fitting)[: len(first)] == first
    closing = mset([*fitting, *given_last])
    assert len(closing) + room <= COMMAND_MAX_BYTES
    assert len(fitting) + len(last) <= MSET_MAX_PAIRS
    for group in groups:
        assert 0 < len(group) < MSET_MAX_PAIRS  # a pair in the very last place would not be unescaped
        assert len(mset(group)) <= COMMAND_MAX_BYTES


def test_no_command_goes_ahead_where_everything_fits_into_one() -> None:
    assert split_pairs(["A=1", "B=2"], ["LAST=OK"], 0) == ([], ["A=1", "B=2"])


def filled(command: bytes, over: int) -> str:
    """A pair that fills up a command with `A=` in it, its last comma counted; with so many bytes beyond."""
    return "A=".ljust(len("A=") + COMMAND_MAX_BYTES - len(command) - 1 + over, "x")


@pytest.mark.parametrize("over", [0, 1])
def test_the_last_command_takes_what_fits_beside_its_room(over: int) -> None:
    """A command more is a round trip more for every call to that flow."""
    room, last, opening = 84, ["LAST=OK"], ["NAMES=A"]
    one = filled(mset([*opening, "A=", *last]) + b"x" * room, over)
    expected = ([[*opening, one]], []) if over else ([], [*opening, one])
    assert split_pairs([one], last, room, opening) == expected


@pytest.mark.parametrize("over", [0, 1])
def test_a_command_that_goes_ahead_takes_what_fits(over: int) -> None:
    begun = "B=".ljust(1_000, "x")
    one = filled(mset([begun, "A="]), over)
    expected = [[begun], [one]] if over else [[begun, one]]
    assert split_pairs([begun, one], [], COMMAND_MAX_BYTES) == (expected, [])


def test_a_command_takes_as_many_pairs_as_asterisk_unescapes() -> None:
    """In the last one the last place has a pair that needs no escape; in those ahead it stays free."""
    ahead = [f"P{place}=" for place in range(MSET_MAX_PAIRS)]
    assert split_pairs(ahead, [], COMMAND_MAX_BYTES) == ([ahead[:-1], ahead[-1:]], [])
    assert split_pairs(ahead[2:], ["LAST=OK"], 0, ["NAMES=A"]) == ([], ["NAMES=A", *ahead[2:]])
    assert split_pairs(ahead[1:], ["LAST=OK"], 0, ["NAMES=A"]) == ([["NAMES=A", ahead[-1]]], ahead[1:-1])


def test_sizes_are_counted_in_bytes_not_in_characters() -> None:
    wide = ["A=" + "€" * 600, "B=" + "€" * 600]
    groups, fitting = split_pairs(wide, ["LAST=OK"], 0)
    assert [len(mset(group)) <= COMMAND_MAX_BYTES for group in [*groups, [*fitting, "LAST=OK"]]] == [True, True]
