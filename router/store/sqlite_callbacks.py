"""Attempts and callback claims in SQLite, in a file beside the data set's.

A file of its own: a load holds the data set's for seconds, and no callback may wait for that.
"""

import pathlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from dialplan.attempts import Attempt, Outcome
from dialplan.callbacks import Claim, History, Verdict, claim_of
from router.limits import CALLBACK_BUSY_SECONDS, HISTORY_ATTEMPTS_MAX
from router.store.base import StoreError
from router.store.sqlite_connection import Connection, Schema, transaction

T = TypeVar("T")


def _make(database: sqlite3.Connection) -> None:
    database.execute(
        """CREATE TABLE attempts (id TEXT NOT NULL PRIMARY KEY, campaign TEXT NOT NULL, number TEXT NOT NULL,
        subscriber TEXT NOT NULL, at REAL NOT NULL, outcome TEXT NOT NULL) WITHOUT ROWID"""
    )
    database.execute("CREATE INDEX attempts_of_pair ON attempts (number, subscriber, at)")
    database.execute("CREATE INDEX attempts_by_time ON attempts (at)")
    # attempt: the one whose right the call got, NULL where it got none; used_at: rights up to then are used up
    database.execute(
        """CREATE TABLE claims (number TEXT NOT NULL, subscriber TEXT NOT NULL, call_id TEXT NOT NULL, at REAL NOT NULL,
        verdict TEXT NOT NULL, attempt TEXT, used_at REAL, PRIMARY KEY (number, subscriber, call_id)) WITHOUT ROWID"""
    )
    database.execute("CREATE INDEX claims_by_time ON claims (at)")


_SCHEMA = Schema(1, _make, CALLBACK_BUSY_SECONDS, "a router makes it when it starts")
_BY_ID = "SELECT id, campaign, number, subscriber, at, outcome FROM attempts WHERE id = ?"
_OF_PAIR = """SELECT id, campaign, number, subscriber, at, outcome FROM attempts
    WHERE number = ? AND subscriber = ? ORDER BY at DESC, id DESC LIMIT ?"""
_MISSED = """SELECT id, campaign, number, subscriber, at, outcome FROM attempts
    WHERE outcome = ? OR id IN (SELECT attempt FROM claims)"""
_NEWEST = """SELECT id, campaign, number, subscriber, at, outcome FROM attempts
    WHERE number = coalesce(?, number) AND subscriber = coalesce(?, subscriber) ORDER BY at DESC, id DESC LIMIT ?"""
_DELETE_UNANSWERED = "DELETE FROM attempts WHERE campaign = ? AND at < ? AND outcome <> ?"
_DELETE_ANSWERED = "DELETE FROM attempts WHERE outcome = ? AND at < ?"
_CLAIM = "SELECT verdict, attempt FROM claims WHERE number = ? AND subscriber = ? AND call_id = ?"
_USED_AT = "SELECT max(used_at) FROM claims WHERE number = ? AND subscriber = ?"
_WEIGHT = {Outcome.FAILED: 0, Outcome.MISSED: 1, Outcome.ANSWERED: 2}


