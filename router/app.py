"""The composition root: makes the parts of a running router, starts them in order, and ends them in order."""

import asyncio
import contextlib
import functools
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, TypeVar

import msgspec
import structlog
import uvloop

from dialplan.wording import printable
from router.agi.server import AgiServer, Limits
from router.agi.verbs.attempt import AttemptVerb
from router.agi.verbs.caller_id import CallerIdVerb
from router.agi.verbs.dispatcher import Dispatcher
from router.agi.verbs.route import RouteVerb
from router.agi.verbs.verb import Usual
from router.ami.decided_calls import DecidedCalls
from router.ami.monitor import AmiMonitor, Asterisk
from router.callbacks.service import CallbackService
from router.config.limits import (
    AGI_MAX_CONNECTIONS,
    CALLBACK_CLAIM_SECONDS,
    DESCRIPTORS_MIN,
    DRAIN_MARGIN_SECONDS,
    FINISH_SECONDS,
    GIVE_UP_SECONDS,
    OTHER_DESCRIPTORS,
    THREAD_SWITCH_SECONDS,
)
from router.config.settings import Settings, SettingsError
from router.observe import pages
from router.observe.log import LogWriter, make_logger
from router.observe.metrics import Metrics
from router.observe.readiness import Readiness
from router.store.factory import router_stores_of
from router.store.table_sync import TableSync
from router.util import descriptors, listening, systemd

T = TypeVar("T")

_LOG_STOP_SECONDS = 2.0
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
# Habits of log rotation and of reloading, each of which would kill a process that does not listen.
_IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_NOTHING_TO_DO = (
    "nothing is to be done: passwords and certificates are read for each new connection, the log is standard output; "
    "for other settings restart the router"
)


def serve(settings: Settings) -> None:
    """Run the router until SIGTERM, SIGINT or SIGQUIT.

    Raises SettingsError or StoreError where it cannot start; says so before it accepts a single call.
    """
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    _allow_descriptors(AGI_MAX_CONNECTIONS + OTHER_DESCRIPTORS)
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed != resource.RLIM_INFINITY and allowed < DESCRIPTORS_MIN:
        raise SettingsError(f"a router wants {DESCRIPTORS_MIN} open files, and may have {allowed}; {descriptors.RAISE}")
    uvloop.run(_serve(settings))


