"""Decided calls -> metrics and log, some at a time: it costs a third then, and no call waits for it."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Sequence

import msgspec

from dialplan.numbering.parsing import is_withheld
from dialplan.routing.decide import Decision
from router.agi.usual import Remembered, UsualCall, place_of
from router.agi.verbs.verb import Response
from router.config.limits import (
    ACCOUNT_MAX_CALLS,
    ACCOUNT_SECONDS,
    CALLER_LOG_MAX_CHARS,
    DIALLED_LOG_MAX_CHARS,
    UNIQUE_ID_LOG_MAX_CHARS,
)
from router.observe.log import CallRecord, mask
from router.observe.metrics import Metrics


class Decided(msgspec.Struct, frozen=True, gc=False):
    """A call that has its answer: when its connection was accepted (performance counter), how long that took (s)."""

    unique_id: str
    response: Response
    accepted_at: float
    duration: float


class Accounts:
    """Counts and logs the calls that have their answer.

    `verbs` are the names of those that are timed; `tell_decided` gets the unique id of one call of those that are
    counted together.
    """

    def __init__(
        self,
        verbs: Sequence[str],
        metrics: Metrics,
        record: Callable[[CallRecord], None],
        tell_decided: Callable[[str], None],
        *,
        mask_callers: bool,
    ) -> None:
        self._record = record
        self._tell_decided = tell_decided
        self._masked = mask_callers
        self._decisions = metrics.decision_seconds.of()
        self._verbs = {name: metrics.agi_seconds.of(name) for name in verbs}
        self._counted = metrics.decided
        self._calls: list[Decided | UsualCall] = []

    def add(self, call: Decided | UsualCall) -> None:
        """Take a call, to be counted and logged a moment later."""
        calls = self._calls
        if not calls:
            asyncio.get_running_loop().call_later(ACCOUNT_SECONDS, self.settle)
        calls.append(call)
        if len(calls) >= ACCOUNT_MAX_CALLS:
            self.settle()

    def settle(self) -> None:
        """Count and log what has come since the last time."""
        calls, self._calls = self._calls, []
        if not calls:
            return
        self._tell_decided(calls[-1].unique_id)
        ahead = time.time() - time.perf_counter()
        usual: dict[Remembered, list[float]] = {}
        for call in calls:
            moment = dt.datetime.fromtimestamp(ahead + call.accepted_at, dt.UTC)
            if type(call) is UsualCall:
                usual.setdefault(call.remembered, []).append(call.duration)
                self._record(self._record_of_usual(call, moment))
            elif type(call) is Decided:
                self._settle_one(call, moment)
        for remembered, durations in usual.items():
            self._count(remembered.verb.name, remembered.decision, durations)

    def _settle_one(self, call: Decided, moment: dt.datetime) -> None:
        response = call.response
        decision = response.decision
        self._count(response.verb.name if response.verb is not None else "", decision, (call.duration,))
        if decision is not None:
            self._record(self._record_of(call, moment, decision, response))

    def _count(self, verb: str, decision: Decision | None, durations: Sequence[float]) -> None:
        """Take calls of a verb ("": nobody's) that have the same decision."""
        if verb:
            self._verbs[verb].add(durations)
        if decision is not None:
            self._decisions.add(durations)
            self._counted[decision.reason, decision.kind].inc(len(durations))

    def _record_of_usual(self, call: UsualCall, moment: dt.datetime) -> CallRecord:
        remembered, caller = call.remembered, call.caller
        decision = remembered.decision
        return CallRecord(
            moment,
            call.unique_id[:UNIQUE_ID_LOG_MAX_CHARS],
            call.dialled[:DIALLED_LOG_MAX_CHARS],
            call.number,
            mask(caller) if self._masked else caller,
            decision.reason,
            decision.kind,
            remembered.id,
            decision.company,
            remembered.place,
            call.version,
            round(call.duration * 1000, 3),
            "",
            msgspec.UNSET if caller else _caller_sent(call.caller_sent, masked=self._masked),
        )

    def _record_of(self, call: Decided, moment: dt.datetime, decision: Decision, response: Response) -> CallRecord:
        target, caller = decision.target, decision.caller
        return CallRecord(
            moment,
            call.unique_id[:UNIQUE_ID_LOG_MAX_CHARS],
            response.call.dialled[:DIALLED_LOG_MAX_CHARS],
            decision.number,
            mask(caller) if self._masked else caller,
            decision.reason,
            decision.kind,
            target.id if target is not None else "",
            decision.company,
            place_of(decision),
            decision.version,
            round(call.duration * 1000, 3),
            response.attempt,
            msgspec.UNSET if caller else _caller_sent(response.call.caller, masked=self._masked),
        )


def _caller_sent(text: str, *, masked: bool) -> str | msgspec.UnsetType:
    """What came as the caller's number, for the log: nothing where that was withheld."""
    if is_withheld(text):
        return msgspec.UNSET
    return mask(text) if masked else text[:CALLER_LOG_MAX_CHARS]
