import asyncio
import os
import signal

import pytest

from router.commands.running import Failure, interruptible, with_store
from router.store.api import StoreError
from router.util import descriptors


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


def interrupt(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_interrupts_cancels_the_work_and_closes_the_store(number: signal.Signals) -> None:
    store = Store()

    async def wait(_: Store) -> None:
        interrupt(number)
        await asyncio.sleep(30)

    with pytest.raises(KeyboardInterrupt):
        with_store(store, wait)
    assert store.done == ["opened", "closed"]


def test_what_was_done_before_ctrl_c_stands() -> None:
    assert with_store(Store(late=True), answer) == "answer"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_is_interrupted_where_it_waits_for_no_store_too(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interruptible():
        interrupt(number)
    assert signal.getsignal(number) is before


def test_behind_the_store_a_command_is_interruptible_still() -> None:
    store = Store()
    with pytest.raises(KeyboardInterrupt), interruptible():
        interrupt(signal.SIGTERM if with_store(store, answer) == "answer" else signal.SIGKILL)
    assert store.done == ["opened", "used", "closed"]


def test_what_nohup_has_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        async def hang_up(store: Store) -> str:
            interrupt(signal.SIGHUP)
            await asyncio.sleep(0)
            return await answer(store)

        with interruptible():
            interrupt(signal.SIGHUP)
            assert with_store(Store(), hang_up) == "answer"
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_process_that_can_open_no_event_loop_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "are_used_up", lambda: True)
    with pytest.raises(Failure, match="ulimit -n"):
        with_store(Store(), answer)
