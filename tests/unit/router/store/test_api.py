"""What every store promises. One that is new goes into the list in conftest and has to pass as it is."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from dialplan.dataset.changes import ChangeSet, Stored
from dialplan.dataset.later import Held, held_key
from dialplan.dataset.problems import DataProblems
from dialplan.kinds.number import Number
from dialplan.kinds.registry import RowKind
from router.config import limits
from router.store import codec
from router.store.api import ChangedRow, Commit, Prepare, Store, TableRead
from tests.samples import Entry, campaign, company, flow, number
from tests.unit.router.store import content as data
from tests.unit.router.store.conftest import Opener

SOME: list[Entry] = [
    company(default_flow="menu"),
    flow("menu", parameters=[{"name": "TEXT", "type": "text"}]),
    campaign("offer"),
    number(call_flow="menu", parameters={"TEXT": ' ,"\\é\N{TELEPHONE RECEIVER}'}),
    number("02079460001", updates=[{"at": "2026-12-24T17:00:00.123456Z", "inbound_campaign": "offer"}]),
]


async def test_a_new_store_is_empty_at_version_zero(store: Store) -> None:
    reading = await store.read(None, "")
    assert (reading.version, reading.full) == (0, True)
    assert reading.epoch
    assert await data.content(reading) == {}


async def test_what_was_written_is_read_as_it_was(store: Store) -> None:
    assert await data.commit(store, *SOME) == Commit(1, len(SOME))
    found = await data.everything(store)
    assert set(found) == {
        (RowKind.COMPANY, "acme"),
        (RowKind.CALL_FLOW, "menu"),
        (RowKind.CAMPAIGN, "offer"),
        (RowKind.NUMBER, "+442079460000"),
        (RowKind.NUMBER, "+442079460001"),
    }
    first, second = found[RowKind.NUMBER, "+442079460000"], found[RowKind.NUMBER, "+442079460001"]
    assert isinstance(first, Number)
    assert isinstance(second, Number)
    assert first.parameters == {"TEXT": ' ,"\\é\N{TELEPHONE RECEIVER}'}
    assert second.updates[0].at.isoformat() == "2026-12-24T17:00:00.123456+00:00"


async def test_each_commit_that_changes_something_has_the_next_version(store: Store) -> None:
    versions = [(await data.commit(store, flow(name))).version for name in ("a", "b", "a", "c")]
    assert versions == [1, 2, 2, 3]
    assert await data.commit(store, flow("a")) == Commit(3, 0)


async def test_rows_that_name_others_are_told_from_the_rest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever they name them; where too many are asked for at once it may be all rows."""
    await data.commit(store, *SOME, flow("menu-2"), number("02079460002", call_flow="menu-2"))
    found: dict[frozenset[str], list[str]] = {}

    def look(stored: Stored) -> None:
        for naming in (frozenset({"menu"}), frozenset({"offer", "menu-2"}), frozenset({"nobody"}), frozenset[str]()):
            found[naming] = [held_key(each)[-1] for each in stored.rows(RowKind.NUMBER, naming)]

    await store.view(look)
    assert list(found.values()) == [["0"], ["1", "2"], [], ["0", "1", "2"]]
    monkeypatch.setattr(codec, "NAMES_SOUGHT_MAX", 1)
    await store.view(look)
    assert list(found.values()) == [["0"], ["0", "1", "2"], [], ["0", "1", "2"]]


async def test_a_check_sees_what_is_stored_and_nothing_else(store: Store) -> None:
    await data.commit(store, *SOME)
    seen: list[object] = []

    def look(stored: Stored) -> ChangeSet:
        seen.append(data.seen_by(stored))
        seen.append(stored.get(RowKind.CALL_FLOW, "menu"))
        seen.append(stored.get(RowKind.CALL_FLOW, "no"))
        seen.append(stored.get(RowKind.COMPANY, "menu"))
        return ChangeSet({})

    assert await store.commit(look) == Commit(1, 0)
    everything = await data.everything(store)
    assert seen == [everything, everything[RowKind.CALL_FLOW, "menu"], None, None]


