"""What is stored in Redis, as a check that runs in a thread sees it: row by row, or all of a kind."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Protocol

from dialplan.kinds.registry import KINDS, Row, RowKind
from router.config.limits import REDIS_GETS_MAX
from router.store.codec import CODES, decode
from router.store.work import Work


class Bodies(Protocol):
    """Where the rows are."""

    async def get(self, code: int, key: str) -> bytes | None:
        """The body of a row. Raises StoreError."""
        ...

    async def all_of(self, code: int) -> dict[str, bytes]:
        """The bodies of all rows of a kind, in the order of their keys. Raises StoreError."""
        ...

    def sound(self) -> contextlib.AbstractContextManager[None]:
        """Turn what a row that cannot be read raises into a StoreError."""
        ...


class StoredRows:
    """What is stored, as a check in a thread sees it while nobody else may write."""

    def __init__(self, store: Bodies, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._work = work
        self._loop = loop
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
            self._all[kind] = asyncio.run_coroutine_threadsafe(asked, self._loop).result()

    def _row(self, kind: RowKind, body: bytes | None) -> Row | None:
        with self._store.sound():
            return None if body is None else decode(CODES[kind], body)[1]
