"""One call's decision.

Pure and synchronous: the table, the time and the platform's default are handed in. The usual call, to a number that is
assigned, without an update ahead, from a caller who rings nobody back, is decided at once; any other one goes through
the steps.
"""

from collections.abc import Iterator

import msgspec

from dialplan.campaigns.callbacks import Claim
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.campaign import Campaign
from dialplan.kinds.fields import Destination
from dialplan.numbering.numbers import Unreadable, national, normalise
from dialplan.routing.steps import ERROR, STEPS
from dialplan.routing.steps.assignment import ASSIGNED
from dialplan.routing.steps.step import Call, ClaimNeed, Following, Pending, Situation, Step
from dialplan.routing.table import RoutingTable
from dialplan.routing.target import Cache, Kind, Values
from dialplan.shards import SHARD_MASK
from dialplan.wording import Code, Trace

__all__ = ["Cache", "Call", "ClaimNeed", "Decision", "Following", "Kind", "Waiting", "begin", "decide", "untrusted"]

_READ_FROM = Code("caller-read", "read from {written!q}")
_WITHHELD = Code("caller-withheld", "no number was given")
_UNREADABLE = Code("unreadable", "{written!q}: {reason}")
_DIALLED = Code("dialled-read", "read from {written!q} in region {region}, bare digits as {bare}")
_DIALLED_SHOWN = Code(
    "dialled-read-and-shown", "read from {written!q} in region {region}, bare digits as {bare}; shown as {national}"
)


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Where a call goes, and which step said so.

    `target` is the flow or campaign whose destination it is, None for the platform's default; `values` are those that
    the number gives to the flow's parameters. `number` and `caller` are E.164 or empty. `cache`: what Asterisk does
    with the answer; it holds until the moment `until` (epoch seconds; None: no end is planned), then `following` does.
    """

    reason: str
    kind: Kind
    destination: Destination
    target: CallFlow | Campaign | None
    values: Values
    company: str
    number: str
    caller: str
    version: int
    cache: Cache = Cache.NO
    until: int | None = None
    following: Following | None = None


class Waiting:
    """A decision that needs something shared before it can be made: `need`."""

    def __init__(self, situation: Situation, step: Step, later: Iterator[Step], need: ClaimNeed, version: int) -> None:
        self.need = need
        self._situation = situation
        self._step = step
        self._later = later
        self._version = version
        # The table may be replaced meanwhile, and whoever has it last lets go of all of it at once.
        del situation.routes

    def resume(self, answer: Claim, table: RoutingTable) -> Decision:
        """The decision with what was needed, by the table as it is now. Call it once."""
        self._situation.routes = table
        self._step.answered(self._situation, answer)
        made = _run(self._situation, self._later, self._version)
        if isinstance(made, Waiting):  # no step behind this one has a need
            raise TypeError("a second need in one decision")
        return made


def decide(call: Call, table: RoutingTable, now: float, default: Destination, trace: Trace | None = None) -> Decision:
    """Decide one call at `now` (epoch seconds, UTC), as if nobody had rung the caller before.

    `default` is the platform's destination. Total: any text gives a decision. `trace` costs nothing when absent.
    """
    made = begin(call, table, now, default, None, trace)
    if isinstance(made, Waiting):  # nothing is pending
        raise TypeError("a need without anything pending")
    return made


def begin(
    call: Call,
    table: RoutingTable,
    now: float,
    default: Destination,
    pending: Pending | None,
    trace: Trace | None = None,
) -> Decision | Waiting:
    """As `decide`, for a caller whom a campaign may have rung: `pending` says of which pairs that may be.

    Where it may be this one's, and the rule of the number looks at it, the decision waits.
    """
    caller = normalise(call.caller, call.region, call.bare) if call.caller else ""
    number = normalise(call.dialled, call.region, call.bare)
    if trace is not None:
        _tell(trace, call, caller, number)
    if isinstance(caller, Unreadable):
        caller = ""
    entry = table.shards[hash(number) & SHARD_MASK].get(number)  # what is unreadable is not in it
    if entry is not None and not entry.steps and trace is None:
        target = entry.base
        if target is not None and (pending is None or not caller or not pending(number, caller)):
            row = target.row(table)
            if row is not None:
                company = entry.company or ""
                place, values = row.destination, target.values
                return Decision(
                    ASSIGNED, target.kind, place, row, values, company, number, caller, table.version, Cache.KEEP
                )
    situation = Situation(caller, number, entry, table, now, default, trace, pending)
    return _run(situation, iter(STEPS), table.version)


def _run(call: Situation, steps: Iterator[Step], version: int) -> Decision | Waiting:
    made = dict(call.entry.steps) if call.entry is not None else {}
    for step in steps:
        if call.ended and not step.last:
            continue
        known = made.get(step.name)
        if known is None and not step.everywhere:
            continue
        need = step.resolve(call, known)
        if need is not None:
            return Waiting(call, step, steps, need, version)
    number = "" if isinstance(call.number, Unreadable) else call.number
    return Decision(
        call.reason,
        call.kind,
        call.destination,
        call.row,
        call.values,
        call.company,
        number,
        call.caller,
        version,
        call.cache,
        call.until,
        call.following,
    )


def untrusted(default: Destination, version: int) -> Decision:
    """The decision for a call whose data cannot be trusted: the platform's default."""
    return Decision(ERROR, Kind.DEFAULT, default, None, (), "", "", "", version)


def _tell(trace: Trace, call: Call, caller: str, number: str) -> None:
    """How the two numbers were read."""
    if isinstance(caller, Unreadable):
        outcome = "withheld" if caller is Unreadable.WITHHELD else "unreadable"
        trace.step("caller", outcome, _UNREADABLE(written=call.caller, reason=caller.text))
    elif caller:
        trace.step("caller", caller, _READ_FROM(written=call.caller))
    else:
        trace.step("caller", "withheld", _WITHHELD())
    if isinstance(number, Unreadable):
        trace.step("dialled number", "unreadable", _UNREADABLE(written=call.dialled, reason=number.text))
        return
    how = {"written": call.dialled, "region": call.region, "bare": str(call.bare)}
    shown = national(number, call.region)
    trace.step("dialled number", number, _DIALLED(**how) if shown == number else _DIALLED_SHOWN(**how, national=shown))
