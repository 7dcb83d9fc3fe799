"""What a step of a decision is, and the call that it looks at."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec

from dialplan.campaigns.callbacks import Claim
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.campaign import Campaign
from dialplan.kinds.fields import Destination
from dialplan.kinds.number import CallbackRule, Number
from dialplan.numbering.numbers import Bare, Unreadable
from dialplan.routing.target import Cache, Kind, Routes, Target, Targets, Values, named, place
from dialplan.wording import Code, Message, Trace

# Whether there may be an unanswered attempt of that number to that subscriber, both E.164.
Pending: TypeAlias = Callable[[str, str], bool]

_LEADS_THERE = Code("leads-there", "{target}: {place}")
_LEADS_NOWHERE = Code("no-target", "the number has neither call flow nor inbound campaign")
_NOT_ACTIVE = Code("target-not-active", "{target} is not active")
_NOT_STORED = Code("target-not-stored", "{target} is not stored")
_UNREAD = Code("target-unread", "{target} is stored, and cannot be read by this version")


class Call(msgspec.Struct, frozen=True, gc=False):
    """One call as it comes in: texts as the trunk sent them, and how to read them."""

    dialled: str
    caller: str  # empty where withheld
    region: str  # ISO country for national numbers
    bare: Bare


class Numbered(Protocol):
    """What the steps know of a number; see `dialplan.routing.entry.Entry`."""

    @property
    def company(self) -> str | None:
        """Its owner; None: it belongs to the pool."""

    @property
    def active(self) -> bool:
        """Whether calls to it are handled."""

    @property
    def base(self) -> Target | None:
        """Where it leads when nothing else is due."""

    @property
    def callback_rule(self) -> CallbackRule:
        """What its row says of callbacks."""

    @property
    def steps(self) -> tuple[tuple[str, object], ...]:
        """What steps have made of its row."""


class ClaimNeed(msgspec.Struct, frozen=True):
    """A callback wants its entitlement: what no router may give by itself.

    Whoever answers it knows its deadline, and has an answer declared for when that is over.
    """

    number: str  # E.164
    subscriber: str  # E.164
    entry: Numbered


class Following(msgspec.Struct, frozen=True, gc=False):
    """Where calls to the same number go once the route in force ends, until the moment `until` (epoch seconds)."""

    kind: Kind
    destination: Destination
    row: CallFlow | Campaign | None  # None: the platform's default
    values: Values
    until: int | None

    @property
    def key(self) -> tuple[object, ...]:
        """The same for equal ones, as long as `row` is held."""
        return (self.kind, self.destination, id(self.row), self.values, self.until)


class Situation:
    """A call on its way through the steps, and what they have made of it so far.

    `row` is the flow or campaign that takes it, None as long as nothing does. `ended`: no step but the last looks on.
    `cache`, `until` (epoch seconds) and `following`: what Asterisk may do with the answer.
    """

    __slots__ = (
        *("cache", "caller", "company", "default", "destination", "ended", "entry", "following", "kind"),
        *("left_out", "now", "number", "pending", "reason", "routes", "row", "trace", "until", "values"),
    )

    def __init__(
        self,
        caller: str,
        number: str | Unreadable,
        entry: Numbered | None,
        routes: Routes,
        now: float,
        default: Destination,
        trace: Trace | None,
        pending: Pending | None,
    ) -> None:
        self.caller = caller  # E.164, or empty
        self.number = number
        self.entry = entry
        self.routes = routes
        self.now = now  # epoch seconds, UTC
        self.default = default
        self.trace = trace
        self.pending = pending
        self.reason = ""
        self.ended = False
        self.left_out = False  # it leads to what is stored, and cannot be read
        self.row: CallFlow | Campaign | None = None
        self.kind = Kind.DEFAULT
        self.values: Values = ()
        self.destination = default
        self.company = (entry.company or "") if entry is not None else ""
        self.cache = Cache.NO
        self.until: int | None = None
        self.following: Following | None = None

    def lead(self, reason: str, target: Target | None) -> None:
        """Send the call there for that reason, if the table has it."""
        self.reason = reason
        self.row = row = target.row(self.routes) if target is not None else None
        if target is not None and row is not None:
            self.cache = Cache.KEEP
            self.kind, self.destination, self.values = target.kind, row.destination, target.values
        elif target is not None:
            self.left_out = target.is_left_out(self.routes)
        if self.trace is not None:
            self._tell(target)

    def _tell(self, target: Target | None) -> None:
        if target is None:
            self.tell("destination", "none", _LEADS_NOWHERE())
        elif self.row is not None:
            self.tell(
                "destination", "taken", _LEADS_THERE(target=named(target, values=False), place=place(self.destination))
            )
        else:
            code = _UNREAD if self.left_out else _NOT_STORED if target.kind is Kind.CALL_FLOW else _NOT_ACTIVE
            self.tell("destination", "rejected", code(target=named(target)))

    def end(self, reason: str, cache: Cache) -> None:
        """Send the call to a default for that reason."""
        self.reason = reason
        self.cache = cache
        self.ended = True

    def tell(self, name: str, outcome: str, details: Message) -> None:
        """Tell a trace, if there is one."""
        if self.trace is not None:
            self.trace.step(name, outcome, details)


class Step:
    """One way of deciding. `reasons`: the words that it gives to calls that it decides; they are public.

    It says in the situation what Asterisk may do with the answer: one that is right for any caller until a moment that
    the step knows may be kept.

    `everywhere`: it looks at each call that runs the list, not only at those to numbers whose row it has made something
    of. `last`: it looks at calls that an earlier step has ended, too.
    """

    name: str
    reasons: tuple[str, ...] = ()
    everywhere = False
    last = False

    def compile(self, row: Number, targets: Targets) -> object | None:
        """At load: what the step has to know of a number; None where it has nothing to do there.

        A number of which no step knows anything is decided without the list. What is made is a value that MessagePack
        can write: the table's digest has it.
        """
        del row, targets
        return None

    def resolve(self, call: Situation, known: object | None) -> ClaimNeed | None:
        """Look at a call; `known` is what `compile` made. With what a need asks for, `answered` goes on."""
        raise NotImplementedError

    def answered(self, call: Situation, answer: Claim) -> None:
        """Go on with what was needed."""
        raise NotImplementedError
