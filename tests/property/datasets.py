"""Strategies: any rows at all, and data sets that are good by construction."""

import copy
import datetime as dt
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from dialplan.dataset.problems import Place
from dialplan.dataset.reader import RawRow
from dialplan.kinds.fields import NAME_MAX_CHARS
from dialplan.kinds.number import CITY_MAX_CHARS, DESCRIPTION_MAX_CHARS
from dialplan.kinds.parameter import PARAMETER_INTEGER_MAX, PARAMETER_TEXT_MAX_CHARS
from dialplan.kinds.registry import RowKind
from tests.samples import Entry

# --- anything -------------------------------------------------------------------------------------------------------

_ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)
# Not larger: an example with a number that Python does not turn into text could not be shown.
_HUGE = st.sampled_from([1 << 64, -(1 << 64), 1 << 10_000, 10**18, float("inf"), float("nan")])
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), _ANY_TEXT, _HUGE, st.datetimes(), st.dates(), st.times()
)
_WORDS = [
    *("id", "name", "company", "region", "timezone", "identified", "default_flow", "destination", "locked"),
    *(
        "contexts",
        "parameters",
        "direction",
        "accept_incoming",
        "callback_window_hours",
        "caller_ids",
        "active",
        "number",
        "kind",
    ),
    *("line_type", "city", "description", "status", "call_flow", "inbound_campaign", "callback_rule", "updates", "at"),
    *("context", "exten", "priority", "type", "default", "required", "max_length", "minimum", "maximum", "choices"),
    *("countries", "line_types"),
]
_LIKELY = st.sampled_from(
    [
        *("acme", "globex", "menu", "GB", "US", "Europe/London", "02079460000", "+442079460000", "reserved", "pool"),
        *("inbound", "outbound", "text", "integer", "choice", "number", "P", "2026-07-01T12:00:00", "soon", "disabled"),
    ]
)
_KEYS = st.sampled_from(_WORDS) | _ANY_TEXT


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3)


ANY_VALUE = st.recursive(_SCALARS | _LIKELY, _nested, max_leaves=8)
ANY_VALUES = st.dictionaries(_KEYS, ANY_VALUE, max_size=8)


# --- nearly good: a good set with something changed -----------------------------------------------------------------


@st.composite
def nearly_good_rows(draw: st.DrawFn) -> list[RawRow]:
    """A good set in which a few values were replaced by anything, at any depth, and some rows are anything."""
    entries = copy.deepcopy(draw(good_sets()))
    for _ in range(draw(st.integers(1, 3))):
        target: Any = draw(st.sampled_from(entries))[1]
        while True:
            key = draw(st.sampled_from(list(target) or ["id"]) | _KEYS)
            below = target.get(key)
            if isinstance(below, list) and below and isinstance(below[0], dict):
                below = below[0]
            if not isinstance(below, dict) or draw(_YES_OR_NO):
                break
            target = below
        target[key] = draw(ANY_VALUE)
    entries += draw(st.lists(st.tuples(st.sampled_from(list(RowKind)), ANY_VALUES), max_size=2))
    return as_rows(entries)


