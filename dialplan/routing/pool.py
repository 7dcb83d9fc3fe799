"""Numbers in order, which one change after the other is made to: none of them costs a pass over all."""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from typing import overload

from dialplan.shards import Shards, Steps, untracked

CHUNK = 512  # numbers that are sorted anew, or freed, in one go
_STEP_CHUNKS = 8  # touched by one step of a change
_REBUILD_CHANGES = 2_048  # more than these are merged into all that there are


class Pool(Sequence[str]):
    """Different numbers, in order. It never changes: a changed one has its untouched chunks in common with it.

    Chunks are tuples: the garbage collector leaves one alone that has nothing for it, and looks through each list.
    """

    __slots__ = ("_ends", "_lasts", "chunks")

    def __init__(self, chunks: Sequence[tuple[str, ...]] = ()) -> None:
        self.chunks = chunks  # none is empty
        self._lasts = [chunk[-1] for chunk in chunks]
        self._ends = list(accumulate(map(len, chunks)))

    def __len__(self) -> int:
        """How many there are."""
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[str]:
        """All, in order."""
        for chunk in self.chunks:
            yield from chunk

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        """The number at that place."""
        if isinstance(place, slice):
            return list(self)[place]
        count = len(self)
        if not -count <= place < count:
            raise IndexError(place)
        place %= count
        chunk = bisect_right(self._ends, place)
        return self.chunks[chunk][place - self._ends[chunk]]

    def __eq__(self, other: object) -> bool:
        """Whether it has the same numbers as another sequence."""
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(str.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment] # as lists have none

    def __repr__(self) -> str:
        """As a list."""
        return f"Pool({list(self)!r})"

    def changing(self, comes: Shards[None], goes: Shards[None]) -> "Steps[Pool]":
        """The pool with some more, which it does not have, and without some that it has. `comes` is emptied.

        They are dictionaries of nothing: unlike lists and sets these are none of the garbage collector's.
        """
        changes = len(comes) + len(goes)
        if not changes:
            return self
        few = len(self.chunks) * CHUNK < 4 * len(self) + 16 * CHUNK  # or many chunks have become small
        if changes <= _REBUILD_CHANGES and few:
            return (yield from self._with_few(comes, goes))
        runs: list[tuple[str, ...]] = []
        while comes.dicts:
            runs.append(untracked(sorted(comes.dicts.pop())))
            if len(runs) % _STEP_CHUNKS == 0:
                yield
        left: list[tuple[str, ...]] = []
        for count, chunk in enumerate(reversed(self.chunks), start=1):  # a merge would not stop where many have gone
            left.append(untracked(number for number in chunk if number not in goes))
            if count % _STEP_CHUNKS == 0:
                yield
        merged, chunks = heapq.merge(_popped(left), *map(iter, runs)), []
        while some := untracked(islice(merged, CHUNK)):
            chunks.append(some)
            yield
        while runs:  # all of them at once would take as long as a step of their number
            del runs[-_STEP_CHUNKS:]
            yield
        return Pool(chunks)

    def _with_few(self, comes: Shards[None], goes: Shards[None]) -> "Steps[Pool]":
        """Each chunk that is touched is replaced."""
        last = max(0, len(self._lasts) - 1)
        coming: dict[int, list[str]] = {}
        for number in comes:
            coming.setdefault(min(bisect_left(self._lasts, number), last), []).append(number)
        touched = coming.keys() | {min(bisect_left(self._lasts, number), last) for number in goes}
        chunks = list(self.chunks) or [()]
        for count, place in enumerate(sorted(touched, reverse=True), start=1):
            chunk = [number for number in chunks[place] if number not in goes]
            chunk = sorted([*chunk, *coming.get(place, [])])
            size = len(chunk) if len(chunk) <= 2 * CHUNK else CHUNK
            chunks[place : place + 1] = [
                tuple(chunk[first : first + size]) for first in range(0, len(chunk), size or 1)
            ]
            if count % _STEP_CHUNKS == 0:
                yield
        return Pool(chunks)


def _popped(chunks: list[tuple[str, ...]]) -> Iterator[str]:
    """All numbers, those of the last chunk first; each chunk is let go of on the way."""
    while chunks:
        yield from chunks.pop()
