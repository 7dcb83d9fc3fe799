"""How people and machines write a number down, and why a text may be none.

`digits_of` takes a text to plain digits, with `+` in front where the text had one; what the digits mean is
for `dialplan.numbering.numbers` to say. It understands separators and pasted invisible marks, the digits of every
script, `tel:` (RFC 3966) and `sip:` (RFC 3261, section 19.1) with their parameters, and a name and `<…>` around it all.
What is more than one number, or was a number until a spreadsheet had it, is refused.
"""

import unicodedata
from enum import StrEnum
from typing import Final, Self

# The longest number has 15 digits and the longest useful SIP address about 100 characters; whoever sends
# more sends something else, and is not worth the time it takes to look through it.
MAX_TEXT: Final = 128

SCHEMES: Final = frozenset({"tel", "sip", "sips"})

# What trunks and Asterisk itself send where a caller does not want to be known, or is not.
WITHHELD_WORDS: Final = frozenset({"anonymous", "unknown", "restricted", "private", "unavailable", "withheld"})

# What may follow a number after `;`, in lower case. tel: by RFC 3966 and IANA's registry of its parameters, sip: by
# RFC 3261, 3486, 4240, 5626, 5627 and 7433, and what carriers add of ISUP's fields.
PARAMETERS: Final = frozenset(
    {
        *("cic", "cic-context", "enumdi", "ext", "isub", "isub-encoding", "npdi", "phone-context", "postd"),
        *("premium-rate", "rn", "rn-context", "sub", "tgrp", "trunk-context", "verstat"),
        *("cause", "comp", "gr", "lr", "maddr", "method", "ob", "sos", "tag", "target", "transport", "ttl", "user"),
        *("cpc", "dtg", "isup-oli", "nai", "noa", "np", "npi", "oli", "otg", "ss7-oli", "ton"),
    }
)

# A national prefix that people keep behind a + (`+8 495 …` in Russia). No calling code is 8 alone.
_KEPT_PREFIX: Final = "8"
# More digits than any calling code and area code together: what stands before a `/` is then a number by itself.
_WHOLE_NUMBER: Final = 7
_SHORT_TAIL, _LONGER_TAIL = 2, 3
_CODE_DIGITS: Final = 3

_PLUS: Final = "+"
_FULLWIDTH_PLUS: Final = "\uff0b"
_DASH, _SLASH, _TILDE, _SPACE = "-", "/", "~", " "
# Separators that no category of Unicode gathers, each by its plainest form. Spaces, dashes and invisible marks come by
# category.
_SEPARATORS: Final = {
    **{sign: sign for sign in "()./~"},
    **dict.fromkeys("\u00b7\u2027\u30fb", _SPACE),  # dots in the middle
    **dict(zip("\uff08\uff09\uff0e\uff0f", "()./", strict=True)),  # the same brackets, stop and slash at full width
    **dict.fromkeys("\u2044\u2215", _SLASH),  # slashes of fractions
    **dict.fromkeys("\u2053\u223c\uff5e\u301c\u3030", _TILDE),
    **dict.fromkeys("\u2212\u30fc", _DASH),  # a minus, and the Japanese long vowel mark that serves as a dash
}
# Zs: spaces of all widths; Pd: hyphens and dashes; Cf: marks of direction, joiners, soft hyphens.
_DROPPED_CATEGORIES: Final = {"Zs": _SPACE, "Pd": _DASH, "Cf": ""}
# Cc: control characters; Zl and Zp: line and paragraph separators, line ends by another name.
_CONTROL_CATEGORIES: Final = frozenset({"Cc", "Zl", "Zp"})


