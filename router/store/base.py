"""What a store promises, whichever it is. The same tests run against each."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from dialplan.attempts import Attempt
from dialplan.callbacks import Claim, History
from dialplan.model import Row, RowKind
from dialplan.validate import ChangeSet, Stored

ChangedRow: TypeAlias = tuple[RowKind, str, Row | None]
Prepare: TypeAlias = Callable[[Stored], ChangeSet]


class StoreError(Exception):
    """The store cannot do it now; the text says what and where. Nothing was changed."""


class Reading(msgspec.Struct):
    """Rows that changed since a version, or all of them.

    `whole`: the rows are the complete set (the first reading, or one after a gap); what is not among them is gone.
    """

    version: int
    epoch: str  # names the data set's history: another one means that versions cannot be compared
    whole: bool
    batches: AsyncIterator[list[ChangedRow]]


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

    async def read(self, version: int | None, epoch: str) -> Reading:
        """What has changed since `version` of `epoch`, everything where that cannot be said. Raises StoreError.

        One reader at a time: another `read`, or a `wait`, ends a reading that was not finished.
        """
        ...

    async def commit(self, prepare: Prepare) -> Commit:
        """Let `prepare` see what is stored and say what to change, and do that in the same transaction.

        Raises StoreError, and whatever `prepare` raises; nothing is changed then. Nor is it where a cancellation
        comes through; one that comes too late is passed over, and the commit returned.
        """
        ...

    async def view(self, use: Callable[[Stored], None]) -> int:
        """Show what is stored, in one consistent state, to `use`; returns its version. Raises StoreError."""
        ...


class CallbackStore(Protocol):
    """The attempts of outbound campaigns, and which callbacks have used their rights up."""

    async def open(self, *, make: bool = True) -> None:
        """Connect, and make what is missing; without `make` a missing store is a StoreError. Raises StoreError."""
        ...

    async def close(self) -> None:
        """Let go of everything, once or twice; never raises."""
        ...

    async def record(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Write attempts down, durably; returns those that were new, or say more than was known.

        An attempt counts once, by its id. Of two words about the same one, answered stands over missed, and missed over
        failed; the moment is the one that came first. Raises StoreError.
        """
        ...

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        """Let the call `call_id` have the right of its pair, once and for all; see `dialplan.callbacks.claim_of`.

        Atomic: of many calls one gets it. The same call gets the same answer again. Raises StoreError.
        """
        ...

    async def history(self, number: str, subscriber: str) -> History:
        """What a claim would look at; uses up nothing. Raises StoreError."""
        ...

    async def attempts(self, number: str | None, subscriber: str | None, limit: int) -> list[Attempt]:
        """The newest attempts, of a number and of a subscriber where they are given. Raises StoreError."""
        ...

    async def missed(self) -> list[Attempt]:
        """Every missed attempt that is kept, and those that gave a right before they turned out to be answered.

        Raises StoreError.
        """
        ...

    async def forget(self, since: Mapping[str, float], otherwise: float) -> int:
        """Let go of attempts that ended before their campaign's moment, or before `otherwise`; and of their claims.

        Returns how many attempts went. Raises StoreError.
        """
        ...
