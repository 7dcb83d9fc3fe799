"""The disk under a file that is kept here, which may hang, as a mount does: nobody waits for it for long."""

import asyncio
import pathlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from router.config.limits import DISK_ANSWER_SECONDS
from router.store.api import StoreError

T = TypeVar("T")


class Disk:
    """Of one file. `hanging` is the step that did not end in time, if there was one; what it does after all is done."""

    def __init__(self, path: pathlib.Path) -> None:
        self.hanging: asyncio.Future[Any] | None = None
        self._path = path

    async def answer(self, step: Coroutine[Any, Any, T]) -> T:
        """What a step in the file gives. Raises StoreError, at once while an earlier step hangs."""
        if self.hanging is not None and not self.hanging.done():
            step.close()
            raise StoreError(f"store {self._path}: its disk has not answered yet; see to that disk")
        doing = asyncio.ensure_future(step)
        doing.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may wait for it
        await asyncio.wait([doing], timeout=DISK_ANSWER_SECONDS)
        if not doing.done():
            self.hanging = doing
            text = f"its disk does not answer within {DISK_ANSWER_SECONDS:g} s; see to that disk"
            raise StoreError(f"store {self._path}: {text}")
        return doing.result()
