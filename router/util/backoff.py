"""How long to wait before something that failed is tried again: twice as long each time, up to a bound."""

import random


class Backoff:
    """The pauses between tries, in seconds: the first is `min_seconds`, none is longer than `max_seconds`.

    `spread`: each is drawn between half of that and all of it, so that those who lost one peer together do not come
    back to it together.
    """

    def __init__(self, min_seconds: float, max_seconds: float, *, spread: bool = False) -> None:
        self._min_seconds = min_seconds
        self._max_seconds = max_seconds
        self._next_seconds = min_seconds
        self._random = random.SystemRandom() if spread else None
        self.failing = False  # a pause was asked for since the last reset

    def next_seconds(self) -> float:
        """How long to wait before the next try."""
        seconds = self._next_seconds
        self._next_seconds = min(seconds * 2, self._max_seconds)
        self.failing = True
        return seconds if self._random is None else seconds * self._random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It has worked: the next failure is the first one again."""
        self._next_seconds = self._min_seconds
        self.failing = False
