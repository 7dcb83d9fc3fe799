"""A shared store of which a part is missing: the snapshot serves, and what is left never goes over it."""

import pytest

from dialplan.kinds.registry import RowKind
from router.store.api import UnfitError
from router.store.codec import CODES
from tests.samples import company, flow, number
from tests.unit.router.store import content as data
from tests.unit.router.store.redis_data import broken
from tests.unit.router.store.snapshots import Place, in_step, keys, meeting, taken

SET = [company(), flow("menu"), number(call_flow="menu")]
KEYS = {"acme", "menu", "+442079460000"}
KINDS = [RowKind.COMPANY, RowKind.CALL_FLOW, RowKind.NUMBER]


@pytest.fixture
async def filled(place: Place) -> Place:
    await data.commit(place.writer, *SET)
    return place


def lose(place: Place, kind: RowKind) -> None:
    place.server.command("DEL", f"{{{place.prefix}}}:rows:{CODES[kind]}")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_router_that_starts_beside_a_part_of_its_data_serves_the_snapshot(filled: Place, kind: RowKind) -> None:
    await in_step(await filled.started())
    lose(filled, kind)
    reading = await (await filled.started()).read(None, "")
    assert isinstance(reading.instead_of, UnfitError)
    known, rows = await taken(reading)
    assert (known[0], keys(rows)) == (1, KEYS)
    assert filled.held() == (1, KEYS)
    assert "snapshot_serves" in filled.log.names()


@pytest.mark.parametrize("kind", KINDS)
async def test_without_a_snapshot_a_router_does_not_start_beside_a_part_of_its_data(
    filled: Place, kind: RowKind
) -> None:
    lose(filled, kind)
    store = await filled.started()
    text = await broken(store.read(None, ""))
    assert f"of its 1 {kind} it has 0; restore a backup" in text
    assert "there is no snapshot in" in text


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_left_does_not_go_over_a_good_snapshot(filled: Place, kind: RowKind) -> None:
    """A router that has to read everything while it runs: its changes have a gap, and the rows are not all there."""
    store = await filled.started()
    known, _ = await in_step(store)
    for name in ("a", "b"):
        await filled.writer.commit(data.flows(name))
    filled.server.command("DEL", f"{{{filled.prefix}}}:changes")
    lose(filled, kind)
    for _ in range(2):
        await broken(store.wait(*known, 0))
        await broken(store.read(*known))
    assert filled.held() == (1, KEYS)


async def test_a_row_that_is_missing_in_a_full_reading_leaves_the_snapshot_as_it_is(filled: Place) -> None:
    store = await filled.started()
    known, _ = await in_step(store)
    await filled.writer.commit(data.flows("a"))
    filled.server.command("DEL", f"{{{filled.prefix}}}:changes")
    filled.server.command("HDEL", f"{{{filled.prefix}}}:rows:2", "menu")
    assert await store.wait(*known, 0)
    reading = await store.read(*known)
    assert "of its 2 call_flows it has 1" in await broken(taken(reading))
    assert filled.held() == (1, KEYS)
    await data.commit(filled.writer, *SET, whole=True)
    assert await store.wait(*known, 0)
    known, _ = await taken(await store.read(*known))
    await meeting(store, known)
    assert filled.held() == (3, KEYS)