def _allow_descriptors(wanted: int) -> None:
    """Raise this process's soft limit of open files to what the cap on connections needs, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


async def _serve(settings: Settings) -> None:
    metrics = Metrics()
    out = open(sys.stdout.fileno(), "wb", buffering=0, closefd=False)  # noqa: ASYNC230, SIM115 - it is open already
    writer = LogWriter(settings.log.format, out, on_dropped=metrics.log_dropped.inc)
    writer.start()
    served = True
    try:
        served = await _Router(settings, metrics, writer, make_logger(writer, settings.log.level)).run()
    finally:
        writer.stop(_LOG_STOP_SECONDS)
    if not served:  # the end of the process would wait for a thread that waits for somebody else
        os._exit(0)


_NO_DATA = "nothing has been loaded into its store yet; say ringway load"


class _Router:
    """One running router."""

    def __init__(
        self, settings: Settings, metrics: Metrics, writer: LogWriter, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._log = log
        self._phase = "it is starting, and has no table yet"  # why it is not ready for calls, "" when it is
        self.readiness = Readiness(lambda: self._phase)
        metrics.ready.set_function(lambda: float(not self.readiness.why_not()))
        stores = router_stores_of(settings.store, log)
        self._store = stores.rows
        self._sync = TableSync(self._store, log, metrics)
        self.readiness.add(lambda: "" if self._sync.table.version else _NO_DATA)
        self.readiness.add_remark(lambda: self._sync.unfit)  # the table that it has goes on serving
        self._attempts, self._shown = stores.callbacks, stores.shown
        numbering = settings.numbering
        self._callbacks = CallbackService(
            self._attempts,
            lambda: self._sync.table,
            settings.callbacks.store_down,
            (numbering.region, numbering.bare),
            log,
            metrics,
            mask_callers=settings.log.mask_callers,
            shared=stores.shared,
            counters=stores.counters,
            claim_seconds=min(CALLBACK_CLAIM_SECONDS, settings.agi.deadline_ms / 1000 / 4),
        )
        system_names: dict[str, str] | None = {} if len(settings.ami) > 1 else None
        decided = DecidedCalls()
        self._watches = [
            AmiMonitor(
                Asterisk(**msgspec.structs.asdict(each)),
                self._callbacks.report,
                log,
                metrics,
                system_names=system_names,
                decided=decided,
            )
            for each in settings.ami
        ]
        usual = Usual(numbering.region, numbering.bare, settings.defaults.destination)
        table = functools.partial(getattr, self._sync, "table")  # no function of Python's: each call asks it
        route = RouteVerb(table, usual, self._callbacks)
        caller_id = CallerIdVerb(lambda: self._sync.table, self._callbacks.round_robin, log)
        verbs = Dispatcher([route, caller_id, AttemptVerb(self._callbacks.report, log)], route.fallback)
        limits = Limits(settings.agi.allow, settings.agi.deadline_ms / 1000, mask_callers=settings.log.mask_callers)
        self._agi = AgiServer(verbs, limits, metrics, log, writer.add, decided.add, route.in_short())

    async def run(self) -> bool:
        """Start, serve until told to stop, drain, end; told so while starting, end at once.

        False: it never served, and what it waited for may still hold one of its threads.
        """
        stop = self._hear_signals()
        async with contextlib.AsyncExitStack() as stack:
            sockets = await _unless(stop, self._start(stack))
            if sockets is None:
                self._phase = "it is stopping"
                systemd.notify(os.environ, "STOPPING=1")
                self._log.info("stopped", cut_off=0, while_starting=True)
                await _within(GIVE_UP_SECONDS, stack.pop_all().aclose())
                return False
            try:
                await self._agi.start(sockets)
            except OSError as error:  # bound at the same time as another process, which listens first
                raise _cannot_listen("agi", self._settings.agi.host, self._settings.agi.port, error) from error
            self._ready(sockets)
            async with asyncio.TaskGroup() as tasks:
                works = [self._sync.run(), self._callbacks.run(), _watchdog(), *(each.run() for each in self._watches)]
                followers = [tasks.create_task(work) for work in works]
                await stop.wait()
                await self._stop()
                for task in followers:
                    task.cancel()
        return True

    def _hear_signals(self) -> asyncio.Event:
        """The event that ends the router, set by the signals that say so; the others are told of."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        on_a_terminal = os.isatty(0)

        def ignored(number: signal.Signals) -> None:
            if number is signal.SIGHUP and on_a_terminal and not os.isatty(0):
                stop.set()  # the terminal that it was started in has gone
            else:
                self._log.warning("signal_ignored", signal=number.name, hint=_NOTHING_TO_DO)

        for number in _ENDING:
            loop.add_signal_handler(number, stop.set)
        for number in _IGNORED:
            loop.add_signal_handler(number, ignored, number)
        return stop

    async def _start(self, stack: contextlib.AsyncExitStack) -> list[socket.socket]:
        """Have everything that serves, and sockets to serve on; `stack` closes it, however far this has come."""
        settings = self._settings
        sockets = _handed_over() or _bind("agi", settings.agi.host, settings.agi.port)
        for each in sockets:
            stack.callback(each.close)
        self._pages = self._serve_pages(stack)
        stack.push_async_callback(self._store.close)
        await self._store.open()
        gc.freeze()  # what is imported stays: or each collection while a million rows are read would look at all of it
        await self._sync.load()
        stack.push_async_callback(self._attempts.close)
        await self._callbacks.load(away=self._sync.without_store)
        gc.collect()
        gc.freeze()  # what stands now stays: later collections need not look at it
        return sockets

    def _serve_pages(self, stack: contextlib.ExitStack | contextlib.AsyncExitStack) -> str:
        """Serve /metrics, /live and /ready; returns where. Raises SettingsError."""
        host, port = self._settings.metrics.host, self._settings.metrics.port
        if not port:
            return "off"
        sockets = _bind("metrics", host, port)
        shown = ", ".join(f"http://{_shown(each)}/metrics" for each in sockets)
        turns = pages.turning(asyncio.get_running_loop())
        try:
            stack.enter_context(pages.served(pages.Pages(self._metrics.registry, turns, self.readiness), sockets))
        except (OSError, UnicodeError) as error:
            raise _cannot_listen("metrics", host, port, error) from error
        return shown

    def _ready(self, sockets: Sequence[socket.socket]) -> None:
        self._phase = ""
        systemd.notify(os.environ, "READY=1", f"STATUS={len(self._sync.table.numbers)} numbers")
        self._log.info(
            "ready",
            agi=", ".join(_shown(each) for each in sockets),
            metrics=self._pages,
            store=self._shown,
            numbers=len(self._sync.table.numbers),
        )

    async def _stop(self) -> None:
        self._phase = "it is draining"
        systemd.notify(os.environ, "STOPPING=1")
        self._log.info("draining", calls=len(self._agi.connections))
        cut = await self._agi.drain(self._settings.agi.deadline_ms / 1000 + DRAIN_MARGIN_SECONDS)
        try:
            async with asyncio.timeout(FINISH_SECONDS):
                await asyncio.gather(*(each.finish() for each in self._watches))
        except TimeoutError:
            self._log.error("attempts_left", attempts=sum(each.waiting for each in self._watches))
        self._log.info("stopped", cut_off=cut)


