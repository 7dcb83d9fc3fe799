"""The next thing is on its way while one is used; nothing is lost, left open or swallowed."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from router.util.ahead import ahead


class Source:
    """Counts up to `count`, then ends, or raises."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.given = 0
        self.closed = False
        self._count = count
        self._error = error

    async def things(self) -> AsyncGenerator[int, None]:
        try:
            while self.given < self._count:
                await asyncio.sleep(0)
                self.given += 1
                yield self.given
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True


@pytest.mark.parametrize("count", [0, 1, 5])
async def test_all_things_come_in_order(count: int) -> None:
    source = Source(count)
    assert [each async for each in ahead(source.things())] == list(range(1, count + 1))
    assert source.closed


async def test_one_is_on_its_way_and_no_more() -> None:
    source = Source(5)
    async for each in ahead(source.things()):
        await asyncio.sleep(0.001)
        assert source.given == min(each + 1, 5)


async def test_what_the_source_raises_comes_out_after_what_came_before() -> None:
    seen: list[int] = []
    source = Source(2, ZeroDivisionError())

    async def take() -> None:
        async for each in ahead(source.things()):
            seen.append(each)  # noqa: PERF401 - as far as it comes

    with pytest.raises(ZeroDivisionError):
        await take()
    assert (seen, source.closed) == ([1, 2], True)


@pytest.mark.parametrize("error", [None, ZeroDivisionError()])
async def test_who_leaves_early_leaves_nothing_open(error: Exception | None) -> None:
    source = Source(1, error)
    things = ahead(source.things())
    assert await anext(things) == 1
    await asyncio.sleep(0.001)  # what comes next has come, or has failed
    await things.aclose()  # type: ignore[attr-defined] # a generator
    assert source.closed
