"""A subscriber who missed an outbound campaign's call rings back: the three callback rules."""

from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.kinds.campaign import Campaign
from dialplan.kinds.number import CallbackRule
from dialplan.routing.steps.step import ClaimNeed, Numbered, Situation, Step
from dialplan.routing.target import Cache, Kind, place
from dialplan.wording import Code

FORCE_YES, IN_CAMPAIGN = "callback-force-yes", "callback-campaign"
NOT_ACCEPTED = "callback-not-accepted"  # the campaign takes no incoming calls; the number's own destination does
CONSUMED = "callback-used"  # an earlier callback has consumed the entitlement; the number's own destination takes it

_RULES = {
    CallbackRule.FORCE_YES: Code(
        "rule-force-yes", "{pool}a callback goes to the campaign that rang, whatever that takes"
    ),
    CallbackRule.AS_IN_CAMPAIGN: Code(
        "rule-as-in-campaign", "{pool}a callback goes to the campaign that rang, where that takes incoming calls"
    ),
    CallbackRule.FORCE_NO: Code("rule-force-no", "{pool}a callback goes to the number's own destination"),
}
_EVERY_POOL_NUMBERS = Code("rule-of-pool", "every pool number's: ")
_ITS_OWN = Code("rule-of-number", "")
_NO_ENTITLEMENT = Code("callback-none", "no attempt gives an entitlement: the number's own destination stands")
_TO_CAMPAIGN = Code("callback-to-campaign", "campaign {campaign!q}: {place}")
_WAS_CONSUMED = Code("callback-consumed", "the entitlement has been consumed: the number's own destination stands")
_TAKES_NONE = Code(
    "callback-not-accepted",
    "the campaign takes no incoming calls: the number's own destination stands, and the entitlement is consumed",
)
_CAMPAIGN_GONE = Code("callback-campaign-removed", "the campaign has been removed: the number's own destination stands")


class CallbackStep(Step):
    """Sends a callback to the campaign that rang, where the number's rule says so and the entitlement is granted."""

    name = "callback"
    reasons = (FORCE_YES, IN_CAMPAIGN, NOT_ACCEPTED, CONSUMED)
    everywhere = True

    def resolve(self, call: Situation, known: object | None) -> ClaimNeed | None:
        """Ask for the entitlement, if there may be one: the caller is known, and was rung with this number."""
        del known
        entry, pending, number = call.entry, call.pending, str(call.number)
        if entry is None or not call.caller or pending is None or not pending(number, call.caller):
            return None
        rule = rule_of(entry)
        if call.trace is not None:
            pool = _ITS_OWN() if entry.company is not None else _EVERY_POOL_NUMBERS()
            call.tell("callback rule", rule, _RULES[rule](pool=pool))
        return None if rule is CallbackRule.FORCE_NO else ClaimNeed(number, call.caller, entry)

    def answered(self, call: Situation, answer: Claim) -> None:
        """Follow the rule. An entitlement is consumed whichever way the call goes."""
        if answer.attempt is None:
            call.tell("callback", "no entitlement", _NO_ENTITLEMENT())
        elif answer.status is ClaimStatus.CONSUMED:
            _stay(call, CONSUMED)
            call.tell("callback", "rejected", _WAS_CONSUMED())
        else:
            self._granted(call, call.routes.campaigns.get(answer.attempt.campaign))

    def _granted(self, call: Situation, campaign: Campaign | None) -> None:
        if campaign is None:  # since the claim
            call.tell("callback", "rejected", _CAMPAIGN_GONE())
        elif call.entry is not None and rule_of(call.entry) is CallbackRule.FORCE_YES:
            _go(call, campaign, FORCE_YES)
        elif campaign.accept_incoming:
            _go(call, campaign, IN_CAMPAIGN)
        else:
            _stay(call, NOT_ACCEPTED)
            call.tell("callback", "rejected", _TAKES_NONE())


def rule_of(entry: Numbered) -> CallbackRule:
    """The rule of a number. A callback to a pool number follows the campaign."""
    return entry.callback_rule if entry.company is not None else CallbackRule.AS_IN_CAMPAIGN


def _stay(call: Situation, reason: str) -> None:
    """Leave the number's own destination; the callback's reason stands unless that has to be found elsewhere."""
    if call.row is not None:
        call.reason, call.cache = reason, Cache.NO


def _go(call: Situation, campaign: Campaign, reason: str) -> None:
    call.reason, call.row, call.kind, call.values = reason, campaign, Kind.CAMPAIGN, ()
    call.cache, call.until, call.following = Cache.NO, None, None
    call.destination, call.company = campaign.destination, campaign.company
    call.tell("callback", "taken", _TO_CAMPAIGN(campaign=campaign.id, place=place(campaign.destination)))
