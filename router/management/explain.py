"""The decision that the store gives for a call, with every step that led to it, as `ringway route` shows it."""

import datetime as dt
from collections.abc import Awaitable, Callable

import msgspec

from dialplan.campaigns.callbacks import ClaimStatus, History, called_back, claim_of, earliest, may_claim, rule_of
from dialplan.dataset.changes import Stored
from dialplan.dataset.parameters import delivered
from dialplan.dataset.problems import Fault
from dialplan.dataset.times import read_time, shown, zone
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.campaign import Campaign
from dialplan.kinds.company import Company
from dialplan.kinds.fields import Destination
from dialplan.kinds.number import Number, assignments
from dialplan.kinds.registry import Row, RowKind
from dialplan.numbering.numbers import Unreadable, normalise
from dialplan.routing.decide import Call, Decision, decide
from dialplan.routing.explain import Explanation, Step
from dialplan.routing.table import Entry, Patch, RoutingTable
from dialplan.wording import quote
from router.store.api import CallbackStore, Store, Use


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
    steps: list[Step]


async def explain(store: Store, past_of: PastOf, call: Call, at: str | float, default: Destination) -> Explained:
    """Decide and explain. Consumes nothing, changes nothing.

    `at` is epoch seconds, or text, which is read in the time zone of the number's company where it has no offset.
    `past_of` tells what was known of a number and a subscriber (both E.164) at a moment; it is asked where a callback
    may have a part in the decision. `default` is the platform's. Raises BadTimeError and StoreError.
    """
    table = RoutingTable()
    table.version = await store.view(lambda stored: table.apply(_what_concerns(call, stored)))
    moment = _moment(at, call, table)
    now = moment.timestamp()
    explanation = Explanation()
    decision = decide(call, table, now, default, explanation)
    entry = table.numbers.get(decision.number)
    if entry is not None and entry.active and decision.caller:
        past = await past_of(decision.number, decision.caller, now)
        decision = _called_back(decision, entry, past, table, now, explanation)
    return _explained(decision, moment, explanation.steps)


async def past_of(store: CallbackStore, number: str, subscriber: str, until: float) -> Past:
    """What a store knew of a number and a subscriber then. Raises StoreError."""
    return Past(await store.history(number, subscriber, until), await store.uses(number, subscriber, until))


def _called_back(
    decision: Decision, entry: Entry, past: Past, table: RoutingTable, now: float, explanation: Explanation
) -> Decision:
    """The decision after the callback rule, as a new call would get it."""
    explanation.callback_rule(rule_of(entry), pool=entry.company is None)
    if not may_claim(entry, decision):
        return decision
    since = earliest({each.campaign for each in past.history.attempts}, table, entry, now)
    claim = claim_of(past.history, since, explanation, began=now)
    final = called_back(decision, entry, claim, table)
    explanation.called_back(claim, final)
    if claim.status is ClaimStatus.CONSUMED and claim.attempt is not None:
        attempt_at = claim.attempt.at
        use = next((each for each in past.uses if each.used_at >= attempt_at), None)
        if use is not None:
            began = shown(dt.datetime.fromtimestamp(use.at, dt.UTC))
            explanation.steps.append(Step("used by", "another call", f"call {quote(use.call_id)}, which began {began}"))
    return final


def _what_concerns(call: Call, stored: Stored) -> Patch:
    """The rows that this call's decision may need: the number's, its owner's, and those that they name."""
    patch = Patch(0, whole=True)
    number = normalise(call.dialled, call.region, call.bare)
    row = stored.get(RowKind.NUMBER, number) if not isinstance(number, Unreadable) else None
    if not isinstance(row, Number):
        return patch
    wanted: set[tuple[RowKind, str | None]] = {(RowKind.COMPANY, row.company)}
    for assignment in assignments(row):
        wanted |= {(RowKind.CALL_FLOW, assignment.call_flow), (RowKind.CAMPAIGN, assignment.inbound_campaign)}
    company = stored.get(RowKind.COMPANY, row.company) if row.company else None
    if isinstance(company, Company):
        wanted.add((RowKind.CALL_FLOW, company.default_flow))
    rows: list[tuple[RowKind, str, Row | None]] = [(RowKind.NUMBER, row.number, row)]
    rows += [(kind, key, stored.get(kind, key)) for kind, key in wanted if key is not None]
    rows += [(RowKind.CAMPAIGN, each.id, each) for each in stored.rows(RowKind.CAMPAIGN) if isinstance(each, Campaign)]
    patch.add(rows)
    return patch


def _moment(at: str | float, call: Call, table: RoutingTable) -> dt.datetime:
    if not isinstance(at, str):
        return dt.datetime.fromtimestamp(at, dt.UTC)
    number = normalise(call.dialled, call.region, call.bare)
    entry = table.numbers.get(str(number))
    company = table.companies.get(entry.company or "") if entry is not None else None
    moment = read_time(at, zone(company.timezone) if company is not None else None)
    if isinstance(moment, Fault):
        raise BadTimeError(f"{moment.text}; {moment.hint}")
    return moment


def _explained(decision: Decision, at: dt.datetime, steps: list[Step]) -> Explained:
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
