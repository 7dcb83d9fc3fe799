"""Attempts and callback claims in SQLite, in a file beside the data set's.

A file of its own: a load holds the data set's for seconds, and no callback may wait for that. Changes that come
together are written in one transaction, since each of those waits for the disk.
"""

import asyncio
import contextlib
import math
import pathlib
import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from dialplan.campaigns.attempts import Attempt, Heard, Outcome, merged
from dialplan.campaigns.callbacks import CLOCKS_APART_SECONDS, Claim, ClaimStatus, History
from dialplan.campaigns.retention import Cutoffs
from dialplan.shards import untracked
from router.config.limits import (
    ATTEMPT_CHANGES_MAX,
    CALLBACK_BUSY_SECONDS,
    CALLBACK_LOOK_SECONDS,
    CALLBACK_PAIR_CLAIMS_MAX,
    CALLBACK_WRITES_MAX,
    HISTORY_ATTEMPTS_MAX,
    PURGE_PAIRS_AT_ONCE,
    PURGE_ROWS_AT_ONCE,
)
from router.store.api import AttemptChanges, AttemptPlace, Made, NoStoreError, Recorded, Use, unsaid
from router.store.callback_rules import ClaimRecord, decided
from router.store.sqlite.connection import Connection, Schema, in_time, reached, transaction

T = TypeVar("T")
_Pair = tuple[str, str]


# at: by which moment attempts were purged last. Files that were made without it get it at their next purge: to a router
# that does not know it their schema is the same.
_PURGES = "CREATE TABLE IF NOT EXISTS purges (one INTEGER PRIMARY KEY CHECK (one = 1), at REAL NOT NULL)"


# Which lists have an index of their own beside the pair's, the campaign's and that of all. Files that were made without
# them get them when a router opens them next: SQLite keeps them up whichever version writes.
_LISTS = {
    "attempts_of_number": "CREATE INDEX IF NOT EXISTS attempts_of_number ON attempts (number, at)",
    "attempts_of_subscriber": "CREATE INDEX IF NOT EXISTS attempts_of_subscriber ON attempts (subscriber, at)",
}


def _make(database: sqlite3.Connection) -> None:
    # seq: of the last change of any attempt; epoch: of this file, so that nobody takes another one's seq for its own
    database.execute("CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), epoch TEXT NOT NULL, seq INTEGER)")
    database.execute("INSERT INTO meta VALUES (1, ?, 0)", (uuid.uuid4().hex,))
    database.execute(
        """CREATE TABLE attempts (number TEXT NOT NULL, subscriber TEXT NOT NULL, id TEXT NOT NULL,
        campaign TEXT NOT NULL, at REAL NOT NULL, outcome TEXT NOT NULL, seq INTEGER NOT NULL,
        PRIMARY KEY (number, subscriber, id)) WITHOUT ROWID"""
    )
    database.execute("CREATE INDEX attempts_of_pair ON attempts (number, subscriber, at)")
    database.execute("CREATE INDEX attempts_by_time ON attempts (at)")
    database.execute("CREATE INDEX attempts_of_campaign ON attempts (campaign, at)")
    database.execute("CREATE INDEX attempts_by_change ON attempts (seq)")
    # attempt: the one whose entitlement the call got, NULL where it got none; used_at: entitlements up to then are
    # consumed
    database.execute(
        """CREATE TABLE claims (number TEXT NOT NULL, subscriber TEXT NOT NULL, call_id TEXT NOT NULL, at REAL NOT NULL,
        verdict TEXT NOT NULL, attempt TEXT, used_at REAL, PRIMARY KEY (number, subscriber, call_id)) WITHOUT ROWID"""
    )
    database.execute("CREATE INDEX claims_by_time ON claims (at)")
    database.execute(_PURGES)
    for index in _LISTS.values():
        database.execute(index)


def _make_lists(database: sqlite3.Connection) -> None:
    """Make the indexes that an older file lacks: some seconds for each million attempts.

    Where somebody holds the file just now, or the disk is full, lists go through all attempts until the next opening.
    """
    found = database.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall()
    names = {name for (name,) in found}
    with contextlib.suppress(sqlite3.OperationalError):
        for name in _LISTS.keys() - names:
            database.execute(_LISTS[name])


