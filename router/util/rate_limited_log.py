"""A line of the log for what may happen a thousand times a second."""

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Any

from router.config.limits import LOG_REPEAT_SECONDS, LOG_REPEATED_MAX


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


class _Repeated:
    """One thing that has happened, and how often since it was said last."""

    __slots__ = ("fields", "say", "timer", "times")

    def __init__(self, say: Callable[..., Any]) -> None:
        self.say = say
        self.times = 0
        self.fields: dict[str, object] = {}
        self.timer: asyncio.TimerHandle | None = None


class RepeatsLog:
    """Says each of many things when it first happens, and then once in LOG_REPEAT_SECONDS what has come since.

    `times` says how often, with the fields of the last time. For an event loop.
    """

    def __init__(self, event: str) -> None:
        self._event = event
        self._known: dict[Hashable, _Repeated] = {}

    def __call__(self, key: Hashable, say: Callable[..., Any], **fields: object) -> None:
        """`key` has happened once more; `say` is the method of the log that has its level."""
        known = self._known.get(key)
        if known is not None:
            known.times += 1
            known.fields = fields
            return
        if len(self._known) >= LOG_REPEATED_MAX:
            self.flush()
        say(self._event, times=1, **fields)
        self._known[key] = known = _Repeated(say)
        self._wait(key, known)

    def flush(self) -> None:
        """Say what was not said yet. What happens from now on happens for the first time."""
        waiting, self._known = self._known, {}
        for known in waiting.values():
            if known.timer is not None:
                known.timer.cancel()
            self._tell(known)

    def _wait(self, key: Hashable, known: _Repeated) -> None:
        known.timer = asyncio.get_running_loop().call_later(LOG_REPEAT_SECONDS, self._over, key, known)

    def _over(self, key: Hashable, known: _Repeated) -> None:
        if self._tell(known):
            self._wait(key, known)
        else:
            del self._known[key]

    def _tell(self, known: _Repeated) -> bool:
        times, known.times = known.times, 0
        if times:
            known.say(self._event, times=times, **known.fields)
        return bool(times)
