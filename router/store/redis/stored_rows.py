"""What is stored in Redis, as a check that runs in a thread sees it: row by row, or all of a kind."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Protocol

from dialplan.kinds.registry import KINDS, Row, RowKind
from router.config.limits import REDIS_GETS_MAX
from router.store.codec import CODES, decode
from router.store.redis.sums import Sum, Sums, sum_of
from router.store.work import Work


class Bodies(Protocol):
    """Where the rows are."""

    async def get(self, code: int, key: str) -> bytes | None:
        """The body of a row. Raises StoreError."""
        ...

    async def all_of(self, code: int) -> dict[str, bytes]:
        """The bodies of all rows of a kind, in the order of their keys. Raises StoreError."""
        ...

    def differs(self, code: int, said: Sum, found: Sum) -> Exception:
        """The error of a kind whose rows are not those that the data set says it has."""
        ...

    def sound(self) -> contextlib.AbstractContextManager[None]:
        """Turn what a row that cannot be read raises into a StoreError."""
        ...


class StoredRows:
    """What is stored, as a check in a thread sees it while nobody else may write.

    `sums`: what the data set says of its rows, where that is known. A kind of which all rows are asked for has to be
    what it says: what is not is refused, or else noted in `differ`.
    """

    def __init__(
        self,
        store: Bodies,
        work: Work,
        loop: asyncio.AbstractEventLoop,
        sums: Sums | None = None,
        *,
        refuses: bool = True,
    ) -> None:
        self._store = store
        self._work = work
        self._loop = loop
        self._sums = sums
        self._refuses = refuses
        self.differ = False
        self._known: dict[RowKind, dict[str, Row | None]] = {kind: {} for kind in RowKind}
        self._all: dict[RowKind, dict[str, bytes]] = {}

    def get(self, kind: RowKind, key: str) -> Row | None:
        """A row; None where there is none. Raises StoreError."""
        self._work.go_on()
        known = self._known[kind]
        if key in known:
            return known[key]
        if kind not in self._all and len(known) >= REDIS_GETS_MAX:
            self._fetch(kind)
        if kind in self._all:
            body = self._all[kind].get(key)
        else:
            asked = self._store.get(CODES[kind], key)
            body = asyncio.run_coroutine_threadsafe(asked, self._loop).result()
        row = self._row(kind, body)
        if not KINDS[kind].numerous or kind not in self._all:
            known[key] = row
        return row

    def rows(self, kind: RowKind) -> Iterator[Row]:
        """All rows of a kind, in the order of their keys. Raises StoreError."""
        self._work.go_on()
        self._fetch(kind)
        for body in self._all[kind].values():
            self._work.go_on()
            row = self._row(kind, body)
            if row is not None:
                yield row

    def _fetch(self, kind: RowKind) -> None:
        if kind not in self._all:
            asked = self._store.all_of(CODES[kind])
            bodies = asyncio.run_coroutine_threadsafe(asked, self._loop).result()
            if self._sums is not None:
                self._compare(kind, self._sums[CODES[kind] - 1], bodies)
            self._all[kind] = bodies

    def _compare(self, kind: RowKind, said: Sum, bodies: dict[str, bytes]) -> None:
        found = sum_of(bodies)
        if found == said:
            return
        if self._refuses:
            for body in bodies.values():
                self._row(kind, body)  # one that cannot be read says so itself
            raise self._store.differs(CODES[kind], said, found)
        self.differ = True

    def _row(self, kind: RowKind, body: bytes | None) -> Row | None:
        with self._store.sound():
            return None if body is None else decode(CODES[kind], body)[1]
