"""What fields of several kinds have in common: ids, texts, destinations, phone numbers, and who may edit a field."""

import functools
import re
from collections.abc import Callable, Iterator
from typing import Annotated, TypeAlias, TypeVar, get_type_hints

import msgspec

from dialplan.dataset.parameters import NO_REGION, control_characters, number_fault
from dialplan.dataset.problems import Fault, Faults
from dialplan.dataset.times import NO_ZONE
from dialplan.numbering import numbers
from dialplan.wording import Code

# Limits of the data set. Each is checked where rows are read, so that nothing larger reaches the table.
ID_MAX_CHARS = 64  # ids stand in variables, metrics and file names
NAME_MAX_CHARS = 100
CONTEXT_MAX_CHARS = 79  # Asterisk keeps contexts and extensions in 80 bytes (AST_MAX_CONTEXT, AST_MAX_EXTENSION)
PRIORITY_MAX = 10_000

T = TypeVar("T")
_BY_COMPANY = msgspec.Meta(extra={"edited_by": "company admin"})
# A field that the admins of a company may edit in its rows. Any other one is the platform owner's.
ByCompany: TypeAlias = Annotated[T, _BY_COMPANY]

_ID = re.compile(rf"[a-z0-9-]{{1,{ID_MAX_CHARS}}}")
_CONTEXT = re.compile(rf"[A-Za-z0-9_.@:-]{{1,{CONTEXT_MAX_CHARS}}}")
# Of Ringway's own contexts in Asterisk: where a call may be sent. The others trust what their own way in has checked.
_OWN_CONTEXTS, _OPEN_CONTEXTS = "ringway-", ("ringway-inbound", "ringway-default")
_EXTEN = re.compile(rf"[A-Za-z0-9_.*#+-]{{1,{CONTEXT_MAX_CHARS}}}")

_NOT_AN_ID = Code("not-an-id", "{value!q} is not an id", "use a-z, 0-9 and -, at most {limit}")
_TOO_LONG = Code("text-too-long", "{length} characters", "use at most {limit}")
_NOT_A_CONTEXT = Code(
    "not-a-context", "{value!q} is not a context", "use letters, digits and _ . @ : -, at most {limit}"
)
_OWN_CONTEXT = Code(
    "ringways-own-context",
    "{value!q} is Ringway's own, no place for calls",
    "name a context of your dialplan, or one of {open}",
)
_NOT_AN_EXTENSION = Code(
    "not-an-extension", "{value!q} is not an extension", "use letters, digits and _ . * # + -, at most {limit}"
)
_NOT_A_PRIORITY = Code("not-a-priority", "{value!q} is not a priority", "use 1 to {limit}")
_NATIONAL = Code(
    "national-number-of-nobody", "{value!q} is national, and no company tells its country", "write it with +"
)


class Destination(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A place in Asterisk's dialplan."""

    context: str
    exten: str = "s"
    priority: int = 1


class Home(msgspec.Struct, frozen=True):
    """What reads the national numbers and local times of a row: its company's region and zone."""

    region: str
    timezone: str


HomeOf: TypeAlias = Callable[[str], Home | None]

# Reads what only exists with the company's help: nothing without one.
NO_HOME = Home("", "UTC")
# Of a company that could not be read: what needs its help is not told besides.
UNREAD_HOME = Home("", "UTC")
# Faults of what a company's country or time zone would have read.
NEEDS_HOME = frozenset({_NATIONAL.slug, NO_REGION.slug, NO_ZONE.slug})


def editable_by_company(struct: type[msgspec.Struct]) -> frozenset[str]:
    """The fields of a kind's struct that the admins of a company may edit."""
    hints = get_type_hints(struct, include_extras=True)
    return frozenset(name for name, hint in hints.items() if _BY_COMPANY in getattr(hint, "__metadata__", ()))


def is_id(text: str) -> bool:
    """Whether a row may have this id. What is none is never asked of a store, which may not even take such text."""
    return len(text) <= ID_MAX_CHARS and _is_id(text)


@functools.lru_cache(maxsize=4_096)
def _is_id(text: str) -> bool:
    """The rows of a file name few companies and call flows, over and over."""
    return _ID.fullmatch(text) is not None


def check_id(value: str | None, field: str, faults: Faults) -> None:
    """Check an id, or the name of another row, which may be left out."""
    if value is not None and not is_id(value):
        faults.append((field, _NOT_AN_ID(value=value, limit=ID_MAX_CHARS)))


def check_text(value: str, field: str, limit: int, faults: Faults) -> None:
    """Check a text of at most `limit` characters (Unicode code points)."""
    if len(value) > limit:
        faults.append((field, _TOO_LONG(length=len(value), limit=limit)))
    elif fault := control_characters(value):
        faults.append((field, fault))


def is_context(text: str) -> bool:
    """Whether it can be the name of a context."""
    return _CONTEXT.fullmatch(text) is not None


def check_destination(destination: Destination) -> Iterator[tuple[str, Fault]]:
    """What Asterisk cannot go to, or its dialplan would take for more than a name: (field, fault) pairs."""
    if not is_context(destination.context):
        yield "destination.context", _NOT_A_CONTEXT(value=destination.context, limit=CONTEXT_MAX_CHARS)
    elif destination.context.startswith(_OWN_CONTEXTS) and destination.context not in _OPEN_CONTEXTS:
        yield "destination.context", _OWN_CONTEXT(value=destination.context, open=", ".join(_OPEN_CONTEXTS))
    if not _EXTEN.fullmatch(destination.exten):
        yield "destination.exten", _NOT_AN_EXTENSION(value=destination.exten, limit=CONTEXT_MAX_CHARS)
    if not 1 <= destination.priority <= PRIORITY_MAX:
        yield "destination.priority", _NOT_A_PRIORITY(value=destination.priority, limit=PRIORITY_MAX)


def read_number(text: str, home: Home, field: str, faults: Faults) -> str:
    """A phone number in E.164; empty where it is none."""
    number = numbers.normalise(text, home.region, numbers.Bare.REFUSE)
    if not isinstance(number, numbers.Unreadable):
        return number
    if number is numbers.Unreadable.UNKNOWN_REGION:
        faults.append((field, _NATIONAL(value=text)))
    else:
        faults.append((field, number_fault(text, number)))
    return ""