def _handed_over() -> list[socket.socket]:
    """The sockets that systemd listens on for us. Raises SettingsError."""
    try:
        return systemd.listening_sockets(os.environ)
    except systemd.UnusableSocketError as error:
        raise SettingsError(str(error)) from error


def _bind(section: str, host: str, port: int) -> list[socket.socket]:
    """Sockets bound to all addresses of a host, not listening yet. Raises SettingsError."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):  # a hosts file may name one twice
            each = socket.socket(family, kind, protocol)
            sockets.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind(address)
            each.setblocking(False)
    except (OSError, UnicodeError) as error:  # the latter: a host that no name can be
        for each in sockets:
            each.close()
        raise _cannot_listen(section, host, port, error) from error
    return sockets


def _cannot_listen(section: str, host: str, port: int, error: OSError | UnicodeError) -> SettingsError:
    text = f"[{section}] host, port: cannot listen on {printable(host)}:{port}: {listening.why(error)}"
    return SettingsError(f"{text}; {listening.hint(error, printable(host), f'RINGWAY_{section.upper()}__')}")


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work gives; None where `stop` was set first. The work is called off then, and waited for no longer."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            return working.result()
    finally:
        stopping.cancel()
    working.cancel()
    await _within(GIVE_UP_SECONDS, working)
    return None


async def _within(seconds: float, work: Awaitable[object]) -> None:
    """Wait for the end of the work so long, however it ends."""
    working = asyncio.ensure_future(work)
    await asyncio.wait([working], timeout=seconds)
    if working.done() and not working.cancelled():
        working.exception()


async def _watchdog() -> None:
    """Tell systemd, twice in its interval, that the event loop turns."""
    seconds = systemd.watchdog_seconds(os.environ)
    while seconds is not None:
        systemd.notify(os.environ, "WATCHDOG=1")
        await asyncio.sleep(seconds / 2)


def _shown(sock: socket.socket) -> str:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        text = os.fsdecode(name)
        return f"@{text[1:]}" if text.startswith("\0") else text or "a socket without a name"
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return str(name)
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
