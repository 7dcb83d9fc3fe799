"""A request to a handler, and who it asks about callbacks: for tests that need no server."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from dialplan.campaigns.attempts import AttemptReport
from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.kinds.fields import Destination
from dialplan.numbering.numbers import Bare
from dialplan.routing.decide import Decision
from dialplan.routing.steps.step import Numbered as Entry
from dialplan.routing.table import RoutingTable
from router.agi.messages import AgiRequest, parse_environment
from router.agi.usual import UsualCalls
from router.agi.verbs.attempt import AttemptVerb
from router.agi.verbs.caller_id import CallerIdVerb
from router.agi.verbs.dispatcher import Dispatcher
from router.agi.verbs.route import RouteVerb
from router.agi.verbs.verb import Response, Usual, Verb
from tests.fastagi import environment, executed

NOW = 1_800_000_000.0
DEFAULT = Destination("ringway-default")
USUAL = Usual("GB", Bare.E164, DEFAULT)
OUR, POOL, ANNA = "+442079460000", "+442079460009", "+447700900123"


def request(arguments: list[str] | None = None, **fields: str) -> AgiRequest:
    keys = {f"agi_{name}": value for name, value in fields.items()}
    return parse_environment(environment(keys, arguments or [])[:-2])


class FakeCallbacks:
    """Knows one thing to say, and notes what it was asked."""

    def __init__(self, claim: Claim, *, taken: bool = True) -> None:
        self.answer = claim
        self.known = True
        self.since_when: Mapping[str, float] = {"win-back": NOW - 3600}
        self.looked: list[tuple[Entry, float]] = []
        self.asked: list[tuple[object, ...]] = []
        self.counted: list[tuple[ClaimStatus, str]] = []
        self.seen: list[AttemptReport] = []
        self.taken = taken
        self.shared = False
        self.turns: list[int | None] = []
        self.turns_of: list[str] = []

    def knows(self, _number: str, _subscriber: str) -> bool:
        return self.known

    def since(self, _number: str, _subscriber: str, entry: Entry, began: float) -> Mapping[str, float]:
        self.looked.append((entry, began))
        return self.since_when

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        await asyncio.sleep(0)
        self.asked.append((number, subscriber, call_id, began, since))
        return self.answer

    def count(self, claim: Claim, decision: Decision) -> None:
        self.counted.append((claim.status, decision.reason))

    async def report(self, report: AttemptReport) -> bool:
        await asyncio.sleep(0)
        self.seen.append(report)
        return self.taken

    async def next_index(self, sequence_key: str) -> int | None:
        await asyncio.sleep(0)
        self.turns_of.append(sequence_key)
        return self.turns.pop(0)


def with_callbacks(callbacks: FakeCallbacks, routes: RoutingTable) -> Dispatcher:
    """All verbs, which ask them."""
    return dispatcher(lambda: routes, callbacks)


def dispatcher(table: Callable[[], RoutingTable], callbacks: Any, usual: Usual = USUAL, log: Any = None) -> Dispatcher:
    """All verbs of a router."""
    log = log or structlog.get_logger()
    route = RouteVerb(table, usual, callbacks)
    verbs: list[Verb] = [route, CallerIdVerb(table, callbacks, log), AttemptVerb(callbacks.report, log)]
    return Dispatcher(verbs, route.fallback)


def usual_calls(table: Callable[[], RoutingTable], callbacks: Any) -> UsualCalls:
    """Their short way."""
    return RouteVerb(table, USUAL, callbacks).in_short()


async def awaited(asked: AgiRequest, handler: Dispatcher) -> tuple[Response, dict[str, str]]:
    """An answer that the store had a part in, and what it sets."""
    later = handler.answer(asked, NOW)
    assert not isinstance(later, Response)
    answer = await later
    return answer, dict(pair for line in answer.commands for pair in executed(line))
