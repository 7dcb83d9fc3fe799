"""Whether the router is ready for calls, and why it is not."""

from collections.abc import Callable
from typing import TypeAlias

Reason: TypeAlias = Callable[[], str]  # a few words, such as "draining"; "" where it does not hold


class Readiness:
    """What may keep the router from being ready. Whoever knows of such a thing hangs a reason in.

    Reasons are asked when somebody wants to know, from any thread: each reads what is in memory and waits for nothing.
    """

    def __init__(self, *reasons: Reason) -> None:
        self._reasons = list(reasons)
        self._remarks: list[Reason] = []

    def add(self, reason: Reason) -> None:
        """Ask this one too, after the others."""
        self._reasons.append(reason)

    def add_remark(self, remark: Reason) -> None:
        """Ask this one for what is wrong although calls are decided."""
        self._remarks.append(remark)

    def remark(self) -> str:
        """The first remark that holds, "" when there is nothing to say."""
        return next(filter(None, (remark() for remark in self._remarks)), "")

    def why_not(self) -> str:
        """The first reason that holds, "" when the router is ready."""
        return next(filter(None, (reason() for reason in self._reasons)), "")
