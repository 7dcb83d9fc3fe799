"""The composition root: makes the parts of a running router, starts them in order, and ends them in order."""

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from wsgiref.simple_server import WSGIServer

import msgspec
import prometheus_client
import structlog
import uvloop

from dialplan.wording import printable
from router.agi.server import AgiServer, Limits
from router.agi.verbs.attempt import AttemptVerb
from router.agi.verbs.caller_id import CallerIdVerb
from router.agi.verbs.dispatcher import Dispatcher
from router.agi.verbs.route import RouteVerb, Usual
from router.ami.monitor import AmiMonitor, Asterisk
from router.callbacks.service import CallbackService
from router.config.limits import (
    AGI_MAX_CONNECTIONS,
    CALLBACK_CLAIM_SECONDS,
    DESCRIPTORS_MIN,
    DRAIN_MARGIN_SECONDS,
    FINISH_SECONDS,
    OTHER_DESCRIPTORS,
    THREAD_SWITCH_SECONDS,
)
from router.config.settings import Endpoint, Settings, SettingsError
from router.observe.log import LogWriter, make_logger
from router.observe.metrics import Metrics
from router.store.factory import router_stores_of
from router.store.table_sync import TableSync
from router.util import descriptors, listening, systemd

_LOG_STOP_SECONDS = 2.0


def serve(settings: Settings) -> None:
    """Run the router until SIGTERM or SIGINT.

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
    try:
        await _Router(settings, metrics, writer, make_logger(writer, settings.log.level)).run()
    finally:
        writer.stop(_LOG_STOP_SECONDS)


class _Router:
    """One running router."""

    def __init__(
        self, settings: Settings, metrics: Metrics, writer: LogWriter, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._log = log
        stores = router_stores_of(settings.store, log)
        self._store = stores.rows
        self._sync = TableSync(self._store, log, metrics)
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
        self._watches = [
            AmiMonitor(
                Asterisk(**msgspec.structs.asdict(each)),
                self._callbacks.report,
                log,
                metrics,
                system_names=system_names,
            )
            for each in settings.ami
        ]
        usual = Usual(numbering.region, numbering.bare, settings.defaults.destination)
        route = RouteVerb(lambda: self._sync.table, usual, self._callbacks)
        caller_id = CallerIdVerb(lambda: self._sync.table, self._callbacks.round_robin, log)
        verbs = Dispatcher([route, caller_id, AttemptVerb(self._callbacks.report, log)], route.fallback)
        limits = Limits(settings.agi.allow, settings.agi.deadline_ms / 1000, mask_callers=settings.log.mask_callers)
        self._agi = AgiServer(verbs, limits, metrics, log, writer.add)

    async def run(self) -> None:
        """Start, serve until told to stop, drain, end."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with contextlib.AsyncExitStack() as stack:
            sockets = _handed_over() or _bind("agi", self._settings.agi.host, self._settings.agi.port)
            for each in sockets:
                stack.callback(each.close)
            stack.enter_context(_metrics_server(self._settings.metrics, self._metrics))
            await self._store.open()
            stack.push_async_callback(self._store.close)
            await self._sync.load()
            await self._attempts.open()
            stack.push_async_callback(self._attempts.close)
            await self._callbacks.load()
            gc.collect()
            gc.freeze()  # what stands now stays: later collections need not look at it
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

    def _ready(self, sockets: Sequence[socket.socket]) -> None:
        systemd.notify(os.environ, "READY=1", f"STATUS={len(self._sync.table.numbers)} numbers")
        metrics = self._settings.metrics
        self._log.info(
            "ready",
            agi=", ".join(_shown(each) for each in sockets),
            metrics=f"http://{metrics.host}:{metrics.port}/metrics" if metrics.port else "off",
            store=self._shown,
            numbers=len(self._sync.table.numbers),
        )

    async def _stop(self) -> None:
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


@contextlib.contextmanager
def _metrics_server(endpoint: Endpoint, metrics: Metrics) -> Iterator[None]:
    """Serve /metrics from a thread of its own. Raises SettingsError."""
    if endpoint.port == 0:
        yield
        return
    server: WSGIServer
    thread: threading.Thread
    try:
        server, thread = prometheus_client.start_http_server(endpoint.port, endpoint.host, metrics.registry)
    except (OSError, UnicodeError) as error:
        raise _cannot_listen("metrics", endpoint.host, endpoint.port, error) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def _watchdog() -> None:
    """Tell systemd, twice in its interval, that the event loop turns."""
    seconds = systemd.watchdog_seconds(os.environ)
    while seconds is not None:
        systemd.notify(os.environ, "WATCHDOG=1")
        await asyncio.sleep(seconds / 2)


def _shown(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
