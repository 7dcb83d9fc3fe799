"""What the tests of stores put in and read back."""

from dialplan.dataset.changes import ChangeSet, Stored, prepare
from dialplan.dataset.later import AnyKind, Held, held_key
from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.fields import Destination
from dialplan.kinds.registry import Row, RowKind
from router.store.api import Commit, Prepare, Store, TableRead
from tests.samples import Entry, raw

Content = dict[tuple[AnyKind, str], Held | None]


def of(*entries: Entry, replace: bool = False) -> Prepare:
    """What `commit` wants: the check of these entries."""
    return lambda stored: prepare(raw(*entries), stored, replace=replace)


def flows(*names: str, context: str = "c") -> Prepare:
    """Write call flows without a check, for tests that need many rows or odd ones."""
    rows: dict[str, Row | None] = {name: CallFlow(name, name, Destination(context)) for name in names}
    return lambda _: ChangeSet({RowKind.CALL_FLOW: rows})


def removal(*names: str) -> Prepare:
    """Remove call flows."""
    return lambda _: ChangeSet({RowKind.CALL_FLOW: dict.fromkeys(names)})


async def content(reading: TableRead) -> Content:
    """All rows of a reading."""
    return {(kind, key): row async for batch in reading.batches for kind, key, row in batch}


async def everything(store: Store) -> Content:
    """All that is stored."""
    return await content(await store.read(None, ""))


async def commit(store: Store, *entries: Entry, replace: bool = False, whole: bool = False) -> Commit:
    """Check and write entries; `whole`: they are the whole set, whatever there was."""
    return await store.commit(of(*entries, replace=replace or whole), whole=whole)


def seen_by(view: Stored) -> Content:
    """All that a check sees."""
    return {(kind, held_key(row)): row for kind in RowKind for row in view.rows(kind)}
