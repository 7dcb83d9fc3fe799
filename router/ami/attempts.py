"""The manager's events of a dialled call -> what became of it. Sans-IO: events in, sightings out.

Seen with Asterisk 22: `Dial` tells DialBegin, DialState and DialEnd with the dialling channel, Originate without one
(and no DialEnd where nobody answers); Hangup of the dialled channel comes always, and it alone has the cause. A Local
channel in front is dialled too, and is no attempt.
"""

from collections.abc import Iterator, Mapping

from dialplan.attempts import Outcome, Sighting, outcome_of
from router.limits import AMI_OPEN_CALLS_MAX, ATTEMPT_ID_MAX_CHARS

Event = Mapping[str, str | list[str]]

_RANG = frozenset({"RINGING", "PROGRESS"})
_UNKNOWN = frozenset({"", "<unknown>"})


class _Dialled:
    """One subscriber of a call: the legs to him that are still there, and what they did."""

    __slots__ = ("campaign", "cause", "id", "legs", "number", "rang", "subscriber")

    def __init__(self, name: str, campaign: str, number: str, subscriber: str) -> None:
        self.id = name
        self.campaign = campaign
        self.number = number
        self.subscriber = subscriber
        self.legs: set[str] = set()
        self.rang = False
        self.cause = 0


class _Call:
    """All that was dialled with one Linkedid at a time. An answer on any leg is an answer for all of them."""

    __slots__ = ("answered", "dialled")

    def __init__(self) -> None:
        self.answered = False
        self.dialled: dict[tuple[str, str], _Dialled] = {}


class DialWatch:
    """Follows the dialled calls of one Asterisk. A new session begins with a new one: events were missed meanwhile."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}
        self._legs: dict[str, tuple[str, _Dialled]] = {}  # by the dialled channel's unique id

    def __len__(self) -> int:
        """How many calls are being followed."""
        return len(self._calls)

    def see(self, event: Event, now: float) -> Iterator[Sighting]:
        """What an event ends. `now` is its time, epoch seconds."""
        kind = _text(event, "Event")
        if kind == "DialBegin":
            self._begin(event)
        elif kind == "DialState":
            if _text(event, "DialStatus") in _RANG and (leg := self._legs.get(_text(event, "DestUniqueid"))):
                leg[1].rang = True
        elif kind == "DialEnd":
            if _text(event, "DialStatus") == "ANSWER":
                yield from self._answered(_text(event, "DestUniqueid"), now)
        elif kind == "Hangup":
            yield from self._hung_up(_text(event, "Uniqueid"), _text(event, "Cause"), now)

    def _begin(self, event: Event) -> None:
        campaign = _variable(event, "CAMPAIGN_ID")
        leg = _text(event, "DestUniqueid")
        if not campaign or not leg or _text(event, "DestChannel").startswith("Local/"):
            return
        dialling = _text(event, "Uniqueid")
        # Originate has no dialling channel: the dialled one has our number for its caller ID.
        number = _text(event, "CallerIDNum" if dialling else "DestCallerIDNum")
        subscriber = _dialled(_text(event, "DialString"))
        if subscriber in _UNKNOWN or number in _UNKNOWN:
            return
        name = (_variable(event, "RINGWAY_ATTEMPT") or dialling or leg)[:ATTEMPT_ID_MAX_CHARS]
        linked = _text(event, "DestLinkedid") or leg
        call = self._calls.get(linked)
        if call is None:
            if len(self._calls) >= AMI_OPEN_CALLS_MAX:
                self._give_up(next(iter(self._calls)))
            call = self._calls[linked] = _Call()
        dialled = call.dialled.get((name, subscriber))
        if dialled is None:
            others = any(each == name for each, _ in call.dialled)
            # A fork to several subscribers is an attempt to each.
            told = f"{name}/{subscriber}"[:ATTEMPT_ID_MAX_CHARS] if others else name
            dialled = call.dialled[name, subscriber] = _Dialled(told, campaign, number, subscriber)
        dialled.legs.add(leg)
        self._legs[leg] = linked, dialled

    def _answered(self, leg: str, now: float) -> Iterator[Sighting]:
        found = self._legs.get(leg)
        if found is None:
            return
        call = self._calls[found[0]]
        if not call.answered:
            call.answered = True
            for dialled in call.dialled.values():
                yield _sighting(dialled, now, Outcome.ANSWERED)

    def _hung_up(self, leg: str, cause: str, now: float) -> Iterator[Sighting]:
        found = self._legs.pop(leg, None)
        if found is None:
            return
        linked, dialled = found
        call = self._calls[linked]
        dialled.legs.discard(leg)
        dialled.cause = int(cause) if cause.isdecimal() else 0
        if not dialled.legs and not call.answered:
            outcome = outcome_of(answered=False, rang=dialled.rang, cause=dialled.cause)
            yield _sighting(dialled, now, outcome)
        if not any(each.legs for each in call.dialled.values()):
            del self._calls[linked]

    def _give_up(self, linked: str) -> None:
        for dialled in self._calls.pop(linked).dialled.values():
            for leg in dialled.legs:
                self._legs.pop(leg, None)


def _dialled(text: str) -> str:
    """The number in what was dialled: NUMBER@trunk, trunk/NUMBER, trunk/sip:NUMBER@host.

    DestCallerIDNum does not tell: it is the extension that dialled.
    """
    _, scheme, address = text.rpartition("sip:")
    if not scheme and "@" not in text:
        address = text.rpartition("/")[2]
    return address.partition("@")[0]


def _sighting(dialled: _Dialled, now: float, outcome: Outcome) -> Sighting:
    return Sighting(dialled.id, dialled.campaign, dialled.number, dialled.subscriber, now, outcome)


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
