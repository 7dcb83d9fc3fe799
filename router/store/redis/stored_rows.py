"""What is stored in Redis, as a check that runs in a thread sees it: row by row, or all of a kind."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from dialplan.dataset.later import KIND_CODES, Held, LaterRow
from dialplan.kinds.registry import KINDS, RowKind
from router.config.limits import REDIS_GETS_MAX
from router.store.codec import CODES, decode, quoted
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
        self._known: dict[RowKind, dict[str, Held | None]] = {kind: {} for kind in RowKind}
        self._all: dict[int, dict[str, bytes]] = {}

    def get(self, kind: RowKind, key: str) -> Held | None:
        """A row; None where there is none. Raises StoreError."""
        self._work.go_on()
        known = self._known[kind]
        if key in known:
            return known[key]
        code = CODES[kind]
        if self._refuses and self._sums is not None and not self._sums[code - 1].rows:  # a first load asks often
            return None
        if code not in self._all and len(known) >= REDIS_GETS_MAX:
            self._fetch(code)
        if code in self._all:
            body = self._all[code].get(key)
        else:
            asked = self._store.get(code, key)
            body = asyncio.run_coroutine_threadsafe(asked, self._loop).result()
        row = self._row(code, key, body)
        if not KINDS[kind].numerous or code not in self._all:
            known[key] = row
        return row

    def rows(self, kind: RowKind, naming: AbstractSet[str] = frozenset()) -> Iterator[Held]:
        """All rows of a kind, in the order of their keys, or those that may name these. Raises StoreError."""
        return self._all_of(CODES[kind], quoted(naming))

    def of_other_kinds(self) -> Iterator[LaterRow]:
        """All rows whose kind is not known. Raises StoreError."""
        for code in KIND_CODES:
            if code not in CODES.values():
                yield from (row for row in self._all_of(code) if isinstance(row, LaterRow))

    def _all_of(self, code: int, sought: Sequence[bytes] = ()) -> Iterator[Held]:
        self._work.go_on()
        self._fetch(code)
        for key, body in self._all[code].items():
            self._work.go_on()
            if sought and not any(each in body for each in sought):
                continue
            row = self._row(code, key, body)
            if row is not None:
                yield row

    def _fetch(self, code: int) -> None:
        if code not in self._all:
            asked = self._store.all_of(code)
            bodies = asyncio.run_coroutine_threadsafe(asked, self._loop).result()
            if self._sums is not None:
                self._compare(code, self._sums[code - 1], bodies)
            self._all[code] = bodies

    def _compare(self, code: int, said: Sum, bodies: dict[str, bytes]) -> None:
        found = sum_of(bodies)
        if found == said:
            return
        if self._refuses:
            for key, body in bodies.items():
                self._row(code, key, body)  # one that cannot be read says so itself
            raise self._store.differs(code, said, found)
        self.differ = True

    def _row(self, code: int, key: str, body: bytes | None) -> Held | None:
        with self._store.sound():
            return None if body is None else decode(code, key, body)[1]