class Unreadable(StrEnum):
    """Why a text is no number. The value is a short slug for logs and metrics, `text` is for people."""

    text: str

    def __new__(cls, slug: str, text: str) -> Self:
        """Make a member out of its slug and its sentence."""
        member = str.__new__(cls, slug)
        member._value_ = slug
        member.text = text
        return member

    EMPTY = "empty", "There is no number here; give one as 0… or +…."
    WITHHELD = "withheld", "The caller's number is withheld; there is nothing to read."
    LETTERS = "letters", "A number has no letters; write its digits, as 0… or +…."
    SYMBOL = "symbol", "Only digits, a + in front and separators make up a number; take the other signs out."
    CONTROL = "control-character", "The text has a line end or another control character; take it out."
    SEVERAL = "several-numbers", "This is more than one number, or a range; write one whole number in each field."
    DECIMAL = "decimal", "The number ends as a decimal fraction does; have the spreadsheet keep the column as text."
    PARAMETER = "unknown-parameter", "What follows the semicolon is no parameter of a number; take it out."
    KEPT_PREFIX = "plus-before-prefix", "A national prefix follows the +; write + and the calling code, or no +."
    CONTEXT = "phone-context", "The phone-context is not +, then digits; write the whole number as +…."
    TOO_SHORT = "too-short", "The number has too few digits for its country; add what is missing."
    TOO_LONG = "too-long", "The number has too many digits for its country; take out what is too much."
    IMPOSSIBLE = "impossible", "No number of its country is built like this; check each digit."
    UNKNOWN_COUNTRY_CODE = (
        "unknown-country-code",
        "No country or service has this calling code; check the digits after the +.",
    )
    BARE_NUMBER = "bare-number", "Digits without 0 or + in front could mean several numbers; write 0… or +…."
    UNKNOWN_REGION = (
        "unknown-region",
        "The region that such a number is read in is not known; write it as +… or set the region.",
    )


class _Shaping(dict[int, str | None]):
    """What `str.translate` does to each character; computes what it does not hold, and keeps none of it."""

    def __missing__(self, point: int) -> str | None:
        character = chr(point)
        digit = unicodedata.decimal(character, -1)
        if digit >= 0:
            return str(digit)
        return _DROPPED_CATEGORIES.get(unicodedata.category(character), character)


# The digits and the plainest form of each separator.
_SHAPE: Final = _Shaping(
    {ord(sign): plain for sign, plain in _SEPARATORS.items()}
    | {ord(sign): sign for sign in "0123456789+ -"}
    | {ord(_FULLWIDTH_PLUS): _PLUS}
)
# Takes the separators out of a shape.
_FOLDING: Final = {ord(sign): None for sign in _SEPARATORS.values()} | {ord(_SPACE): None, ord(_DASH): None}
_WITHOUT_SPACES: Final = {ord(sign): None for sign in " ()"}


def digits_of(text: str) -> str | Unreadable:
    """Give the digits that `text` writes, after a `+` where it is written in international form.

    A `phone-context` of `+` and digits is put in front of a local number, as trunks mean it. RFC 3966 (section
    5.1.5) does not promise that this makes a number: the plan still has to take it. Any other context is
    refused, since only its owner could say what the number is. The host of a SIP address, the name in front of one
    and all other parameters (`user=phone`, `isub`, `ext`) do not change which number it is. What is no parameter is
    refused: it may be a second number.
    """
    if len(text) > MAX_TEXT:
        return Unreadable.TOO_LONG
    if not text.isprintable() and any(unicodedata.category(sign) in _CONTROL_CATEGORIES for sign in text):
        return Unreadable.CONTROL
    address, _, host = _unwrapped(text).partition("@")
    if not host.isascii():
        return Unreadable.SYMBOL
    if "@" in host or "," in host:
        return Unreadable.SEVERAL
    user, *parameters = address.split(";")
    if user.strip().casefold() in WITHHELD_WORDS:
        return Unreadable.WITHHELD
    number = _read(user)
    if isinstance(number, Unreadable) or not parameters:
        return number
    context = _context(parameters)
    if context is None or isinstance(context, Unreadable):
        return number if context is None else context
    # A number that is whole already stays what it is.
    return number if number.startswith(_PLUS) else context + number


def is_withheld(text: str) -> bool:
    """Whether a caller's `text` says that there is no number to be had, and not one that cannot be read."""
    return not text or digits_of(text) is Unreadable.WITHHELD


def _unwrapped(text: str) -> str:
    """Take a name, `<…>` and the scheme away."""
    text = _after_name(text.strip())
    if text.startswith("<"):
        inside, closed, after = text[1:].partition(">")
        if closed and (not after or after.startswith(";")):
            text = inside.strip()
    scheme, colon, rest = text.partition(":")
    return rest if colon and scheme.lower() in SCHEMES else text


