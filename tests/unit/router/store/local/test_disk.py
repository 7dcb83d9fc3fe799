"""A disk that hangs is waited for once, and for so long; what it does after all is done."""

import asyncio
import pathlib

import pytest

from router.store.api import StoreError
from router.store.local import disk
from router.store.local.disk import Disk

HERE = Disk(pathlib.Path("here.db"))


async def test_what_a_step_gives_or_raises_is_passed_on() -> None:
    async def gives() -> int:
        return 5

    async def raises() -> None:
        raise StoreError("it is full")

    assert await HERE.answer(gives()) == 5
    with pytest.raises(StoreError, match="it is full"):
        await HERE.answer(raises())
    assert HERE.hanging is None


async def test_while_a_step_hangs_the_next_ones_are_refused_and_afterwards_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "DISK_ANSWER_SECONDS", 0.01)
    goes_on = asyncio.Event()
    done: list[str] = []

    async def step(name: str) -> None:
        await goes_on.wait()
        done.append(name)

    here = Disk(pathlib.Path("here.db"))
    with pytest.raises(
        StoreError, match=r"^store here\.db: its disk does not answer within 0\.01 s; see to that disk$"
    ):
        await here.answer(step("first"))
    with pytest.raises(StoreError, match=r"^store here\.db: its disk has not answered yet; see to that disk$"):
        await here.answer(step("second"))
    goes_on.set()
    assert here.hanging is not None
    await here.hanging
    monkeypatch.setattr(disk, "DISK_ANSWER_SECONDS", 60)
    await here.answer(step("third"))
    assert done == ["first", "third"]


async def test_the_error_of_a_step_that_nobody_waits_for_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "DISK_ANSWER_SECONDS", 0.01)
    goes_on = asyncio.Event()

    async def step() -> None:
        await goes_on.wait()
        raise StoreError("too late")

    here = Disk(pathlib.Path("here.db"))
    with pytest.raises(StoreError, match="does not answer"):
        await here.answer(step())
    goes_on.set()
    assert here.hanging is not None
    await asyncio.wait([here.hanging])
