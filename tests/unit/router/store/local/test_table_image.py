"""The image beside the snapshot: written once, followed by changes, and forgotten where it cannot be relied on."""

import asyncio
import pathlib
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from dialplan.kinds.number import Number
from dialplan.kinds.registry import Row, RowKind
from dialplan.routing.table import Patch, RoutingTable
from router.store.api import StoreError
from router.store.local import disk, table_image
from router.store.local.image_file import State, Writer
from router.store.local.table_image import Found, TableImage
from tests.unit.router.store.logs import Log

A, B, C = (f"+44207946000{place}" for place in range(3))


def at(version: int) -> State:
    return version, f"as of {version}"


def table(version: int, **flows: str | None) -> RoutingTable:
    """Numbers, by their last digit, and their flows."""
    rows: list[tuple[RowKind, str, Row | None]] = []
    for last, flow in flows.items():
        key = f"+44207946000{last.removeprefix('n')}"
        rows.append((RowKind.NUMBER, key, Number(key, call_flow=flow)))
    patch = Patch(version, full=True)
    patch.add(rows)
    return RoutingTable().patched(patch)


class Place:
    """A file, and the images of processes that come one after the other."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.path = folder / "snapshot.db-table"
        self.log = Log()
        self.opened: list[TableImage] = []

    def image(self) -> TableImage:
        """As of a router that has just started."""
        log: Any = self.log
        self.opened.append(TableImage(self.path, log))
        return self.opened[-1]

    async def written(self, *versions: int) -> None:
        """Wait until the log tells of these, in their order."""
        await until(lambda: [each["version"] for each in self.log.of("table_image")] == list(versions))

    async def failed(self) -> None:
        """Wait until the log says that it cannot be written."""
        await until(lambda: bool(self.log.of("table_image_failed")))


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that nobody tells of."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.fixture
async def place(tmp_path: pathlib.Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    for image in made.opened:
        await image.close()


async def held(found: Found | None) -> dict[str, str | None]:
    """Numbers and their flows."""
    assert found is not None
    flows: dict[str, str | None] = {}
    async with aclosing(found.image.pieces) as pieces:  # type: ignore[type-var] # a generator
        async for piece in pieces:
            for row, numbers in zip(piece.rows, piece.numbers, strict=True):
                flows |= dict.fromkeys(numbers, row.call_flow)
    return flows


async def test_one_is_written_where_there_is_none_and_the_next_start_finds_it(place: Place) -> None:
    first = place.image()
    assert await first.find(at(3)) is None
    first.keep(table(3, n0="a", n1="b"), frozenset(), at(3))
    await place.written(3)
    found = await place.image().find(at(3))
    assert await held(found) == {A: "a", B: "b"}
    assert found is not None
    assert found.numbers == []
    assert found.image.digest == table(3, n0="a", n1="b").digest


async def test_changes_are_noted_and_no_other_one_is_written(place: Place) -> None:
    image = place.image()
    image.keep(table(3, n0="a"), frozenset(), at(3))
    await place.written(3)
    await image.follow(at(3), at(5), [C, B])
    image.keep(table(5, n0="a", n1="b", n2="c"), frozenset(), at(5))
    await image.follow(at(5), at(6), [])
    later = place.image()
    assert await later.find(at(5)) is None
    found = await later.find(at(6))
    assert found is not None
    assert found.numbers == [B, C]
    await later.follow(at(6), at(7), [A])
    found = await place.image().find(at(7))
    assert found is not None
    assert found.numbers == [A, B, C]
    await place.written(3)


async def test_numbers_set_aside_are_to_be_read(place: Place) -> None:
    image = place.image()
    image.keep(table(3, n0="a", n1="b"), frozenset([B]), at(3))
    await place.written(3)
    found = await place.image().find(at(3))
    assert found is not None
    assert found.numbers == [B]
    assert await held(found) == {A: "a"}


async def test_too_many_changes_make_a_new_one_due(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_image, "IMAGE_CHANGES_MAX", 2)
    image = place.image()
    image.keep(table(3, n0="a"), frozenset(), at(3))
    await place.written(3)
    await image.follow(at(3), at(4), [A, B])
    assert place.path.exists()
    await image.follow(at(4), at(5), [C])
    assert not place.path.exists()
    image.keep(table(5, n2="c"), frozenset(), at(5))
    await place.written(3, 5)
    assert await held(await place.image().find(at(5))) == {C: "c"}


async def test_changes_that_it_has_not_been_told_of_make_it_useless(place: Place) -> None:
    image = place.image()
    image.keep(table(3, n0="a"), frozenset(), at(3))
    await place.written(3)
    await image.follow(at(4), at(5), [A])
    assert not place.path.exists()


async def held_up(place: Place, image: TableImage, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let it begin to write, and wait at its first step; what is returned lets it go on."""
    come, go_on = asyncio.Event(), threading.Event()
    loop, add = asyncio.get_running_loop(), Writer.add

    def waiting(self: Writer, piece: Any) -> None:
        loop.call_soon_threadsafe(come.set)
        assert go_on.wait(10)
        add(self, piece)

    monkeypatch.setattr(Writer, "add", waiting)
    image.keep(table(3, n0="a"), frozenset(), at(3))
    async with asyncio.timeout(10):
        await come.wait()
    assert place.log.of("table_image") == []
    return go_on.set


