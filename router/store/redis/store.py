"""The shared store: one Redis, or Valkey, for any number of routers. See `scripts` for what lies in it.

A version is known by the id of its commit as well as by its number. Where a server was restored from a backup, or has
lost its last commits in a failover, the same number may mean another history: its id tells, and the reader compares in
full.

What is read has to add up to what the data set says of itself, see `sums`: a part of it is never taken for the whole.
"""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from dialplan.dataset.changes import ChangeSet, Stored
from dialplan.dataset.later import KIND_CODES, code_of, kind_word, named_kind
from router.config.limits import (
    REDIS_LOCK_LOOK_SECONDS,
    REDIS_LOCK_SECONDS,
    REDIS_LOG_COMMITS_MAX,
    REDIS_LOG_GRACE_SECONDS,
    REDIS_LOG_ROWS_MAX,
    REDIS_REFUSED_SECONDS,
    REDIS_SCAN_ROWS,
    REDIS_STAGED_SECONDS,
    STORE_BATCH_ROWS,
    STORE_BUSY_SECONDS,
)
from router.store.api import ChangedRow, Commit, Made, Prepare, StoreError, TableRead, Unfit, UnfitError, unsaid
from router.store.codec import MalformedError, decode, encode
from router.store.redis import scripts
from router.store.redis.address import Address, Options
from router.store.redis.connection import Link, UnansweredError
from router.store.redis.scripts import CommitEntry, DataSetState, entry_of, led_to, told_of
from router.store.redis.stored_rows import StoredRows
from router.store.redis.sums import Sum, Sums, Tally, difference
from router.store.work import Work
from router.util.ahead import ahead

_ENTRIES = 1_000  # of the stream, in one reply
_AT_ONCE = 100  # commits whose rows are asked for together
_TRIMMED_AT_ONCE = 100
_MEND = "restore a backup, or load a whole dump with ringway load --replace FILE"
_MEND_OR_EMPTY = "restore a backup, or empty it and load the data again"
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[tuple[int, str, str | bool]]).decode


class _Prepared(NamedTuple):
    """A change, and where the data set stood that it was made for."""

    state: DataSetState
    changes: ChangeSet


