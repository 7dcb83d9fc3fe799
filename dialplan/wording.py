"""Codes with arguments -> sentences, in the one place where that is done.

What may be wrong with data, and what a step of a decision may come to, is a `Code`: a stable word for programs, and its
English sentence, declared beside the rule. Another language brings a catalogue of the same words.
"""

import re
import string
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

_QUOTE_MAX_CHARS = 60
_PLAIN_MAX_CHARS = 1_000  # of an argument: more than a name or a description has
_LARGE = {int: "number", list: "list", tuple: "list", dict: "table"}
_JSON_INTEGER_END = 2**63


class Code(msgspec.Struct, frozen=True):
    """Something that may be said. `slug` is stable: programs and translations know it by that.

    `text` and `hint` (what to do about it) name their arguments in braces; `{name!q}` puts one in quotes.
    """

    slug: str
    text: str
    hint: str = ""

    def __call__(self, **arguments: object) -> "Message":
        """This with its arguments."""
        return Message(self, arguments)


class Message(msgspec.Struct, frozen=True):
    """A code with its arguments: plain values, or messages that stand inside the sentence."""

    code: Code
    arguments: dict[str, object]

    @property
    def text(self) -> str:
        """The sentence."""
        return say(self.code.text, self.arguments)

    @property
    def hint(self) -> str:
        """What to do about it; empty where there is nothing to do."""
        return say(self.code.hint, self.arguments)

    def plain(self) -> dict[str, object]:
        """The arguments as JSON has them: a message inside as its own code and arguments."""
        return {name: _plain(each) for name, each in self.arguments.items()}


def _plain(value: object) -> object:
    """A value that JSON can hold, of bounded size."""
    if isinstance(value, Message):
        return {"code": value.code.slug, "arguments": value.plain()}
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < _JSON_INTEGER_END):
        return value
    text = value if isinstance(value, str) else unquoted(value)
    return text[:_PLAIN_MAX_CHARS].encode("utf-8", "backslashreplace").decode()


class Trace(Protocol):
    """Is told what each step of a decision came to, while it is made."""

    def step(self, name: str, outcome: str, details: Message) -> None:
        """The step `name` came to `outcome`; `details` say why."""
        ...


def say(text: str, arguments: Mapping[str, object]) -> str:
    """The sentence `text` with its arguments in their places, on one line."""
    return _Sentences().vformat(text, (), arguments)


class _Sentences(string.Formatter):
    def convert_field(self, value: Any, conversion: str | None) -> Any:
        if conversion == "q":
            return quote(value)
        return super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, Message):
            return value.text
        return printable(str(super().format_field(value, format_spec)))


def quote(value: object) -> str:
    """A value as it may stand in a message: on one line, printable, of bounded length.

    Data comes from files and pages of other people: what is not printable is shown as an escape.
    """
    text = value if type(value) is str else unquoted(value)
    if len(text) <= _QUOTE_MAX_CHARS and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'  # as nearly all of them are
    shown = printable(re.sub(r'["\\]', r"\\\g<0>", text[:_QUOTE_MAX_CHARS]))
    return f'"{shown}…"' if len(text) > _QUOTE_MAX_CHARS else f'"{shown}"'


def unquoted(value: object) -> str:
    """Any value as text, what is no text as data files have it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    try:
        if isinstance(value, dict | list | tuple):
            return msgspec.json.encode(value).decode()
        return str(value)
    # An integer of thousands of digits, lists nested by the hundred, keys that JSON does not have.
    except (ValueError, RecursionError, TypeError, OverflowError, msgspec.MsgspecError):
        return f"a very large {_LARGE.get(type(value), 'value')}"


def printable(text: str) -> str:
    """Text on one line: what is not printable as an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
