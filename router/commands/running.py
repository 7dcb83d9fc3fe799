"""How a command runs: the configured store opened and closed around it, Ctrl-C, and how it fails."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Failure(Exception):  # noqa: N818 - each kind of it says by its name what has failed
    """A command could not do what was asked; the text is the one line that says why."""


class Openable(Protocol):
    """A store of either kind: of rows, or of attempts and claims."""

    async def open(self, *, make: bool = True) -> None:
        """Connect; without `make` a missing store is a StoreError."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


S = TypeVar("S", bound=Openable)


async def opened(store: S, use: Callable[[S], Awaitable[T]], *, make: bool = False) -> T:
    """Open a store, use it, close it; with `make`, make a missing one first.

    Raises StoreError, and whatever `use` raises.
    """
    try:
        await store.open(make=make)
        return await use(store)
    finally:
        await store.close()


def with_store(store: S, use: Callable[[S], Awaitable[T]], *, make: bool = False) -> T:
    """Open a store, use it, close it, in an event loop of its own.

    Ctrl-C, however often, is one cancellation: `use` gets to know what has become of its work, and what it returned by
    then stands. Raises KeyboardInterrupt where it returned nothing, StoreError, and whatever
    `use` raises.
    """
    done: list[T] = []

    async def use_it(given: S) -> None:
        done.append(await use(given))

    async def run() -> None:
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
        await opened(store, use_it, make=make)

    try:
        asyncio.run(run())
    except (asyncio.CancelledError, KeyboardInterrupt):
        if not done:
            raise KeyboardInterrupt from None
    return done[0]