_AWAY = "move it away: a router makes another one, which knows nothing of the attempts in it"
_SCHEMA = Schema(2, _make, CALLBACK_BUSY_SECONDS, "a router makes it when it starts", _AWAY, _AWAY, expendable=True)
_COLUMNS = "id, campaign, number, subscriber, at, outcome"
_ONE = """SELECT id, campaign, number, subscriber, at, outcome FROM attempts
    WHERE number = ? AND subscriber = ? AND id = ?"""
_OF_PAIR = """SELECT id, campaign, number, subscriber, at, outcome FROM attempts
    WHERE number = ? AND subscriber = ? AND at <= ? ORDER BY outcome = 'failed', at DESC, id DESC LIMIT ?"""
_REACHED_OF_PAIR = """SELECT id, campaign, number, subscriber, at, outcome FROM attempts
    WHERE number = ? AND subscriber = ? AND outcome <> 'failed' ORDER BY at DESC, id DESC LIMIT ?"""
# What `retention.Relevant` says, in SQL: answered attempts that do not matter need not come out of the file.
_RELEVANT = """SELECT id, campaign, number, subscriber, at, outcome FROM attempts WHERE outcome = 'missed'
    OR (outcome = 'answered' AND EXISTS (SELECT 1 FROM attempts o
        WHERE o.number = attempts.number AND o.subscriber = attempts.subscriber AND o.outcome = 'missed'))
    OR (number, subscriber, id) IN (SELECT number, subscriber, attempt FROM claims)"""
_CHANGED = """SELECT id, campaign, number, subscriber, at, outcome, seq FROM attempts
    WHERE seq > ? ORDER BY seq LIMIT ?"""
_DELETE_UNANSWERED = """DELETE FROM attempts WHERE (number, subscriber, id) IN
    (SELECT number, subscriber, id FROM attempts WHERE campaign = ? AND at < ? AND outcome <> 'answered' LIMIT ?)
    RETURNING number, subscriber"""
# What `retention.is_past` and `stays_with_missed` say, in SQL: a step of it deletes what is past without reading it.
_DELETE_ANSWERED = """DELETE FROM attempts WHERE (number, subscriber, id) IN
    (SELECT number, subscriber, id FROM attempts a WHERE at < ? AND outcome = 'answered' AND NOT EXISTS
        (SELECT 1 FROM attempts WHERE number = a.number AND subscriber = a.subscriber AND outcome = 'missed') LIMIT ?)
    RETURNING number, subscriber"""
_DELETE_OLD = """DELETE FROM attempts WHERE (number, subscriber, id) IN
    (SELECT number, subscriber, id FROM attempts WHERE at < ? LIMIT ?) RETURNING number, subscriber"""
_DROP = "DELETE FROM attempts WHERE number = ? AND subscriber = ? AND id = ? AND outcome = ?"
# A claim tells what is consumed among the attempts of its pair: without any it says nothing.
_DELETE_CLAIMS_OF_PAIR = """DELETE FROM claims WHERE number = ?1 AND subscriber = ?2
    AND NOT EXISTS (SELECT 1 FROM attempts WHERE number = ?1 AND subscriber = ?2)"""
_DELETE_OLD_CLAIMS = """DELETE FROM claims WHERE (number, subscriber, call_id) IN
    (SELECT number, subscriber, call_id FROM claims WHERE at < ? LIMIT ?) RETURNING number, subscriber"""
_CLAIM = "SELECT verdict, attempt, at, used_at FROM claims WHERE number = ? AND subscriber = ? AND call_id = ?"
_USES = """SELECT call_id, at, used_at FROM claims WHERE number = ? AND subscriber = ? AND used_at IS NOT NULL
    AND at < ? ORDER BY used_at, call_id"""
_CLAIMS = "SELECT count(*) FROM (SELECT 1 FROM claims WHERE number = ? AND subscriber = ? LIMIT ?)"
_USED_AT = "SELECT max(used_at) FROM claims WHERE number = ? AND subscriber = ? AND at < ?"


