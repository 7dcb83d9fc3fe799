"""Who plays a history of callbacks: two routers on one Redis, what breaks between them, and many of them at once."""

import asyncio
import contextlib
import itertools
import math
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Coroutine, Generator, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, NamedTuple, Self, TypeVar

import structlog
import uvloop

from dialplan.campaigns.attempts import Attempt, AttemptReport, Outcome
from dialplan.numbering.numbers import Bare
from dialplan.routing.table import RoutingTable
from router.callbacks.service import CallbackService
from router.observe.metrics import Metrics
from router.store.api import StoreError
from router.store.redis.address import Options, parse
from router.store.redis.callbacks import RedisCallbackStore
from tests.fault_proxy import FaultProxy
from tests.processes import PATIENCE_SECONDS
from tests.property.callback_plans import (
    NOW,
    NUMBER,
    SUBSCRIBER,
    WINDOWS,
    Fault,
    Plan,
    Step,
)
from tests.property.linearizable import Answer, Callback, Seen, Word, find_order, shown
from tests.redis_server import RedisServer, running_redis
from tests.samples import campaign, company, flow, number
from tests.tables import table_of

T = TypeVar("T")

JUDGE = 2  # the place of the router behind the two, behind no proxy
LANES = 4  # histories under way at once in one process, each lane with a Redis of its own
SHOWN = 3  # of the histories that do not fit
AS_FAR = "as far as it fits:"


class Interrupted(Awaitable[T], Generic[T]):
    """`work`, whose task is cancelled when it has come to the await with that number."""

    def __init__(self, work: Coroutine[Any, Any, T], at: int) -> None:
        self._work, self._at = work, at

    def __await__(self) -> Generator[Any, None, T]:
        task = asyncio.current_task()
        assert task is not None
        thrown: BaseException | None = None
        for place in itertools.count():
            try:
                waits_for = self._work.send(None) if thrown is None else self._work.throw(thrown)
            except StopIteration as done:
                result: T = done.value
                return result
            if place == self._at:
                asyncio.get_running_loop().call_soon(task.cancel)
            thrown = None
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001 - it is the work's
                thrown = error
        raise AssertionError


@cache
def surroundings() -> tuple[RoutingTable, Metrics, Any]:
    """The table, the metrics and the log of every router here."""
    table = table_of(
        company(identified=True),
        flow("menu"),
        *(campaign(name, direction="outbound") for name in WINDOWS),
        number(NUMBER, call_flow="menu"),
    )
    return table, Metrics(), structlog.wrap_logger(structlog.ReturnLogger(), processors=[])


class Router:
    """One router's way to the store at a port: its `CallbackService`, or the store alone."""

    def __init__(self, port: int, prefix: str, windows: dict[str, float], *, by_callbacks: bool) -> None:
        self.store = RedisCallbackStore(parse(f"redis://127.0.0.1:{port}/0"), Options(prefix=prefix))
        self._windows = windows
        table, metrics, log = surroundings()
        self._callbacks: CallbackService | None = None
        if by_callbacks:
            self._callbacks = CallbackService(
                self.store, lambda: table, "own-flow", ("GB", Bare.E164), log, metrics, shared=True
            )

    async def start(self) -> None:
        await self.store.open()
        if self._callbacks is not None:
            await self._callbacks.load()

    async def run(self) -> None:
        """What a router does beside its answers, until it is cancelled."""
        if self._callbacks is not None:
            await self._callbacks.run()

    async def do(self, what: Word | Callback) -> Answer | None:
        """Raises StoreError where the caller cannot know whether it was done."""
        return await (self._tell(what) if isinstance(what, Word) else self._ask(what))

    async def _tell(self, word: Word) -> None:
        name, campaign, at, outcome = word
        if self._callbacks is None:
            await self.store.record([Attempt(name, campaign, NUMBER, SUBSCRIBER, at, Outcome(outcome))])
        elif not await self._callbacks.report(AttemptReport(name, campaign, NUMBER, SUBSCRIBER, at, Outcome(outcome))):
            raise StoreError("it was not taken")

    async def _ask(self, callback: Callback) -> Answer:
        call, began = callback
        since = {name: began - seconds for name, seconds in self._windows.items()}
        asked = self.store if self._callbacks is None else self._callbacks
        claim = await asked.claim(NUMBER, SUBSCRIBER, call, began, since)
        if claim.declared:
            raise StoreError("the store had no say")
        return Answer(claim.status, claim.attempt.id if claim.attempt is not None else "")


