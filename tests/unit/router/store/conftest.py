"""The stores that the suite in test_base runs against: each has to keep every promise of `router.store.base`."""

import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from router.store.base import Store
from router.store.sqlite import SqliteStore

Opener = Callable[[], Awaitable[Store]]


@pytest.fixture(params=["sqlite"])
async def another(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[Opener]:
    """Opens the same store once more, as another process would. All are closed afterwards."""
    make: dict[str, Callable[[], Store]] = {"sqlite": lambda: SqliteStore(tmp_path / "ringway.db")}
    opened: list[Store] = []

    async def use() -> Store:
        store = make[request.param]()
        opened.append(store)
        await store.open()
        return store

    yield use
    for store in opened:
        await store.close()


@pytest.fixture
async def store(another: Opener) -> Store:
    """An open store with nothing in it."""
    return await another()
