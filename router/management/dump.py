"""The whole data set as a data file, as `ringway dump` prints it."""

from collections.abc import Callable, Iterator

from dialplan.dataset.changes import Stored
from dialplan.dataset.dumped import UNKNOWN
from dialplan.dataset.later import Held, LaterRow
from dialplan.kinds.registry import KINDS, RowKind
from router.management import data_files
from router.store.api import Store


async def dump(store: Store, write: Callable[[str], object], *, as_json: bool) -> int:
    """Hand the data set to `write`, piece by piece and in one consistent state; returns its version.

    `write` is called in a thread of the store's, which may let nobody write meanwhile: it should not wait for anybody.
    Raises StoreError, and whatever `write` raises.
    """

    def use(stored: Stored) -> None:
        for piece in data_files.write(all_rows(stored), as_json=as_json):
            write(piece)

    return await store.view(use)


def all_rows(stored: Stored) -> Iterator[tuple[str, Held]]:
    """Every row with its section, in the order of the kinds; those of kinds that are not known come last."""
    for kind in RowKind:
        for row in stored.rows(kind):
            yield kind, row if isinstance(row, LaterRow) else KINDS[kind].loadable(row)
    for row in stored.of_other_kinds():
        yield UNKNOWN, row
