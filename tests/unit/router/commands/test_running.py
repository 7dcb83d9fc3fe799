import asyncio
import os
import signal

import pytest

from router.commands.running import with_store
from router.store.api import StoreError


class Store:
    """A store that notes what was done with it; Ctrl-C is pressed while it is closed, where `late`."""

    def __init__(self, *, late: bool = False, missing: bool = False) -> None:
        self.done: list[str] = []
        self._late, self._missing = late, missing

    async def open(self, *, make: bool = True) -> None:
        self.done.append("made" if make else "opened")
        if self._missing:
            raise StoreError("there is none")

    async def close(self) -> None:
        if self._late:
            interrupt()
            await asyncio.sleep(0)
        self.done.append("closed")


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


async def answer(store: Store) -> str:
    store.done.append("used")
    return "answer"


@pytest.mark.parametrize(("make", "first"), [(False, "opened"), (True, "made")])
def test_a_store_is_opened_used_and_closed(make: bool, first: str) -> None:
    store = Store()
    assert with_store(store, answer, make=make) == "answer"
    assert store.done == [first, "used", "closed"]


def test_a_store_that_does_not_open_is_closed_all_the_same() -> None:
    store = Store(missing=True)
    with pytest.raises(StoreError, match="there is none"):
        with_store(store, answer)
    assert store.done == ["opened", "closed"]


def test_ctrl_c_cancels_the_work_and_closes_the_store() -> None:
    store = Store()

    async def wait(_: Store) -> None:
        interrupt()
        await asyncio.sleep(30)

    with pytest.raises(KeyboardInterrupt):
        with_store(store, wait)
    assert store.done == ["opened", "closed"]


def test_what_was_done_before_ctrl_c_stands() -> None:
    assert with_store(Store(late=True), answer) == "answer"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
