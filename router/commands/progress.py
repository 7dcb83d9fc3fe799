"""A bar that shows whoever waits at a terminal how far long work has come."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Thing = TypeVar("Thing")

_SILENT_SECONDS = 1.0  # work that takes less needs no bar
_FORM = "{desc}: {percentage:3.0f}% |{bar}| {n_fmt} of {total_fmt}, {remaining} left"

tqdm.monitor_interval = 0  # no thread of its own


def bar(work: str, things: Iterable[Thing], count: int) -> Iterable[Thing]:
    """Show it on standard error where that is a terminal, and take it away at the end: `dialplan.dataset.follow`."""
    if sys.stderr is None or not sys.stderr.isatty():
        return things
    shown: Iterable[Thing] = tqdm(
        things,
        desc=work,
        total=count,
        bar_format=_FORM,
        delay=_SILENT_SECONDS,
        leave=False,
        dynamic_ncols=True,
        file=sys.stderr,
    )
    return shown
