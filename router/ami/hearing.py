"""What a manager session lets the router hear, told from what has come and from what should have. Sans-IO.

Events, numbers of channels and answers in, states out. Seen with Asterisk 22 and 16:

- each event of a channel carries all of manager.conf's `channelvars`, the empty ones too;
- an account's `read` and its eventfilters hold from the login on: what has come once in a session goes on coming;
- each channel ends with a Hangup event, and Asterisk says how many channels it has. When that falls and no Hangup has
  ever come, none does;
- a channel that a campaign has dialled was told by DialBegin and DialEnd, and by DialState where it rang.

So nothing is `missing` as long as it need not have come: an idle Asterisk, a call that goes on, and one from before the
session show nothing. What should have come is waited for until the next look.
"""

import collections
from enum import IntEnum, StrEnum

from router.ami.dial_tracker import Event
from router.config.limits import AMI_HEARING_ENDED_MAX, AMI_HEARING_PROOFS

_CAMPAIGN, _ATTEMPT = "CAMPAIGN_ID", "RINGWAY_ATTEMPT"
_DIALS = ("DialBegin", "DialState", "DialEnd")
_RINGING = "5"  # ChannelState
_ACCOUNT = "[ringway] in manager.conf (the shipped one: ringway/manager_ringway.conf)"
_AGAIN = "then `manager reload`, and restart the router: an account's rights hold from its login on"
_SECOND_ATTEMPTS = "a second attempt out of one channel is taken for the first"
_CHANNELVARS = (
    "put the line channelvars = CAMPAIGN_ID,RINGWAY_ATTEMPT (no blanks between) into [general] of manager.conf, "
    "with your own variables behind it, then `manager reload`"
)
_FORM = "this Asterisk writes its events in another form: deploy/asterisk/README.md says which versions are known"


class What(StrEnum):
    """What is listened for."""

    VARIABLES = "variables"  # the two of manager.conf's channelvars
    HANGUPS = "hangups"
    DIALS = "dials"  # all three events
    CALLS = "calls"  # those that this router has decided: it is their Asterisk


class State(IntEnum):
    """How it stands; the number is the metric's."""

    NOT_SEEN = -1
    MISSING = 0
    OK = 1


