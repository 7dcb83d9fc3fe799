"""User-configurable parameters: what a call flow declares, and what a value may be."""

from enum import StrEnum
from typing import TypeAlias

import msgspec

from dialplan.numbering.line_types import CalledLine

PARAMETER_NAME_MAX_CHARS = 64  # with PARAM_ before it, inside Asterisk's 80 bytes for a variable's name
PARAMETER_TEXT_MAX_CHARS = 400  # escaped twice it still fits an AGI line of an old Asterisk (2,047 bytes)
PARAMETER_INTEGER_MAX = 10**18 - 1  # either sign; inside the 64 bits of stores and of Asterisk's expressions
PARAMETERS_PER_FLOW = 100
PARAMETER_NAMES_MAX_CHARS = 1_200  # of a flow's names together: one AGI line of an old Asterisk carries them all
CHOICES_PER_PARAMETER = 100
COUNTRIES_PER_PARAMETER = 300  # there are some 250

ParameterValue: TypeAlias = str | int | bool


class ParameterType(StrEnum):
    """What a user-configurable parameter may hold."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    NUMBER = "number"  # a phone number


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A parameter that a call flow declares; numbers give it values."""

    name: str
    type: ParameterType
    default: ParameterValue | None = None
    required: bool = False
    max_length: int | None = None  # text: characters
    minimum: int | None = None  # integer
    maximum: int | None = None  # integer
    choices: tuple[str, ...] = ()  # choice
    countries: tuple[str, ...] = ()  # number: ISO 3166 codes; none: of any country
    line_types: tuple[CalledLine, ...] = ()  # number; none: any that is not COSTLY
