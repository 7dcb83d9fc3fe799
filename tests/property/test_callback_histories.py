"""Histories of attempts, answers, callbacks, changes, expiry and restarts, against the rule written down once more.

Two routers on one store; their handlers, what they have in memory, and the store are the real ones. The model is a list
of attempts and a few loops. Words about attempts come late, in any order and to either router, and are dated by clocks
that differ. Before a callback each router has heard of what the other one wrote: `CallbackService.load` waits for that.
"""

import asyncio
import itertools
import math
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dialplan.campaigns.attempts import AttemptReport, Outcome
from dialplan.kinds.fields import Destination
from dialplan.numbering.numbers import Bare
from dialplan.routing.decide import Decision
from dialplan.routing.table import RoutingTable
from router.agi.messages import AgiRequest
from router.agi.verbs.route import RouteVerb
from router.agi.verbs.verb import Response, Usual
from router.callbacks.service import CallbackService
from router.observe.metrics import Metrics
from router.store.sqlite import callbacks as sqlite_callbacks
from router.store.sqlite.callbacks import SqliteCallbackStore
from router.store.sqlite.connection import Connection
from tests.samples import campaign, company, flow, number
from tests.tables import table_of

RESERVED = ("+442079460000", "+442079460001")
THEIRS, POOL = "+442079460002", "+442079460003"  # another company's, and everybody's
NUMBERS = (*RESERVED, THEIRS, POOL)
SUBSCRIBERS = ("+447700900123", "+447700900456")
COMPANIES = {"win-back": "acme", "survey": "acme", "renewal": "acme", "theirs": "globex"}
CAMPAIGNS = tuple(COMPANIES)
RULES = ("force-yes", "as-in-campaign", "force-no")
HOUR = 3600.0

KEPT_HOURS = 24  # past the window
CLOCKS_SECONDS = 4  # how far a clock is ahead or behind in these histories
ALLOWED_SECONDS = 5.0  # how far it may be
PATIENCE_SECONDS = 60.0
# Few pairs, and most of it with one of them: histories are long only where calls meet.
numbers = st.sampled_from((*[NUMBERS[0]] * 8, *NUMBERS))
subscribers = st.sampled_from((*[SUBSCRIBERS[0]] * 4, *SUBSCRIBERS))
campaigns = st.sampled_from(("win-back", *CAMPAIGNS))
outcomes = st.sampled_from((Outcome.MISSED, *Outcome))
routers = st.sampled_from((0, 1))
clocks = st.sampled_from((-CLOCKS_SECONDS, 0, 0, CLOCKS_SECONDS))
beginnings = st.sampled_from((0, 0, -CLOCKS_SECONDS, CLOCKS_SECONDS, -10, -60))  # of calls: some waited before they ask
laters = st.sampled_from((-CLOCKS_SECONDS, 0, 10, 3600))  # of another source's moment
pauses = st.sampled_from((0.0, 0.5, 3.0, 7.0, 60.0))  # within what clocks may differ, and beyond
WEIGHT = [Outcome.FAILED, Outcome.MISSED, Outcome.ANSWERED].index


@dataclass
class Made:
    """An attempt, as the model knows it."""

    id: str
    campaign: str
    number: str
    subscriber: str
    at: float
    outcome: Outcome

    def same(self, other: "Made") -> bool:
        return (self.id, self.number, self.subscriber) == (other.id, other.number, other.subscriber)


class Asked(NamedTuple):
    """A call that has asked for its entitlement."""

    id: str
    began: float
    number: str
    subscriber: str


