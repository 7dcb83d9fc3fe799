"""Tells of the rows of later versions that a table has, or lacks: counts them, and names each once."""

from collections.abc import Set as AbstractSet
from typing import Any

import structlog

from dialplan.dataset.later import kind_word
from dialplan.routing.later_rows import LaterRows, Name
from router.config.limits import LATER_ROWS_NAMED_MAX
from router.observe.metrics import Metrics


class Teller:
    """Remembers which ones it has named."""

    def __init__(self, log: structlog.typing.FilteringBoundLogger, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics
        self._left_out: AbstractSet[Name] = frozenset()
        self._in_part: AbstractSet[Name] = frozenset()

    def tell(self, later: LaterRows) -> None:
        """Tell of those that a table has now."""
        left_out = later.left_out
        in_part = later.rows.keys() - left_out
        self._metrics.rows_left_out.set(len(left_out))
        self._metrics.rows_read_in_part.set(len(in_part))
        if left_out - self._left_out:
            self._log.warning("rows_left_out", **_said(left_out - self._left_out, later), count=len(left_out))
        if in_part - self._in_part:
            self._log.warning("rows_read_in_part", **_said(in_part - self._in_part, later), count=len(in_part))
        self._left_out, self._in_part = left_out, in_part


def _said(new: AbstractSet[Name], later: LaterRows) -> dict[str, Any]:
    """The first of them by name, why the first one is not known whole, and how many there are."""
    some = sorted(new, key=str)[:LATER_ROWS_NAMED_MAX]
    return {"rows": [f"{kind_word(kind)} {key}" for kind, key in some], "why": later.rows[some[0]].why, "new": len(new)}
