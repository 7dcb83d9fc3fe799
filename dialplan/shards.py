"""A large dictionary in many small ones.

One large dictionary cannot be changed, copied or freed without a long moment in which nothing else runs: a copy of a
million entries takes 36 ms, and so does its growth. A thread does not help, for that is one call that holds the
interpreter. Here each piece takes some 20 µs at a million entries, and a changed copy has all other pieces in common
with what it was made of.
"""

import gc
from collections.abc import Generator, Iterable, Iterator, MutableMapping
from typing import Any, Generic, TypeAlias, TypeVar, overload

SHARDS = 1_024  # of a million numbers each has some thousand: two bytes a place in its index
SHARD_MASK = SHARDS - 1
_FREED_OF_THE_LAST = 16

Value = TypeVar("Value")
Default = TypeVar("Default")
Result = TypeVar("Result")
# Work in steps of about a millisecond, between which others may have their turn; then its result.
Steps: TypeAlias = Generator[None, None, Result]


class Shards(MutableMapping[str, Value], Generic[Value]):
    """A mapping by a text, mostly a number. `dicts` are its pieces: its own is `dicts[hash(number) & SHARD_MASK]`."""

    __slots__ = ("dicts",)

    def __init__(self, dicts: list[dict[str, Value]] | None = None) -> None:
        self.dicts: list[dict[str, Value]] = dicts if dicts is not None else [{} for _ in range(SHARDS)]

    def __len__(self) -> int:
        """How many numbers there are."""
        return sum(map(len, self.dicts))

    def __iter__(self) -> Iterator[str]:
        """All numbers, in no order."""
        for shard in self.dicts:
            yield from shard

    def __getitem__(self, number: str) -> Value:
        """What stands under just this number."""
        return self.dicts[hash(number) & SHARD_MASK][number]

    def __setitem__(self, number: str, value: Value) -> None:
        """Put it there."""
        self.dicts[hash(number) & SHARD_MASK][number] = value

    def __delitem__(self, number: str) -> None:
        """Take it away."""
        del self.dicts[hash(number) & SHARD_MASK][number]

    def __contains__(self, number: object) -> bool:
        """Whether something stands there."""
        return number in self.dicts[hash(number) & SHARD_MASK]

    @overload
    def get(self, number: str, /) -> Value | None: ...

    @overload
    def get(self, number: str, /, default: Value | Default) -> Value | Default: ...

    def get(self, number: str, /, default: Any = None) -> Any:
        """What stands under a number, else `default`."""
        return self.dicts[hash(number) & SHARD_MASK].get(number, default)


def finished(steps: Steps[Result]) -> Result:
    """All steps at once; returns their result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # it is the generator's


def let_go(groups: list[list[Any]]) -> Steps[None]:
    """Free what is nobody else's, a group a step. Nobody else may hold the groups.

    What stands in a block of memory is spread over all groups, so that the blocks go back to the system with the last
    of these: 40 ms for a million attempts. So what dictionaries there have goes in small steps.
    """
    while len(groups) > 1:
        groups.pop()
        yield
    while groups and (last := groups[0]):
        thing = last.pop()
        left = list(thing.items()) if isinstance(thing, dict) else []  # whoever has it after all, has it whole
        del thing
        while left:
            del left[-_FREED_OF_THE_LAST:]
            yield
    groups.clear()


def untracked(items: Iterable[Value]) -> tuple[Value, ...]:
    """A tuple of things that are not for the garbage collector, which then leaves it alone as well.

    The collector lets go of such a tuple when it meets it first. Left to its own time it comes after hundreds of them:
    of 250 attempts each it took 20 ms over that, in which no call was answered. Here they are still in the processor's
    cache, and it takes 20 µs.
    """
    made = tuple(items)
    gc.collect(0)
    return made
