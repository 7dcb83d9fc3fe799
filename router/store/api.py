"""What a store promises, whichever it is. The same tests run against each."""

import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

from dialplan.campaigns.attempts import Attempt, Heard
from dialplan.campaigns.callbacks import Claim, History
from dialplan.campaigns.retention import Cutoffs
from dialplan.dataset.changes import ChangeSet, Stored
from dialplan.dataset.later import AnyKind, Held
from dialplan.routing.image import Image
from dialplan.routing.table import RoutingTable

ChangedRow: TypeAlias = tuple[AnyKind, str, Held | None]
Prepare: TypeAlias = Callable[[Stored], ChangeSet]
Made: TypeAlias = Callable[[str], None]  # is told the name of a store that was not there, and was made


def unsaid(_: str) -> None:
    """For whoever is told by something else that a store was made."""


class StoreError(Exception):
    """The store cannot do it now; the text says what and where. Nothing was changed, unless the text says otherwise."""


class NoStoreError(StoreError):
    """There is none yet; nothing has been written into it."""


class Unfit(enum.StrEnum):
    """Why what a store has cannot be relied on: a part of it is missing, or it may throw rows away."""

    INCOMPLETE = "incomplete"
    EVICTS = "evicts"


class UnfitError(StoreError):
    """It answers, but what it has cannot be taken for the whole data set, or may not be that for long."""

    def __init__(self, text: str, cause: Unfit) -> None:
        self.cause = cause
        super().__init__(text)


def rebuilt() -> UnfitError:
    """The error of a store that had a data set once, and has none now."""
    text = "the store was rebuilt, and nothing has been loaded into it; load the data again"
    return UnfitError(text, Unfit.INCOMPLETE)


class TableRead(msgspec.Struct):
    """Rows that changed since a version, or all of them.

    `version` and `epoch` are those of all the rows together, when the batches have come to their end. A row may come
    more than once; the last word on it counts.
    `full`: the rows are the complete set (the first reading, or one after a gap); what is not among them is gone.
    """

    version: int
    epoch: str  # names the data set's history: another one means that versions cannot be compared
    full: bool
    batches: AsyncIterator[list[ChangedRow]]
    # When this was known to be in step (epoch seconds), where it is not the store itself that was asked just now.
    seen_at: float | None = None
    instead_of: StoreError | None = None  # and why it is not
    image: Image | None = None  # numbers that are among these rows too; the batches have the others and come after it
    # Is to be told of the table that was made of it, and of the numbers in it that this version reads leniently.
    keep: Callable[[RoutingTable, Collection[str]], None] | None = None


class Commit(msgspec.Struct, frozen=True):
    """What a commit did. Nothing to change: the version stays."""

    version: int
    changed: int


class Store(Protocol):
    """The truth about companies, flows, campaigns and numbers.

    Each commit is whole or absent, durable once it is acknowledged, and has a version one above the last.
    """

    name: str

    async def open(self, *, make: bool = True) -> None:
        """Connect, and make what is missing; without `make` a missing store is a StoreError. Raises StoreError."""
        ...

    async def close(self) -> None:
        """Let go of everything, once or twice; never raises."""
        ...

    async def wait(self, version: int, epoch: str, seconds: float) -> bool:
        """Wait for something newer than `version` of `epoch`: True as soon as there is, False after `seconds`.

        Either way the store has answered. Raises StoreError where it does not.
        """
        ...

    async def read(self, version: int | None, epoch: str) -> TableRead:
        """What has changed since `version` of `epoch`, everything where that cannot be said. Raises StoreError.

        One reader at a time: another `read`, or a `wait`, ends a reading that was not finished.
        """
        ...

    async def commit(self, prepare: Prepare, *, whole: bool = False) -> Commit:
        """Let `prepare` see what is stored and say what to change, and do that if it is still so.

        Others may write while it is prepared: where somebody did, it is prepared once more, while nobody may.
        `whole`: afterwards there is what `prepare` knows, and nothing else. A set that is incomplete is mended by that;
        by any other change it is not touched. Nobody writes meanwhile.
        Raises StoreError, and whatever `prepare` raises; nothing is changed then. Nor is it where a cancellation
        comes through; one that comes too late is passed over, and the commit returned.
        """
        ...

    async def view(self, use: Callable[[Stored], None]) -> int:
        """Show what is stored, in one consistent state, to `use`; returns its version. Raises StoreError."""
        ...


class Recorded(NamedTuple):
    """What is known of an attempt after it was written down, and what the last word about it was."""

    attempt: Attempt
    heard: Heard


class AttemptChanges(NamedTuple):
    """Attempts to remember, and the cursor to ask with again.

    `full`: they are all that may matter to a callback, see `dialplan.campaigns.retention.Relevant`. What is not among
    them does not matter any more. Otherwise they are those that were written down since.
    """

    cursor: str
    full: bool
    # Short ones, so that whoever takes them in can let calls go first; no lists: the garbage collector leaves tuples
    # alone that have nothing for it, and would look through all of them otherwise while calls wait.
    pages: list[tuple[Attempt, ...]]

    @property
    def attempts(self) -> list[Attempt]:
        """All of them."""
        return [attempt for page in self.pages for attempt in page]