async def test_rows_of_a_kind_come_in_the_order_of_their_keys(store: Store) -> None:
    await store.commit(data.flows("c", "a", "b"))
    found: list[Held] = []
    await store.view(lambda stored: found.extend(stored.rows(RowKind.CALL_FLOW)))
    assert [getattr(row, "id", "") for row in found] == ["a", "b", "c"]


async def test_a_removed_row_is_gone_for_every_way_of_looking(store: Store) -> None:
    await store.commit(data.flows("a", "b"))
    await store.commit(data.removal("a"))
    assert set(await data.everything(store)) == {(RowKind.CALL_FLOW, "b")}
    seen: list[object] = []
    await store.view(lambda stored: seen.extend([stored.get(RowKind.CALL_FLOW, "a"), len(data.seen_by(stored))]))
    assert seen == [None, 1]


async def test_a_removed_row_may_come_back(store: Store) -> None:
    await store.commit(data.flows("a"))
    await store.commit(data.removal("a"))
    await store.commit(data.flows("a", context="again"))
    assert set(await data.everything(store)) == {(RowKind.CALL_FLOW, "a")}


async def test_a_refused_change_leaves_everything_as_it_was(store: Store) -> None:
    await data.commit(store, *SOME)
    before = await data.everything(store)
    with pytest.raises(DataProblems):
        await data.commit(store, flow("new"), number("02079460002", call_flow="no"))
    assert await data.everything(store) == before
    assert (await store.read(None, "")).version == 1
    assert (await data.commit(store, flow("new"))).version == 2


async def test_whatever_a_check_raises_comes_out_as_it_is_and_changes_nothing(store: Store) -> None:
    def broken(_: Stored) -> ChangeSet:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.commit(broken)
    assert await data.commit(store, flow("a")) == Commit(1, 1)


async def test_a_commit_that_is_called_off_changes_nothing(store: Store) -> None:
    await store.commit(data.flows("a"))
    looking, called_off = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(stored: Stored) -> ChangeSet:
        loop.call_soon_threadsafe(looking.set)
        assert called_off.wait(60)
        return data.flows("b")(stored)

    task = asyncio.create_task(store.commit(slow))
    await looking.wait()
    task.cancel()
    await asyncio.sleep(0)
    called_off.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert set(await data.everything(store)) == {(RowKind.CALL_FLOW, "a")}
    assert (await store.commit(data.flows("c"))).version == 2


class Between:
    """A change whose first preparation lasts until somebody else has written."""

    def __init__(self, other: Store, theirs: Prepare) -> None:
        self.seen: list[data.Content] = []  # by each preparation that came to its end
        self._other = other
        self._theirs: Prepare | None = theirs
        self._loop = asyncio.get_running_loop()

    def __call__(self, stored: Stored) -> ChangeSet:
        if self._theirs is not None:
            theirs, self._theirs = self._theirs, None
            asyncio.run_coroutine_threadsafe(self._other.commit(theirs), self._loop).result(60)
        self.seen.append(data.seen_by(stored))
        return data.flows(*[f"after-{key}" for _, key in self.seen[-1]])(stored)


async def test_others_may_write_while_a_change_is_prepared_and_it_is_prepared_again(
    store: Store, another: Opener
) -> None:
    await store.commit(data.flows("a"))
    change = Between(await another(), data.flows("b"))
    assert await store.commit(change) == Commit(3, 2)
    assert sorted(key for _, key in change.seen[-1]) == ["a", "b"]
    assert {key for _, key in await data.everything(store)} == {"a", "b", "after-a", "after-b"}


async def test_a_change_is_prepared_once_where_nobody_else_wrote(store: Store, another: Opener) -> None:
    await store.commit(data.flows("a"))
    await data.everything(await another())
    seen: list[int] = []

    def prepare(stored: Stored) -> ChangeSet:
        seen.append(len(data.seen_by(stored)))
        return data.flows("b")(stored)

    assert await store.commit(prepare) == Commit(2, 1)
    assert seen == [1]


