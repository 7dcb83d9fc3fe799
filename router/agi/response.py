"""A decision -> the commands that tell Asterisk.

What is the same for every call to a flow with the same values is prepared once and kept; a call adds its numbers,
the reason and the table's version, none of which needs an escape.
"""

import hashlib
from collections import OrderedDict
from itertools import chain

import msgspec

from dialplan.dataset.parameters import delivered
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.campaign import Campaign
from dialplan.routing.decide import Decision, Following
from dialplan.routing.steps.lookup import NO_DATA
from dialplan.routing.target import Cache, Kind, Values
from router.agi.messages import mset, pair, split_pairs
from router.config.limits import COMMAND_MAX_BYTES, RESPONSE_CACHE_MAX_BYTES

# Numbers, reason and version of the longest kind: two numbers of 16 characters, a reason of 32, a version of 20.
_VARIABLE_BYTES = 84
_DIGEST_BYTES = 8
_NEXT = tuple(f"ROUTE_NEXT_{each}" for each in ("CONTEXT", "EXTEN", "PRIORITY", "KIND", "ID", "VALID_UNTIL"))
# By reason: a dialplan goes to its next router, and to what it has cached, at anything but OK.
_STATUS = {NO_DATA: "ROUTE_STATUS=NODATA"}


# None of these is for the garbage collector, which would hold up calls while it looks through all that are kept.
class _Key(msgspec.Struct, frozen=True, gc=False):
    """What an answer is prepared for."""

    target: int  # by identity
    kind: Kind
    company: str
    values: tuple[object, ...]  # names and values by turns: the collector leaves a tuple alone that has none in it
    with_names: bool
    cache: Cache
    until: int | None
    following: tuple[object, ...] | None
    no_data: bool


class _Prepared(msgspec.Struct, frozen=True, gc=False, eq=False):
    """`ahead`: commands to be sent before; the last command is head + number + caller + reason + version + tail."""

    target: CallFlow | Campaign | None  # held, so that their identity stays their own as long as it is a key
    next_target: CallFlow | Campaign | None
    ahead: tuple[bytes, ...]
    head: str
    tail: str

    def size(self) -> int:
        """About how many bytes it holds, its key and its objects included."""
        return 500 + len(self.head) + len(self.tail) + sum(map(len, self.ahead))


class RouteCommands:
    """Makes the commands of decisions; keeps what it prepared, up to RESPONSE_CACHE_MAX_BYTES."""

    def __init__(self) -> None:
        self._prepared: OrderedDict[_Key, _Prepared] = OrderedDict()
        self._bytes = 0

    def of(self, decision: Decision, *, with_names: bool) -> tuple[tuple[bytes, ...], bytes]:
        """The commands that go ahead (none, but for very many parameters) and the last one.

        `with_names` (`agi://…/route?params`) adds what a dialplan needs that caches routes: ROUTE_PARAMS, the names of
        the parameters that are set, ROUTE_NEXT_PARAMS, those of the next assignment, and ROUTE_DIGEST, the same for two
        answers that send calls the same way, now and next.
        """
        ahead, head, tail = self.prepared(decision, with_names=with_names)
        line = (
            f"{head}{decision.number},ROUTE_CALLER={decision.caller},ROUTE_REASON={decision.reason},"
            f"ROUTE_VERSION={decision.version}{tail}"
        )
        return ahead, line.encode("utf-8", "replace")

    def prepared(self, decision: Decision, *, with_names: bool) -> tuple[tuple[bytes, ...], str, str]:
        """What does not differ between calls: the commands ahead, and the last one's text before and behind that."""
        following = decision.following
        key = _Key(
            target=id(decision.target),
            kind=decision.kind,
            company=decision.company,
            values=tuple(chain.from_iterable(decision.values)),
            with_names=with_names,
            cache=decision.cache,
            until=decision.until,
            following=following.key if following is not None else None,
            no_data=decision.reason == NO_DATA,
        )
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = _prepare(decision, with_names=with_names)
            self._bytes += prepared.size()
            while self._prepared and self._bytes > RESPONSE_CACHE_MAX_BYTES:
                _, oldest = self._prepared.popitem(last=False)  # all of them at once would hold up calls
                self._bytes -= oldest.size()
            self._prepared[key] = prepared
        return prepared.ahead, prepared.head, prepared.tail


