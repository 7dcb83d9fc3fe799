"""A thread for work that may hang, as a disk does: the end of the process does not wait for it."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
_Step = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class OwnThread:
    """One thread that does what it is given, one after the other; it begins with the first of it.

    An executor's thread would be waited for when Python ends, for as long as it hangs.
    """

    def __init__(self, name: str) -> None:
        self.thread: threading.Thread | None = None
        self._name = name
        self._steps: queue.SimpleQueue[_Step | None] = queue.SimpleQueue()

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` gives or raises. Whoever is cancelled before its turn takes it back."""
        if self.thread is None:
            self.thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self.thread.start()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._steps.put((loop, done, work))
        return await done

    def end(self, *, hangs: bool = False) -> None:
        """Let it end when it is through with what it was given; wait for that unless it hangs."""
        self._steps.put(None)
        if self.thread is not None and not hangs:
            self.thread.join()

    def _run(self) -> None:
        while (step := self._steps.get()) is not None:
            loop, done, work = step
            if not done.cancelled():
                _do(loop, done, work)
            del step, loop, done, work  # what was worked with is not kept until the next one comes


def _do(loop: asyncio.AbstractEventLoop, done: "asyncio.Future[Any]", work: Callable[[], Any]) -> None:
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - whoever waits gets it
        settle = _setter(done.set_exception, error)
    else:
        settle = _setter(done.set_result, result)
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(settle)


def _setter(setting: Callable[[Any], None], value: object) -> Callable[[], None]:
    def settle() -> None:
        with contextlib.suppress(asyncio.InvalidStateError):  # nobody waits any more
            setting(value)

    return settle
