"""Where a call may lead, before it is known whether that is there: a call flow with values, or an inbound campaign."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import ClassVar, Protocol, TypeAlias

import msgspec

from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.campaign import Campaign
from dialplan.kinds.company import Company
from dialplan.kinds.fields import Destination
from dialplan.kinds.kind import RowKind
from dialplan.kinds.parameter import ParameterValue
from dialplan.routing.kept import Kept
from dialplan.wording import Code, Message, quote

# Different targets and entries, and texts of theirs, that are looked for among the latest, so that equal ones are one
# object. With more, some are there twice; that many take some 15 MB.
SHARED_MAX = 65_536

Values: TypeAlias = tuple[tuple[str, ParameterValue], ...]

_FLOW = Code("target-flow", "call flow {flow!q}")
_FLOW_WITH_VALUES = Code("target-flow-with-values", "call flow {flow!q} with {values}")
_CAMPAIGN = Code("target-campaign", "inbound campaign {campaign!q}")
_NOTHING = Code("target-nothing", "nothing")
_PLACE = Code("destination", "{context},{exten},{priority}")


class Kind(StrEnum):
    """What a call is sent to. Stable: ROUTE_KIND, metrics and dashboards carry these words."""

    CALL_FLOW = "call-flow"
    CAMPAIGN = "campaign"
    DEFAULT = "default"


class Cache(StrEnum):
    """What Asterisk does with the route that it keeps for a number, for when no router answers. Stable: ROUTE_CACHE."""

    KEEP = "keep"  # it keeps this one
    NO = "no"  # it leaves what is there
    DROP = "drop"  # it deletes what is there


class Routes(Protocol):
    """What of the table a target or a step may look at."""

    @property
    def version(self) -> int:
        """Of the data set; 0 where none has ever been read."""

    @property
    def companies(self) -> Mapping[str, Company]:
        """By id."""

    @property
    def flows(self) -> Mapping[str, CallFlow]:
        """By id."""

    @property
    def campaigns(self) -> Mapping[str, Campaign]:
        """By id."""

    @property
    def left_out(self) -> AbstractSet[tuple[object, str]]:
        """Kinds and keys of stored rows that cannot be read: nothing can be said of them."""


class ToFlow(msgspec.Struct, frozen=True, gc=False, eq=False, tag="flow"):
    """To a call flow, without values of its own. Compared by identity: equal ones are one object."""

    kind: ClassVar[Kind] = Kind.CALL_FLOW
    values: ClassVar[Values] = ()  # no property: the usual call reads it

    flow: str

    def row(self, routes: Routes) -> CallFlow | None:
        """The flow as it is now; None where there is none."""
        return routes.flows.get(self.flow)

    def is_left_out(self, routes: Routes) -> bool:
        """Whether it is stored and cannot be read."""
        return (RowKind.CALL_FLOW, self.flow) in routes.left_out

    def words(self, *, values: bool) -> Message:
        """What it is called, with its values or without."""
        if not values or not self.values:
            return _FLOW(flow=self.flow)
        listed = ", ".join(f"{name}={quote(value)}" for name, value in self.values)
        return _FLOW_WITH_VALUES(flow=self.flow, values=listed)


class ToFlowWithValues(ToFlow, frozen=True, gc=False, eq=False, tag="flow-with-values"):
    """To a call flow with values for its parameters: those of `names`, which many share, in their order."""

    names: tuple[str, ...]
    given: tuple[ParameterValue, ...]

    @property
    def values(self) -> Values:  # type: ignore[override] # it reads the same
        """Each with its name."""
        return tuple(zip(self.names, self.given, strict=True))


class ToCampaign(msgspec.Struct, frozen=True, gc=False, eq=False, tag="campaign"):
    """To an inbound campaign. Compared by identity: equal ones are one object."""

    kind: ClassVar[Kind] = Kind.CAMPAIGN
    values: ClassVar[Values] = ()

    campaign: str

    def row(self, routes: Routes) -> Campaign | None:
        """The campaign as it is now; None where there is none, or it is not active."""
        campaign = routes.campaigns.get(self.campaign)
        return campaign if campaign is not None and campaign.active else None

    def is_left_out(self, routes: Routes) -> bool:
        """Whether it is stored and cannot be read."""
        return (RowKind.CAMPAIGN, self.campaign) in routes.left_out

    def words(self, *, values: bool) -> Message:
        """What it is called."""
        del values  # it has none
        return _CAMPAIGN(campaign=self.campaign)


Target: TypeAlias = ToFlow | ToCampaign


class Assigned(Protocol):
    """What says where calls go: an assignment, or a number's row."""

    @property
    def call_flow(self) -> str | None:
        """The flow's id."""

    @property
    def inbound_campaign(self) -> str | None:
        """The campaign's id."""

    @property
    def parameters(self) -> Mapping[str, ParameterValue]:
        """Values for the flow's parameters."""


class Targets:
    """Makes targets of assignments: the same object for all with the same flow and no values of their own.

    Of texts that they share, too, one object is kept.
    """

    def __init__(self) -> None:
        self._shared: Kept[tuple[str | None, str | None], Target] = Kept(SHARED_MAX)
        self._texts: Kept[str, str] = Kept(SHARED_MAX)
        self._names: Kept[tuple[str, ...], tuple[str, ...]] = Kept(SHARED_MAX)

    def of(self, assignment: Assigned) -> Target | None:
        """Where an assignment leads; None where it names nothing."""
        flow, campaign = assignment.call_flow, assignment.inbound_campaign
        shared = self._shared.get((flow, campaign))
        if shared is None:
            if flow is not None:
                shared = ToFlow(flow)
            elif campaign is not None:
                shared = ToCampaign(campaign)
            else:
                return None
            self._shared.put((flow, campaign), shared)
        if assignment.parameters and isinstance(shared, ToFlow):
            names = tuple(assignment.parameters)
            names = self._names.get(names) or self._names.put(names, names)
            return ToFlowWithValues(shared.flow, names, tuple(assignment.parameters.values()))
        return shared

    def text(self, text: str | None) -> str | None:
        """The same text, as one object for all."""
        return (self._texts.get(text) or self._texts.put(text, text)) if text else text


def named(target: Target | None, *, values: bool = True) -> Message:
    """What a target is called, with the values that go along or without."""
    return target.words(values=values) if target is not None else _NOTHING()


def place(destination: Destination) -> Message:
    """A destination as Asterisk's dialplan writes it."""
    return _PLACE(context=destination.context, exten=destination.exten, priority=destination.priority)