@dataclass
class Model:
    """What holds now. Times are epoch seconds."""

    now: float = 1_700_000_000.0
    rules: dict[str, str] = field(default_factory=lambda: dict.fromkeys((*RESERVED, THEIRS), "as-in-campaign"))
    owners: dict[str, str] = field(
        default_factory=lambda: {**dict.fromkeys(RESERVED, "acme"), THEIRS: "globex"}  # of reserved numbers
    )
    accepts: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(CAMPAIGNS, True))
    active: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(CAMPAIGNS, True))
    hours: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CAMPAIGNS, 24))
    attempts: list[Made] = field(default_factory=list)
    used: list[tuple[str, str, float]] = field(default_factory=list)  # number, subscriber, up to when
    asked: dict[Asked, Made | None] = field(default_factory=dict)  # and which attempt gave the entitlement

    def may_show(self, campaign: str, number: str) -> bool:
        """Whether it is a number that the campaign's company has, or everybody."""
        return number == POOL or self.owners[number] == COMPANIES[campaign]

    def tell(self, told: Made) -> None:
        """A word about an attempt: the outcome that says most stands, and the moment that came first."""
        if not self.may_show(told.campaign, told.number):
            return
        for known in self.attempts:
            if known.same(told):
                known.outcome = max(known.outcome, told.outcome, key=WEIGHT)
                return
        self.attempts.append(Made(**vars(told)))

    def right(self, number: str, subscriber: str, began: float) -> Made | None:
        """The newest attempt that gives an entitlement now to a call that began then."""
        latest = began + ALLOWED_SECONDS
        known = [
            each
            for each in self.attempts
            if (each.number, each.subscriber) == (number, subscriber) and each.at <= latest
        ]
        found = [
            each
            for each in known
            if each.outcome is Outcome.MISSED
            and self.active[each.campaign]
            and self.may_show(each.campaign, number)
            and began - each.at <= self.hours[each.campaign] * HOUR
            and not any(later.outcome is Outcome.ANSWERED and later.at >= each.at for later in known)
            and not any((n, s) == (number, subscriber) and until >= each.at for n, s, until in self.used)
        ]
        return max(found, key=lambda each: (each.at, each.id), default=None)

    def callback(self, call: Asked) -> str:
        """The campaign that gets the call, "" for the number's own flow."""
        rule = "as-in-campaign" if call.number == POOL else self.rules[call.number]
        if rule == "force-no":
            return ""
        if call not in self.asked:
            right = self.right(call.number, call.subscriber, call.began)
            if right is not None:
                self.used.append((call.number, call.subscriber, max(call.began, right.at)))
            self.asked[call] = right
        given = self.asked[call]
        if given is None or (rule == "as-in-campaign" and not self.accepts[given.campaign]):
            return ""
        return given.campaign

    def purge(self) -> None:
        """Let go of what is past its campaign's window, and of what was consumed where nothing is left."""
        kept = [each for each in self.attempts if each.outcome is Outcome.ANSWERED or not self.is_over(each)]
        longest = max(self.hours.values())
        missed = {(each.number, each.subscriber) for each in kept if each.outcome is Outcome.MISSED}
        self.attempts = [
            each
            for each in kept
            if each.outcome is not Outcome.ANSWERED
            or (each.number, each.subscriber) in missed
            or self.now - each.at <= (longest + KEPT_HOURS) * HOUR
        ]
        pairs = {(each.number, each.subscriber) for each in self.attempts}
        self.used = [
            (number, subscriber, until) for number, subscriber, until in self.used if (number, subscriber) in pairs
        ]

    def is_over(self, each: Made) -> bool:
        return self.now - each.at > (self.hours[each.campaign] + KEPT_HOURS) * HOUR

    def table(self) -> RoutingTable:
        """The routing table of this moment."""
        return table_of(
            company("acme", identified=True),
            company("globex", identified=True),
            flow("menu"),
            *(
                campaign(
                    name,
                    company=owner,
                    direction="outbound",
                    accept_incoming=self.accepts[name],
                    active=self.active[name],
                    callback_window_hours=self.hours[name],
                )
                for name, owner in COMPANIES.items()
            ),
            *(
                number(name, company=owner, call_flow="menu", callback_rule=self.rules[name])
                for name, owner in self.owners.items()
            ),
            number(POOL, kind="pool", company=None),
        )


class Router:
    """A real one, but for its sockets."""

    def __init__(self, histories: "Histories") -> None:
        path = histories.folder / "callbacks.db"
        self.store = SqliteCallbackStore(path)
        # However busy the machine is, no callback is answered without the store.
        self.store._connection = Connection(path, sqlite_callbacks._SCHEMA._replace(busy_seconds=PATIENCE_SECONDS))
        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[])
        self.callbacks = CallbackService(
            self.store,
            lambda: histories.table,
            "own-flow",
            ("GB", Bare.E164),
            log,
            Metrics(),
            claim_seconds=PATIENCE_SECONDS,
        )
        usual = Usual("GB", Bare.E164, Destination("ringway-default"))
        self.handler = RouteVerb(lambda: histories.table, usual, self.callbacks)

    async def start(self) -> None:
        await self.store.open()
        await self.callbacks.load()
        self.running = asyncio.ensure_future(self.callbacks.run())

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.wait({self.running})
        await self.store.close()

    async def answer(self, call: Asked, now: float) -> Decision:
        request = AgiRequest("route", "", call.id, call.subscriber, "0", call.number, call.number, ())
        answer = self.handler.answer(request, now)
        decision = (answer if isinstance(answer, Response) else await answer).decision
        assert decision is not None
        return decision


