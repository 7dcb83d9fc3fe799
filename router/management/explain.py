"""The decision that the store gives for a call, with every step that led to it, as `ringway route` shows it."""

import datetime as dt
from collections.abc import Awaitable, Callable

import msgspec

from dialplan.campaigns.callbacks import ClaimStatus, History, claim_of, earliest, entitling_fault
from dialplan.dataset.changes import Stored
from dialplan.dataset.later import held_key
from dialplan.dataset.parameters import delivered
from dialplan.dataset.problems import Fault
from dialplan.dataset.related import related
from dialplan.dataset.times import read_time, shown, shown_at, zone
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.fields import Destination
from dialplan.kinds.registry import RowKind
from dialplan.numbering.numbers import Unreadable, normalise
from dialplan.routing.decide import Call, Decision, Waiting, begin
from dialplan.routing.explain import ExplainedStep, Explanation
from dialplan.routing.later_rows import LaterRows
from dialplan.routing.table import Patch, RoutingTable
from dialplan.wording import Code, Message
from router.store.api import CallbackStore, Store, Use

_CONSUMED_BY = Code("consumed-by", "call {call!q}, which began {began}")


class BadTimeError(Exception):
    """The moment that was asked for cannot be read; the text says why, and the hint."""


class Past(msgspec.Struct, frozen=True):
    """What was known of a number and a subscriber at a moment: attempts, and calls that consumed an entitlement."""

    history: History = msgspec.field(default_factory=History)
    uses: list[Use] = []


PastOf = Callable[[str, str, float], Awaitable[Past]]


class Explained(msgspec.Struct, frozen=True):
    """A decision and its steps; `at` is the moment that it holds for, in UTC."""

    number: str
    caller: str
    at: str
    reason: str
    kind: str
    id: str
    company: str
    destination: dict[str, str | int]
    parameters: dict[str, str]
    version: int
    steps: list[ExplainedStep]


async def explain(store: Store, past_of: PastOf, call: Call, at: str | float, default: Destination) -> Explained:
    """Decide and explain. Consumes nothing, changes nothing.

    `at` is epoch seconds, or text, which is read in the time zone of the number's company where it has no offset.
    `past_of` tells what was known of a number and a subscriber (both E.164) at a moment; it is asked where a callback
    may have a part in the decision. `default` is the platform's. Raises BadTimeError and StoreError.
    """
    table = RoutingTable()
    table.version = await store.view(lambda stored: _fill(table, call, stored))
    moment = _moment(at, call, table)
    now = moment.timestamp()
    explanation = Explanation()
    made = begin(call, table, now, default, _anybody, explanation)
    if isinstance(made, Waiting):
        past = await past_of(made.need.number, made.need.subscriber, now)
        made = _called_back(made, past, table, now, explanation)
    return _explained(made, moment, explanation.steps)


async def past_of(store: CallbackStore, number: str, subscriber: str, until: float) -> Past:
    """What a store knew of a number and a subscriber then. Raises StoreError."""
    return Past(await store.history(number, subscriber, until), await store.uses(number, subscriber, until))


def _anybody(_number: str, _subscriber: str) -> bool:
    """Whoever calls may have been rung: the store knows."""
    return True


def _called_back(waiting: Waiting, past: Past, table: RoutingTable, now: float, explanation: Explanation) -> Decision:
    """The decision after the callback rule, as a new call would get it."""
    campaigns = {each.campaign for each in past.history.attempts}
    company = waiting.need.entry.company
    since = earliest(campaigns, table.campaigns, company, now)

    def left_out(name: str) -> Message | None:
        return entitling_fault(name, table.campaigns, company)

    claim = claim_of(past.history, since, explanation, began=now, left_out=left_out)
    final = waiting.resume(claim, table)
    if claim.status is ClaimStatus.CONSUMED and claim.attempt is not None:
        attempt_at = claim.attempt.at
        use = next((each for each in past.uses if each.used_at >= attempt_at), None)
        if use is not None:
            explanation.step("consumed by", "another call", _CONSUMED_BY(call=use.call_id, began=shown_at(use.at)))
    return final


def _fill(table: RoutingTable, call: Call, stored: Stored) -> None:
    """Put in what this call's decision may need: the row of the number, all that it leads to, and the campaigns."""
    patch, later = Patch(0, full=True), LaterRows()
    number = normalise(call.dialled, call.region, call.bare)
    if not isinstance(number, Unreadable):
        patch.add(later.understood(list(related(stored, RowKind.NUMBER, number))))
        if number in patch.numbers:  # a callback may go to any of them
            campaigns = [(RowKind.CAMPAIGN, held_key(each), each) for each in stored.rows(RowKind.CAMPAIGN)]
            patch.add(later.understood(campaigns))
    table.apply(patch)
    table.left_out = later.left_out


def _moment(at: str | float, call: Call, table: RoutingTable) -> dt.datetime:
    if not isinstance(at, str):
        return dt.datetime.fromtimestamp(at, dt.UTC)
    number = normalise(call.dialled, call.region, call.bare)
    entry = table.find(str(number))
    company = table.companies.get(entry.company or "") if entry is not None else None
    moment = read_time(at, zone(company.timezone) if company is not None else None)
    if isinstance(moment, Fault):
        raise BadTimeError(f"{moment.text}; {moment.hint}")
    return moment


def _explained(decision: Decision, at: dt.datetime, steps: list[ExplainedStep]) -> Explained:
    target, destination = decision.target, decision.destination
    parameters = dict(delivered(target, dict(decision.values))) if isinstance(target, CallFlow) else {}
    return Explained(
        decision.number,
        decision.caller,
        shown(at),
        decision.reason,
        decision.kind,
        target.id if target is not None else "",
        decision.company,
        msgspec.to_builtins(destination),
        parameters,
        decision.version,
        steps,
    )
