"""Histories of callbacks as they are drawn from a seed: what is asked, when, of which router, and what breaks."""

import random
from dataclasses import dataclass

from tests.property.linearizable import Callback, Word

NUMBER, SUBSCRIBER = "+442079460000", "+447700900123"
HOUR = 3600.0
NOW = 1_000_000.0  # long ago, and short to read
WINDOWS = {"win-back": 24 * HOUR, "survey": HOUR}
# Before the window of a survey, well before the calls, about as they begin, and after some of them.
ENDS = (NOW - 2 * HOUR, NOW - 60, NOW - 30, NOW - 30, NOW, NOW + 4, NOW + 12, NOW + 40)
BEGINNINGS = (NOW + 1, NOW + 1, NOW + 3, NOW + 20, NOW + 50)
OUTCOMES = ("missed", "missed", "missed", "answered", "failed")
FAULTS = ("cut", "reset", "reset", "delay", "kill", "swallow", "deafen", "stop")


@dataclass(frozen=True)
class Step:
    """An operation at a router; at which of its awaits it is cancelled, and how long its caller has patience."""

    router: int
    what: Word | Callback
    cancelled_at: int | None = None
    patience_seconds: float | None = None


@dataclass(frozen=True)
class Fault:
    """cut, reset (in the next reply, after so many bytes), kill; for so many seconds: delay, swallow, deafen, stop.

    Deafened a router hears nothing of what Redis, which hears everything, says. Stopped is Redis itself (SIGSTOP).
    """

    kind: str
    router: int
    figure: float
    after_seconds: float


@dataclass(frozen=True)
class Moment:
    """What is begun at once; `settled`: when all that was begun before has ended."""

    settled: bool
    pause_seconds: float
    steps: list[Step]
    faults: list[Fault]


class Plan:
    """A history before it is played."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.draw = draw = random.Random(seed)
        self.by_callbacks = draw.random() < 0.25  # through `Callbacks`, not the store alone
        self.windows = {name: WINDOWS[name] for name in draw.choice((("win-back",), ("win-back", "survey"), WINDOWS))}
        self.attempts = [
            Word(f"a-{name}", draw.choice(list(WINDOWS)), draw.choice(ENDS), "missed")
            for name in range(draw.randint(1, 3))
        ]
        self.calls = [Callback(f"c-{name}", draw.choice(BEGINNINGS)) for name in range(draw.randint(1, 4))]
        self.moments = [Moment(settled=True, pause_seconds=0, steps=[Step(0, self.attempts[0])], faults=[])]
        if draw.random() < 0.3:  # else there is an entitlement to begin with
            self.moments = []
        left = draw.randint(3, 12) - len(self.moments)
        while left > 0:
            steps = self._steps()[:left]
            left -= len(steps)
            pause_seconds = draw.choice((0, 0, draw.uniform(0, 0.003)))
            faults = [self._fault() for _ in range(draw.choice((0, 1, 1, 2)))]
            self.moments.append(Moment(draw.random() < 0.4, pause_seconds, steps, faults))

    def _steps(self) -> list[Step]:
        draw = self.draw
        first, second = draw.sample((0, 1), 2)
        kind = draw.choice(("word", "two sources", "callback", "two callbacks", "two callbacks", "a call at both"))
        call, other = draw.choice(self.calls), draw.choice(self.calls)
        if kind == "word":
            return [self._step(first, self._word())]
        if kind == "two sources":
            word = self._word()
            return [self._step(first, word), self._step(second, self._word(word.attempt))]
        if kind == "callback":
            return [self._step(first, call)]
        return [self._step(first, call), self._step(second, call if kind == "a call at both" else other)]

    def _word(self, attempt: str = "") -> Word:
        of = next((each for each in self.attempts if each.attempt == attempt), None) or self.draw.choice(self.attempts)
        return of._replace(at=of.at + self.draw.choice((0, 0, 1, -1)), outcome=self.draw.choice(OUTCOMES))

    def _step(self, router: int, what: Word | Callback) -> Step:
        cancelled_at = self.draw.randint(0, 15) if self.draw.random() < 0.12 else None
        patience_seconds = self.draw.uniform(0, 0.01) if self.draw.random() < 0.1 else None
        return Step(router, what, cancelled_at, patience_seconds)

    def _fault(self) -> Fault:
        draw = self.draw
        kind = draw.choice(FAULTS)
        figure = draw.choice((0, 0, draw.randint(1, 200))) if kind == "reset" else draw.choice((0.0005, 0.002, 0.006))
        return Fault(kind, draw.choice((0, 1)), figure, draw.choice((0, draw.uniform(0, 0.004))))
