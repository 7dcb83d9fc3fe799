"""The whole data set as a data file, as `ringway dump` prints it."""

from collections.abc import Callable, Iterator

from dialplan.dataset.changes import Stored
from dialplan.kinds.registry import KINDS, Row, RowKind
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


def all_rows(stored: Stored) -> Iterator[tuple[RowKind, Row]]:
    """Every row with its kind, in the order of the kinds."""
    for kind in RowKind:
        for row in stored.rows(kind):
            yield kind, KINDS[kind].loadable(row)
