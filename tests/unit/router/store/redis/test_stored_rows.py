"""What a check sees of Redis: asked row by row while it asks for few, all of a kind at once from then on."""

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from dialplan.kinds.call_flow import CallFlow
from dialplan.kinds.fields import Destination
from dialplan.kinds.registry import RowKind
from router.store.codec import CODES, encode
from router.store.redis import stored_rows as redis_stored
from router.store.redis.stored_rows import StoredRows
from router.store.redis.sums import Sum
from router.store.work import CalledOffError, Work

FLOWS = {name: encode(CallFlow(name, name, Destination("c"))) for name in "abcdef"}


class Noted:
    """Rows of call flows alone, and what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self, code: int, key: str) -> bytes | None:
        self.asked.append(key)
        return FLOWS.get(key) if code == CODES[RowKind.CALL_FLOW] else None

    async def all_of(self, code: int) -> dict[str, bytes]:
        self.asked.append("*")
        return FLOWS if code == CODES[RowKind.CALL_FLOW] else {}

    def differs(self, code: int, said: Sum, found: Sum) -> Exception:
        return AssertionError(code, said, found)

    def sound(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


async def looked_at(look: Callable[[StoredRows], object], work: Work | None = None) -> list[str]:
    """What a look in a thread asked Redis for."""
    noted = Noted()
    stored = StoredRows(noted, work or Work(), asyncio.get_running_loop())
    await asyncio.to_thread(look, stored)
    return noted.asked


async def test_a_row_is_asked_for_once_one_that_is_not_there_too() -> None:
    def look(stored: StoredRows) -> None:
        for _ in range(2):
            assert stored.get(RowKind.CALL_FLOW, "a") == CallFlow("a", "a", Destination("c"))
            assert stored.get(RowKind.CALL_FLOW, "none") is None
            assert stored.get(RowKind.COMPANY, "a") is None

    assert await looked_at(look) == ["a", "none", "a"]


async def test_who_asks_for_many_gets_all_of_that_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_stored, "REDIS_GETS_MAX", 2)

    def look(stored: StoredRows) -> None:
        for _ in range(2):
            assert [stored.get(RowKind.CALL_FLOW, name) is not None for name in "abcdx"] == [True] * 4 + [False]
        assert stored.get(RowKind.NUMBER, "a") is None

    assert await looked_at(look) == ["a", "b", "*", "a"]


async def test_all_of_a_kind_are_fetched_once() -> None:
    def look(stored: StoredRows) -> None:
        for _ in range(2):
            assert [row.name for row in stored.rows(RowKind.CALL_FLOW) if isinstance(row, CallFlow)] == list("abcdef")
        assert stored.get(RowKind.CALL_FLOW, "b") is not None

    assert await looked_at(look) == ["*"]


@pytest.mark.parametrize("kind", [RowKind.CALL_FLOW, RowKind.COMPANY])
async def test_a_check_that_was_called_off_asks_for_nothing_more(kind: RowKind) -> None:
    work = Work()
    work.off = True
    for look in (lambda stored: stored.get(kind, "a"), lambda stored: list(stored.rows(kind))):
        with pytest.raises(CalledOffError):
            await looked_at(look, work)