class RedisStore:
    """The store at an address; see `router.store.api.Store` for what each method promises."""

    name = "redis"

    def __init__(self, address: Address, options: Options, made: Made = unsaid) -> None:
        self.address = address
        self._made = made
        self._link = Link(address, options)
        self._waiting = Link(address, options, 1)  # a wait keeps its connection for a second
        keys = {name: f"{self._link.prefix}:{name}" for name in ("meta", "lock", "changes", "log")}
        self._meta, self._lock, self._changes, self._log = keys.values()
        self._rows = [f"{self._link.prefix}:rows:{code}" for code in KIND_CODES]
        # A full reading that did not add up: where the data set stood, why, and until when that is not tried again.
        self._refused: tuple[DataSetState, UnfitError, float] | None = None

    async def open(self, *, make: bool = True) -> None:
        """Make an empty data set where there is none, or insist that there is one. Raises StoreError."""
        await self._insist_on_memory(self._link)
        if not make:
            await self._state(whole=False)
            return
        keys = (self._meta, self._changes, *self._rows)
        epoch = uuid.uuid4().hex
        found, *state = await self._link.script(scripts.MAKE, keys, epoch, scripts.SCHEMA)
        if found != b"ok":
            raise self._incomplete(f"it holds a part of a data set only; {_MEND_OR_EMPTY}")
        if self._read_state(state, whole=False).epoch == epoch:
            self._made(self.address.shown)

    async def _insist_on_memory(self, link: Link) -> None:
        """Insist that its server keeps what it is given; that may be set otherwise at any time. Raises UnfitError."""
        limit, policy = await link.script(scripts.MEMORY, (self._meta,))
        if limit != b"0" and policy not in (None, b"noeviction"):
            text = f"it throws away keys when its memory is full ({policy.decode()})"
            raise UnfitError(self._text(f"{text}; set its maxmemory-policy to noeviction"), Unfit.EVICTS)

    async def close(self) -> None:
        """Close every connection."""
        await self._link.close()
        await self._waiting.close()

    def _text(self, text: str) -> str:
        return f"store {self.address.shown}: {text}"

    def _error(self, text: str) -> StoreError:
        return StoreError(self._text(text))

    def _incomplete(self, text: str) -> UnfitError:
        return UnfitError(self._text(text), Unfit.INCOMPLETE)

    def differs(self, code: int, said: Sum, found: Sum) -> UnfitError:
        """The error of a kind whose rows are not those that the data set says it has."""
        kind = kind_word(named_kind(code) or code)
        if said.rows != found.rows:
            return self._incomplete(f"of its {said.rows} {kind} it has {found.rows}; {_MEND}")
        return self._incomplete(f"its {kind} are not those that were written; {_MEND}")

    async def _state(self, *, whole: bool = True) -> DataSetState:
        return self._read_state(await self._link.script(scripts.STATE, (self._meta, *self._rows)), whole=whole)

    def _read_state(self, reply: Sequence[bytes | int | None], *, whole: bool = True) -> DataSetState:
        """Where the data set stands, and with `whole` only if it has all of its keys. Raises StoreError."""
        told = told_of(reply)
        if told.empty:
            raise self._incomplete("there is no data set in it; load data into it first, with ringway load FILE")
        if told.version is None:
            raise self._incomplete(f"it holds a part of a data set only; {_MEND_OR_EMPTY}")
        if told.schema != str(scripts.SCHEMA).encode():
            known = f"this version of Ringway knows {scripts.SCHEMA}"
            schema = (told.schema or b"?").decode()
            raise self._error(f"its schema is {schema}, {known}; use the version that made it")
        state = told.state()
        if state is None:
            raise self._incomplete(f"its data set is damaged; {_MEND_OR_EMPTY}")
        if whole and state.gone and state.sums is not None:
            code = state.gone[0]
            raise self.differs(code, state.sums[code - 1], Sum(0, 0))
        return state

    # --- following ----------------------------------------------------------------------------------------------------

    async def wait(self, version: int, epoch: str, seconds: float) -> bool:
        """Look where the data set stands, then wait for the next entry of the stream. Raises StoreError."""
        state = self._read_state(await self._waiting.script(scripts.STATE, (self._meta, *self._rows)))
        await self._insist_on_memory(self._waiting)
        if self._refused is not None:
            at, error, until = self._refused
            if state == at and time.monotonic() < until:
                raise error
            return True  # there is something to read: all of it, once more
        if (state.version, state.head) != (version, epoch):
            return True
        return await self._waiting.newer(self._changes, f"{version}-0", seconds)

    async def read(self, version: int | None, epoch: str) -> TableRead:
        """The commits since a version, where all of them are there; else everything, if it adds up. Raises StoreError.

        After a reading that did not, everything has to, before commits are followed again.
        """
        if version is not None and self._refused is None:
            commits = await self._since(version, epoch)
            if commits is not None and sum(each.rows for each in commits) <= REDIS_LOG_ROWS_MAX:
                packed = await self._logged(commits)
                if packed is not None:
                    last = (commits[-1].version, commits[-1].id) if commits else (version, epoch)
                    return TableRead(*last, full=False, batches=self._batches(packed))
        state = await self._state()
        reading = TableRead(state.version, state.head, full=True, batches=self._batches(()))
        reading.batches = self._everything(state, reading)
        return reading

    async def _from(self, version: int) -> tuple[DataSetState, list[CommitEntry]]:
        """The commits from a version on, as far as they are there, and where the data set stands then."""
        commits: list[CommitEntry] = []
        while True:
            keys = (self._meta, self._changes, *self._rows)
            reply, found = await self._link.script(scripts.CHANGES, keys, version, _ENTRIES)
            commits += map(entry_of, found)
            if len(found) < _ENTRIES:
                return self._read_state(reply), commits
            version = commits[-1].version + 1

    async def _since(self, version: int, head: str) -> list[CommitEntry] | None:
        """The commits after that of `head`; None where it is not known any more, or one of them is missing."""
        state, commits = await self._from(version + 1)
        return commits if led_to(commits, version, head) == (state.version, state.head) else None

    async def _logged(self, commits: Sequence[CommitEntry]) -> list[bytes] | None:
        """The chunks of commits, in order; None where some are gone."""
        chunks: list[bytes] = []
        for place in range(0, len(commits), _AT_ONCE):
            some = commits[place : place + _AT_ONCE]
            replies = await asyncio.gather(
                *(self._link.script(scripts.LOG, (f"{self._log}:{each.id}",), 0, -1) for each in some)
            )
            for (found,) in replies:
                if not found:
                    return None
                chunks.extend(found)
        return chunks

    async def _batches(self, packed: Sequence[bytes], tally: Tally | None = None) -> AsyncIterator[list[ChangedRow]]:
        for chunk in packed:
            yield await asyncio.to_thread(self._unpacked, chunk, tally)

    def _unpacked(self, chunk: bytes, tally: Tally | None) -> list[ChangedRow]:
        with self.sound():
            rows: list[ChangedRow] = []
            for code, key, body in _unpack(chunk):
                text = body if isinstance(body, str) else None
                kind, row = decode(code, key, text)
                rows.append((kind, key, row))
                if tally is not None:
                    tally.change(code, key, text)
            return rows

    @contextlib.contextmanager
    def sound(self) -> Iterator[None]:
        """Turn what a row that cannot be read raises into a StoreError."""
        try:
            yield
        except (MalformedError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._error(f"a row cannot be read ({error}); was it made by a newer version?") from error

    async def _everything(self, begin: DataSetState, reading: TableRead) -> AsyncIterator[list[ChangedRow]]:
        """All rows, and over them the commits that they may lack: together the version that the reading ends with.

        Rows are scanned while others write. What a commit changes meanwhile is seen or not, and comes with the commit.
        """
        server, tally = await self._server(), Tally(len(KIND_CODES))
        for code in KIND_CODES:
            async for page in ahead(self._scanned(code, server)):
                yield await asyncio.to_thread(self._decoded, code, page, tally)
        state, packed = await self._changed_since(begin)
        while state.applied != state.version:  # what it says of its rows is not of the newest version yet
            await self._apply(state)
            state, packed = await self._changed_since(begin)
        if await self._server() != server:
            raise self._too_much()
        async for rows in self._batches(packed, tally):
            yield rows
        await self._insist_on_sums(state, tally)
        reading.version, reading.epoch = state.version, state.head

    async def _changed_since(self, begin: DataSetState) -> tuple[DataSetState, list[bytes]]:
        """Where the data set stands now, and the chunks of all commits that its rows lacked then. Raises StoreError."""
        state, later = await self._from(begin.applied + 1)
        before, since = later[: begin.version - begin.applied], later[begin.version - begin.applied :]
        versions = [each.version for each in before]
        known = versions == list(range(begin.applied + 1, begin.version + 1))
        known = known and (not before or before[-1].id == begin.head) and state.epoch == begin.epoch
        known = known and led_to(since, begin.version, begin.head) == (state.version, state.head)
        packed = await self._logged(later) if known else None
        if packed is None:
            raise self._too_much()
        return state, packed

    def _too_much(self) -> StoreError:
        return self._error("it has changed too much while it was read; read it again")

    async def _insist_on_sums(self, state: DataSetState, tally: Tally) -> None:
        """Insist that what was read is what the data set says that it has. Raises UnfitError, and remembers it."""
        found = await asyncio.to_thread(tally.sums)
        differing = difference(state.sums, found) if state.sums is not None else None
        if differing is not None:
            error = self.differs(*differing)
            self._refused = state, error, time.monotonic() + REDIS_REFUSED_SECONDS
            raise error
        self._refused = None

    async def _server(self) -> bytes:
        """Which server has the data set now."""
        (server,) = await self._link.script(scripts.SERVER, (self._meta,))
        return bytes(server)

    def _decoded(self, code: int, page: Sequence[bytes], tally: Tally) -> list[ChangedRow]:
        rows: list[ChangedRow] = []
        with self.sound():
            for at in range(0, len(page), 2):
                key = tally.add(code, page[at], page[at + 1])
                kind, row = decode(code, key, page[at + 1])
                rows.append((kind, key, row))
        return rows

    async def _scanned(self, code: int, served_by: bytes | None = None) -> AsyncGenerator[Sequence[bytes], None]:
        """Keys and bodies of all rows of a kind, as one server has them; some may come twice."""
        cursor = b"0"
        while True:
            server, (cursor, page) = await self._link.script(
                scripts.SCAN, (self._rows[code - 1],), cursor, min(REDIS_SCAN_ROWS, STORE_BATCH_ROWS)
            )
            if served_by not in (None, server):
                raise self._error("another server took over while it was read; read it again")
            served_by = server
            if page:
                yield page
            if cursor == b"0":
                return

    # --- writing ------------------------------------------------------------------------------------------------------

    async def view(self, use: Callable[[Stored], None]) -> int:
        """Show what is stored while nobody may write. Raises StoreError."""
        work = Work()
        return await work.result(self._view(use, work))

    async def _view(self, use: Callable[[Stored], None], work: Work) -> int:
        async with self._alone() as (token, state):
            await asyncio.to_thread(use, StoredRows(self, work, asyncio.get_running_loop(), state.sums))
            await self._still(token, state)
            return state.version

    async def commit(self, prepare: Prepare, *, whole: bool = False) -> Commit:
        """Prepare while others may write, and write while nobody else may, see `_prepared`.

        Raises StoreError, and what `prepare` raises.
        """
        work = Work()
        return await work.result(self._commit(prepare, whole, work))

    async def _commit(self, prepare: Prepare, whole: bool, work: Work) -> Commit:
        prepared = None if whole else await self._prepared(prepare, work)
        async with self._alone(whole=not whole) as (token, state):
            stored = StoredRows(self, work, asyncio.get_running_loop(), state.sums, refuses=not whole)
            if prepared is not None and prepared.state[:2] == state[:2]:
                changes = prepared.changes
            else:
                changes = await asyncio.to_thread(prepare, stored)
            if not len(changes) and not stored.differ:
                await self._still(token, state)
                work.commit()
                return Commit(state.version, 0)
            counted = () if state.sums is not None and not stored.differ else await self._counted()
            # Whoever follows has rows that this commit does not know of: it begins a history, to be read in full.
            before = uuid.uuid4().hex if stored.differ else state.head
            name = uuid.uuid4().hex
            log = f"{self._log}:{name}"
            staged, last = 0, None
            for rows in _chunks(changes):
                work.go_on()
                if last is not None:
                    await self._link.script(scripts.STAGE, (log,), staged, last, int(REDIS_STAGED_SECONDS))
                    staged += 1
                last = await asyncio.to_thread(_pack, rows)
            work.commit()
            keys = (self._meta, self._lock, self._changes, log, *self._rows)
            values: tuple[str | bytes | int, ...] = (
                token,
                state.version,
                state.head,
                name,
                staged,
                len(changes),
                last or _pack([]),
                before,
            )
            values += tuple(number for each in counted for number in each)
            try:
                told, *now = await self._link.script(scripts.COMMIT, keys, *values)
            except UnansweredError as error:
                raise StoreError(f"{error}; whether the change is made is not known: make it again") from error
            if told == b"gone":
                raise self._incomplete(f"a part of its rows has gone; nothing was changed; {_MEND}")
            if told != b"done":
                raise self._error(
                    "this change took too long, and others may write again; nothing was changed, try again"
                )
            version, applied, kept, commits = map(int, now)
            # It is done; what is left whoever comes next can do too.
            with contextlib.suppress(StoreError):
                await self._apply(state._replace(version=version, head=name, applied=applied))
                if kept > REDIS_LOG_ROWS_MAX or commits > REDIS_LOG_COMMITS_MAX:
                    await self._trim()
            return Commit(version, len(changes))

    async def _prepared(self, prepare: Prepare, work: Work) -> _Prepared | None:
        """The change, as the rows are now; None where somebody else wrote meanwhile, so that it has to be made again.

        A check of every number takes seconds, in which others can go on. Rows that change under it may look as if they
        were not whole, so that an error counts only where none of them did.
        """
        state = await self._apply()
        stored = StoredRows(self, work, asyncio.get_running_loop(), state.sums)
        try:
            return _Prepared(state, await asyncio.to_thread(prepare, stored))
        except Exception:
            work.go_on()
            if (await self._state())[:2] == state[:2]:
                raise
            return None

    async def _counted(self) -> Sums:
        """How many rows of each kind are there and what they add up to, while nobody else writes."""
        tally = Tally(len(KIND_CODES))
        for code in KIND_CODES:
            async for page in self._scanned(code):
                await asyncio.to_thread(_add, tally, code, page)
        return await asyncio.to_thread(tally.sums)

    @contextlib.asynccontextmanager
    async def _alone(self, *, whole: bool = True) -> AsyncIterator[tuple[str, DataSetState]]:
        """While the block runs nobody else writes, and the rows are those of the newest version, with `whole` all."""
        token = uuid.uuid4().hex
        end = time.monotonic() + STORE_BUSY_SECONDS
        while not (taken := await self._take(token)):
            if time.monotonic() >= end:
                raise self._error(f"somebody else has written to it for more than {STORE_BUSY_SECONDS:g} s; try again")
            await asyncio.sleep(REDIS_LOCK_LOOK_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311 - who comes first
        keeper = asyncio.create_task(self._keep(token))
        try:
            yield token, await self._apply(self._read_state(taken, whole=whole))
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])
            with contextlib.suppress(StoreError):  # it goes by itself then
                await self._link.script(scripts.UNLOCK, (self._lock,), token)

    async def _take(self, token: str) -> list[bytes | None]:
        """Where the data set stands, if the lock is ours; else nothing."""
        milliseconds = int(REDIS_LOCK_SECONDS * 1000)
        keys = (self._meta, self._lock, *self._rows)
        told, *state = await self._link.script(scripts.LOCK, keys, token, milliseconds)
        return state if told == b"mine" else []

    async def _keep(self, token: str) -> None:
        while True:
            await asyncio.sleep(REDIS_LOCK_SECONDS / 3)
            with contextlib.suppress(StoreError):  # the next step of the change tells of it
                await self._take(token)

    async def _still(self, token: str, begin: DataSetState) -> None:
        """Insist that nobody has written since; the lock may have gone, and come back. Raises StoreError."""
        state = await self._take(token)
        if not state or self._read_state(state)[:2] != begin[:2]:
            raise self._error("this took too long, and others may have written meanwhile; try again")

    async def _apply(self, state: DataSetState | None = None) -> DataSetState:
        """Put commits into the rows that are not there yet, from where `state` says; where the data set stands then."""
        while True:
            if state is None:
                state = await self._state()
            if state.applied == state.version:
                return state
            following = state.applied + 1
            name = state.head if following == state.version else await self._id_of(following)
            keys = (self._meta, f"{self._log}:{name}", *self._rows)
            chunk, told = state.chunk, b"more"
            while told == b"more":
                (told,) = await self._link.script(scripts.APPLY, keys, following, chunk)
                chunk += 1
            if told == b"missing":
                raise self._incomplete(f"the rows of version {following} are missing; {_MEND_OR_EMPTY}")
            # Else somebody else was faster, or another history has begun: look again.
            state = state._replace(applied=following, chunk=0) if told == b"done" else None

    async def _id_of(self, version: int) -> str:
        """The id of a commit that is not in the rows yet."""
        keys = (self._meta, self._changes, *self._rows)
        _, entries = await self._link.script(scripts.CHANGES, keys, version, 1)
        if not entries or entry_of(entries[0]).version != version:
            raise self._incomplete(f"version {version} is missing from its changes; {_MEND_OR_EMPTY}")
        return entry_of(entries[0]).id

    async def _trim(self) -> None:
        """Let go of what no reader is to ask for any more."""
        limits = (REDIS_LOG_ROWS_MAX, REDIS_LOG_COMMITS_MAX, int(REDIS_LOG_GRACE_SECONDS), _TRIMMED_AT_ONCE)
        await self._link.script(scripts.TRIM, (self._meta, self._changes), f"{self._log}:", *limits)

    async def get(self, code: int, key: str) -> bytes | None:
        """The body of a row. Raises StoreError."""
        (body,) = await self._link.script(scripts.GET, (self._rows[code - 1],), key)
        return body if body is None else bytes(body)

    async def all_of(self, code: int) -> dict[str, bytes]:
        """The bodies of all rows of a kind, in the order of their keys. Raises StoreError."""
        found: dict[str, bytes] = {}
        async for page in self._scanned(code):
            found.update((page[at].decode(), page[at + 1]) for at in range(0, len(page), 2))
        return await asyncio.to_thread(lambda: dict(sorted(found.items())))


def _add(tally: Tally, code: int, page: Sequence[bytes]) -> None:
    for at in range(0, len(page), 2):
        tally.add(code, page[at], page[at + 1])


def _chunks(changes: ChangeSet) -> Iterator[list[tuple[int, str, str | bool]]]:
    chunk: list[tuple[int, str, str | bool]] = []
    for kind, rows in changes.rows.items():
        for key, row in rows.items():
            chunk.append((code_of(kind), key, False if row is None else encode(row).decode()))
            if len(chunk) == STORE_BATCH_ROWS:
                yield chunk
                chunk = []
    if chunk:
        yield chunk