class SqliteCallbackStore:
    """The store in the file `path`; see `router.store.base.CallbackStore` for what each method promises."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._connection = Connection(path, _SCHEMA)

    async def open(self, *, make: bool = True) -> None:
        """Make the folder and the file where they are missing, or insist that they are there. Raises StoreError."""
        if not make and not self.path.exists():
            raise StoreError(f"store {self.path}: there is none; no router has watched a campaign's calls here yet")
        await self._connection.make()

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def record(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Write attempts down in one transaction; returns what was news. Raises StoreError."""
        return await self._change(lambda database: [each for each in attempts if _recorded(database, each)])

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        """Look, decide and note it in one transaction. Raises StoreError."""

        def decide(database: sqlite3.Connection) -> Claim:
            known = _claimed(database, number, subscriber, call_id)
            if known is not None:
                return known
            history = _history(database, number, subscriber)
            claim = claim_of(history, since, began=began)
            used_at = None
            if claim.verdict is Verdict.RIGHT:
                used_at = began
            database.execute(
                "INSERT INTO claims VALUES (?, ?, ?, ?, ?, ?, ?)",
                (number, subscriber, call_id, began, claim.verdict, claim.attempt and claim.attempt.id, used_at),
            )
            return claim

        return await self._change(decide)

    async def history(self, number: str, subscriber: str) -> History:
        """What is known of a pair. Raises StoreError."""
        return await self._connection.run(lambda database: _history(database, number, subscriber))

    async def attempts(self, number: str | None, subscriber: str | None, limit: int) -> list[Attempt]:
        """The newest attempts first. Raises StoreError."""
        return await self._connection.run(lambda database: _attempts(database, _NEWEST, (number, subscriber, limit)))

    async def missed(self) -> list[Attempt]:
        """Every missed attempt, and those that gave a right. Raises StoreError."""
        return await self._connection.run(lambda database: _attempts(database, _MISSED, (Outcome.MISSED,)))

    async def forget(self, since: Mapping[str, float], otherwise: float) -> int:
        """Delete what is too old to matter. Raises StoreError."""

        def delete(database: sqlite3.Connection) -> int:
            gone = 0
            for campaign, moment in since.items():
                gone += database.execute(_DELETE_UNANSWERED, (campaign, moment, Outcome.ANSWERED)).rowcount
            # An answered attempt ends older rights, those of campaigns with a longer window too.
            longest = min(since.values(), default=otherwise)
            gone += database.execute(_DELETE_ANSWERED, (Outcome.ANSWERED, longest)).rowcount
            gone += database.execute("DELETE FROM attempts WHERE at < ?", (otherwise,)).rowcount
            # A claim tells what is used up among the attempts of its pair: without any it says nothing.
            database.execute(
                """DELETE FROM claims WHERE at < ? OR NOT EXISTS (SELECT 1 FROM attempts
                WHERE attempts.number = claims.number AND attempts.subscriber = claims.subscriber)""",
                (otherwise,),
            )
            return gone

        return await self._change(delete)

    async def _change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def change(database: sqlite3.Connection) -> T:
            with transaction(database):
                return work(database)

        return await self._connection.run(change)


def _recorded(database: sqlite3.Connection, attempt: Attempt) -> bool:
    """Write one attempt down; whether it was news."""
    known = _attempts(database, _BY_ID, (attempt.id,))
    if not known:
        values = (attempt.id, attempt.campaign, attempt.number, attempt.subscriber, attempt.at, attempt.outcome)
        database.execute("INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?)", values)
        return True
    if _WEIGHT[attempt.outcome] <= _WEIGHT[known[0].outcome]:
        return False
    database.execute("UPDATE attempts SET outcome = ? WHERE id = ?", (attempt.outcome, attempt.id))
    return True


def _claimed(database: sqlite3.Connection, number: str, subscriber: str, call_id: str) -> Claim | None:
    """What that call was told before."""
    found = database.execute(_CLAIM, (number, subscriber, call_id)).fetchone()
    if found is None:
        return None
    verdict, attempt_id = found
    attempts = _attempts(database, _BY_ID, (attempt_id,))
    return Claim(Verdict(verdict), attempts[0] if attempts else None)


def _history(database: sqlite3.Connection, number: str, subscriber: str) -> History:
    attempts = _attempts(database, _OF_PAIR, (number, subscriber, HISTORY_ATTEMPTS_MAX))
    (used_at,) = database.execute(_USED_AT, (number, subscriber)).fetchone()
    return History(tuple(attempts), used_at)


def _attempts(database: sqlite3.Connection, query: str, values: Sequence[str | int | None]) -> list[Attempt]:
    try:
        rows = database.execute(query, values).fetchall()
        return [Attempt(name, campaign, shown, who, at, Outcome(word)) for name, campaign, shown, who, at, word in rows]
    except ValueError as error:
        raise sqlite3.DatabaseError(f"malformed content ({error})") from error


def beside(path: pathlib.Path) -> SqliteCallbackStore:
    """The store of attempts that belongs to the data set in the file `path`."""
    return SqliteCallbackStore(path.with_name(f"{path.stem}-callbacks{path.suffix}"))