def page_query(
    number: str | None, subscriber: str | None, campaign: str | None, after: AttemptPlace | None
) -> tuple[str, list[str | float]]:
    """The question for a page of attempts, which goes by one index, and its values but for how many are wanted.

    A campaign beside a number or a subscriber is looked at in each row: those of a campaign are more.
    """
    wanted = {"number": number, "subscriber": subscriber}
    given = {column: value for column, value in wanted.items() if value is not None}
    values: list[str | float] = [*given.values()]
    conditions = [f"{column} = ?" for column in given]
    if campaign is not None:
        conditions.append("+campaign = ?" if given else "campaign = ?")
        values.append(campaign)
    order = [column for column in AttemptPlace._fields if column not in given]
    if after is not None:
        conditions.append(f"({', '.join(order)}) < ({', '.join('?' * len(order))})")
        values += [getattr(after, column) for column in order]
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    ordered = ", ".join(f"{column} DESC" for column in order)
    # What is put together here are names of columns; all that comes from elsewhere is a value.
    return f"SELECT {_COLUMNS} FROM attempts {where}ORDER BY {ordered} LIMIT ?", values  # noqa: S608


class _Write(NamedTuple):
    """Something to be written, and who waits for it."""

    work: Callable[[sqlite3.Connection], Any]
    done: asyncio.Future[Any]


