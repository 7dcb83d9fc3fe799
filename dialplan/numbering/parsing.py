"""How people and machines write a number down, and why a text may be none.

`digits_of` takes a text to plain digits, with `+` in front where the text had one; what the digits mean is
for `dialplan.numbering.numbers` to say. It understands separators and pasted invisible marks, the digits of every
script, `tel:` (RFC 3966) and `sip:` (RFC 3261, section 19.1) with their parameters, and `<…>` around it all.
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

_PLUS: Final = "+"
_FULLWIDTH_PLUS: Final = "\uff0b"
# Separators that no category of Unicode gathers. Spaces, dashes and invisible marks come by category.
_SEPARATORS: Final = (
    "()./~"
    "\u00b7\u2027\u30fb"  # dots in the middle
    "\uff08\uff09\uff0e\uff0f"  # the same brackets, stop and slash at full width
    "\u2044\u2215"  # slashes of fractions
    "\u2053\u223c\uff5e"  # tildes
    "\u2212\u30fc"  # a minus, and the Japanese long vowel mark that serves as a dash
)
# Zs: spaces of all widths; Pd: hyphens and dashes; Cf: marks of direction, joiners, soft hyphens.
_DROPPED_CATEGORIES: Final = frozenset({"Zs", "Pd", "Cf"})
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


class _Folding(dict[int, str | None]):
    """What `str.translate` does to each character; computes what it does not hold, and keeps none of it."""

    def __missing__(self, point: int) -> str | None:
        character = chr(point)
        digit = unicodedata.decimal(character, -1)
        if digit >= 0:
            return str(digit)
        if unicodedata.category(character) in _DROPPED_CATEGORIES:
            return None
        return character


_FOLDING: Final = _Folding(
    {ord(separator): None for separator in _SEPARATORS} | {ord(_FULLWIDTH_PLUS): _PLUS, ord(_PLUS): _PLUS}
)


def digits_of(text: str) -> str | Unreadable:
    """Give the digits that `text` writes, after a `+` where it is written in international form.

    A `phone-context` of `+` and digits is put in front of a local number, as trunks mean it. RFC 3966 (section
    5.1.5) does not promise that this makes a number: the plan still has to take it. Any other context is
    refused, since only its owner could say what the number is. The host of a SIP address and all other
    parameters (`user=phone`, `isub`, `ext`) do not change which number it is.
    """
    if len(text) > MAX_TEXT:
        return Unreadable.TOO_LONG
    if not text.isprintable() and any(unicodedata.category(sign) in _CONTROL_CATEGORIES for sign in text):
        return Unreadable.CONTROL
    address, _, host = _unwrapped(text).partition("@")
    if not host.isascii():
        return Unreadable.SYMBOL
    user, *parameters = address.split(";")
    if user.strip().casefold() in WITHHELD_WORDS:
        return Unreadable.WITHHELD
    number = _folded(user)
    if isinstance(number, Unreadable):
        return number
    context = _context(parameters)
    if context is None:
        return number
    if isinstance(context, Unreadable):
        return context
    # A number that is whole already stays what it is.
    return number if number.startswith(_PLUS) else context + number


def _unwrapped(text: str) -> str:
    """Take `<…>` and the scheme away."""
    text = text.strip()
    if text.startswith("<"):
        inside, closed, after = text[1:].partition(">")
        if closed and (not after or after.startswith(";")):
            text = inside.strip()
    scheme, colon, rest = text.partition(":")
    return rest if colon and scheme.lower() in SCHEMES else text


def _folded(text: str) -> str | Unreadable:
    """`text` without separators, in ASCII digits, or why that cannot be done."""
    folded = text.translate(_FOLDING)
    digits = folded.removeprefix(_PLUS)
    if digits.isascii() and digits.isdigit():
        return folded
    if not digits:
        return Unreadable.EMPTY
    return Unreadable.LETTERS if any(map(str.isalpha, digits)) else Unreadable.SYMBOL


def _context(parameters: list[str]) -> str | Unreadable | None:
    """The one `phone-context` among `parameters`, as `+` and digits; None where there is none."""
    found: str | None = None
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "phone-context":
            if found is not None:
                return Unreadable.CONTEXT
            found = value
    if found is None:
        return None
    context = _folded(found)
    return context if context.startswith(_PLUS) else Unreadable.CONTEXT
