"""Histories of attempts, answers, callbacks, changes, expiry and restarts, against the rule as the mission page has it.

The handler, the rights in memory and the store are the real ones; the model is a list of attempts and a few loops.
"""

import asyncio
import itertools
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dialplan.attempts import Outcome, Sighting
from dialplan.decide import Decision
from dialplan.model import Destination
from dialplan.numbers import Bare
from dialplan.table import RoutingTable
from router.agi.handler import Answer, Handler, Reading
from router.agi.messages import AgiRequest
from router.callbacks import Callbacks
from router.observe.metrics import Metrics
from router.store.sqlite_callbacks import SqliteCallbackStore
from tests.samples import campaign, company, flow, number
from tests.tables import table_of

NUMBERS = ("+442079460000", "+442079460001", "+442079460002")  # the last one is of the pool
SUBSCRIBERS = ("+447700900123", "+447700900456")
CAMPAIGNS = ("win-back", "survey", "renewal")
RULES = ("force-yes", "as-in-campaign", "force-no")
HOUR = 3600.0
POOL = NUMBERS[2]

KEPT_HOURS = 24  # past the window
MINUTE = 60.0  # between two events: more than what the clocks may differ
# Few pairs, and most of it with one of them: histories are long only where calls meet.
numbers = st.sampled_from((NUMBERS[0], NUMBERS[0], *NUMBERS))
subscribers = st.sampled_from((SUBSCRIBERS[0], SUBSCRIBERS[0], *SUBSCRIBERS))
campaigns = st.sampled_from(CAMPAIGNS)
outcomes = st.sampled_from((Outcome.MISSED, *Outcome))


@dataclass
class Made:
    """An attempt, as the model knows it."""

    id: str
    campaign: str
    number: str
    subscriber: str
    at: float
    outcome: Outcome


@dataclass
class Model:
    """What holds now. Times are epoch seconds."""

    now: float = 1_700_000_000.0
    rules: dict[str, str] = field(default_factory=lambda: dict.fromkeys(NUMBERS[:2], "as-in-campaign"))
    accepts: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(CAMPAIGNS, True))
    active: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(CAMPAIGNS, True))
    hours: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CAMPAIGNS, 24))
    attempts: list[Made] = field(default_factory=list)
    used: list[tuple[str, str, float]] = field(default_factory=list)  # number, subscriber, when
    # call (named by its beginning), number, subscriber -> campaign or ""
    asked: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def right(self, number: str, subscriber: str, began: float) -> Made | None:
        """The newest attempt that gives a right now to a call that began then."""
        of_pair = [each for each in self.attempts if (each.number, each.subscriber) == (number, subscriber)]
        found = [
            each
            for each in of_pair
            if each.outcome is Outcome.MISSED
            and each.at <= began
            and self.active[each.campaign]
            and began - each.at <= self.hours[each.campaign] * HOUR
            and not any(later.outcome is Outcome.ANSWERED and later.at >= each.at for later in of_pair)
            and not any((n, s) == (number, subscriber) and at >= each.at for n, s, at in self.used)
        ]
        return max(found, key=lambda each: each.at, default=None)

    def callback(self, call: str, number: str, subscriber: str) -> str:
        """The campaign that gets the call, "" for the number's own flow."""
        rule = "as-in-campaign" if number == POOL else self.rules[number]
        if rule == "force-no":
            return ""
        if (call, number, subscriber) not in self.asked:
            right = self.right(number, subscriber, float(call))
            if right is not None:
                self.used.append((number, subscriber, self.now))
            self.asked[call, number, subscriber] = right.campaign if right is not None else ""
        name = self.asked[call, number, subscriber]
        return name if name and (rule == "force-yes" or self.accepts[name]) else ""

    def table(self) -> RoutingTable:
        """The routing table of this moment."""
        return table_of(
            company(identified=True),
            flow("menu", company="acme"),
            *(
                campaign(
                    name,
                    direction="outbound",
                    accept_incoming=self.accepts[name],
                    active=self.active[name],
                    callback_window_hours=self.hours[name],
                )
                for name in CAMPAIGNS
            ),
            *(number(name, call_flow="menu", callback_rule=self.rules[name]) for name in NUMBERS[:2]),
            number(POOL, kind="pool", company=None),
        )