async def test_a_refusal_is_about_what_was_stored_at_one_moment(store: Store, another: Opener) -> None:
    """Somebody adds what a change refers to while it is checked: it is refused for the state before, or taken."""
    await data.commit(store, company())
    other, loop = await another(), asyncio.get_running_loop()
    refers = data.of(flow("menu"), number(call_flow="later"))
    begun: list[Stored] = []

    def prepare(stored: Stored) -> ChangeSet:
        stored.get(RowKind.COMPANY, "acme")
        begun.append(stored)
        if len(begun) == 1:
            asyncio.run_coroutine_threadsafe(data.commit(other, flow("later")), loop).result(60)
        return refers(stored)

    try:
        assert await store.commit(prepare) == Commit(3, 2)
    except DataProblems:
        assert await store.commit(refers) == Commit(3, 2)
    assert len(await data.everything(store)) == 4


async def test_nobody_writes_while_a_whole_set_is_prepared(store: Store, another: Opener) -> None:
    other, writing = await another(), list[asyncio.Task[Commit]]()
    loop, begun = asyncio.get_running_loop(), threading.Event()

    def begin() -> None:
        writing.append(asyncio.create_task(other.commit(data.flows("theirs"))))
        loop.call_later(0.05, begun.set)

    seen: list[int] = []

    def prepare(stored: Stored) -> ChangeSet:
        loop.call_soon_threadsafe(begin)
        assert begun.wait(60)
        seen.append(len(data.seen_by(stored)))
        return data.flows("mine")(stored)

    assert (await store.commit(prepare, whole=True)).version == 1
    assert (await writing[0]).version == 2
    assert seen == [0]


async def test_a_view_that_is_called_off_ends_at_its_next_row(store: Store) -> None:
    await store.commit(data.flows("a", "b"))
    looking, called_off = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    seen: list[Held] = []

    def slow(stored: Stored) -> None:
        for row in stored.rows(RowKind.CALL_FLOW):
            seen.append(row)
            loop.call_soon_threadsafe(looking.set)
            assert called_off.wait(60)

    task = asyncio.create_task(store.view(slow))
    await looking.wait()
    task.cancel()
    await asyncio.sleep(0)
    called_off.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.view(lambda _: None)  # the other one has ended by now
    assert len(seen) == 1


async def test_whatever_a_view_raises_comes_out_as_it_is(store: Store) -> None:
    def broken(_: Stored) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await store.view(broken)
    assert await store.view(lambda _: None) == 0


async def test_a_reading_since_a_version_tells_what_changed_and_what_went(store: Store) -> None:
    await store.commit(data.flows("a", "b", "c"))
    first = await store.read(None, "")
    await data.content(first)
    await store.commit(data.flows("a", context="new"))
    await store.commit(data.removal("b"))
    second = await store.read(first.version, first.epoch)
    found = await data.content(second)
    assert (second.version, second.full) == (3, False)
    assert set(found) == {(RowKind.CALL_FLOW, "a"), (RowKind.CALL_FLOW, "b")}
    assert found[RowKind.CALL_FLOW, "b"] is None
    again = await store.read(second.version, second.epoch)
    assert (await data.content(again), again.full, again.version) == ({}, False, 3)


@pytest.mark.parametrize(("version", "known"), [(99, True), (1, False), (None, True)])
async def test_a_reader_who_cannot_have_been_here_gets_everything(
    store: Store, version: int | None, known: bool
) -> None:
    await store.commit(data.flows("a"))
    await store.commit(data.flows("b"))
    epoch = (await store.read(None, "")).epoch
    reading = await store.read(version, epoch if known else "another history")
    assert reading.full
    assert len(await data.content(reading)) == 2


async def each_of(reading: TableRead) -> AsyncIterator[ChangedRow]:
    async for batch in reading.batches:
        for row in batch:
            yield row


async def test_a_reading_is_one_moment_however_slowly_it_is_read(store: Store, another: Opener) -> None:
    names = [f"f{place}" for place in range(limits.STORE_BATCH_ROWS + 10)]
    await store.commit(data.flows(*names, context="old"))
    reading = await store.read(None, "")
    first = await anext(reading.batches)
    writer = await another()
    await writer.commit(data.flows(*names, context="new"))
    rows = {key: row for _, key, row in first} | {key: row async for _, key, row in each_of(reading)}
    contexts = {row.destination.context for row in rows.values()}  # type: ignore[union-attr] # call flows
    assert (len(rows), contexts) == (len(names), {"old"} if reading.version == 1 else {"new"})
    newer = await store.read(reading.version, reading.epoch)
    missing = len(names) if reading.version == 1 else 0
    assert (newer.version, len(await data.content(newer))) == (2, missing)