def cleared_by(decision: Decision) -> tuple[bytes, ...]:
    """The commands that empty what only this decision's answer has set: parameters, their names, what is next.

    ROUTE_STATUS goes first: without it nothing of the answer is trusted.
    """
    pairs = ["ROUTE_STATUS=", "ROUTE_PARAMS=", "ROUTE_DIGEST=", *(f"PARAM_{name}=" for name in _names(decision.target))]
    if decision.following is not None:
        pairs += [f"NEXT_PARAM_{name}=" for name in _names(decision.following.row)]
        pairs += [f"{name}=" for name in (*_NEXT, "ROUTE_NEXT_PARAMS")]
    groups, _ = split_pairs(pairs, [], COMMAND_MAX_BYTES)
    return tuple(map(mset, groups))


def _names(target: CallFlow | Campaign | None) -> list[str]:
    return [parameter.name for parameter in target.parameters] if isinstance(target, CallFlow) else []


def _values(target: CallFlow | Campaign | None, values: Values) -> list[tuple[str, str]]:
    """The parameters of a target, if it has any, with the values that go along."""
    return delivered(target, dict(values)) if isinstance(target, CallFlow) else []


def _prepare(decision: Decision, *, with_names: bool) -> _Prepared:
    target, destination, following = decision.target, decision.destination, decision.following
    parameters = _values(target, decision.values)
    first = [
        pair("ROUTE_CONTEXT", destination.context),
        pair("ROUTE_EXTEN", destination.exten),
        pair("ROUTE_PRIORITY", str(destination.priority)),
        pair("ROUTE_KIND", decision.kind),
        pair("ROUTE_ID", target.id if target is not None else ""),
        pair("ROUTE_COMPANY", decision.company),
    ]
    variable = ["ROUTE_NUMBER=", "ROUTE_CALLER=", "ROUTE_REASON=", "ROUTE_VERSION="]
    until = f"ROUTE_VALID_UNTIL={_moment(decision.until)}"
    given = [pair(f"PARAM_{name}", value) for name, value in parameters]
    following_parameters = _values(following.row, following.values) if following is not None else []
    after = _next_pairs(following, following_parameters) if following is not None else []
    last = [f"ROUTE_CACHE={decision.cache}", until, _STATUS.get(decision.reason, "ROUTE_STATUS=OK")]
    names: list[str] = []
    if with_names:
        said = [*first, *given, *([until, *after] if decision.until is not None else [])]
        digest = hashlib.blake2s("\n".join(said).encode("utf-8", "replace"), digest_size=_DIGEST_BYTES)
        # In the first command: whoever gets only a part of the answer knows then what to forget.
        names = [pair("ROUTE_PARAMS", ":".join(name for name, _ in parameters))]
        if following is not None:
            names.append(pair("ROUTE_NEXT_PARAMS", ":".join(name for name, _ in following_parameters)))
        last.insert(-1, f"ROUTE_DIGEST={digest.hexdigest()}")
    groups, fitting = split_pairs([*given, *after], [*first, *variable, *last], _VARIABLE_BYTES, names)
    head = f'EXEC MSet "{",".join(first)},ROUTE_NUMBER='
    tail = "".join(f",{each}" for each in [*fitting, *last]) + '"\n'
    return _Prepared(target, following.row if following is not None else None, tuple(map(mset, groups)), head, tail)


def _next_pairs(following: Following, parameters: list[tuple[str, str]]) -> list[str]:
    destination, row = following.destination, following.row
    said = (
        destination.context,
        destination.exten,
        str(destination.priority),
        following.kind,
        row.id if row is not None else "",
        _moment(following.until),
    )
    named = [pair(name, value) for name, value in zip(_NEXT, said, strict=True)]
    return [*named, *(pair(f"NEXT_PARAM_{name}", value) for name, value in parameters)]


def _moment(at: int | None) -> str:
    return "" if at is None else str(at)
