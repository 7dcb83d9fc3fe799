"""Work in a thread that its caller may call off: nobody is left in doubt whether it was done."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class CalledOffError(Exception):
    """Ends the work of somebody who no longer waits for it."""


class Work:
    """Work in a thread that may be called off: a cancellation or the COMMIT decides, whichever comes first."""

    def __init__(self) -> None:
        self.off = False
        self._lock = threading.Lock()
        self._committing = False

    def go_on(self) -> None:
        """In the thread: end here where it was called off."""
        if self.off:
            raise CalledOffError

    def commit(self) -> None:
        """In the thread, right before COMMIT: end here, or be past calling off."""
        with self._lock:
            self.go_on()
            self._committing = True

    async def result(self, running: Coroutine[Any, Any, T]) -> T:
        """Its result, once the thread is done with it. A cancellation that came too late is passed over."""
        task = asyncio.ensure_future(running)
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                with self._lock:
                    self.off = not self._committing
        if self.off:
            task.exception()
            raise asyncio.CancelledError
        return task.result()
