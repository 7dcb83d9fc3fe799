"""Whatever has been committed: a table of an image, and of the rows beside it, is that of all rows."""

import asyncio
import datetime as dt
import pathlib
import tempfile
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialplan.kinds.number import Number, ScheduledUpdate
from dialplan.kinds.registry import Row, RowKind
from dialplan.routing.digest import packed
from dialplan.routing.table import Patch, RoutingTable
from dialplan.shards import finished
from router.store.local import table_image
from router.store.local.table_image import TableImage
from tests.property.datasets import tried
from tests.property.test_table_commits import commits, whole
from tests.unit.router.store.logs import Log

LATER = (ScheduledUpdate(dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC), "b"),)
Change = tuple[bool, list[tuple[RowKind, str, Row | None]]]


class Routers:
    """Processes that come one after the other, each with the image of those before, and the rows of all commits."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._rows: dict[tuple[RowKind, str], Row] = {}
        self._version = 0
        self._image = self._started()

    def _started(self) -> TableImage:
        log: Any = Log()
        return TableImage(self._path, log)

    @property
    def _state(self) -> tuple[int, str]:
        return self._version, f"as of {self._version}"

    async def commit(self, change: Change) -> None:
        """As a snapshot follows it, and the table after that."""
        full, rows = change
        before = self._state
        self._version += 1
        numbers = [key for kind, key, _ in rows if kind is RowKind.NUMBER]
        await (self._image.forget() if full else self._image.follow(before, self._state, numbers))
        self._rows = {} if full else self._rows
        for kind, key, row in rows:
            self._rows.pop((kind, key), None)
            if row is not None:
                self._rows[kind, key] = row
        self._image.keep(self._expected(), frozenset(numbers[:1]), self._state)

    def _expected(self) -> RoutingTable:
        table = whole(self._rows)
        table.version = self._version
        return table

    async def restart(self) -> None:
        """End, and start again: the table of the image, if there is one, is that of the rows."""
        await self._image.close()
        self._image = self._started()
        found = await self._image.find(self._state)
        if found is None:
            return
        patch = Patch(self._version, full=True)
        patch.digest += found.image.digest
        async with aclosing(found.image.pieces) as pieces:  # type: ignore[type-var] # a generator
            async for piece in pieces:
                finished(patch.restoring(piece))
        patch.add((kind, key, row) for (kind, key), row in self._rows.items() if kind is not RowKind.NUMBER)
        patch.add((RowKind.NUMBER, key, self._rows.get((RowKind.NUMBER, key))) for key in found.numbers)
        table, expected = RoutingTable().patched(patch), self._expected()
        said = ({key: packed(entry) for key, entry in each.numbers.items()} for each in (table, expected))
        assert next(said) == next(said)
        assert (table.digest, list(table.pool), table.others) == (expected.digest, list(expected.pool), expected.others)

    async def written(self) -> None:
        """Wait until no image is being written."""
        if self._image._task is not None:
            await asyncio.wait([self._image._task])

    async def close(self) -> None:
        await self._image.close()


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """A commit; some of its numbers have updates."""
    full, rows = draw(commits())
    return full, [(kind, key, _updated(row) if draw(st.booleans()) else row) for kind, key, row in rows]


def _updated(row: Row | None) -> Row | None:
    return msgspec.structs.replace(row, updates=LATER) if isinstance(row, Number) else row


@tried(60)
@given(
    st.lists(changes() | st.sampled_from(["restart", "written"]), min_size=2, max_size=10), st.sampled_from([5, 100])
)
def test_a_router_that_starts_has_what_the_rows_say(steps: list[Change | str], changes_max: int) -> None:
    async def run(path: pathlib.Path) -> None:
        routers = Routers(path)
        try:
            for step in steps:
                if step == "restart":
                    await routers.restart()
                elif step == "written":
                    await routers.written()
                else:
                    await routers.commit(step)  # type: ignore[arg-type] # no word
            await routers.written()
            await routers.restart()
        finally:
            await routers.close()

    with pytest.MonkeyPatch.context() as patched, tempfile.TemporaryDirectory() as folder:
        patched.setattr(table_image, "IMAGE_CHANGES_MAX", changes_max)
        asyncio.run(run(pathlib.Path(folder) / "image"))
