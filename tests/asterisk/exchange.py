"""A real router and a real Asterisk that asks it, for tests of what one call gets."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.asterisk.parts import Program
from tests.asterisk.pbx import Arrival, Asterisk
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.sipp import Dial, Outcome, place_calls
from tests.asterisk.traffic import DEFAULT, DEFAULT_FLOW
from tests.processes import Data, Router, load, running_router, wait_until

CALLER = "+447700900123"
BUSY = 486


class Exchange:
    """An Asterisk with the shipped dialplan and its router. `version` is that of the last load."""

    def __init__(self, asterisk: Asterisk, router: Router) -> None:
        self.asterisk = asterisk
        self.router = router
        self.version = self._table_version()
        self.explained: list[str] = []

    def begin(self) -> None:
        """Make ready for a test: no channel, no record, no cached route, a router that runs."""
        if self.router.process.poll() is not None:
            self.router.start()
        self.asterisk.wait_idle()
        self.asterisk.forget()
        self.explained = []

    def end(self) -> None:
        """Insist that the test left no channel, and nothing in Asterisk's log that it did not explain."""
        self.asterisk.wait_idle()
        self.asterisk.assert_no_surprise(*self.explained)

    def expect(self, *patterns: str) -> None:
        """Explain lines of Asterisk's log that this test causes."""
        self.explained.extend(patterns)

    def load(self, data: str, *words: str) -> None:
        """`ringway load` a TOML text, and wait until the running router has taken it up."""
        done = load(self.router.config, data, "--json", *words).json()
        self.version = int(done["version"])
        wait_until(lambda: self._table_version() == self.version, f"version {self.version} in the table")

    def _table_version(self) -> int:
        return int(self.router.metrics()["ringway_table_version"])

    def place(self, *dials: Dial, rate: float = 50, at_once: int = 1) -> tuple[list[Outcome], list[Arrival]]:
        """Place calls, one after the other unless told otherwise; return how they ended and where they arrived."""
        before = {call.unique_id for call in self.asterisk.calls()}
        outcomes = place_calls(self.asterisk.ports.sip, dials, rate=rate, at_once=at_once)
        self.asterisk.wait_idle()
        arrived = [call for call in self.asterisk.calls() if call.unique_id not in before]
        assert len(arrived) == len(dials), f"{outcomes}\n{arrived}\n{self.asterisk.log()}"
        return outcomes, arrived

    def call(self, number: str, caller: str | None = CALLER, *, headers: Sequence[str] = ()) -> Arrival:
        """Place one call, and return what Asterisk wrote down where it arrived.

        A call that reached the platform's default was refused as busy, any other one was answered.
        """
        outcomes, (arrival,) = self.place(Dial(number, caller, headers=tuple(headers)))
        assert outcomes[0].status == (BUSY if arrival.context == DEFAULT else 200), arrival
        return arrival

    def watch(self, number: str, look: Callable[[], bool], what: str) -> Outcome:
        """Place a call, wait until `look` sees what it is there to see while the call goes on, then hang it up."""
        with ThreadPoolExecutor(1) as pool:
            placed = pool.submit(place_calls, self.asterisk.ports.sip, [Dial(number, CALLER)])
            try:
                wait_until(lambda: placed.done() or look(), what)
                assert not placed.done(), f"the call ended before: {what}"
            finally:
                self.asterisk.cli("channel request hangup all")
            (outcome,) = placed.result()
        self.asterisk.wait_idle()
        return outcome

    def channel_variables(self) -> dict[str, str]:
        """Return all variables of the one channel that is alive, by Asterisk's own list."""
        channels = self.asterisk.cli("core show channels concise").splitlines()
        assert len(channels) == 1, channels
        shown = self.asterisk.cli(f"core show channel {channels[0].partition('!')[0]}")
        return dict(
            re.findall(r"(?m)^([A-Z0-9_]+)=(.*)$", shown.partition("Variables:")[2].partition("CDR Variables")[0])
        )


def destination(
    context: str, key: str, kind: str = "call-flow", *, exten: str = "s", priority: int = 1
) -> dict[str, str]:
    """Return the variables that say where a call is sent, and by which flow or campaign."""
    place = {"ROUTE_CONTEXT": context, "ROUTE_EXTEN": exten, "ROUTE_PRIORITY": str(priority)}
    return place | {"ROUTE_KIND": kind, "ROUTE_ID": key}


# What Asterisk does with an answer of each reason; it leaves what it has at any other one.
_CACHE = {
    "assigned": "keep",
    "scheduled": "keep",
    "disabled": "drop",
    "unknown-number": "drop",
    "no-destination": "drop",
}
PLATFORM = destination(DEFAULT, "", "default")


def routed(
    exchange: Exchange,
    to: Mapping[str, str],
    *,
    reason: str = "assigned",
    number: str = "",
    company: str = "",
    caller: str = CALLER,
    params: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return all variables that a call has after the router's answer, as the documents have them."""
    return {
        "ROUTE_STATUS": "OK",
        "ROUTE_REASON": reason,
        "ROUTE_ID": "",
        "ROUTE_COMPANY": company,
        "ROUTE_NUMBER": number,
        "ROUTE_CALLER": caller,
        "ROUTE_VERSION": str(exchange.version),
        "ROUTE_PARAMS": ":".join(params or {}),
        "ROUTE_AGE": "",
        "ROUTE_CACHE": _CACHE.get(reason, "no"),
        "ROUTE_VALID_UNTIL": "",
        **to,
        **{f"PARAM_{name}": value for name, value in (params or {}).items()},
    }


@contextlib.contextmanager
def running_exchange(
    program: Program,
    folder: Path,
    data: Data,
    flows: Sequence[Flow] = (),
    *,
    extra: str = "",
    files: Mapping[str, str] | None = None,
    examples: bool = False,
) -> Iterator[Exchange]:
    """A router with `data` and its store in `folder`, and an Asterisk with `flows` that asks it."""
    with running_router(folder, data=data) as router:
        to_router = {"RINGWAY_AGI": f"127.0.0.1:{router.agi_port}"}
        recorded = (*flows, DEFAULT_FLOW)
        with Asterisk(program, flows=recorded, variables=to_router, extra=extra, files=files, examples=examples) as pbx:
            yield Exchange(pbx, router)