class SqliteCallbackStore:
    """The store in the file `path`; see `router.store.api.CallbackStore` for what each method promises."""

    def __init__(self, path: pathlib.Path, made: Made = unsaid) -> None:
        self.path = path
        self._made = made
        self._connection = Connection(path, _SCHEMA)
        self._writes: list[_Write] = []
        self._writer: asyncio.Task[None] | None = None

    async def open(self, *, make: bool = True) -> None:
        """Make the folder and the file where they are missing, or insist that they are there. Raises StoreError."""
        if make:
            if await self._connection.make():
                self._made(str(self.path))
            else:
                await self._connection.run(_make_lists)
            return
        with reached(self.path):
            there = self.path.exists()
        if not there:
            hint = "name the store that the router has, with -c FILE or RINGWAY_STORE__URL"
            raise NoStoreError(
                f"store {self.path}: there is none; no router has watched a campaign's calls here yet, or {hint}"
            )
        await self._connection.run(lambda _: None)

    async def close(self) -> None:
        """Close the connection, when what waits is written."""
        await in_time(self._close())

    async def _close(self) -> None:
        if self._writer is not None:
            await asyncio.wait([self._writer])
        await self._connection.close()

    async def record(self, attempts: Sequence[Attempt]) -> list[Recorded]:
        """Write attempts down in one transaction. Raises StoreError."""
        return await self._transact(lambda database: [_recorded(database, each) for each in attempts])

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        """Look, decide and note it in one transaction. Raises StoreError."""

        def decide(database: sqlite3.Connection) -> Claim:
            known = _claimed(database, number, subscriber, call_id)
            if known is not None:
                return known
            attempts = _attempts(database, _REACHED_OF_PAIR, (number, subscriber, HISTORY_ATTEMPTS_MAX))
            (used_at,) = database.execute(_USED_AT, (number, subscriber, math.inf)).fetchone()
            claim, record = decided(History(tuple(attempts), used_at), since, began)
            if record is not None:
                _keep_claim(database, number, subscriber, call_id, record)
            return claim

        return await self._transact(decide)

    async def history(self, number: str, subscriber: str, until: float) -> History:
        """What was known of a pair then. Raises StoreError."""

        def look(database: sqlite3.Connection) -> History:
            latest = until + CLOCKS_APART_SECONDS
            attempts = _attempts(database, _OF_PAIR, (number, subscriber, latest, HISTORY_ATTEMPTS_MAX))
            (used_at,) = database.execute(_USED_AT, (number, subscriber, until)).fetchone()
            return History(tuple(attempts), used_at)

        return await self._connection.run(look)

    async def uses(self, number: str, subscriber: str, until: float) -> list[Use]:
        """The calls that consumed an entitlement of a pair until then, the first one first. Raises StoreError."""
        values = (number, subscriber, until)
        return await self._connection.run(
            lambda database: [Use(*row) for row in database.execute(_USES, values).fetchall()]
        )

    async def attempts(
        self,
        number: str | None,
        subscriber: str | None,
        limit: int,
        *,
        campaign: str | None = None,
        after: AttemptPlace | None = None,
    ) -> list[Attempt]:
        """The newest attempts first. Raises StoreError."""
        query, values = page_query(number, subscriber, campaign, after)
        return await self._connection.run(lambda database: _attempts(database, query, (*values, limit)))

    async def changes(self, cursor: str, seconds: float) -> AttemptChanges:
        """Look every CALLBACK_LOOK_SECONDS what was written since. Raises StoreError."""
        end = time.monotonic() + seconds
        while True:
            changes = await self._connection.run(lambda database: _changed(database, cursor))
            if changes.full or changes.pages or time.monotonic() >= end:
                return changes
            await asyncio.sleep(min(CALLBACK_LOOK_SECONDS, seconds))

    async def purge(self, cutoffs: Cutoffs) -> int:
        """Delete what is past, in steps between which claims have their turn. Raises StoreError."""
        steps: list[tuple[str, tuple[str | float, ...]]] = [
            *((_DELETE_UNANSWERED, (campaign, moment)) for campaign, moment in cutoffs.campaigns.items()),
            (_DELETE_ANSWERED, (cutoffs.answered,)),
            (_DELETE_OLD, (cutoffs.oldest,)),
        ]
        gone = 0
        while True:
            deleted = await self._transact(lambda database: _purge(database, steps))
            gone += deleted
            if deleted < PURGE_ROWS_AT_ONCE:
                break
        values = (cutoffs.oldest, PURGE_ROWS_AT_ONCE)
        while len(await self._transact(lambda database: database.execute(_DELETE_OLD_CLAIMS, values).fetchall())):
            pass
        return gone

    async def purged_at(self) -> float | None:
        """By which moment the last purge went. Raises StoreError."""

        def look(database: sqlite3.Connection) -> float | None:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'purges'").fetchone():
                return None
            found = database.execute("SELECT at FROM purges").fetchone()
            return float(found[0]) if found is not None else None

        return await self._connection.run(look)

    async def note_purge(self, moment: float) -> None:
        """Keep it. Raises StoreError."""

        def note(database: sqlite3.Connection) -> None:
            database.execute(_PURGES)
            database.execute("INSERT OR REPLACE INTO purges VALUES (1, ?)", (moment,))

        await self._transact(note)

    async def drop(self, attempts: Sequence[Attempt]) -> None:
        """Let go of attempts that somebody else has now, unless more was heard of one meanwhile. Raises StoreError."""
        names = [(each.number, each.subscriber, each.id, each.outcome) for each in attempts]
        await self._transact(lambda database: database.executemany(_DROP, names))

    async def count(self) -> int:
        """How many attempts are here. Raises StoreError."""

        def look(database: sqlite3.Connection) -> int:
            (found,) = database.execute("SELECT count(*) FROM attempts").fetchone()
            return int(found)

        return await self._connection.run(look)

    @property
    def pending_count(self) -> int:
        """None: this is the store."""
        return 0

    async def pending(self) -> list[Attempt]:
        """None: this is the store."""
        return []

    async def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do some work in a transaction, together with what others want done meanwhile."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writes.append(_Write(work, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return await done

    async def _write(self) -> None:
        try:
            while self._writes:
                batch, self._writes = self._writes[:CALLBACK_WRITES_MAX], self._writes[CALLBACK_WRITES_MAX:]
                await self._write_together(batch)
        finally:
            self._writer = None

    async def _write_together(self, batch: Sequence[_Write]) -> None:
        """All of a batch or, where something in it fails, each by itself: the others have no part in that."""

        def change(database: sqlite3.Connection) -> list[Any]:
            with transaction(database):
                return [each.work(database) for each in batch]

        batch = [each for each in batch if not each.done.done()]  # others have gone
        if not batch:
            return
        try:
            results = await self._connection.run(change)
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            if len(batch) > 1 and not _concerns_all(error):
                for each in batch:
                    await self._write_together([each])
                return
            for each in batch:
                if not each.done.done():
                    each.done.set_exception(error)
            return
        for each, result in zip(batch, results, strict=True):
            with contextlib.suppress(asyncio.InvalidStateError):  # it was called off while it was done
                each.done.set_result(result)


