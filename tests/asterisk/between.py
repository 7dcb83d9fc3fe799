"""A relay between Asterisk and a router, which does something to the router at an exact step of one call.

What each side does reaches the other as it is: a closed connection as a closed one, a reset as a reset.
"""

import re
import socket
import struct
import threading
from collections.abc import Callable
from enum import Enum, auto
from types import TracebackType
from typing import Self

from tests.processes import PATIENCE_SECONDS

_END = b"\n\n"
_UNIQUE_ID = re.compile(rb"(?m)^agi_uniqueid: (.*)$")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class Step(Enum):
    """Where a call is held while the test acts."""

    ACCEPTED = auto()  # the router has all of the environment but its last byte
    DECIDED = auto()  # the router has sent its command, and Asterisk has not seen it


class Between:
    """Listens on `port` and passes each connection on to the router's port; a context manager."""

    def __init__(self, router_port: int) -> None:
        self._router = ("127.0.0.1", router_port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.port: int = self._listener.getsockname()[1]
        self.turned_away = 0  # connections that were taken here and then refused by the router
        self._lock = threading.Lock()
        self._armed: tuple[Step, Callable[[], None]] | None = None
        self._hit = threading.Event()
        self._hit_id = ""
        self._errors: list[BaseException] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the acceptor
        self._acceptor.join(PATIENCE_SECONDS)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        assert not self._errors, self._errors[:1]

    def act(self, step: Step, action: Callable[[], None]) -> str:
        """Run `action` when the next call is at that step, and return the call's unique id when it has run."""
        self._hit.clear()
        with self._lock:
            self._armed = (step, action)
        come = self._hit.wait(PATIENCE_SECONDS)
        assert not self._errors, self._errors[:1]
        assert come, f"no call came to {step}"
        return self._hit_id

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, asterisk: socket.socket) -> None:
        try:
            with asterisk:
                self._relay(asterisk)
        except BaseException as error:  # noqa: BLE001 - a thread's error is the test's
            self._errors.append(error)
            self._hit.set()

    def _relay(self, asterisk: socket.socket) -> None:
        asterisk.settimeout(PATIENCE_SECONDS)
        environment = b""
        while not environment.endswith(_END):
            got = asterisk.recv(4096)
            if not got:
                return  # the caller has hung up
            environment += got
        try:
            router = socket.create_connection(self._router, PATIENCE_SECONDS)
        except ConnectionRefusedError:
            with self._lock:
                self.turned_away += 1
            return
        with router:
            step, action = self._take()
            try:
                if step is Step.ACCEPTED:
                    router.sendall(environment[:-1])
                    self._do(action, environment)
                    router.sendall(environment[-1:])
                else:
                    router.sendall(environment)
                while command := router.recv(65_536):
                    if step is Step.DECIDED:
                        self._do(action, environment)
                        step = None
                        continue
                    asterisk.sendall(command)
                    reply = asterisk.recv(4096)
                    if not reply:
                        return
                    router.sendall(reply)
            except ConnectionError:
                asterisk.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    def _take(self) -> tuple[Step | None, Callable[[], None]]:
        with self._lock:
            armed, self._armed = self._armed, None
        return armed or (None, lambda: None)

    def _do(self, action: Callable[[], None], environment: bytes) -> None:
        action()
        found = _UNIQUE_ID.search(environment)
        assert found is not None
        self._hit_id = found[1].decode()
        self._hit.set()