async def test_a_reading_that_was_left_in_the_middle_does_no_harm(store: Store, another: Opener) -> None:
    await store.commit(data.flows(*[f"f{place}" for place in range(limits.STORE_BATCH_ROWS + 10)]))
    reading = await store.read(None, "")
    await anext(reading.batches)
    await reading.batches.aclose()  # type: ignore[attr-defined] # every store's is a generator
    await (await another()).commit(data.flows("new"))
    assert await store.wait(reading.version, reading.epoch, 0)
    assert (RowKind.CALL_FLOW, "new") in await data.everything(store)


async def test_waiting_ends_with_the_commit_of_somebody_else(store: Store, another: Opener) -> None:
    reading = await store.read(None, "")
    await data.content(reading)
    assert not await store.wait(reading.version, reading.epoch, 0)
    waiting = asyncio.create_task(store.wait(reading.version, reading.epoch, 60))
    await asyncio.sleep(0)
    assert not waiting.done()
    await (await another()).commit(data.flows("a"))
    assert await waiting


async def test_waiting_for_what_is_there_already_ends_at_once(store: Store) -> None:
    reading = await store.read(None, "")
    await store.commit(data.flows("a"))
    assert await store.wait(reading.version, reading.epoch, 60)
    assert await store.wait(1, "another history", 60)


async def test_waiting_in_vain_says_so_again_and_again(store: Store, another: Opener) -> None:
    await data.commit(store, flow("a"))
    reading = await store.read(None, "")
    for _ in range(3):
        assert not await store.wait(reading.version, reading.epoch, 0)
    await data.commit(await another(), flow("a"))  # nothing new in it
    assert not await store.wait(reading.version, reading.epoch, 0)


async def test_a_reading_that_nobody_ever_looked_at_hides_nothing_from_the_next(store: Store, another: Opener) -> None:
    await store.commit(data.flows("a"))
    reading = await store.read(None, "")
    await (await another()).commit(data.flows("b"))
    assert await store.wait(reading.version, reading.epoch, 60)
    assert (await store.read(reading.version, reading.epoch)).version == 2


async def test_several_writers_take_turns_and_nobodys_change_is_lost(another: Opener) -> None:
    writers = [await another() for _ in range(4)]

    async def write(writer: Store, name: str) -> list[int]:
        return [(await writer.commit(data.flows(f"{name}{place}"))).version for place in range(10)]

    versions = await asyncio.gather(*(write(writer, name) for writer, name in zip(writers, "abcd", strict=True)))
    assert sorted(version for each in versions for version in each) == list(range(1, 41))
    assert len(await data.everything(writers[0])) == 40


async def test_what_was_acknowledged_is_there_for_whoever_comes_later(store: Store, another: Opener) -> None:
    await data.commit(store, *SOME)
    reading = await store.read(None, "")
    before = await data.content(reading)
    known = (reading.version, reading.epoch)
    await store.close()
    later = await another()
    again = await later.read(None, "")
    assert await data.content(again) == before
    assert (again.version, again.epoch) == known
    assert not (await later.read(*known)).full


async def test_two_openings_at_once_make_one_store(another: Opener) -> None:
    stores = await asyncio.gather(*(another() for _ in range(5)))
    assert len({(await store.read(None, "")).epoch for store in stores}) == 1


async def test_closing_what_is_closed_is_nothing(another: Opener) -> None:
    store = await another()
    await data.everything(store)
    await store.close()
    await store.close()


async def test_a_follower_hears_of_every_change_in_order(store: Store, another: Opener) -> None:
    """A mirror that is patched by readings alone is at each version what the store is."""
    writer = await another()
    mirror: data.Content = {}
    version, epoch = None, ""
    for step in range(12):
        change = data.removal("a") if step % 4 == 3 else data.flows("a", f"b{step}", context=f"c{step}")
        await writer.commit(change)
        reading = await store.read(version, epoch)
        if reading.full:
            mirror.clear()
        for place, row in (await data.content(reading)).items():
            mirror[place] = row
            if row is None:
                del mirror[place]
        version, epoch = reading.version, reading.epoch
        assert mirror == await data.everything(writer)