def _concerns_all(error: Exception) -> bool:
    """Whether each one of a batch would fail alike, after as long a wait: a locked file, a full disk."""
    return isinstance(error.__cause__, sqlite3.OperationalError)


def _recorded(database: sqlite3.Connection, told: Attempt) -> Recorded:
    """Write one attempt down."""
    found = _attempts(database, _ONE, (told.number, told.subscriber, told.id))
    attempt, heard = merged(found[0] if found else None, told)
    if heard is not Heard.KNOWN:
        (seq,) = database.execute("UPDATE meta SET seq = seq + 1 RETURNING seq").fetchone()
        values = (attempt.number, attempt.subscriber, attempt.id, attempt.campaign, attempt.at, attempt.outcome, seq)
        database.execute("INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    return Recorded(attempt, heard)


def _claimed(database: sqlite3.Connection, number: str, subscriber: str, call_id: str) -> Claim | None:
    """What that call was told before."""
    found = database.execute(_CLAIM, (number, subscriber, call_id)).fetchone()
    if found is None:
        return None
    status, attempt_id, at, used_at = found
    attempts = _attempts(database, _ONE, (number, subscriber, attempt_id))
    return ClaimRecord(ClaimStatus(status), attempt_id or "", at, used_at).again(attempts[0] if attempts else None)


def _keep_claim(database: sqlite3.Connection, number: str, subscriber: str, call_id: str, record: ClaimRecord) -> None:
    """Write a claim; one that consumes nothing is left out where the pair has too many already."""
    (kept,) = database.execute(_CLAIMS, (number, subscriber, CALLBACK_PAIR_CLAIMS_MAX)).fetchone()
    if record.used_at is None and kept >= CALLBACK_PAIR_CLAIMS_MAX:
        return
    values = (number, subscriber, call_id, record.at, record.status, record.attempt or None, record.used_at)
    database.execute("INSERT INTO claims VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def _changed(database: sqlite3.Connection, cursor: str) -> AttemptChanges:
    epoch, seq = database.execute("SELECT epoch, seq FROM meta").fetchone()
    its_epoch, _, known = cursor.partition(":")
    if its_epoch != epoch or not known.isdigit() or int(known) > seq:
        found = database.execute(_RELEVANT)
        pages = []
        while rows := found.fetchmany(PURGE_PAIRS_AT_ONCE):
            pages.append(untracked(_attempt(*row) for row in rows))
        return AttemptChanges(f"{epoch}:{seq}", full=True, pages=pages)
    rows = database.execute(_CHANGED, (int(known), ATTEMPT_CHANGES_MAX)).fetchall()
    pages = [tuple(_attempt(*row[:-1]) for row in rows)] if rows else []
    return AttemptChanges(f"{epoch}:{rows[-1][-1] if rows else seq}", full=False, pages=pages)


def _purge(database: sqlite3.Connection, steps: Sequence[tuple[str, tuple[str | float, ...]]]) -> int:
    """Delete PURGE_ROWS_AT_ONCE attempts at most, and the claims of pairs that have none any more."""
    gone: list[_Pair] = []
    for statement, values in steps:
        gone += database.execute(statement, (*values, PURGE_ROWS_AT_ONCE - len(gone))).fetchall()
        if len(gone) >= PURGE_ROWS_AT_ONCE:
            break
    for pair in dict.fromkeys(gone):
        database.execute(_DELETE_CLAIMS_OF_PAIR, pair)
    return len(gone)


def _attempts(database: sqlite3.Connection, query: str, values: Sequence[str | float | None]) -> list[Attempt]:
    return [_attempt(*row) for row in database.execute(query, values).fetchall()]


def _attempt(name: str, campaign: str, number: str, subscriber: str, at: float, outcome: str) -> Attempt:
    try:
        return Attempt(name, campaign, number, subscriber, at, Outcome(outcome))
    except ValueError as error:
        raise sqlite3.DatabaseError(f"malformed content ({error})") from error


def beside(path: pathlib.Path, made: Made = unsaid) -> SqliteCallbackStore:
    """The store of attempts that belongs to the data set in the file `path`."""
    return SqliteCallbackStore(path.with_name(f"{path.stem}-callbacks{path.suffix}"), made)
