import asyncio
import threading
from collections.abc import Callable

import pytest

from router.store.work import CalledOffError, Work


class Thread:
    """A thread's work that reaches its COMMIT, or what comes before it, when the test lets it."""

    def __init__(self) -> None:
        self.work = Work()
        self.reached = asyncio.Event()
        self.free = threading.Event()
        self.ended: list[str] = []

    async def run(self, first: Callable[[], None], then: Callable[[], None]) -> str:
        loop = asyncio.get_running_loop()

        def work() -> str:
            first()
            loop.call_soon_threadsafe(self.reached.set)
            assert self.free.wait(60)
            try:
                then()
            except CalledOffError:
                self.ended.append("called off")
                raise
            self.ended.append("done")
            return "result"

        return await asyncio.to_thread(work)

    async def cancelled_in_between(self, first: Callable[[], None], then: Callable[[], None], times: int = 1) -> str:
        task = asyncio.create_task(self.work.result(self.run(first, then)))
        await self.reached.wait()
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()  # nobody goes away before it is known
        self.free.set()
        return await task


def nothing() -> None:
    """No step of its own."""


async def test_work_that_nobody_calls_off_gives_its_result_or_its_error() -> None:
    async def good() -> int:
        return 5

    async def bad() -> int:
        raise ZeroDivisionError

    assert await Work().result(good()) == 5
    with pytest.raises(ZeroDivisionError):
        await Work().result(bad())


@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancellation_before_the_commit_calls_it_off(times: int) -> None:
    thread = Thread()
    with pytest.raises(asyncio.CancelledError):
        await thread.cancelled_in_between(nothing, thread.work.commit, times)
    assert thread.ended == ["called off"]


async def test_a_cancellation_ends_work_that_looks_whether_to_go_on() -> None:
    thread = Thread()
    with pytest.raises(asyncio.CancelledError):
        await thread.cancelled_in_between(thread.work.go_on, thread.work.go_on)
    assert thread.ended == ["called off"]


@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancellation_after_the_commit_is_too_late(times: int) -> None:
    thread = Thread()
    assert await thread.cancelled_in_between(thread.work.commit, nothing, times) == "result"
    assert thread.ended == ["done"]
