"""Parameter values that careless software breaks, and a data set of numbers that have them."""

from collections.abc import Sequence
from typing import Any

import tomli_w

from tests.asterisk.pbx_conf import Flow

_LONGEST = 400  # characters, the most that a text may have
VALUES = (
    "Hello, world",
    ",",
    ",,,a=b,ROUTE_STATUS=NONE,",
    '"',
    '"quoted", twice ""',
    "'single'",
    "\\",
    "\\\\",
    'back\\slash\\" and \\n is no line feed\\',
    "(round) [square] {curly} <angle>",
    ")",
    "]",
    "unbalanced ((( [[[ {{{",
    "${EPOCH}",
    "${ROUTE_ID}${PARAM_TEXT}",
    "${SET(GLOBAL(HACKED)=yes)}",
    "${DB_DELETE(canary/live)}",
    "$[1+1]",
    '1" & ${SET(GLOBAL(HACKED)=yes)} & "1',
    "$",
    "${",
    "a;b ; c",
    ";",
    "=",
    "a=b==c",
    "|",
    "a|b||c",
    "^",
    "a^b",
    "%0A",
    "%s %n %d",
    "&",
    "?:",
    "#",
    "~",
    "`id`",
    "/*",
    " leading",
    "   three leading",
    "trailing ",
    "trailing three   ",
    " ",
    "   ",
    "in  the   middle",
    "Добрый день, Ёжик",
    "مرحبا",
    "日本語",
    "e\u0301 é",
    "😀👩‍👩‍👧‍👦",
    "\u00a0no-break\u00a0",
    "\u202eright to left",
    "\ufeff",
    "\U0010ffff",
    "0",
    "-1",
    "00",
    "1.5",
    "yes",
    "",
    '"' * _LONGEST,
    "\\" * _LONGEST,
    "," * _LONGEST,
    "😀" * _LONGEST,
    " " * _LONGEST,
    ('\\",()[]=${' * _LONGEST)[:_LONGEST],
)
NUMBERS = {f"+44207946{place:04}": value for place, value in enumerate(VALUES, start=100)}
TEXT_FLOW = Flow("flow-text", params=("TEXT",))


def worst_numbers() -> dict[str, Any]:
    """A company and a flow with the parameter TEXT, and for each of `NUMBERS` the number that has the value."""
    flow = {
        "id": "text",
        "name": "Text",
        "destination": {"context": TEXT_FLOW.context},
        "parameters": [{"name": "TEXT", "type": "text"}],
    }
    return {
        "companies": [{"id": "acme", "name": "Acme", "region": "GB"}],
        "call_flows": [flow],
        "numbers": [
            {"number": number, "company": "acme", "call_flow": "text", "parameters": {"TEXT": value}}
            for number, value in NUMBERS.items()
        ],
    }


def many_parameters(
    count: int, lengths: Sequence[int] = (1, 30, 380, 120, 3)
) -> tuple[Flow, dict[str, Any], dict[str, str]]:
    """A flow with so many parameters, one of its numbers (+442079470000 and so many), and the values that it has.

    Values of these lengths take turns, one is empty, and none is like another one. Without lengths all are empty
    but the last: as many as that fit one command by its bytes, and not by its pairs.
    """
    names = tuple(f"P{place}" for place in range(count))
    filling = '\\",()[]=${}😀 '
    values = dict.fromkeys(names, "") | {names[-1]: "the last"}
    if lengths:
        values = {name: f"{name}:{(filling * 40)[: lengths[place % len(lengths)]]}" for place, name in enumerate(names)}
        values[names[7]] = ""
    flow = Flow(f"flow-of-{count}", params=names)
    return flow, _number_with(f"of-{count}", flow, count, values), values


def most_there_can_be() -> tuple[Flow, dict[str, Any], dict[str, str]]:
    """As `many_parameters`: 100 of them, each as long as can be, of characters that grow most on their way."""
    names = tuple(f"LONG_NAME{place:02}" for place in range(100))
    values = {name: f"{place:02}" + '"\\😀,'[place % 4] * (_LONGEST - 2) for place, name in enumerate(names)}
    flow = Flow("flow-of-most", params=names)
    return flow, _number_with("of-most", flow, 100, values), values


def _number_with(key: str, flow: Flow, place: int, values: dict[str, str]) -> dict[str, Any]:
    declared = [{"name": name, "type": "text"} for name in values]
    return {
        "companies": [],
        "call_flows": [
            {"id": key, "name": key, "destination": {"context": flow.context}, "parameters": declared},
        ],
        "numbers": [
            {"number": f"+442079470{place:03}", "company": "acme", "call_flow": key, "parameters": values},
        ],
    }


def data_file(*sets: dict[str, Any]) -> str:
    """Several of these sets as one data file."""
    sections: dict[str, list[Any]] = {}
    for each in sets:
        for section, entries in each.items():
            sections.setdefault(section, []).extend(entries)
    return tomli_w.dumps(sections)
