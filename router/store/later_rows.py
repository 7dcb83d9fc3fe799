"""Tells of the rows of later versions that a table has, or lacks: counts them, and names each once."""

import structlog

from dialplan.dataset.later import kind_word
from dialplan.routing.later_rows import LaterRows, Name
from router.config.limits import LATER_ROWS_NAMED_MAX
from router.observe.metrics import Metrics


class Teller:
    """Remembers which ones it has named."""

    def __init__(self, log: structlog.typing.FilteringBoundLogger, metrics: Metrics) -> None:
        self._log = log
        self._gauges = {"rows_left_out": metrics.rows_left_out, "rows_read_in_part": metrics.rows_read_in_part}
        self._told: dict[str, frozenset[Name]] = dict.fromkeys(self._gauges, frozenset())

    def tell(self, later: LaterRows) -> None:
        """Tell of those that a table has now."""
        left_out = later.left_out
        for event, names in (("rows_left_out", left_out), ("rows_read_in_part", later.rows.keys() - left_out)):
            self._gauges[event].set(len(names))
            new = sorted(names - self._told[event], key=str)
            self._told[event] = frozenset(names)
            if new:
                named = [f"{kind_word(kind)} {key}" for kind, key in new[:LATER_ROWS_NAMED_MAX]]
                self._log.warning(event, rows=named, why=later.rows[new[0]].why, new=len(new), count=len(names))
