"""The manager's events of a dialled call -> what became of it. Sans-IO: events in, reports out.

Seen with Asterisk 22: `Dial` tells DialBegin, DialState and DialEnd with the dialling channel, Originate without one
(and no DialEnd where nobody answers); Hangup of the dialled channel comes always, and it alone has the cause. A Local
channel in front is dialled too, and is no attempt.
"""

from collections.abc import Iterator, Mapping

from dialplan.campaigns.attempts import ATTEMPT_ID_MAX_CHARS, AttemptReport, Outcome, outcome_of, status_code
from router.config.limits import AMI_ENDED_MAX, AMI_OPEN_LEGS_MAX

Event = Mapping[str, str | list[str]]

_UNKNOWN = frozenset({"", "<unknown>"})


class _Dialled:
    """One subscriber of a call: how many legs are still there, and the outcome of those that are over."""

    __slots__ = ("campaign", "id", "legs", "number", "outcome", "subscriber")

    def __init__(self, name: str, campaign: str, number: str, subscriber: str) -> None:
        self.id = name
        self.campaign = campaign
        self.number = number
        self.subscriber = subscriber
        self.legs = 0
        self.outcome = Outcome.FAILED


class _Leg:
    """One dialled channel."""

    __slots__ = ("call", "cancelled", "dialled", "early_media", "rang")

    def __init__(self, call: "_Call", dialled: _Dialled) -> None:
        self.call = call
        self.dialled = dialled
        self.rang = False
        self.early_media = False
        self.cancelled = False


class _Call:
    """All that is dialled with one Linkedid, up to an answer: on any leg it is one for all of them."""

    __slots__ = ("answered", "dialled", "ended", "legs", "linked")

    def __init__(self, linked: str) -> None:
        self.linked = linked
        self.answered = False
        self.legs: set[str] = set()
        self.dialled: dict[tuple[str, str], _Dialled] = {}
        self.ended: dict[tuple[str, str], _Dialled] = {}  # before the others: an answer may still come for them too

    def end(self, dialled: _Dialled) -> None:
        """The last leg to a subscriber has gone."""
        key = dialled.id, dialled.subscriber
        del self.dialled[key]
        if self.answered:
            return
        self.ended[key] = dialled
        if len(self.ended) > AMI_ENDED_MAX:
            del self.ended[next(iter(self.ended))]


class DialTracker:
    """Follows the dialled calls of one Asterisk. A new session begins with a new one: events were missed meanwhile."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}
        self._legs: dict[str, _Leg] = {}  # by the dialled channel's unique id

    def __len__(self) -> int:
        """How many legs are being followed."""
        return len(self._legs)

    def feed(self, event: Event, now: float) -> Iterator[AttemptReport]:
        """What an event ends. `now` is its time, epoch seconds."""
        kind = _text(event, "Event")
        if kind == "DialBegin":
            self._begin(event)
        elif kind == "DialState":
            if leg := self._legs.get(_text(event, "DestUniqueid")):
                status = _text(event, "DialStatus")
                leg.rang = leg.rang or status == "RINGING"
                leg.early_media = leg.early_media or status == "PROGRESS"
        elif kind == "DialEnd":
            status = _text(event, "DialStatus")
            if leg := self._legs.get(_text(event, "DestUniqueid")):
                leg.cancelled = status == "CANCEL"
                if status == "ANSWER":
                    yield from self._answered(leg.call, now)
        elif kind == "Hangup":
            yield from self._hung_up(event, now)

    def _begin(self, event: Event) -> None:
        campaign = _variable(event, "CAMPAIGN_ID")
        leg = _text(event, "DestUniqueid")
        if not campaign or not leg or leg in self._legs or _text(event, "DestChannel").startswith("Local/"):
            return
        dialling = _text(event, "Uniqueid")
        # Originate has no dialling channel: the dialled one has our number for its caller ID.
        number = _text(event, "CallerIDNum" if dialling else "DestCallerIDNum")
        subscriber = _dialled(_text(event, "DialString"))
        if subscriber in _UNKNOWN or number in _UNKNOWN:
            return
        # A fork to several subscribers is an attempt to each: the number tells them apart.
        name = (_variable(event, "RINGWAY_ATTEMPT") or dialling or leg)[:ATTEMPT_ID_MAX_CHARS]
        if len(self._legs) >= AMI_OPEN_LEGS_MAX:
            self._give_up(self._legs[next(iter(self._legs))].call)  # the oldest
        linked = _text(event, "DestLinkedid") or leg
        call = self._calls.get(linked)
        # What is dialled after an answer is another matter: an agent is called first, then the subscriber.
        if call is None or call.answered:
            call = self._calls[linked] = _Call(linked)
        dialled = call.dialled.get((name, subscriber))
        if dialled is None:
            dialled = call.dialled[name, subscriber] = _Dialled(name, campaign, number, subscriber)
        dialled.legs += 1
        call.legs.add(leg)
        self._legs[leg] = _Leg(call, dialled)

    def _answered(self, call: _Call, now: float) -> Iterator[AttemptReport]:
        if call.answered:
            return
        call.answered = True
        for dialled in (call.ended | call.dialled).values():
            yield _report(dialled, now, Outcome.ANSWERED)
        call.ended.clear()

    def _hung_up(self, event: Event, now: float) -> Iterator[AttemptReport]:
        name = _text(event, "Uniqueid")
        leg = self._legs.pop(name, None)
        if leg is None:
            return
        call, dialled = leg.call, leg.dialled
        call.legs.discard(name)
        dialled.legs -= 1
        outcome = outcome_of(
            answered=False,
            rang=leg.rang,
            early_media=leg.early_media,
            cause=status_code(_text(event, "Cause")),
            sip=status_code(_text(event, "TechCause")),
            cancelled=leg.cancelled,
        )
        if outcome is Outcome.MISSED:  # whichever leg of a fork ends last: one of them reached the subscriber
            dialled.outcome = outcome
        if dialled.legs == 0:
            call.end(dialled)
            if not call.answered:
                yield _report(dialled, now, dialled.outcome)
        if not call.legs and self._calls.get(call.linked) is call:
            del self._calls[call.linked]

    def _give_up(self, call: _Call) -> None:
        if self._calls.get(call.linked) is call:
            del self._calls[call.linked]
        for leg in call.legs:
            del self._legs[leg]


def _dialled(text: str) -> str:
    """The number in what was dialled: NUMBER@trunk, trunk/NUMBER, trunk/sip:NUMBER@host.

    DestCallerIDNum does not tell: it is the extension that dialled.
    """
    _, scheme, address = text.rpartition("sip:")
    if not scheme and "@" not in text:
        address = text.rpartition("/")[2]
    return address.partition("@")[0]


def _report(dialled: _Dialled, now: float, outcome: Outcome) -> AttemptReport:
    return AttemptReport(dialled.id, dialled.campaign, dialled.number, dialled.subscriber, now, outcome)


def _text(event: Event, key: str) -> str:
    """A field that stands once; of one that stands more often, which is nobody's but a forger's, nothing."""
    value = event.get(key, "")
    return value if isinstance(value, str) else ""


def _variable(event: Event, name: str) -> str:
    """A channel variable (manager.conf: channelvars) of the dialled channel, else of the dialling one."""
    for key in ("DestChanVariable", "ChanVariable"):
        values = event.get(key, [])
        for value in [values] if isinstance(values, str) else values:
            found, _, text = value.partition("=")
            if found == name and text:
                return text
    return ""
