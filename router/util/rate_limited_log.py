"""A line of the log for what may happen a thousand times a second."""

import time
from collections.abc import Callable
from typing import Any

from router.config.limits import LOG_REPEAT_SECONDS


class RateLimitedLog:
    """Says a thing when it first happens, then at most once in LOG_REPEAT_SECONDS, with how often it has happened."""

    def __init__(self, say: Callable[..., Any], event: str) -> None:
        self._say = say
        self._event = event
        self._next = 0.0
        self.count = 0

    def __call__(self, **fields: object) -> None:
        """It has happened once more."""
        self.count += 1
        now = time.monotonic()
        if now >= self._next:
            self._next = now + LOG_REPEAT_SECONDS
            self._say(self._event, times=self.count, **fields)