class Hearing:
    """Of one session. `changed` is for whoever shows the states: it is set here, and reset there."""

    def __init__(self) -> None:
        self.states = dict.fromkeys(What, State.NOT_SEEN)
        self.changed = False
        self._kinds: set[str] = set()  # that have come
        self._refused = False
        self._open = True  # whether there is more to be learnt from a Hangup
        self._lacking: list[str] | None = None  # variables
        self._began: int | None = None
        self._channels: int | None = None
        self._gone = 0
        self._hangup_due = False
        self._calls: dict[str, set[str]] = {}  # events that have not come -> Linkedids of calls that should have them
        self._dials_due: list[str] = []
        self._ended: collections.deque[str] = collections.deque(maxlen=AMI_HEARING_ENDED_MAX)

    @property
    def unsettled(self) -> bool:
        """Whether `look` may still find something out."""
        return State.NOT_SEEN in (self.states[What.HANGUPS], self.states[What.DIALS])

    def event(self, event: Event) -> None:
        """An event that is believed has come."""
        kind = str(event.get("Event", ""))
        lacking = _lacking(event)
        if lacking != self._lacking:
            self._lacking = lacking
            self._set(What.VARIABLES, State.MISSING if lacking else State.OK)
            self.changed = True
        if kind not in self._kinds:
            self._kinds.add(kind)
            if kind == "Hangup":
                self._set(What.HANGUPS, State.OK)
            elif self._kinds.issuperset(_DIALS):
                self._set(What.DIALS, State.OK)
        if kind == "Hangup" and self._open:
            self._hung_up(event)

    def refused(self) -> None:
        """One has come that is not believed."""
        self._refused = True

    def began(self, clock: int) -> None:
        """The session has begun by now; `clock` is Asterisk's own, whole epoch seconds."""
        if self._began is None:
            self._began = clock

    def look(self, channels: int | None) -> None:
        """Judge what was due at the last look. `channels`: how many Asterisk has now; None: not known."""
        if self._hangup_due and self.states[What.HANGUPS] is State.NOT_SEEN:
            self._set(What.HANGUPS, State.MISSING)
        if any(kind not in self._kinds for kind in self._dials_due):
            self._set(What.DIALS, State.MISSING)
        if channels is not None:
            if self._channels is not None:
                self._gone += max(0, self._channels - channels)
            self._channels = channels
        self._hangup_due = self._gone >= AMI_HEARING_PROOFS
        self._dials_due = self._dials_lacking()

    def has_ended(self, unique_id: str) -> bool:
        """Whether that call's Hangup has come lately."""
        return unique_id in self._ended

    def is_own(self) -> None:
        """A call that this router has decided is one of this Asterisk's."""
        self._set(What.CALLS, State.OK)
        self._ended.clear()

    def trouble(self, what: What) -> tuple[str, str]:
        """Why something is missing, and what to do about it."""
        if what is What.VARIABLES:
            lacking = self._lacking or []
            loss = "no attempt is seen by it" if _CAMPAIGN in lacking else _SECOND_ATTEMPTS
            return f"its events do not carry {' and '.join(lacking)}: {loss}", _CHANNELVARS
        kinds = "Hangup" if what is What.HANGUPS else ", ".join(self._dials_lacking())
        came = f"calls have ended there, so attempts are not seen, or not how they ended: there was no {kinds} event"
        if self._refused and not self._kinds:
            return f"{came} that is as the router knows it", _FORM
        if self._kinds:
            hint = f"give {_ACCOUNT} an eventfilter for each of {kinds}, and none that drops them; {_AGAIN}"
        else:
            hint = f"give {_ACCOUNT} read = call,system, and no eventfilter that drops these events; {_AGAIN}"
        return came, f"{hint}. Or {_FORM}" if self._refused else hint

    def _hung_up(self, event: Event) -> None:
        """A channel has ended. One that a campaign has dialled in this session should have been told of before."""
        unique_id, linked = str(event.get("Uniqueid", "")), str(event.get("Linkedid", ""))
        if self.states[What.CALLS] is not State.OK:
            self._ended.append(unique_id)
        if self.states[What.DIALS] is State.OK:
            return
        # One with its own Linkedid may be anybody's; a Local channel may lead to none that is dialled.
        if unique_id == linked or str(event.get("Channel", "")).startswith("Local/"):
            return
        if self._began is None or _second(unique_id) <= self._began:
            return
        if not _campaign(event):
            return
        rang = event.get("ChannelState") == _RINGING
        for kind in _DIALS:
            if kind not in self._kinds and (rang or kind != "DialState"):
                calls = self._calls.setdefault(kind, set())
                if len(calls) < AMI_HEARING_PROOFS:
                    calls.add(linked)

    def _dials_lacking(self) -> list[str]:
        due = {kind for kind, calls in self._calls.items() if len(calls) >= AMI_HEARING_PROOFS}
        return [kind for kind in _DIALS if kind in due - self._kinds]

    def _set(self, what: What, state: State) -> None:
        if self.states[what] is not state:
            self.states[what] = state
            self.changed = True
            self._open = {self.states[What.DIALS], self.states[What.CALLS]} != {State.OK}


def _lacking(event: Event) -> list[str]:
    """Of the variables those that no channel in the event has, empty or not."""
    lacking = [_CAMPAIGN, _ATTEMPT]
    for carrier in ("ChanVariable", "DestChanVariable"):
        for each in event.get(carrier, ()):
            name = each.partition("=")[0]
            if name in lacking:
                lacking.remove(name)
        if not lacking:
            break
    return lacking


def _second(unique_id: str) -> int:
    """When a channel was made, by Asterisk's clock, as its unique id says: `1790000000.12` or `name-1790000000.12`."""
    text = unique_id.rpartition("-")[2].partition(".")[0]
    return int(text) if text.isascii() and text.isdigit() else 0


def _campaign(event: Event) -> bool:
    """Whether a campaign's id is set on the channel."""
    pairs = (each.partition("=") for each in event.get("ChanVariable", ()))
    return any(name == _CAMPAIGN and value for name, _, value in pairs)
