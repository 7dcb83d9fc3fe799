"""A thread of its own: one for all of its work, and nobody waits for one that hangs."""

import asyncio
import functools
import subprocess
import sys
import threading

import pytest

from router.util.own_thread import OwnThread

PATIENCE_SECONDS = 60.0


async def test_all_of_it_is_done_in_order_by_one_thread() -> None:
    own = OwnThread("own")
    order: list[int] = []

    def work(place: int) -> threading.Thread:
        order.append(place)
        return threading.current_thread()

    threads = await asyncio.gather(*(own.run(functools.partial(work, place)) for place in range(20)))
    assert set(threads) == {own.thread}
    assert order == list(range(20))
    own.end()
    assert own.thread is not None
    assert not own.thread.is_alive()


async def test_what_fails_is_raised_and_the_next_one_goes_on() -> None:
    own = OwnThread("own")
    with pytest.raises(ZeroDivisionError):
        await own.run(lambda: 1 // 0)
    assert await own.run(lambda: 5) == 5
    own.end()


async def test_without_any_work_there_is_no_thread() -> None:
    own = OwnThread("own")
    own.end()
    assert own.thread is None


async def test_whoever_leaves_before_its_turn_takes_its_work_back() -> None:
    own = OwnThread("own")
    goes_on, done = threading.Event(), list[str]()
    first = asyncio.create_task(own.run(lambda: goes_on.wait(PATIENCE_SECONDS)))
    leaver = asyncio.create_task(own.run(lambda: done.append("leaver")))
    stayer = asyncio.create_task(own.run(lambda: done.append("stayer")))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.sleep(0)
    goes_on.set()
    await asyncio.gather(first, stayer)
    assert done == ["stayer"]
    own.end()


async def test_whoever_leaves_during_its_turn_disturbs_nobody() -> None:
    own = OwnThread("own")
    began, goes_on = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        goes_on.wait(PATIENCE_SECONDS)

    leaver = asyncio.create_task(own.run(work))
    await asyncio.to_thread(began.wait, PATIENCE_SECONDS)
    leaver.cancel()
    goes_on.set()
    assert await own.run(lambda: 5) == 5
    own.end()


_HANGING = """
import asyncio, threading
from router.util.own_thread import OwnThread
async def main():
    own, began = OwnThread("own"), threading.Event()
    doing = asyncio.ensure_future(own.run(lambda: (began.set(), threading.Event().wait())))
    await asyncio.to_thread(began.wait)
    own.end(hangs=True)
asyncio.run(main())
print("ended")
"""


def test_a_process_ends_whatever_hangs_in_it() -> None:
    command = [sys.executable, "-c", _HANGING]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)
    assert (done.stdout, done.stderr) == ("ended\n", "")
