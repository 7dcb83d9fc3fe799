"""A manager session that dials and counts all that Asterisk says meanwhile."""

import contextlib
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from tests.asterisk.pbx import Asterisk

_STALLED_S = 60.0
_KIND = re.compile(rb"Event: ([^\r\n]+)")
_LINKED = re.compile(rb"\nLinkedid: ([^\r\n]+)")
_REPORTING = b"\r\nContext: ringway-report\r\n"  # one channel for many calls
_OVER = b"Event: OriginateResponse\r\n"


class ManagerEvents:
    """Counts the events, and those of each call by its Linkedid; `dial()` places calls, so many at a time."""

    def __init__(self, session: socket.socket) -> None:
        self.kinds: Counter[str] = Counter()
        self.each: Counter[bytes] = Counter()
        self.answered = 0
        self._session = session
        self._over = 0
        self._dialled = 0
        self._changed = threading.Condition()
        self._broken = ""
        self._thread = threading.Thread(target=self._read, name="manager-events")
        self._thread.start()

    @property
    def count(self) -> int:
        """All events."""
        return self.kinds.total()

    @property
    def most(self) -> int:
        """The events of the call that had the most of them."""
        return max(self.each.values(), default=0)

    def dial(self, channel: str, variable: str, *, at_once: int) -> None:
        """Originate a call; returns at once, or when fewer than `at_once` wait for their answer."""
        with self._changed:
            self._wait(lambda: self._dialled - self._over < at_once)
            self._dialled += 1
        lines = ["Action: Originate", f"Channel: {channel}", f"Variable: {variable}", "Application: Wait", "Data: 1"]
        self._session.sendall("\r\n".join([*lines, "Timeout: 30000", "Async: true", "", ""]).encode())

    def wait_over(self) -> None:
        """Wait until each call was answered or given up."""
        with self._changed:
            self._wait(lambda: self._dialled == self._over)

    def close(self) -> None:
        """End the session."""
        with contextlib.suppress(OSError):
            self._session.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _wait(self, condition: Callable[[], bool]) -> None:
        seen, end = self._over, time.monotonic() + _STALLED_S
        while not condition():
            assert not self._broken, self._broken
            self._changed.wait(1)
            if self._over > seen:
                seen, end = self._over, time.monotonic() + _STALLED_S
            assert time.monotonic() < end, f"no call came to an end for {_STALLED_S} s, {self._over} did before"

    def _read(self) -> None:
        rest = b""
        try:
            while heard := self._session.recv(1 << 18):
                *whole, rest = (rest + heard).split(b"\r\n\r\n")
                self.kinds.update(found[1].decode() for event in whole if (found := _KIND.match(event)))
                self.each.update(
                    linked[1] for event in whole if _REPORTING not in event and (linked := _LINKED.search(event))
                )
                if over := [event for event in whole if event.startswith(_OVER)]:
                    with self._changed:
                        self._over += len(over)
                        self.answered += sum(b"\r\nResponse: Success\r\n" in event for event in over)
                        self._changed.notify_all()
        except OSError as error:
            self._broken = f"the manager's session ended: {error}"
        else:
            self._broken = "the manager has ended the session"


@contextlib.contextmanager
def manager_events(asterisk: Asterisk) -> Iterator[ManagerEvents]:
    """Hear every event of that Asterisk."""
    with asterisk.manager(events="on") as session:
        session.settimeout(None)
        events = ManagerEvents(session)
        try:
            yield events
        finally:
            events.close()
