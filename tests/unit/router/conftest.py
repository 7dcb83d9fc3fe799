"""The callbacks of one router, on a store in a folder of the test's own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.router.rung import Running, Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path / "ringway-callbacks.db")
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def here(store: Store) -> Running:
    return Running(store)
