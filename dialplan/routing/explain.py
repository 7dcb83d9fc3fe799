"""A decision put into words: every step that led to it, and each candidate that was turned down, and why.

The words come from the decision itself: `decide` tells an Explanation its steps while it makes them.
"""

import datetime as dt

import msgspec

from dialplan.campaigns.attempts import Attempt
from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.dataset import times
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.campaign import Campaign
from dialplan.kinds.fields import Destination
from dialplan.kinds.number import CallbackRule
from dialplan.numbering.numbers import Unreadable, national
from dialplan.routing.decide import Call, Decision, Kind, Reason
from dialplan.routing.table import Assigned, Entry
from dialplan.wording import quote


class Step(msgspec.Struct, frozen=True):
    """One step: what was looked at, what came of it, and why."""

    step: str
    outcome: str
    detail: str


class Explanation:
    """Collects the steps of one decision; hand it to `decide` as its trace."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def _say(self, step: str, outcome: str, detail: str) -> None:
        self.steps.append(Step(step, outcome, detail))

    def caller(self, call: Call, caller: str | Unreadable) -> None:
        """How the caller's number was read."""
        if isinstance(caller, Unreadable):
            self._say("caller", "unreadable", f"{quote(call.caller)}: {caller.text}")
        elif caller:
            self._say("caller", caller, f"read from {quote(call.caller)}")
        else:
            self._say("caller", "withheld", "no number was given")

    def dialled(self, call: Call, number: str | Unreadable) -> None:
        """How the dialled number was read."""
        if isinstance(number, Unreadable):
            self._say("dialled number", "unreadable", f"{quote(call.dialled)}: {number.text}")
            return
        shown = national(number, call.region)
        as_shown = "" if shown == number else f"; shown as {shown}"
        how = f"read from {quote(call.dialled)} in region {call.region}, bare digits as {call.bare}{as_shown}"
        self._say("dialled number", number, how)

    def entry(self, entry: Entry | None) -> None:
        """What the table has under that number."""
        if entry is None:
            self._say("number", "unknown", "no such number is stored")
            return
        owner = f'company "{entry.company}"' if entry.company else "the pool"
        self._say("number", "active" if entry.active else "disabled", f"belongs to {owner}")

    def assignments(self, entry: Entry, now: float) -> None:
        """Every candidate: the one in force, and why the others are not."""
        due = [at for at, _ in entry.updates if at <= now]
        if due:
            why = f"the base assignment, replaced by the update of {_moment(due[0])}"
            self._say("assignment", "turned down", f"{_named(entry.base)}: {why}")
        else:
            self._say("assignment", "in force", f"{_named(entry.base)}: the base assignment")
        for at, assigned in entry.updates:
            if at > now:
                self._say("assignment", "turned down", f"{_named(assigned)}: not due before {_moment(at)}")
            elif at < due[-1]:
                self._say("assignment", "turned down", f"{_named(assigned)}: of {_moment(at)}, a newer update is due")
            else:
                self._say("assignment", "in force", f"{_named(assigned)}: since {_moment(at)}")

    def target(self, assigned: Assigned | None, target: CallFlow | Campaign | None) -> None:
        """What the assignment in force leads to."""
        if target is not None:
            kind = "call flow" if isinstance(target, CallFlow) else "inbound campaign"
            self._say("destination", "taken", f'{kind} "{target.id}": {_shown(target.destination)}')
        elif assigned is None:
            self._say("destination", "none", "the number has neither call flow nor inbound campaign")
        else:
            why = "is not active" if assigned.flow is None else "is not stored"
            self._say("destination", "turned down", f"{_named(assigned)} {why}")

    def fallback(self, company: str | None, flow: CallFlow | None, default: Destination) -> None:
        """Which default took the call."""
        if flow is not None:
            text = f'default flow "{flow.id}" of company "{company}": {_shown(flow.destination)}'
            self._say("default", "taken", text)
            return
        if company is not None:
            self._say("default", "turned down", f'company "{company}" has no default flow')
        self._say("default", "taken", f"the platform's: {_shown(default)}")

    def callback_rule(self, rule: CallbackRule, *, pool: bool) -> None:
        """Which rule the number has for callbacks."""
        why = {
            CallbackRule.FORCE_YES: "a callback goes to the campaign that rang, whatever that takes",
            CallbackRule.AS_IN_CAMPAIGN: "a callback goes to the campaign that rang, where that takes incoming calls",
            CallbackRule.FORCE_NO: "a callback goes to the number's own destination",
        }[rule]
        self._say("callback rule", rule, f"every pool number's: {why}" if pool else why)

    def attempt(self, attempt: Attempt, why_not: str) -> None:
        """An attempt to this caller that showed this number, and whether it gives the right."""
        what = f'{attempt.outcome}, campaign "{attempt.campaign}", {_moment(attempt.at)}, {attempt.id}'
        self._say("attempt", "turned down" if why_not else "gives the right", f"{what}: {why_not}" if why_not else what)

    def called_back(self, claim: Claim, decision: Decision) -> None:
        """What the rule made of it."""
        if claim.status is ClaimStatus.NONE:
            self._say("callback", "no right", "no attempt gives one: the number's own destination stands")
        elif decision.kind is Kind.CAMPAIGN and decision.reason in (
            Reason.CALLBACK_FORCE_YES,
            Reason.CALLBACK_CAMPAIGN,
        ):
            target = decision.target.id if decision.target is not None else ""
            self._say("callback", "taken", f'campaign "{target}": {_shown(decision.destination)}')
        elif claim.status is ClaimStatus.CONSUMED:
            self._say("callback", "turned down", "the right has been used up: the number's own destination stands")
        else:
            why = "the campaign takes no incoming calls: the number's own destination stands, and the right is used up"
            self._say("callback", "turned down", why)


def _named(assigned: Assigned | None) -> str:
    if assigned is None:
        return "nothing"
    if assigned.flow is None:
        return f'inbound campaign "{assigned.campaign}"'
    values = ", ".join(f"{name}={quote(value)}" for name, value in assigned.values)
    return f'call flow "{assigned.flow}"' + (f" with {values}" if values else "")


def _shown(destination: Destination) -> str:
    return f"{destination.context},{destination.exten},{destination.priority}"


def _moment(at: float) -> str:
    return times.shown(dt.datetime.fromtimestamp(at, dt.UTC))
