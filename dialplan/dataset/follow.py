"""How far long work has come, for whoever waits for it."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

Thing = TypeVar("Thing")


class Follow(Protocol):
    """Gives the things of a long pass on, and may show how many of them have been taken."""

    def __call__(self, work: str, things: Iterable[Thing], count: int, /) -> Iterable[Thing]:
        """The same things. `work`: what is done with them, printable; `count`: about how many there are."""
        ...


def unseen(_work: str, things: Iterable[Thing], _count: int) -> Iterable[Thing]:
    """Nobody waits."""
    return things
