"""Small files that may change, or lie on a mount that hangs: passwords, and certificates."""

import asyncio
import contextlib
import os
import stat
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


def secret_text(path: str, max_bytes: int) -> str:
    """What stands in a file, without the blanks and line ends around it. Raises OSError, or ValueError with the why."""
    # A FIFO that nobody writes to would never open.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no file")
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"it has more than {max_bytes} bytes")
    return data.decode("utf-8-sig").strip()


def why(error: Exception) -> str:
    """What an error of a file or of TLS says, without its number."""
    return getattr(error, "strerror", None) or str(error)


class SharedRead(Generic[T]):
    """Reads by `work` in a thread, for as many as ask at a time. `under_way` is the last reading."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.under_way: asyncio.Future[T] | None = None
        self._work = work

    async def result(self, seconds: float) -> T:
        """What `work` gives, or raises. Raises TimeoutError after so many seconds.

        One that hangs is waited for by the next one too, and no second thread hangs beside it. What it has found when
        nobody waited any more is nobody's: it may be long ago.
        """
        if self.under_way is None or self.under_way.done():
            self.under_way = _in_thread(self._work)
        return await asyncio.wait_for(asyncio.shield(self.under_way), seconds)


def _in_thread(work: Callable[[], T]) -> "asyncio.Future[T]":
    """Do it in a thread that the end of the process does not wait for, as it does for those of an executor."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(found: list[T], error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(found[0])
        else:
            done.set_exception(error)
            done.exception()  # whoever waited may have gone meanwhile

    def run() -> None:
        found: list[T] = []
        error: BaseException | None = None
        try:
            found.append(work())
        except Exception as caught:  # noqa: BLE001 - it is whoever waits that has to hear of it
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, found, error)

    threading.Thread(target=run, name="secret-files", daemon=True).start()
    return done
