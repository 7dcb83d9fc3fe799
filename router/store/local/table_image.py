"""The image of the table beside the snapshot: with it a router that starts has most numbers in a second."""

import asyncio
import contextlib
import functools
import pathlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple, TypeVar

import structlog

from dialplan.routing.image import Image, Imaging
from dialplan.routing.table import Piece, RoutingTable
from router.config.limits import IMAGE_CHANGES_MAX, SNAPSHOT_RETRY_SECONDS
from router.store.api import StoreError
from router.store.local.disk import Disk
from router.store.local.image_file import Begin, Change, DamagedError, End, ImageFile, State, Writer, note
from router.store.sqlite.connection import reached
from router.util.own_thread import OwnThread

T = TypeVar("T")


class _Latest(NamedTuple):
    """The table as it is now, the numbers that are to be left out, and the state of the data set."""

    table: RoutingTable
    aside: AbstractSet[str]
    state: State


class Found(NamedTuple):
    """An image that does, and the numbers that are to be read beside it."""

    image: Image
    numbers: list[str]


class TableImage:
    """The image in the file `path`. It may be missing at any time, and nothing is lost but the time of a start."""

    def __init__(self, path: pathlib.Path, log: structlog.typing.FilteringBoundLogger) -> None:
        self._path = path
        self._log = log
        self._thread = OwnThread("image")
        self._disk = Disk(path)
        self._at: State | None = None  # what the file has come to, where it follows
        self._changed = 0  # numbers that were noted in it as changes
        self._since: list[Change] | None = None  # what has changed since the table that is being written
        self._latest: _Latest | None = None
        self._task: asyncio.Task[None] | None = None
        self._busy = asyncio.Lock()  # with the file that is there, and with its replacement
        self._retry_at = 0.0

    async def close(self) -> None:
        """Give up what is being written, and the thread."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._thread.end(hangs=self._disk.hanging is not None and not self._disk.hanging.done())

    async def find(self, state: State) -> Found | None:
        """The image of this state of the data set; None where there is none."""
        self._at = None
        try:
            file = await self._do(lambda: ImageFile(self._path, state))
        except (StoreError, DamagedError):
            return None
        self._at, self._changed = state, file.changed
        return Found(Image(file.digest, self._pieces(file)), sorted(file.numbers))

    async def _pieces(self, file: ImageFile) -> AsyncIterator[Piece]:
        pieces = file.pieces()
        try:
            while (piece := await self._do(lambda: next(pieces, None))) is not None:
                yield piece
        except DamagedError as error:
            await self.forget()
            raise StoreError(f"store {self._path}: {error}; it is made again") from error

    async def follow(self, before: State, after: State, numbers: list[str]) -> None:
        """Note that these numbers have changed between two states."""
        change = Change(before, after, numbers)
        async with self._busy:
            if self._since is not None:
                self._since.append(change)
                if sum(len(each.numbers) for each in self._since) <= IMAGE_CHANGES_MAX:
                    return
            elif self._at is None:
                return
            elif self._at == before and self._changed + len(numbers) <= IMAGE_CHANGES_MAX:
                with self._unless_it_fails():
                    await self._do(lambda: note(self._path, change))
                    self._at, self._changed = after, self._changed + len(numbers)
                    return
        await self.forget()

    async def forget(self) -> None:
        """It is of no use any more, nor is what is being written, or would be of the table that was told of last."""
        self._at = self._since = self._latest = None
        with contextlib.suppress(StoreError):
            await self._do(lambda: self._path.unlink(missing_ok=True))

    def keep(self, table: RoutingTable, aside: AbstractSet[str], state: State) -> None:
        """Be told of each table that is served; one is written down where there is no image that follows."""
        self._latest = _Latest(table, aside, state)
        if self._is_due() and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._write())

    def keep_none(self) -> None:
        """Be told that the snapshot does not follow the table that is served."""
        self._latest = None

    def _is_due(self) -> bool:
        return self._at is None and time.monotonic() >= self._retry_at

    async def _write(self) -> None:
        while self._is_due() and self._latest is not None:
            self._since = []
            try:
                with self._unless_it_fails():
                    await self._write_latest(*self._latest)
            finally:
                self._since = None

    async def _write_latest(self, table: RoutingTable, aside: AbstractSet[str], state: State) -> None:
        """Write it down in short steps, unless too much has changed before it is done. Raises StoreError."""
        began = time.monotonic()
        imaging = Imaging(table, aside)
        del table  # what is replaced meanwhile is let go of piece by piece
        writer = await self._do(lambda: Writer(self._path, Begin(state)))
        try:
            for piece in imaging:
                if self._since is None:
                    return
                await (asyncio.sleep(0) if piece is None else self._do(functools.partial(writer.add, piece)))
            await self._do(writer.flush)
            async with self._busy:
                changes = self._since
                if changes is None:
                    return
                await self._do(lambda: writer.end(End(imaging.digest, imaging.rest), changes))
                self._at = changes[-1].after if changes else state
                self._changed = sum(len(each.numbers) for each in changes)
            self._log.info("table_image", version=self._at[0], seconds=round(time.monotonic() - began, 1))
        finally:
            # Its turn comes after what is being done, also where that hangs.
            leaving = asyncio.ensure_future(self._thread.run(writer.give_up))
            leaving.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody waits for it

    @contextlib.contextmanager
    def _unless_it_fails(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            self._retry_at = time.monotonic() + SNAPSHOT_RETRY_SECONDS
            self._log.error("table_image_failed", error=str(error))

    async def _do(self, work: Callable[[], T]) -> T:
        """Work on the file, in the thread. Raises StoreError, and DamagedError."""

        def guarded() -> T:
            with reached(self._path):
                return work()

        return await self._disk.answer(self._thread.run(guarded))