async def test_what_changes_while_it_is_written_is_noted_at_its_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = place.image()
    go_on = await held_up(place, image, monkeypatch)
    await image.follow(at(3), at(4), [B])
    await image.follow(at(4), at(6), [C])
    image.keep(table(6, n0="a", n1="b", n2="c"), frozenset(), at(6))
    go_on()
    await place.written(6)
    found = await place.image().find(at(6))
    assert found is not None
    assert found.numbers == [B, C]
    assert await held(found) == {A: "a"}


async def test_too_much_that_changes_while_it_is_written_begins_it_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_image, "IMAGE_CHANGES_MAX", 2)
    image = place.image()
    go_on = await held_up(place, image, monkeypatch)
    following = asyncio.create_task(image.follow(at(3), at(4), [A, B, C]))
    await asyncio.sleep(0)
    go_on()
    await following
    image.keep(table(4, n0="x"), frozenset(), at(4))
    await place.written(4)
    assert await held(await place.image().find(at(4))) == {A: "x"}


async def test_all_that_is_read_anew_while_it_is_written_is_not_taken_for_changes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = place.image()
    go_on = await held_up(place, image, monkeypatch)
    forgetting = asyncio.create_task(image.forget())
    await asyncio.sleep(0)
    go_on()
    await forgetting
    image.keep(table(9, n0="x"), frozenset(), (9, "another"))
    await place.written(9)
    assert await place.image().find(at(3)) is None
    assert await held(await place.image().find((9, "another"))) == {A: "x"}


async def test_the_end_of_the_router_leaves_no_half_of_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    image = place.image()
    go_on = await held_up(place, image, monkeypatch)
    closing = asyncio.create_task(image.close())
    await asyncio.sleep(0)
    go_on()
    await closing
    assert list(place.path.parent.iterdir()) == []


async def test_a_disk_that_cannot_is_told_once_and_left_alone_for_a_while(place: Place) -> None:
    place.path.parent.joinpath("snapshot.db-table.new").mkdir()
    image = place.image()
    for version in (3, 4):
        image.keep(table(version, n0="a"), frozenset(), at(version))
        await place.failed()
    assert place.log.names() == ["table_image_failed"]
    assert "Is a directory" in place.log.of("table_image_failed")[0]["error"]


async def test_a_change_that_cannot_be_noted_makes_it_useless(place: Place) -> None:
    image = place.image()
    image.keep(table(3, n0="a"), frozenset(), at(3))
    await place.written(3)
    place.path.unlink()
    place.path.mkdir()
    await image.follow(at(3), at(4), [A])
    assert place.log.names() == ["table_image", "table_image_failed"]
    place.path.rmdir()
    assert await place.image().find(at(4)) is None


async def test_a_disk_that_hangs_holds_nobody_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "DISK_ANSWER_SECONDS", 0.05)
    image = place.image()
    go_on = await held_up(place, image, monkeypatch)
    try:
        await place.failed()
        await image.follow(at(3), at(4), [A])
    finally:
        go_on()


async def test_one_that_is_damaged_in_its_middle_breaks_the_reading_off_and_goes(place: Place) -> None:
    image = place.image()
    image.keep(table(3, n0="a"), frozenset(), at(3))
    await place.written(3)
    later = place.image()
    found = await later.find(at(3))
    content = bytearray(place.path.read_bytes())
    content[content.index(A.encode())] ^= 1
    place.path.write_bytes(content)
    with pytest.raises(StoreError, match="a record is not as it was written"):
        await held(found)
    assert not place.path.exists()
    assert await later.find(at(3)) is None