def tried(examples: int) -> settings:
    """So many examples, and no verdict about how long a busy machine takes for one."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(max_examples=examples, deadline=None, suppress_health_check=slow)


def as_rows(entries: list[Entry]) -> list[RawRow]:
    """Entries as rows, each at a place of its own."""
    return [RawRow(kind, Place("any.json", f"{kind}[{place}]"), values) for place, (kind, values) in enumerate(entries)]


ANY_ROWS = st.lists(st.tuples(st.sampled_from(list(RowKind)), ANY_VALUES), max_size=6).map(as_rows) | nearly_good_rows()

# --- good -----------------------------------------------------------------------------------------------------------

_GOOD_TEXT = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
    | st.sampled_from(list("\"'\\,;#=[]{}${EPOCH}\N{NO-BREAK SPACE}é\N{TELEPHONE RECEIVER}"))
)
COMPANIES = {"acme": "GB", "globex": "US", "stark": "IT"}
FLOWS = ["closed", "menu", "queue", "night"]
NUMBERS = {
    "acme": ["+442079460000", "+442079460001", "+447700900100"],
    "globex": ["+12025550143", "+12025550144"],
    "stark": ["+390612345678"],
}
_YES_OR_NO = st.booleans()
_MOMENTS = st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2027, 12, 31), timezones=st.just(dt.UTC))  # noqa: DTZ001
_NAMES = _GOOD_TEXT.map(lambda text: text[:NAME_MAX_CHARS])

_PARAMETERS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"name": "TEXT", "type": "text"},
        {"name": "HELLO", "type": "text", "default": 'Hello, "you"', "max_length": PARAMETER_TEXT_MAX_CHARS},
        {"name": "SECONDS", "type": "integer", "default": 20, "minimum": -5, "maximum": PARAMETER_INTEGER_MAX},
        {"name": "LOUD", "type": "boolean"},
        {"name": "LANGUAGE", "type": "choice", "choices": ["en", "по-русски", ""]},
        {"name": "OVERFLOW", "type": "number"},
        {"name": "NEEDED", "type": "text", "required": True},
    ]
)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "TEXT": _GOOD_TEXT.map(lambda text: text[:PARAMETER_TEXT_MAX_CHARS]),
    "HELLO": st.sampled_from(["", " spaced ", "a,b", "\\", '"', "${EPOCH}", "тел"]),
    "SECONDS": st.integers(-5, PARAMETER_INTEGER_MAX),
    "LOUD": st.booleans(),
    "LANGUAGE": st.sampled_from(["en", "по-русски", ""]),
    "OVERFLOW": st.sampled_from(["+442079460000", "+12025550143"]),
    "NEEDED": _NAMES,
}
_DESTINATIONS = st.fixed_dictionaries(
    {"context": st.sampled_from(["flow-menu", "a.b@c:d", "x"])},
    optional={"exten": st.sampled_from(["s", "100", "*9#"]), "priority": st.integers(1, 10_000)},
)


@st.composite
def good_sets(draw: st.DrawFn) -> list[Entry]:
    """A data set that validates: whatever refers to something refers to something of its own set."""
    companies = draw(st.lists(st.sampled_from(sorted(COMPANIES)), min_size=1, unique=True))
    flows = {
        (owner, f"{owner or 'all'}-{name}"): draw(st.lists(_PARAMETERS, unique_by=lambda each: str(each["name"])))
        for owner in [None, *companies]
        for name in draw(st.lists(st.sampled_from(FLOWS), min_size=1, unique=True))
    }
    entries: list[Entry] = []
    for name in companies:
        values: dict[str, Any] = {
            "id": name,
            "name": draw(_NAMES),
            "region": COMPANIES[name],
            "timezone": "Europe/London",
        }
        plain = [each for (owner, each), declared in flows.items() if owner in (None, name) and not _needs(declared)]
        if draw(_YES_OR_NO) and plain:
            values["default_flow"] = draw(st.sampled_from(plain))
        entries.append((RowKind.COMPANY, values | {"identified": draw(_YES_OR_NO)}))
    for (owner, name), declared in flows.items():
        values = {"id": name, "name": draw(_NAMES), "destination": draw(_DESTINATIONS), "parameters": declared}
        values["locked"] = draw(_YES_OR_NO)
        if owner is not None:
            values["company"] = owner
        entries.append((RowKind.CALL_FLOW, values))
    for name in companies:
        inbound = {"id": f"{name}-in", "company": name, "name": draw(_NAMES), "direction": "inbound"}
        entries.append((RowKind.CAMPAIGN, inbound | {"destination": draw(_DESTINATIONS), "active": draw(_YES_OR_NO)}))
        mine = draw(st.lists(st.sampled_from(NUMBERS[name]), unique=True))
        outbound: dict[str, Any] = {"id": f"{name}-out", "company": name, "name": draw(_NAMES), "direction": "outbound"}
        outbound |= {"caller_ids": mine[:1], "accept_incoming": draw(_YES_OR_NO), "callback_window_hours": 24}
        entries.append((RowKind.CAMPAIGN, outbound | {"destination": draw(_DESTINATIONS)}))
        may_take = {each: declared for (owner, each), declared in flows.items() if owner in (None, name)}
        entries += [(RowKind.NUMBER, draw(number_entries(number, name, may_take))) for number in mine]
    return draw(st.permutations(entries))


def _needs(declared: list[dict[str, Any]]) -> bool:
    return any(each.get("required") for each in declared)


@st.composite
def number_entries(draw: st.DrawFn, number: str, owner: str, flows: dict[str, Any]) -> dict[str, Any]:
    """A number of `owner`, assigned now and later to some of `flows` (id -> declared parameters)."""
    values: dict[str, Any] = {"number": number, "company": owner, "name": draw(_NAMES)}
    values["city"] = draw(_GOOD_TEXT)[:CITY_MAX_CHARS]
    values["description"] = draw(_GOOD_TEXT)[:DESCRIPTION_MAX_CHARS]
    values["status"] = draw(st.sampled_from(["active", "disabled"]))
    values["line_type"] = draw(st.sampled_from(["landline", "mobile"]))
    values["callback_rule"] = draw(st.sampled_from(["force-yes", "as-in-campaign", "force-no"]))
    values |= draw(_assignments(flows, owner)) if draw(_YES_OR_NO) else {}
    moments = draw(st.lists(_MOMENTS, max_size=3, unique=True))
    values["updates"] = [{"at": moment.isoformat()} | draw(_assignments(flows, owner)) for moment in moments]
    return values


@st.composite
def _assignments(draw: st.DrawFn, flows: dict[str, Any], owner: str) -> dict[str, Any]:
    """A flow with values for all that it needs, or the inbound campaign."""
    if draw(_YES_OR_NO):
        return {"inbound_campaign": f"{owner}-in"}
    flow = draw(st.sampled_from(sorted(flows)))
    chosen = [each["name"] for each in flows[flow] if each.get("required") or draw(_YES_OR_NO)]
    return {"call_flow": flow, "parameters": {name: draw(_VALUES[name]) for name in chosen}}
