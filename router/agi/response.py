"""A decision -> the commands that tell Asterisk.

What is the same for every call to a flow with the same values is prepared once and kept; a call adds its numbers,
the reason and the table's version, none of which needs an escape.
"""

import hashlib
from typing import NamedTuple

from dialplan.dataset.parameters import delivered
from dialplan.kinds.call_flow import CallFlow
from dialplan.routing.decide import Decision
from router.agi.messages import mset, pair, split_pairs
from router.config.limits import COMMAND_MAX_BYTES, RESPONSE_CACHE_MAX_BYTES

# Numbers, reason and version of the longest kind: two numbers of 16 characters, a reason of 32, a version of 20.
_VARIABLE_BYTES = 84
_DIGEST_BYTES = 8


class _Prepared(NamedTuple):
    """`ahead`: commands to be sent before; the last command is head + number + caller + reason + version + tail."""

    target: object  # held, so that its identity stays its own as long as it is a key
    ahead: tuple[bytes, ...]
    head: str
    tail: str

    def size(self) -> int:
        """About how many bytes it holds, its key and its objects included."""
        return 500 + len(self.head) + len(self.tail) + sum(map(len, self.ahead))


class RouteCommands:
    """Makes the commands of decisions; keeps what it prepared, up to RESPONSE_CACHE_MAX_BYTES."""

    def __init__(self) -> None:
        self._prepared: dict[tuple[object, ...], _Prepared] = {}
        self._bytes = 0

    def of(self, decision: Decision, *, with_names: bool) -> tuple[tuple[bytes, ...], bytes]:
        """The commands that go ahead (none, but for very many parameters) and the last one.

        `with_names` (`agi://…/route?params`) adds what a dialplan needs that caches routes: ROUTE_PARAMS, the names of
        the parameters that are set, and ROUTE_DIGEST, the same for two answers that send calls the same way.
        """
        key = (id(decision.target), decision.kind, decision.company, decision.values, with_names)
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = _prepare(decision, with_names=with_names)
            self._bytes += prepared.size()
            if self._bytes > RESPONSE_CACHE_MAX_BYTES:
                self._prepared.clear()
                self._bytes = prepared.size()
            self._prepared[key] = prepared
        line = (
            f"{prepared.head}{decision.number},ROUTE_CALLER={decision.caller},ROUTE_REASON={decision.reason},"
            f"ROUTE_VERSION={decision.version}{prepared.tail}"
        )
        return prepared.ahead, line.encode("utf-8", "replace")


def cleared_by(decision: Decision) -> tuple[bytes, ...]:
    """The commands that empty what only this decision's answer has set, its parameters and their names."""
    names = (
        [parameter.name for parameter in decision.target.parameters] if isinstance(decision.target, CallFlow) else []
    )
    pairs = [*(pair(f"PARAM_{name}", "") for name in names), "ROUTE_PARAMS=", "ROUTE_DIGEST="]
    groups, _ = split_pairs(pairs, [], COMMAND_MAX_BYTES)
    return tuple(map(mset, groups))


def _prepare(decision: Decision, *, with_names: bool) -> _Prepared:
    target, destination = decision.target, decision.destination
    parameters = delivered(target, dict(decision.values)) if isinstance(target, CallFlow) else []
    first = [
        pair("ROUTE_CONTEXT", destination.context),
        pair("ROUTE_EXTEN", destination.exten),
        pair("ROUTE_PRIORITY", str(destination.priority)),
        pair("ROUTE_KIND", decision.kind),
        pair("ROUTE_ID", target.id if target is not None else ""),
        pair("ROUTE_COMPANY", decision.company),
    ]
    variable = ["ROUTE_NUMBER=", "ROUTE_CALLER=", "ROUTE_REASON=", "ROUTE_VERSION="]
    last = ["ROUTE_STATUS=OK"]
    given = [pair(f"PARAM_{name}", value) for name, value in parameters]
    names = ""
    if with_names:
        digest = hashlib.blake2s("\n".join([*first, *given]).encode("utf-8", "replace"), digest_size=_DIGEST_BYTES)
        # In the first command: whoever gets only a part of the answer knows then what to forget.
        names = pair("ROUTE_PARAMS", ":".join(name for name, _ in parameters))
        last = [f"ROUTE_DIGEST={digest.hexdigest()}", *last]
    groups, fitting = split_pairs(given, [*first, *variable, *last], _VARIABLE_BYTES, names)
    head = f'EXEC MSet "{",".join(first)},ROUTE_NUMBER='
    tail = "".join(f",{each}" for each in [*fitting, *last]) + '"\n'
    return _Prepared(target, tuple(map(mset, groups)), head, tail)