def _after_name(text: str) -> str:
    """Take the name in front of `<…>` away (RFC 3261, section 25.1, name-addr): quoted, or words with letters."""
    if text.startswith('"'):
        at = 1
        while at < len(text) and text[at] != '"':
            at += 2 if text[at] == "\\" else 1
        rest = text[at + 1 :].lstrip()
        return rest if rest.startswith("<") else text
    name, bracket, rest = text.partition("<")
    return bracket + rest if bracket and ":" not in name and any(map(str.isalpha, name)) else text


def _read(text: str) -> str | Unreadable:
    """`text` without separators, in ASCII digits, or why that cannot be done."""
    text = text.strip()
    if text[:3].lower() == "%2b":
        text = _PLUS + text[3:]
    if text.isascii() and text.removeprefix(_PLUS).isdigit():
        return text
    shape = text.translate(_SHAPE)
    folded = shape.translate(_FOLDING)
    digits = folded.removeprefix(_PLUS)
    if not digits:
        return Unreadable.EMPTY
    if not (digits.isascii() and digits.isdigit()):
        return Unreadable.LETTERS if any(map(str.isalpha, digits)) else Unreadable.SYMBOL
    if "." in shape and _is_decimal(shape):
        return Unreadable.DECIMAL
    if any(mark in shape for mark in "./~") and _are_several(shape.translate(_WITHOUT_SPACES)):
        return Unreadable.SEVERAL
    if folded.startswith(_PLUS):
        return Unreadable.KEPT_PREFIX if _keeps_prefix(shape) else folded
    return _PLUS + folded if "(" in shape and _marks_code(shape) else folded


def _is_decimal(shape: str) -> bool:
    """Whether this is a number as a spreadsheet keeps it: `4930123456.0`."""
    whole, point, fraction = shape.strip().partition(".")
    return bool(point) and fraction in ("0", "00") and whole.removeprefix(_PLUS).isdigit()


def _are_several(packed: str) -> bool:
    """Whether this lists numbers, or is a range: `…-10/-11`, `…-10/11`, `…56/57`, `5678~9`, `10..20`.

    One `/` or `~` may well stand behind an area code or a prefix, so that most depends on what is before it.
    """
    if any(mark in packed for mark in ("/-", "-/", "~-", "-~", "..")):
        return True
    for mark in (_TILDE, _SLASH):
        head, found, tail = packed.rpartition(mark)
        if not found or not tail.isdigit() or sum(map(str.isdigit, head)) < _WHOLE_NUMBER:
            continue
        if mark == _TILDE or (len(tail) <= _SHORT_TAIL and mark not in head):
            return True
        before, dash, group = head.rpartition(_DASH)
        if dash and group.isdigit() and len(tail) <= len(group) and (len(tail) <= _LONGER_TAIL or _DASH in before):
            return True
    return False


def _keeps_prefix(shape: str) -> bool:
    """Whether a + stands in front of a national prefix that is a group by itself: `+8 800 555 35 35`."""
    after = shape.lstrip(" (+")
    return after.startswith(_KEPT_PREFIX) and not after[1:2].isdigit()


def _marks_code(shape: str) -> bool:
    """Whether a calling code without a + is marked by the prefix in brackets after it: `49(0)345 279580`."""
    code, prefix, _ = shape.replace(_SPACE, "").partition("(0)")
    return bool(prefix) and code.isdigit() and len(code) <= _CODE_DIGITS and not code.startswith("0")


def _context(parameters: list[str]) -> str | Unreadable | None:
    """The one `phone-context` among `parameters`, as `+` and digits; None where there is none."""
    found: str | None = None
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        name = name.strip().lower()
        if name not in PARAMETERS:
            if not name and not value:  # a `;` at the end
                continue
            return Unreadable.PARAMETER if isinstance(_read(parameter), Unreadable) else Unreadable.SEVERAL
        if name == "phone-context":
            if found is not None:
                return Unreadable.CONTEXT
            found = value
    if found is None:
        return None
    context = _read(found)
    return context if context.startswith(_PLUS) else Unreadable.CONTEXT
