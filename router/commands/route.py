"""`ringway route`: the decision that the store gives for a call, offline, with every step that led to it."""

import argparse
import asyncio
import datetime as dt
import time

import msgspec

from dialplan.campaigns.callbacks import ClaimStatus, History, called_back, claim_of, earliest, may_claim, rule_of
from dialplan.dataset.changes import Stored
from dialplan.dataset.parameters import delivered
from dialplan.dataset.problems import Fault
from dialplan.dataset.times import read_time, shown, zone
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.campaign import Campaign
from dialplan.kinds.company import Company
from dialplan.kinds.number import Number, assignments
from dialplan.kinds.registry import Row, RowKind
from dialplan.numbering.numbers import Unreadable, is_region, normalise
from dialplan.routing.decide import Call, Decision, decide
from dialplan.routing.explain import Explanation, Step
from dialplan.routing.table import Entry, Patch, RoutingTable
from dialplan.wording import printable, quote
from router.commands.data import print_json, with_store
from router.config.settings import Settings, from_process
from router.store.api import NoStoreError, Store, Use
from router.store.factory import stores_of


class Refused(Exception):  # noqa: N818 - what the user asked cannot be answered; it is no failure of ours
    """The question cannot be answered; the text says why."""


class Routed(msgspec.Struct, frozen=True):
    """What `ringway route --json` prints."""

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


def route(arguments: argparse.Namespace) -> int:
    """Decide and explain. Uses up nothing, changes nothing."""
    settings = from_process(arguments.config)
    region = (arguments.region or settings.numbering.region).upper()
    if not is_region(region):
        raise Refused(f"--region {quote(region)} is not a country; use its ISO 3166 code, such as GB")
    call = Call(arguments.did, arguments.caller or "", region, settings.numbering.bare)
    table = RoutingTable()

    async def look(store: Store) -> int:
        return await store.view(lambda stored: table.apply(_what_concerns(call, stored)))

    table.version = with_store(arguments.config, look)
    at = _moment(arguments.at, call, table)
    explanation = Explanation()
    decision = decide(call, table, at.timestamp(), settings.defaults.destination, explanation)
    entry = table.numbers.get(decision.number)
    if entry is not None and entry.active and decision.caller:
        history, uses = asyncio.run(_history(settings, decision, at.timestamp()))
        decision = _called_back(decision, entry, history, uses, table, at.timestamp(), explanation)
    routed = _routed(decision, at, explanation.steps)
    if arguments.json:
        print_json(routed)
    else:
        _print(routed)
    return 0


async def _history(settings: Settings, decision: Decision, now: float) -> tuple[History, list[Use]]:
    """What was known of the two numbers then; nothing where no router has run here yet."""
    store = stores_of(settings.store).callbacks
    pair = (decision.number, decision.caller)
    try:
        await store.open(make=False)
        return await store.history(*pair, now), await store.uses(*pair, now)
    except NoStoreError:
        return History(), []
    finally:
        await store.close()


def _called_back(
    decision: Decision,
    entry: Entry,
    history: History,
    uses: list[Use],
    table: RoutingTable,
    now: float,
    explanation: Explanation,
) -> Decision:
    """The decision after the callback rule, as a new call would get it."""
    explanation.callback_rule(rule_of(entry), pool=entry.company is None)
    if not may_claim(entry, decision):
        return decision
    since = earliest({each.campaign for each in history.attempts}, table, entry, now)
    claim = claim_of(history, since, explanation, began=now)
    final = called_back(decision, entry, claim, table)
    explanation.called_back(claim, final)
    if claim.status is ClaimStatus.CONSUMED and claim.attempt is not None:
        attempt_at = claim.attempt.at
        use = next((each for each in uses if each.used_at >= attempt_at), None)
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


def _moment(text: str | None, call: Call, table: RoutingTable) -> dt.datetime:
    """`--at`, without an offset in the time zone of the number's company."""
    if text is None:
        return dt.datetime.fromtimestamp(time.time(), dt.UTC)
    number = normalise(call.dialled, call.region, call.bare)
    entry = table.numbers.get(str(number))
    company = table.companies.get(entry.company or "") if entry is not None else None
    moment = read_time(text, zone(company.timezone) if company is not None else None)
    if isinstance(moment, Fault):
        raise Refused(f"--at: {moment.text}; {moment.hint}")
    return moment


def _routed(decision: Decision, at: dt.datetime, steps: list[Step]) -> Routed:
    target, destination = decision.target, decision.destination
    parameters = dict(delivered(target, dict(decision.values))) if isinstance(target, CallFlow) else {}
    return Routed(
        decision.number,
        decision.caller,
        at.isoformat().replace("+00:00", "Z"),
        decision.reason,
        decision.kind,
        target.id if target is not None else "",
        decision.company,
        msgspec.to_builtins(destination),
        parameters,
        decision.version,
        steps,
    )


def _print(routed: Routed) -> None:
    width = max(len(step.step) for step in routed.steps)
    outcome_width = max(len(step.outcome) for step in routed.steps)
    for step in routed.steps:
        # Attempts and calls in it have names of somebody else's choice.
        print(f"{step.step:<{width}}  {step.outcome:<{outcome_width}}  {printable(step.detail)}")
    destination = ",".join(str(part) for part in routed.destination.values())
    what = f"{routed.kind} {routed.id}".strip()
    print(f"=> {destination}  {what}, reason {routed.reason}, at {routed.at}, version {routed.version}")
    for name, value in routed.parameters.items():
        print(f"   PARAM_{name} = {quote(value)}")
