"""A site whose routers are disturbed: one Asterisk, one or two routers with the same data, and calls that go on."""

import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.asterisk.pbx import FROM_KEPT, TO_DEFAULT, Arrival, Asterisk
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.traffic import DEFAULT, DEFAULT_FLOW, Ended, Traffic
from tests.processes import RINGWAY, Router, Settings, load, running_router, write_config

FLOW, GREETING = "flow-main", "Good morning, Acme"
PLAIN = "+442079460000"
# The same number in another writing: the router reads it, and Asterisk keeps no answer for it.
DASHED = "+44-20-7946-0000"
DATA = f"""
[[companies]]
id = "acme"
name = "Acme Ltd"
region = "GB"

[[call_flows]]
id = "main"
name = "Main"
destination = {{ context = "{FLOW}" }}
parameters = [{{ name = "GREETING", type = "text" }}]

[[numbers]]
number = "{PLAIN}"
company = "acme"
call_flow = "main"
parameters = {{ GREETING = "{GREETING}" }}
"""
FLOWS = (Flow(FLOW, params=("GREETING",)), DEFAULT_FLOW)
RATE = 50
SOME = 15  # calls that come through before the next thing happens
FALLBACK = (FROM_KEPT, TO_DEFAULT)
SHIPPED_AGI_TIMEOUT = 2
# So long that a test would fail of it: where it is set, what goes on is not the AGI timeout's doing.
NO_AGI_TIMEOUT = 600
# Becomes the router, as the child that systemd starts does: the socket is descriptor 3, and the process id is its own.
_ACTIVATED = """#!{python} -IS
import os, sys
os.dup2({descriptor}, 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv({ringway!r}, [{ringway!r}, *sys.argv[1:]])
"""


class Site(NamedTuple):
    """What runs. The first router's table has version 1, the other's has version 2."""

    asterisk: Asterisk
    router: Router
    other: Router | None

    def routers(self) -> list[Router]:
        """The routers."""
        return [self.router] if self.other is None else [self.router, self.other]


def make_stores(folder: Path) -> None:
    """Load the data for the routers of all sites: `one` and `two`, whose version tells who answered."""
    for name, data in (("one", [DATA]), ("two", [DATA, DATA.replace("Acme Ltd", "Acme")])):
        (folder / name).mkdir()
        config = write_config(folder / name)
        for each in data:
            load(config, each)


class Ground:
    """Where sites are put up: an Asterisk that has forgotten what was before, loaded stores, an empty folder."""

    def __init__(self, asterisk: Asterisk, stores: Path, folder: Path) -> None:
        asterisk.wait_idle()
        asterisk.forget()
        self.asterisk = asterisk
        self.agi_timeout(SHIPPED_AGI_TIMEOUT)
        self._stores = stores
        self._folder = folder

    def agi_timeout(self, seconds: int) -> None:
        """Set how long a router may take, for the calls that come."""
        self.asterisk.set_global("RINGWAY_GUARD_SECONDS", str(seconds))

    def calls(self) -> Traffic:
        """A stream of calls, half of them to a number for which Asterisk keeps the answer."""
        return Traffic(self.asterisk, [PLAIN, DASHED], RATE)

    @contextmanager
    def site(self, *, second: bool, start: bool = True, settings: Settings | None = None) -> Iterator[Site]:
        """Run one router (with `start=False` it is not started), or two."""
        with ExitStack() as running:

            def run(name: str, *, start: bool) -> Router:
                shutil.copytree(self._stores / name, self._folder / name)
                return running.enter_context(
                    running_router(self._folder / name, data=None, settings=settings, start=start)
                )

            router = run("one", start=start)
            other = run("two", start=True) if second else None
            self.asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{router.agi_port}")
            self.asterisk.set_global("RINGWAY_AGI_2", f"127.0.0.1:{other.agi_port}" if other else "")
            yield Site(self.asterisk, router, other)

    @contextmanager
    def activated(self) -> Iterator[Site]:
        """Run one router whose listening socket belongs to this process, as with systemd's socket activation."""
        folder = self._folder / "one"
        shutil.copytree(self._stores / "one", folder)
        with socket.create_server(("127.0.0.1", 0), backlog=4096) as held:
            program = folder / "activated"
            program.write_text(_ACTIVATED.format(python=sys.executable, descriptor=held.fileno(), ringway=str(RINGWAY)))
            program.chmod(0o755)
            popen = {"executable": program, "pass_fds": [held.fileno()]}
            with running_router(folder, data=None, environment={"LISTEN_FDS": "1"}, popen=popen) as router:
                router.agi_port = held.getsockname()[1]
                self.asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{router.agi_port}")
                self.asterisk.set_global("RINGWAY_AGI_2", "")
                yield Site(self.asterisk, router, None)


def by_first(call: Arrival) -> bool:
    """Whether the first router decided the call."""
    return call.variables["ROUTE_STATUS"] == "OK" and call.variables["ROUTE_VERSION"] == "1"


def check(ended: Ended, *, fallback: bool) -> None:
    """Each call's way must be one that the documents know; without `fallback`, a router's decision."""
    for call in ended.calls:
        status = call.variables["ROUTE_STATUS"]
        assert status in {"OK", {PLAIN: "KEPT", DASHED: "NONE"}[call.dialled] if fallback else "OK"}, call
        assert call.context == (DEFAULT if status == "NONE" else FLOW), call
        assert (call.limit, call.agi_exits) == ("0", ""), call  # the AGI timeout is off again
        if status != "NONE":
            assert call.variables["PARAM_GREETING"] == GREETING, call


def between(ended: Ended, begin_ms: float, end_ms: float) -> list[Arrival]:
    """The calls that started and were routed between two moments; a test that waited for them has some."""
    calls = [call for call in ended.calls if call.started_ms >= begin_ms and call.arrived_ms < end_ms]
    assert calls
    return calls


def assert_all_by_first(ended: Ended, moment_ms: float) -> None:
    """All calls that start after a moment are decided by the first router."""
    calls = [call for call in ended.calls if call.started_ms >= moment_ms]
    assert calls
    assert not [call for call in calls if not by_first(call)]
