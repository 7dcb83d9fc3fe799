"""How a command runs: the configured store opened and closed around it, what interrupts it, and how it fails."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import FrameType
from typing import Protocol, TypeVar

from router.util import descriptors

T = TypeVar("T")
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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

    Ctrl-C, SIGTERM or SIGHUP, however often, is one cancellation: `use` gets to know what has become of its work, and
    what it returned by then stands. Raises KeyboardInterrupt where it returned nothing, StoreError, Failure, and
    whatever `use` raises.
    """
    if descriptors.are_used_up():  # an event loop that cannot be made says so at great length
        raise Failure(descriptors.TOO_FEW)
    done: list[T] = []

    async def use_it(given: S) -> None:
        done.append(await use(given))

    async def run() -> None:
        task = asyncio.current_task()
        if task is not None:
            for number in _heeded():
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await opened(store, use_it, make=make)

    try:
        with _kept(_heeded()):
            asyncio.run(run())
    except (asyncio.CancelledError, KeyboardInterrupt):
        if not done:
            raise KeyboardInterrupt from None
    return done[0]


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """While the block runs SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does: a command says how it ended."""
    numbers = [each for each in _heeded() if each is not signal.SIGINT]
    with _kept(numbers):
        for each in numbers:
            signal.signal(each, _interrupt)
        yield


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _heeded() -> list[signal.Signals]:
    """What interrupts this process; nohup has SIGHUP ignored. Only the main thread may change that."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [each for each in _INTERRUPTS if signal.getsignal(each) is not signal.SIG_IGN]


@contextlib.contextmanager
def _kept(numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """Afterwards the signals do again what they do now; an event loop that ends gives them back to the system."""
    before = {each: signal.getsignal(each) for each in numbers}
    try:
        yield
    finally:
        for each, handler in before.items():
            if handler is not None:  # not set by Python
                signal.signal(each, handler)