class Histories(RuleBasedStateMachine):
    """Each rule does the same to the model and to the router, and compares what a caller gets."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="ringway-histories-"))
        self.model = Model()
        self.table = self.model.table()
        self.names = itertools.count()

    @initialize()
    def first(self) -> None:
        self.start()

    def start(self) -> None:
        self.store = SqliteCallbackStore(self.folder / "callbacks.db")
        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[])
        self.callbacks = Callbacks(self.store, lambda: self.table, "own-flow", ("GB", Bare.E164), log, Metrics())
        reading = Reading("GB", Bare.E164, Destination("ringway-default"))
        self.handler = Handler(lambda: self.table, reading, self.callbacks, log)

        async def begin() -> "asyncio.Task[None]":
            await self.store.open()
            await self.callbacks.load()
            return asyncio.ensure_future(self.callbacks.run())

        self.running = self.loop.run_until_complete(begin())

    def stop(self) -> None:
        async def end() -> None:
            self.running.cancel()
            await asyncio.wait({self.running})
            await self.store.close()

        self.loop.run_until_complete(end())

    def teardown(self) -> None:
        self.stop()
        self.loop.close()
        shutil.rmtree(self.folder)

    def ask(self, call: str, number: str, subscriber: str) -> Decision:
        request = AgiRequest("route", "", call, subscriber, "0", number, number, ())

        async def answered() -> Answer:
            answer = self.handler.answer(request, self.model.now)
            return answer if isinstance(answer, Answer) else await answer

        decision = self.loop.run_until_complete(answered()).decision
        assert decision is not None
        return decision

    def compare(self, call: str, number: str, subscriber: str) -> None:
        expected = self.model.callback(call, number, subscriber)
        decision = self.ask(call, number, subscriber)
        target = decision.target.id if decision.target is not None else ""
        assert target == (expected or ("" if number == POOL else "menu")), decision

    @rule(campaign=campaigns, number=numbers, subscriber=subscribers, outcome=outcomes)
    def attempt(self, campaign: str, number: str, subscriber: str, outcome: Outcome) -> None:
        self.model.now += MINUTE
        made = Made(f"a-{next(self.names)}", campaign, number, subscriber, self.model.now, outcome)
        self.model.attempts.append(made)
        self.tell(made, outcome)
        self.model.now += MINUTE

    def tell(self, made: Made, outcome: Outcome) -> None:
        sighting = Sighting(made.id, made.campaign, made.number, made.subscriber, made.at, outcome)
        self.loop.run_until_complete(self.callbacks.see(sighting))

    @precondition(lambda self: self.model.attempts)
    @rule(data=st.data(), outcome=outcomes)
    def another_witness(self, data: st.DataObject, outcome: Outcome) -> None:
        """The same attempt again, perhaps by one who saw more or less of it."""
        made = data.draw(st.sampled_from(self.model.attempts))
        weight = [Outcome.FAILED, Outcome.MISSED, Outcome.ANSWERED].index
        self.tell(made, outcome)
        made.outcome = max(made.outcome, outcome, key=weight)

    @rule(number=numbers, subscriber=subscribers)
    def callback(self, number: str, subscriber: str) -> None:
        self.model.now += MINUTE
        self.compare(f"{self.model.now:.1f}", number, subscriber)

    @precondition(lambda self: self.model.asked)
    @rule(data=st.data())
    def the_same_call_asks_again(self, data: st.DataObject) -> None:
        call, number, subscriber = data.draw(st.sampled_from(sorted(self.model.asked)))
        name = self.model.asked[call, number, subscriber]
        if self.model.now - float(call) > 12 * HOUR:
            return  # no call lasts so long
        if not name and self.model.right(number, subscriber, float(call)) is not None:
            return  # an older attempt has become known, or has come to count, since: what that gives is not declared
        if name and not self.model.active[name]:
            return  # nor what an inactive campaign's call is told again
        self.compare(call, number, subscriber)

    @rule(hours=st.sampled_from([1, 23, 25, 50]))
    def time_passes(self, hours: int) -> None:
        self.model.now += hours * HOUR

    @rule(number=st.sampled_from(NUMBERS[:2]), name=st.sampled_from(RULES))
    def another_rule(self, number: str, name: str) -> None:
        self.model.rules[number] = name
        self.table = self.model.table()

    @rule(
        campaign=campaigns, change=st.sampled_from(["accepts", "active", "hours"]), hours=st.sampled_from([1, 24, 48])
    )
    def another_campaign(self, campaign: str, change: str, hours: int) -> None:
        values: dict[str, Any] = getattr(self.model, change)
        values[campaign] = hours if change == "hours" else not values[campaign]
        self.table = self.model.table()

    @rule()
    def restart(self) -> None:
        self.stop()
        self.start()

    @rule()
    def what_is_over_is_forgotten(self) -> None:
        self.loop.run_until_complete(self.callbacks.forget(self.model.now))
        longest = max(self.model.hours.values())
        self.model.attempts = [each for each in self.model.attempts if not self.is_over(each, longest)]

    def is_over(self, each: Made, longest: int) -> bool:
        """An answer counts for as long as any campaign's window lasts."""
        hours = longest if each.outcome is Outcome.ANSWERED else self.model.hours[each.campaign]
        return self.model.now - each.at > (hours + KEPT_HOURS) * HOUR

    @invariant()
    def the_writer_runs(self) -> None:
        if hasattr(self, "running"):
            assert not self.running.done()


Histories.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestHistories = Histories.TestCase