class Histories(RuleBasedStateMachine):
    """Each rule does the same to the model and to the routers, and compares what a caller gets."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="ringway-histories-"))
        self.model = Model()
        self.table = self.model.table()
        self.names = itertools.count()
        self.untold: list[Made] = []
        self.routers: list[Router] = []

    @initialize()
    def first(self) -> None:
        self.routers = [Router(self), Router(self)]
        for each in self.routers:
            self.loop.run_until_complete(each.start())

    def teardown(self) -> None:
        for each in self.routers:
            self.loop.run_until_complete(each.stop())
        self.loop.close()
        shutil.rmtree(self.folder)

    def name(self) -> str:
        return f"{next(self.names):04}"

    # --- attempts -----------------------------------------------------------------------------------------------------

    def tell(self, router: int, made: Made) -> None:
        report = AttemptReport(made.id, made.campaign, made.number, made.subscriber, made.at, made.outcome)
        assert self.loop.run_until_complete(self.routers[router].callbacks.report(report))
        self.model.tell(made)

    @rule(
        router=routers,
        campaign=campaigns,
        number=numbers,
        subscriber=subscribers,
        outcome=outcomes,
        clock=clocks,
        pause=pauses,
    )
    def attempt(
        self, router: int, campaign: str, number: str, subscriber: str, outcome: Outcome, clock: int, pause: float
    ) -> None:
        self.tell(router, Made(self.name(), campaign, number, subscriber, self.model.now + clock, outcome))
        self.model.now += pause

    @rule(campaign=campaigns, number=numbers, subscriber=subscribers, outcome=outcomes, clock=clocks, pause=pauses)
    def attempt_of_which_nobody_tells_yet(
        self, campaign: str, number: str, subscriber: str, outcome: Outcome, clock: int, pause: float
    ) -> None:
        self.untold.append(Made(self.name(), campaign, number, subscriber, self.model.now + clock, outcome))
        self.model.now += pause

    @precondition(lambda self: self.untold)
    @rule(router=routers, data=st.data())
    def a_word_comes_late(self, router: int, data: st.DataObject) -> None:
        made = data.draw(st.sampled_from(self.untold))
        self.untold.remove(made)
        self.tell(router, made)

    @rule(router=routers, campaign=campaigns, number=numbers, outcome=st.tuples(outcomes, outcomes), clock=clocks)
    def one_channel_calls_both_subscribers(
        self, router: int, campaign: str, number: str, outcome: tuple[Outcome, Outcome], clock: int
    ) -> None:
        name = self.name()
        for subscriber, each in zip(SUBSCRIBERS, outcome, strict=True):
            self.tell(router, Made(name, campaign, number, subscriber, self.model.now + clock, each))

    @precondition(lambda self: self.model.attempts)
    @rule(router=routers, data=st.data(), outcome=outcomes, later=laters)
    def another_source(self, router: int, data: st.DataObject, outcome: Outcome, later: int) -> None:
        """The same attempt again, perhaps by one who saw more or less of it, and took it to end at another moment."""
        known = data.draw(st.sampled_from(self.model.attempts))
        at = known.at + later
        self.tell(router, Made(known.id, known.campaign, known.number, known.subscriber, at, outcome))

    # --- callbacks ----------------------------------------------------------------------------------------------------

    def call(self, number: str, subscriber: str, began: int) -> Asked:
        """A call that began so many seconds from now, by the clock of its Asterisk."""
        seconds = int(self.model.now + began)
        return Asked(f"{seconds}.{self.name()}", min(self.model.now, float(seconds)), number, subscriber)

    def ask(self, *asked: tuple[int, Asked]) -> list[str]:
        """Where calls that ask at once go: a campaign, "" for the number's own flow."""

        async def answers() -> list[Decision]:
            for each in self.routers:
                await each.callbacks.load()
            return await asyncio.gather(*(self.routers[router].answer(call, self.model.now) for router, call in asked))

        found: list[str] = []
        for decision in self.loop.run_until_complete(answers()):
            target = decision.target.id if decision.target is not None else ""
            found.append(target if target in CAMPAIGNS else "")
        return found

    @rule(router=routers, number=numbers, subscriber=subscribers, began=beginnings, pause=pauses)
    def callback(self, router: int, number: str, subscriber: str, began: int, pause: float) -> None:
        call = self.call(number, subscriber, began)
        assert self.ask((router, call)) == [self.model.callback(call)]
        self.model.now += pause

    @rule(
        router=routers,
        number=numbers,
        subscriber=subscribers,
        burst=st.lists(
            st.tuples(campaigns, outcomes, clocks, pauses, st.none() | st.tuples(outcomes, laters)),
            min_size=1,
            max_size=4,
        ),
        began=beginnings,
    )
    def several_attempts_and_a_callback(
        self, router: int, number: str, subscriber: str, burst: list[Any], began: int
    ) -> None:
        """The rules above at one go: alone they hardly ever meet within seconds."""
        for place, (name, outcome, clock, pause, again) in enumerate(burst):
            made = Made(self.name(), name, number, subscriber, self.model.now + clock, outcome)
            self.tell((router + place) % 2, made)
            if again is not None:
                other, later = again
                self.tell(router, Made(made.id, name, number, subscriber, made.at + later, other))
            self.model.now += pause
        self.callback(router, number, subscriber, began, 0.0)

    @rule(number=numbers, subscriber=subscribers, began=beginnings)
    def callbacks_at_both_routers_at_once(self, number: str, subscriber: str, began: int) -> None:
        """Which of them has the entitlement is nobody's to say; that it is one of them is."""
        calls = [self.call(number, subscriber, began) for _ in self.routers]
        found = self.ask(*enumerate(calls))
        first_given = sorted(range(len(calls)), key=lambda place: found[place] == "")
        assert [found[place] for place in first_given] == [self.model.callback(calls[place]) for place in first_given]

    @precondition(lambda self: self.model.asked)
    @rule(router=routers, data=st.data(), turned_out=st.booleans())
    def the_same_call_asks_again(self, router: int, data: st.DataObject, turned_out: bool) -> None:
        """Perhaps of a router that has started meanwhile, when its attempt has turned out to be answered."""
        call = data.draw(st.sampled_from(sorted(self.model.asked)))
        given = self.model.asked[call]
        if given is not None and turned_out:
            self.tell(router, Made(**vars(given) | {"outcome": Outcome.ANSWERED}))
            self.restart(router)
        if self.model.now - call.began > 12 * HOUR:
            return  # no call lasts so long
        began = min(self.model.now, float(call.id.partition(".")[0]))  # later than before, where a clock is ahead
        if given is None and self.model.right(call.number, call.subscriber, began) is not None:
            return  # an older attempt has become known, or has come to count, since: what that gives is not declared
        if given is not None and not (
            any(given.same(each) for each in self.model.attempts)
            and self.model.active[given.campaign]
            and self.model.may_show(given.campaign, call.number)
        ):
            return  # nor what a call is told again whose campaign is not active any more, or has lost its number
        assert self.ask((router, call)) == [self.model.callback(call)]

    # --- changes ------------------------------------------------------------------------------------------------------

    @rule(hours=st.sampled_from([1, 1, 1, 23, 25, 50]))
    def time_passes(self, hours: int) -> None:
        self.model.now += hours * HOUR

    @rule(number=st.sampled_from((*RESERVED, THEIRS)), name=st.sampled_from(RULES))
    def another_rule(self, number: str, name: str) -> None:
        self.model.rules[number] = name
        self.table = self.model.table()

    @rule(number=st.sampled_from((RESERVED[0], *RESERVED)))
    def a_number_changes_hands(self, number: str) -> None:
        self.model.owners[number] = "globex" if self.model.owners[number] == "acme" else "acme"
        self.table = self.model.table()

    @rule(
        campaign=campaigns, change=st.sampled_from(["accepts", "active", "hours"]), hours=st.sampled_from([1, 24, 48])
    )
    def another_campaign(self, campaign: str, change: str, hours: int) -> None:
        values: dict[str, Any] = getattr(self.model, change)
        values[campaign] = hours if change == "hours" else not values[campaign]
        self.table = self.model.table()

    @rule(router=routers)
    def restart(self, router: int) -> None:
        self.loop.run_until_complete(self.routers[router].stop())
        self.routers[router] = Router(self)
        self.loop.run_until_complete(self.routers[router].start())

    @rule(router=routers)
    def what_is_over_is_purged(self, router: int) -> None:
        self.loop.run_until_complete(self.routers[router].callbacks.purge(self.model.now, math.inf))
        self.model.purge()

    @invariant()
    def the_routers_run(self) -> None:
        assert not [each for each in self.routers if each.running.done()]


Histories.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestHistories = Histories.TestCase
