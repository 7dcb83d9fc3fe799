"""Routers that start with the image beside their snapshot: their tables are those of all rows."""

import asyncio
from typing import Any, NamedTuple

import pytest
import structlog

from dialplan.dataset.changes import ChangeSet
from dialplan.kinds.registry import RowKind
from router.observe.metrics import Metrics
from router.store.api import Store, TableRead
from router.store.table_sync import TableSync
from tests.processes import PATIENCE_SECONDS
from tests.samples import company, flow, number
from tests.unit.router.store import content as data
from tests.unit.router.store.snapshots import Place, meeting

SITE = (
    *(company(), flow("menu"), flow("night")),
    *(number(f"020794600{place:02}", call_flow="menu") for place in range(50)),
    number("02079460090", call_flow="menu", updates=[{"at": "2099-01-01T12:00:00", "call_flow": "night"}]),
)


class Router(NamedTuple):
    """Its table, and what its store gave it at first."""

    sync: TableSync
    first: TableRead

    @property
    def said(self) -> tuple[Any, ...]:
        """All that calls may see of the table."""
        table = self.sync.table
        return table.version, table.digest, set(table.numbers), set(table.flows), table.left_out


async def started(store: Store) -> Router:
    """A router that has read its store."""
    read, found = store.read, []

    async def reading(version: int | None, epoch: str) -> TableRead:
        found.append(await read(version, epoch))
        return found[-1]

    store.read = reading  # type: ignore[method-assign]
    sync = TableSync(store, structlog.wrap_logger(None, processors=[structlog.testing.LogCapture()]), Metrics())
    await sync.load()
    return Router(sync, found[0])


async def written(place: Place) -> None:
    """Wait until an image lies beside the snapshot."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not place.log.of("table_image"):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


@pytest.fixture
async def site(place: Place) -> Place:
    """A router has been there."""
    await data.commit(place.writer, *SITE)
    store = await place.started()
    router = await started(store)
    assert router.first.image is None
    await meeting(store, (router.first.version, router.first.epoch))
    await written(place)
    return place


async def test_without_the_store_it_serves(site: Place) -> None:
    expected = await started(site.writer)
    site.away()
    router = await started(await site.started())
    assert router.first.image is not None
    assert router.sync.without_store
    assert router.said == expected.said


async def test_with_the_store_what_has_changed_since_is_added(site: Place) -> None:
    await data.commit(site.writer, number("02079460001", call_flow="night"), number("02079460099"))
    await site.writer.commit(lambda _: ChangeSet({RowKind.NUMBER: {"+442079460002": None}}))
    router = await started(await site.started())
    assert router.first.image is not None
    expected = await started(site.writer)
    assert "+442079460002" not in expected.sync.table.numbers
    assert router.said == expected.said
    site.away()
    again = await started(await site.started())
    assert again.first.image is not None
    assert again.said == expected.said


async def test_what_a_running_router_follows_is_there_at_the_next_start(site: Place) -> None:
    router = await started(await site.started())
    task = asyncio.create_task(router.sync.run())
    await data.commit(site.writer, flow("night", destination={"context": "other"}), number("02079460001"))
    last = await data.commit(site.writer, number("02079460098", call_flow="night"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while router.sync.table.version != last.version:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    site.away()
    again = await started(await site.started())
    assert again.first.image is not None
    assert again.said == router.said
    assert again.sync.table.flows["night"].destination.context == "other"


async def test_a_damaged_image_is_a_start_by_the_rows(site: Place) -> None:
    expected = await started(site.writer)
    site.away()
    image = site.path.with_name("snapshot.db-table")
    content = bytearray(image.read_bytes())
    content[content.index(b"+4420794600")] ^= 1
    image.write_bytes(content)
    router = await started(await site.started())
    assert router.first.image is not None
    assert router.said == expected.said
    assert not image.exists()


async def test_one_that_is_gone_is_a_start_by_the_rows(site: Place) -> None:
    expected = await started(site.writer)
    site.away()
    site.path.with_name("snapshot.db-table").unlink()
    router = await started(await site.started())
    assert router.first.image is None
    assert router.said == expected.said


async def test_an_image_of_before_somebody_else_wrote_to_the_snapshot_is_not_taken(site: Place) -> None:
    """A router of a version that knows no images follows the store, and notes nothing in the one that is there."""
    site.change("UPDATE meta SET version = version + 1")
    site.change("DELETE FROM rows WHERE key = '+442079460003'")
    site.away()
    router = await started(await site.started())
    assert router.first.image is None
    assert "+442079460003" not in router.sync.table.numbers
    assert "+442079460004" in router.sync.table.numbers


async def test_a_set_that_was_lost_and_loaded_again_leaves_nothing_of_the_old_image(site: Place) -> None:
    store = await site.started()
    router = await started(store)
    task = asyncio.create_task(router.sync.run())
    site.server.command("DEL", f"{{{site.prefix}}}:changes")
    await data.commit(site.writer, company(), flow("menu"), number("02079460077", call_flow="menu"), whole=True)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while set(router.sync.table.numbers) != {"+442079460077"}:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    await meeting(store, (router.sync.table.version, router.sync._epoch))
    site.away()
    again = await started(await site.started())
    assert again.said == router.said