class AttemptPlace(NamedTuple):
    """Where an attempt stands in a list of them: by its end, and of those of one moment by what names it."""

    at: float
    number: str
    subscriber: str
    id: str


def place_of(attempt: Attempt) -> AttemptPlace:
    """Where it stands."""
    return AttemptPlace(attempt.at, attempt.number, attempt.subscriber, attempt.id)


class Use(NamedTuple):
    """A consumed entitlement: by which call, when that began, and up to when it consumes them (both epoch seconds)."""

    call_id: str
    at: float
    used_at: float


class CallbackStore(Protocol):
    """The attempts of outbound campaigns, and which callbacks have consumed their entitlements."""

    async def open(self, *, make: bool = True) -> None:
        """Connect, and make what is missing; without `make` a missing store is a StoreError. Raises StoreError."""
        ...

    async def close(self) -> None:
        """Let go of everything, once or twice; never raises."""
        ...

    async def record(self, attempts: Sequence[Attempt]) -> list[Recorded]:
        """Write attempts down, durably; returns for each what is known of it now, and whether that is new.

        An attempt counts once, by its id and its two numbers; see `dialplan.campaigns.attempts.merged`.
        Raises StoreError.
        """
        ...

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        """Let the call `call_id` have the entitlement of its pair, once and for all.

        See `dialplan.campaigns.callbacks.claim_of`.

        Atomic: of many calls one gets it. The same call gets the same answer again, but for one that found no attempt
        that came to its subscriber. Raises StoreError.
        """
        ...

    async def history(self, number: str, subscriber: str, until: float) -> History:
        """What a claim would have looked at then (epoch seconds); consumes nothing. Raises StoreError."""
        ...

    async def uses(self, number: str, subscriber: str, until: float) -> list[Use]:
        """The calls that consumed an entitlement of a pair and began before then, the first one first.

        Raises StoreError.
        """
        ...

    async def attempts(
        self,
        number: str | None,
        subscriber: str | None,
        limit: int,
        *,
        campaign: str | None = None,
        after: AttemptPlace | None = None,
    ) -> list[Attempt]:
        """A page of attempts, the greatest `AttemptPlace` first: of a number, a subscriber, a campaign, where given.

        `after`: where the last one of the page before stands. A page of all attempts, or of those of a number, a
        subscriber, a pair or a campaign, costs what it has, however many there are. With a campaign beside one of the
        others those of the other are looked through. Raises StoreError.
        """
        ...

    async def changes(self, cursor: str, seconds: float) -> AttemptChanges:
        """What was written down since `cursor`, by whomever; waits so long for it. Everything where that is not known.

        Raises StoreError.
        """
        ...

    async def purge(self, cutoffs: Cutoffs) -> int:
        """Delete the attempts that are past, see `dialplan.campaigns.retention`, and their claims; how many went.

        Raises StoreError.
        """
        ...

    async def purged_at(self) -> float | None:
        """By which moment the last purge went (epoch seconds); None where there was none. Raises StoreError."""
        ...

    async def note_purge(self, moment: float) -> None:
        """Keep by which moment a purge went. Raises StoreError."""
        ...

    @property
    def pending_count(self) -> int:
        """How many attempts wait on this machine for a store that is away, about."""
        ...

    async def pending(self) -> list[Attempt]:
        """Attempts that wait on this machine for a store that is away; none where there is no such place.

        Raises StoreError.
        """
        ...


class CounterStore(Protocol):
    """Counters that the routers of a store share. They are open as long as its attempts and claims are."""

    async def next(self, sequence_key: str) -> int:
        """One more than the last time, for whichever router asked; the first time 1. Raises StoreError.

        `sequence_key` names the counter, such as the list of numbers that are shown round-robin.
        """
        ...


class Inspection(NamedTuple):
    """What a shared server says of itself, for whoever checks a site.

    `refused`: the rights that its user lacks, None where it cannot tell. `policy`: which keys it throws away when its
    memory is full ("": not told), `limited`: whether that may come to pass. `appends`: whether it logs to disk what it
    is given. `clock_ahead`: its clock less this machine's, in seconds, to within `clock_within`. None: not told.
    """

    refused: tuple[str, ...] | None
    policy: str = ""
    limited: bool = False
    appends: bool | None = None
    clock_ahead: float | None = None
    clock_within: float = 0.0


class Stores(NamedTuple):
    """What an address of a store stands for: the data set, the attempts and claims, the counters that routers share.

    `counters` is None in the embedded store, where each router counts for itself. `shown` is the address without any
    secret; `shared`: routers on other machines use it too. `inspect` asks a server that is elsewhere about itself, and
    raises StoreError; its connections end with those of `callbacks`.
    """

    rows: Store
    callbacks: CallbackStore
    counters: CounterStore | None
    shown: str
    shared: bool
    inspect: Callable[[], Awaitable[Inspection]] | None = None
