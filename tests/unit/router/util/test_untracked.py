"""Tuples that the garbage collector leaves alone."""

import gc

from router.util.untracked import untracked
from tests.unit.router.store.attempts import attempt


def test_the_collector_does_not_look_at_a_page_of_attempts() -> None:
    page = untracked(attempt(str(each)) for each in range(3))
    assert [each.id for each in page] == ["0", "1", "2"]
    assert not gc.is_tracked(page)
