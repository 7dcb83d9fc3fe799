"""Finds out what the manager sessions of one Asterisk let the router hear, and shows it: metric and log.

It asks for what needs no more than the account's right to read (`write = reporting`), and only for what holds no text
of a caller's: how many channels there are (CoreStatus), whether a channel is there (GetVar), the time (Ping). Each of
the first two until it is answered for the session.
"""

import asyncio
import re

import structlog

from router.ami.decided_calls import DecidedCalls
from router.ami.dial_tracker import Event
from router.ami.hearing import Hearing, State, What
from router.ami.session import AmiError, AmiRefusedError, AmiSession
from router.config.limits import (
    AMI_HEARING_ASK_SECONDS,
    AMI_HEARING_LOOK_SECONDS,
    AMI_HEARING_UNKNOWN_CALLS,
    UNIQUE_ID_LOG_MAX_CHARS,
)
from router.observe.metrics import Metrics

_UNIQUE_ID = re.compile(rf"[!-~]{{1,{UNIQUE_ID_LOG_MAX_CHARS}}}")
_NO_CHANNEL = "No such channel"
_ELSEWHERE = "none of the last calls that this router has decided is one of its calls"
_ELSEWHERE_HINT = (
    "is [[ami]] host, port of the Asterisk that asks this router? Where another one asks, give it an [[ami]] too"
)


class HearingWatch:
    """Goes on over sessions: what is missing is said once, and once more when it has come."""

    def __init__(
        self, name: str, decided: DecidedCalls, log: structlog.typing.FilteringBoundLogger, metrics: Metrics
    ) -> None:
        self._name = name
        self._decided = decided
        self._log = log
        self._shown = {what: metrics.ami_hearing.labels(name, what) for what in What}
        self._said: dict[What, str] = {}
        self._unknown = 0
        self._hearing = Hearing()
        self.down()

    def up(self) -> None:
        """A session has begun."""
        self._decided.away.discard(self._name)

    def down(self) -> None:
        """There is none: what the next one lets be heard is not known."""
        self._decided.away.add(self._name)
        self._hearing = Hearing()
        self._show()

    def event(self, event: Event) -> None:
        """An event has come that is believed."""
        self._hearing.event(event)
        if self._hearing.changed:
            self._show()

    def refused(self) -> None:
        """One that is not."""
        self._hearing.refused()

    async def watch(self, session: AmiSession) -> None:
        """Find out what events alone cannot show, until all is known or the session has ended."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look(session))
            tasks.create_task(self._find_own_call(session))

    async def _look(self, session: AmiSession) -> None:
        hearing = self._hearing
        may_ask = True
        try:
            await asyncio.sleep(AMI_HEARING_LOOK_SECONDS)
            clock = _whole((await session.ask("Ping")).get("Timestamp", ""))
            if clock is not None:
                hearing.began(clock)
            while hearing.unsettled:
                channels = None
                if may_ask and hearing.states[What.HANGUPS] is State.NOT_SEEN:
                    try:
                        channels = _whole((await session.ask("CoreStatus")).get("CoreCurrentCalls", ""))
                    except AmiRefusedError:
                        may_ask = False
                hearing.look(channels)
                self._show()
                await asyncio.sleep(AMI_HEARING_LOOK_SECONDS)
        except AmiError:
            return  # the session's end is said elsewhere

    async def _find_own_call(self, session: AmiSession) -> None:
        hearing = self._hearing
        while hearing.states[What.CALLS] is not State.OK:
            unique_id = await self._decided.next()
            if not _UNIQUE_ID.fullmatch(unique_id):
                continue
            try:
                there = hearing.has_ended(unique_id) or await _has_channel(session, unique_id)
            except AmiError:
                return
            if there or hearing.has_ended(unique_id):
                self._decided.recognised = True
                hearing.is_own()
                self._show()
            elif hearing.states[What.HANGUPS] is not State.MISSING:  # else nobody knows what has ended meanwhile
                self._not_found()
            await asyncio.sleep(AMI_HEARING_ASK_SECONDS)

    def _not_found(self) -> None:
        """It may be of an Asterisk that nobody watches, or of none, as where `ringway call` asks: that is no fault."""
        self._unknown += 1
        if self._unknown < AMI_HEARING_UNKNOWN_CALLS or self._decided.recognised or self._decided.away:
            return
        if What.CALLS not in self._said:
            self._said[What.CALLS] = _ELSEWHERE
            self._log.warning("ami_calls_elsewhere", why=_ELSEWHERE, hint=_ELSEWHERE_HINT)

    def _show(self) -> None:
        hearing = self._hearing
        hearing.changed = False
        for what, state in hearing.states.items():
            self._shown[what].set(state)
            if state is State.MISSING:
                why, hint = hearing.trouble(what)
                if self._said.get(what) != why:
                    self._said[what] = why
                    self._log.warning("ami_deaf", what=what, why=why, hint=hint)
            elif state is State.OK and self._said.pop(what, ""):
                self._log.info("ami_hears", what=what)


async def _has_channel(session: AmiSession, unique_id: str) -> bool:
    """Whether Asterisk has that channel now. Raises AmiError where it does not say."""
    try:
        return (await session.ask("GetVar", Channel=unique_id, Variable="UNIQUEID")).get("Value") == unique_id
    except AmiRefusedError as error:
        if _NO_CHANNEL in str(error):
            return False
        raise


def _whole(text: str | list[str]) -> int | None:
    """A number without its fraction."""
    digits = text.partition(".")[0] if isinstance(text, str) else ""
    return int(digits) if re.fullmatch("[0-9]{1,15}", digits) else None
