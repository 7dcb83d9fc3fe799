"""The usual call in one go: a whole environment block -> the one command that answers it. No IO.

A decision is remembered by its number's entry. It is the same for every call to that entry, as long as no step has
anything to do with it (`Entry.steps`), nobody rings back who may have missed a call of ours, and no flow, campaign or
company changes; only the numbers and the version differ. Whatever is not usual here is left to the session and the
verbs. They are the reference: where both answer, they answer the same.
"""

import re
from collections.abc import Callable

import msgspec

from dialplan.numbering.numbers import normalise
from dialplan.routing.decide import Call, Decision, decide
from dialplan.routing.entry import Entry
from dialplan.routing.steps.assignment import ASSIGNED
from dialplan.routing.table import RoutingTable
from dialplan.shards import SHARD_MASK
from router.agi.messages import ENVIRONMENT_KEYS
from router.agi.response import RouteCommands
from router.agi.verbs.verb import Response, Usual, Verb
from router.config.limits import REMEMBERED_MAX

_USED = ("agi_network_script", "agi_uniqueid", "agi_callerid", "agi_callingpres", "agi_dnid", "agi_extension")
_lines = (f"{key}: ([^\\n]*)\\n" if key in _USED else f"{key}: [^\\n]*\\n" for key in ENVIRONMENT_KEYS)
_read = re.compile("".join(_lines) + "\\n").fullmatch
_SCRIPTS = {"route": False, "route?params": True}  # with the parameters' names, for a dialplan that caches routes
_MAY_BE_SHOWN = frozenset({"", "0", "1", "2", "3"})  # agi_callingpres of a caller who may be shown, Q.931 octet 3a


def place_of(decision: Decision) -> str:
    """Where it leads, as the log says it: context,exten,priority."""
    destination = decision.destination
    return f"{destination.context},{destination.exten},{destination.priority}"


class Remembered(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What all usual calls to one entry have in common; see `router.agi.response` for head and tail."""

    decision: Decision
    head: str
    tail: str
    targets: object  # the table's mark of them when this was decided
    verb: Verb
    usual: Usual
    place: str
    id: str


class UsualCall(msgspec.Struct, gc=False):
    """A usual call that has its answer. `accepted_at` and `duration` are its connection's, seconds."""

    command: bytes
    unique_id: str
    dialled: str
    caller_sent: str
    number: str
    caller: str
    version: int
    remembered: Remembered
    accepted_at: float = 0.0
    duration: float = 0.0

    def response(self) -> Response:
        """The same as the verb's response."""
        remembered = self.remembered
        decision = msgspec.structs.replace(
            remembered.decision, number=self.number, caller=self.caller, version=self.version
        )
        usual = remembered.usual
        call = Call(self.dialled, self.caller_sent, usual.region, usual.bare)
        return Response((self.command,), remembered.verb, call, decision)


class UsualCalls:
    """Answers usual calls as `verb` would: with its `commands`, by its `usual` ways.

    `knows`: whether there may be an attempt of that number to that subscriber, both E.164.
    """

    def __init__(
        self,
        table: Callable[[], RoutingTable],
        verb: Verb,
        usual: Usual,
        commands: RouteCommands,
        knows: Callable[[str, str], bool],
    ) -> None:
        self._table = table
        self._verb = verb
        self._usual = usual
        self._commands = commands
        self._knows = knows
        self._region, self._bare = usual.region, usual.bare
        # Two generations for each script: what has not been asked for since the last change goes with the older one.
        self._young: dict[str, dict[Entry, Remembered]] = {script: {} for script in _SCRIPTS}
        self._old: dict[str, dict[Entry, Remembered]] = {script: {} for script in _SCRIPTS}

    def answer(self, block: bytes) -> UsualCall | None:
        """The call of an environment block, blank line included; None where it is not a usual one."""
        try:
            found = _read(str(block, "ascii"))
        except UnicodeDecodeError:
            return None
        if found is None:
            return None
        script, unique_id, caller_sent, presentation, dnid, dialled = found.groups()
        memory = self._young.get(script)
        if memory is None or presentation not in _MAY_BE_SHOWN:
            return None
        if dialled == "s":
            dialled = dnid
        table = self._table()
        number = normalise(dialled, self._region, self._bare)
        entry = table.shards[hash(number) & SHARD_MASK].get(number)  # `find`, without a call
        if entry is None or entry.steps:
            return None
        caller: str = normalise(caller_sent, self._region, self._bare) if caller_sent else ""
        if type(caller) is not str:
            caller = ""
        elif caller and self._knows(number, caller):
            return None
        remembered = memory.get(entry)
        if remembered is None or remembered.targets is not table.targets:
            remembered = self._remember(script, entry, dialled, table)
            if remembered is None:
                return None
        version = table.version
        line = (
            f"{remembered.head}{number},ROUTE_CALLER={caller},ROUTE_REASON={ASSIGNED},ROUTE_VERSION={version}"
            f"{remembered.tail}"
        )
        return UsualCall(line.encode(), unique_id, dialled, caller_sent, number, caller, version, remembered)

    def _remember(self, script: str, entry: Entry, dialled: str, table: RoutingTable) -> Remembered | None:
        """Take it from the older generation, or decide; None where the answer is not the usual one command."""
        remembered = self._old[script].get(entry)
        if remembered is None or remembered.targets is not table.targets:
            usual = self._usual
            call = Call(dialled, "", usual.region, usual.bare)
            decision = decide(call, table, 0.0, usual.default)
            if decision.reason != ASSIGNED:
                return None
            ahead, head, tail = self._commands.prepared(decision, with_names=_SCRIPTS[script])
            if ahead:
                return None
            leads_to = decision.target.id if decision.target is not None else ""
            remembered = Remembered(
                decision, head, tail, table.targets, self._verb, usual, place_of(decision), leads_to
            )
        if len(self._young[script]) >= REMEMBERED_MAX:
            self._old[script], self._young[script] = self._young[script], {}
        self._young[script][entry] = remembered
        return remembered