class Lane:
    """A Redis and a proxy before it for each router, where one history is played after the other; a context manager."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._killing = asyncio.Lock()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            # Nothing here ends the server: what is in its memory is kept.
            self.server: RedisServer = stack.enter_context(running_redis(appendonly="no"))
            self.proxies = [stack.enter_context(FaultProxy(self.server.port)) for _ in range(2)]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    async def strike(self, fault: Fault) -> None:
        proxy = self.proxies[fault.router]
        if fault.kind == "cut":
            proxy.cut()
        elif fault.kind == "reset":
            proxy.reset_in_reply(int(fault.figure))
        elif fault.kind == "kill":
            async with self._killing:  # else one kills the other's connection
                await asyncio.to_thread(self.server.command, "CLIENT KILL TYPE normal")  # it may be stopped just now
        elif fault.kind == "delay":
            proxy.delay(fault.figure)
            await asyncio.sleep(2 * fault.figure)
            proxy.delay(0)
        else:
            begin, end = {
                "swallow": (proxy.swallow, proxy.pass_on),
                "deafen": (proxy.swallow_replies, proxy.pass_on),
                "stop": (self.server.pause, self.server.go_on),
            }[fault.kind]
            begin()
            try:
                await asyncio.sleep(2 * fault.figure)
            finally:
                end()


@dataclass
class Played:
    """What was seen of a history."""

    history: list[Seen] = field(default_factory=list)
    struck: list[tuple[float, Fault]] = field(default_factory=list)

    async def do(self, router: Router, step: Step) -> None:
        asked_at, answered_at = time.monotonic(), math.inf
        answer, note = None, ""
        work = router.do(step.what)
        try:
            async with asyncio.timeout(step.patience_seconds):
                answer = await (work if step.cancelled_at is None else Interrupted(work, step.cancelled_at))
            answered_at = time.monotonic()
        except StoreError as error:
            note = str(error)
        except TimeoutError:
            if step.patience_seconds is None:
                raise
            note = "its caller had no patience"
        except asyncio.CancelledError:
            if step.cancelled_at is None:
                raise
            note = f"cancelled at await {step.cancelled_at}"
        finally:
            work.close()  # it may not have begun
        self.history.append(Seen(step.what, asked_at, answered_at, answer, f"router {step.router}. {note}".strip()))

    async def strike(self, lane: Lane, fault: Fault) -> None:
        await asyncio.sleep(fault.after_seconds)
        self.struck.append((time.monotonic(), fault))
        await lane.strike(fault)


async def play(plan: Plan, lane: Lane, prefix: str) -> Played:
    """Play a history. At its end, with whole links, each call asks again, and new ones ask for what is left.

    They ask the routers, where a connection may still be found broken, and then one that is behind no proxy.
    """
    ports = [*(proxy.port for proxy in lane.proxies), lane.server.port]
    routers = [
        Router(port, prefix, plan.windows, by_callbacks=plan.by_callbacks and place != JUDGE)
        for place, port in enumerate(ports)
    ]
    async with contextlib.AsyncExitStack() as stack:
        for each in routers:
            stack.push_async_callback(each.store.close)
            await each.start()
        async with asyncio.TaskGroup() as living:  # where one of them falls, all of it has failed
            running = [living.create_task(each.run()) for each in routers]
            played = await play_among(plan, lane, routers)
            for task in running:
                task.cancel()
    return played


async def play_among(plan: Plan, lane: Lane, routers: list[Router]) -> Played:
    played = Played()
    async with asyncio.TaskGroup() as all_of_it:
        begun: list[asyncio.Task[None]] = []
        for moment in plan.moments:
            if moment.settled and begun:
                await asyncio.wait(begun)
            await asyncio.sleep(moment.pause_seconds)
            begun += [all_of_it.create_task(played.do(routers[step.router], step)) for step in moment.steps]
            for fault in moment.faults:
                all_of_it.create_task(played.strike(lane, fault))
    again = [Step(plan.draw.choice((0, 1)), call) for call in plan.calls]
    last = [Step(router, Callback(f"last-{router}", NOW + 100)) for router in (0, 1)]
    async with asyncio.TaskGroup() as all_of_it:
        for step in (*again, *last):
            all_of_it.create_task(played.do(routers[step.router], step))
    for call in (*plan.calls, Callback("last-0", NOW + 100), Callback("last", NOW + 200)):
        await played.do(routers[JUDGE], Step(JUDGE, call))
        assert played.history[-1].answer is not None, f"nothing is broken now: {shown(played.history)}"
    return played


class Tally(NamedTuple):
    """What many histories came to: those that do not fit, in words, and how often what was seen."""

    wrong: list[tuple[int, str]]
    seen: Counter[str]


def judged(plan: Plan, played: Played, tally: Tally) -> None:
    """Count what was seen, and look whether it fits."""
    tally.seen["histories"] += 1
    tally.seen.update(
        "unanswered" if math.isinf(seen.answered_at) else "told" if seen.answer is None else seen.answer.status
        for seen in played.history
    )
    tally.seen.update(fault.kind for _, fault in played.struck)
    finding = find_order(played.history, plan.windows)
    if not finding.fits:
        how = "through Callbacks" if plan.by_callbacks else "by the store alone"
        order = "\n".join(shown([each]).partition("ms  ")[2] for each in finding.order)
        first = min(seen.asked_at for seen in played.history)
        struck = "\n".join(f"{1000 * (at - first):8.2f} ms           {fault}" for at, fault in played.struck)
        text = f"{how}, with windows {plan.windows}\n{shown(played.history)}\n{struck}\n{AS_FAR}\n{order}"
        tally.wrong.append((plan.seed, text))


def play_all(seeds: Iterable[int], lanes: int = LANES, enough: int = SHOWN) -> Tally:
    """Play histories in several lanes, in this process; leave off when so many do not fit."""
    tally, left = Tally([], Counter()), iter(list(enumerate(seeds)))
    errors: list[str] = []

    async def run_lane(lane: Lane) -> None:
        for place, seed in left:
            plan = Plan(seed)
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    played = await play(plan, lane, f"history-{place}-{seed}")
            except Exception:  # noqa: BLE001 - told with its seed
                tally.wrong.append((seed, traceback.format_exc()))
            else:
                judged(plan, played, tally)
            if len(tally.wrong) >= enough:
                return

    async def run_lanes(running: list[Lane]) -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: errors.append(f"{context['message']}: {context.get('exception')!r}")
        )
        async with asyncio.TaskGroup() as tasks:
            for lane in running:
                tasks.create_task(run_lane(lane))

    with contextlib.ExitStack() as stack, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_lanes([stack.enter_context(Lane()) for _ in range(lanes)]))
    assert not errors, errors
    return tally
