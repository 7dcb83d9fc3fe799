"""What is seen of a router from outside, over HTTP: /metrics, /live and /ready.

It is served by threads of its own, so that it also answers while the event loop does not turn, and says so.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import prometheus_client
from prometheus_client import CollectorRegistry

from router.config.limits import HTTP_IDLE_SECONDS, LIVE_SECONDS
from router.observe.readiness import Readiness

_OPEN_METRICS = "application/openmetrics-text"
_OPEN_METRICS_VERSIONS = ("", "0.0.1", "1.0.0")  # 0.0.1 is what Prometheus asked for before there was a 1.0.0
_LOOK_SECONDS = 0.1  # how often a serving thread looks whether it is to end
_HELP = "there is /metrics, /live and /ready"


def turning(loop: asyncio.AbstractEventLoop) -> Callable[[], bool]:
    """Tells, to a thread, whether the event loop turns; waits for it LIVE_SECONDS at most."""

    def turns() -> bool:
        turned = threading.Event()
        try:
            loop.call_soon_threadsafe(turned.set)
        except RuntimeError:  # it has ended
            return False
        return turned.wait(LIVE_SECONDS)

    return turns


class Pages:
    """The pages as a WSGI application.

    `turns`: whether the event loop turns. `readiness`: why the router is not ready, or what is wrong although it is.
    """

    def __init__(self, registry: CollectorRegistry, turns: Callable[[], bool], readiness: Readiness) -> None:
        self._metrics = prometheus_client.make_wsgi_app(registry)
        self._turns = turns
        self._readiness = readiness

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        if method not in ("GET", "HEAD"):
            status, text = HTTPStatus.METHOD_NOT_ALLOWED, "use GET or HEAD"
        elif path == "/metrics":
            # The library raises where a header names a version that is none.
            accept = f"{_OPEN_METRICS}; version=1.0.0" if _wants_open_metrics(environ.get("HTTP_ACCEPT", "")) else ""
            page: Iterable[bytes] = self._metrics(
                environ | {"HTTP_ACCEPT": accept, "REQUEST_METHOD": "GET"}, start_response
            )
            return page if method == "GET" else []
        elif path in ("/live", "/ready"):
            status, text = self._health(path)
        else:
            status, text = HTTPStatus.NOT_FOUND, _HELP
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
        start_response(f"{status.value} {status.phrase}", headers)
        return [f"{text}\n".encode()] if method != "HEAD" else []

    def _health(self, path: str) -> tuple[HTTPStatus, str]:
        what = path.removeprefix("/")
        why = "" if self._turns() else f"the event loop has not turned for {LIVE_SECONDS:g} s"
        if not why and what == "ready":
            why = self._readiness.why_not()
        if why:
            return HTTPStatus.SERVICE_UNAVAILABLE, f"not {what}: {why}"
        remark = self._readiness.remark() if what == "ready" else ""
        return HTTPStatus.OK, f"{what}, but {remark}" if remark else what


def _wants_open_metrics(accept: str) -> bool:
    """Whether a header `Accept` names OpenMetrics in a version that is served."""
    for each in accept.split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        values = dict(part.partition("=")[::2] for part in parameters)
        if kind.lower() == _OPEN_METRICS and values.get("version", "").strip('" ') in _OPEN_METRICS_VERSIONS:
            return True
    return False


class _Handler(WSGIRequestHandler):
    """One connection. A peer that sends nothing is let go, and nothing is logged."""

    timeout = HTTP_IDLE_SECONDS

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingMixIn, WSGIServer):
    """Serves on a socket that is bound already."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, bound: socket.socket) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = bound
        self.server_name, self.server_port = bound.getsockname()[:2]
        self.setup_environ()
        self.server_activate()

    def handle_error(self, _request: Any, _address: Any) -> None:
        """A peer that has gone, or that was let go, is no news."""


@contextlib.contextmanager
def served(pages: Pages, sockets: Sequence[socket.socket]) -> Iterator[None]:
    """Serve the pages on bound sockets, which are closed afterwards. Raises OSError where one cannot listen."""
    with contextlib.ExitStack() as stack:
        for each in sockets:
            stack.callback(each.close)
        for each in sockets:
            server = _Server(each)
            server.set_app(pages)
            thread = threading.Thread(target=server.serve_forever, args=(_LOOK_SECONDS,), name="http", daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
        yield
