"""A dialler's side: campaigns that call subscribers through a real Asterisk, and subscribers who ring back."""

import contextlib
import itertools
import secrets
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.asterisk.ami_proxy import AmiProxy
from tests.asterisk.exchange import Exchange
from tests.asterisk.parts import OLDEST, Program
from tests.asterisk.pbx import DEPLOY, Asterisk
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.subscribers import Behaviour, subscribers
from tests.asterisk.traffic import DEFAULT_FLOW
from tests.processes import Data, Router, ringway, running_router, wait_until
from tests.samples import ACME, ACME_CAMPAIGN, ACME_NUMBER

OUR = "+442079460000"
CAMPAIGN, OWN = "campaign-win-back", "flow-menu"
FLOWS = (Flow(OWN), Flow(CAMPAIGN))
DATA = ACME + ACME_CAMPAIGN + ACME_NUMBER
SECRET = secrets.token_hex(16)  # of the shipped account
SECRET_FILE = {"ringway_ami_secret.conf": f"secret = {SECRET}\n"}
# What each behaviour makes of an attempt.
OUTCOMES = {
    Behaviour.RINGS: "missed",
    Behaviour.BUSY: "missed",
    Behaviour.DECLINES: "missed",
    Behaviour.UNKNOWN: "failed",
    Behaviour.ANSWERS: "answered",
    Behaviour.HANGS_UP: "answered",
    Behaviour.SILENT: "failed",
    Behaviour.UNAVAILABLE: "missed",
    Behaviour.PROGRESS: "missed",
    Behaviour.RINGS_THEN_BUSY: "missed",
    Behaviour.RINGS_THEN_ENDS: "missed",
    Behaviour.FORBIDDEN: "failed",
    Behaviour.WANTS_A_PASSWORD: "failed",
    Behaviour.TIMES_OUT: "failed",
    Behaviour.TOO_MANY_HOPS: "failed",
    Behaviour.OVERLOADED: "failed",
    Behaviour.ANNOUNCED_UNKNOWN: "failed",
    Behaviour.MOVED: "failed",
}
# Refusals of the trunk that have the cause of a subscriber's own. The manager's events have the SIP status since
# Asterisk 22.7: before that nothing in them tells the two apart, and the router believes the better for the subscriber.
BY_SIP_STATUS = {Behaviour.FORBIDDEN, Behaviour.WANTS_A_PASSWORD, Behaviour.TIMES_OUT, Behaviour.TOO_MANY_HOPS}
_SUBSCRIBERS = itertools.count()


def subscriber(behaviour: Behaviour) -> str:
    """A subscriber whom nobody has called yet, E.164."""
    return f"+447700{next(_SUBSCRIBERS):04}{behaviour.value:02}"


class Campaigns(Exchange):
    """An exchange whose trunk leads to subscribers."""

    def __init__(self, asterisk: Asterisk, router: Router, notes: Path, *, ami: bool = True) -> None:
        super().__init__(asterisk, router)
        self._notes = notes
        self._ami = ami

    def outcome_of(self, behaviour: Behaviour) -> str:
        """What becomes of an attempt to such a subscriber."""
        silent = self._ami and self.asterisk.program.version == OLDEST and behaviour in BY_SIP_STATUS
        return "missed" if silent else OUTCOMES[behaviour]

    def originate(self, channel: str, **fields: str) -> None:
        """Have Asterisk place a call, as a dialler does over the manager interface; returns when it has begun."""
        originate(self.asterisk, {"Channel": channel, **fields})

    def dial(self, to: str, campaign: str = "win-back") -> None:
        """Let a campaign call a subscriber by the shipped dialplan, and wait until that is over and told."""
        told = len(self.told(to))
        self.originate(f"Local/{to}@ringway-outbound", Variable=f"__CAMPAIGN_ID={campaign}")
        self.asterisk.wait_idle()
        wait_until(lambda: len(self.told(to)) > told, f"the router hears of the call to {to}")
        self.asterisk.wait_idle()  # the channel that tells of it ends a little later

    def rings(self, to: str) -> None:
        """Wait until a subscriber's telephone has been called."""
        wait_until(lambda: f":{to}@ from " in self._notes.read_text("utf-8"), f"{to} is called")

    def told(self, to: str) -> list[dict[str, Any]]:
        """What the router said in its log about attempts to a subscriber; each time that it learnt something."""
        return [event for event in self.router.events("attempt") if event["subscriber"] == to]

    def attempts(self, to: str) -> list[dict[str, str]]:
        """The attempts to a subscriber, by `ringway attempts`."""
        listed = ringway("attempts", "--subscriber", to, "--json", config=self.router.config).json()
        return list(listed)

    def outcomes(self, to: str) -> list[str]:
        """What became of the attempts to a subscriber, the newest first."""
        return [attempt["outcome"] for attempt in self.attempts(to)]

    def rung(self, to: str = "") -> list[str]:
        """The From header of each call to a subscriber, or to anybody at all."""
        lines = self._notes.read_text("utf-8").splitlines() if self._notes.exists() else []
        return [line.partition(" from ")[2] for line in lines if f"{to}@ from " in line]

    def shown(self, to: str) -> str:
        """The From header that the last call to a subscriber showed."""
        return self.rung(to)[-1]

    def channel(self, to: str, end: int) -> str:
        """The name of a dialler's channel to a subscriber: 1 is the dialler's end of it, 2 the one that dials."""
        names = [line.partition("!")[0] for line in self.asterisk.cli("core show channels concise").splitlines()]
        (name,) = [each for each in names if each.startswith(f"Local/{to}@") and each.endswith(f";{end}")]
        return name

    def act(self, name: str, **fields: str) -> None:
        """One action of the manager interface, which must succeed."""
        with self.asterisk.manager() as manager:
            lines = [f"{key}: {value}" for key, value in {"Action": name, "ActionID": "act", **fields}.items()]
            manager.sendall("\r\n".join([*lines, "", ""]).encode())
            await_line(manager, b"ActionID: act")


def originate(asterisk: Asterisk, fields: Mapping[str, str]) -> None:
    """`Action: Originate`, asynchronously, for an application that waits unless `fields` names an extension."""
    then = {"Priority": "1"} if "Exten" in fields else {"Application": "Wait", "Data": "1"}
    action = {**then, "Timeout": "30000", **fields}
    with asterisk.manager() as manager:
        name = secrets.token_hex(4)
        lines = [f"{key}: {value}" for key, value in {**action, "Action": "Originate", "ActionID": name}.items()]
        manager.sendall("\r\n".join([*lines, "Async: true", "", ""]).encode())
        await_line(manager, b"Message: Originate successfully queued")


def report(asterisk: Asterisk) -> None:
    """Have Asterisk tell of the attempts that wait in AstDB, as the hangup handler does."""
    originate(asterisk, {"Channel": "Local/hold@ringway-report", "Context": "ringway-report", "Exten": "s"})


def await_line(manager: socket.socket, wanted: bytes) -> None:
    """Read from a manager session until a line comes."""
    manager.settimeout(10)
    with manager.makefile("rb") as lines:
        for line in lines:
            if line.strip() == wanted:
                return
            assert not line.startswith(b"Response: Error"), lines.readline()
    raise AssertionError(f"the manager never said {wanted!r}")


def ami_settings(asterisk: Asterisk, folder: Path, port: int | None = None) -> dict[str, Any]:
    """The router's settings for the shipped account; `port` where it goes through something in between."""
    secret = folder / "ami.secret"
    secret.write_text(SECRET + "\n", "ascii")
    link = {"name": "pbx1", "port": port or asterisk.ports.ami, "secret_file": str(secret)}
    return {"ami": [link]}


@contextlib.contextmanager
def running_campaigns(
    program: Program,
    folder: Path,
    data: Data | None = DATA,
    flows: Sequence[Flow] = FLOWS,
    *,
    ami: bool,
    extra: str = "",
    settings: Mapping[str, Any] | None = None,
    proxy: AmiProxy | None = None,
    dialplan: Path = DEPLOY,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Campaigns]:
    """An Asterisk, subscribers behind its trunk, and a router; with `ami` the router watches the dialling.

    `data` is None where the store in `folder` has been loaded already; `proxy` is then put between the two. `dialplan`:
    the files that the site includes; `environment`: the router's.
    """
    with contextlib.ExitStack() as stack:
        recorded = (*flows, DEFAULT_FLOW)
        pbx = stack.enter_context(Asterisk(program, flows=recorded, extra=extra, files=SECRET_FILE, dialplan=dialplan))
        notes = stack.enter_context(subscribers(pbx.ports.trunk))
        if proxy is not None:
            proxy.target_port = pbx.ports.ami
        own = (ami_settings(pbx, folder, proxy.port if proxy is not None else None) if ami else {}) | dict(
            settings or {}
        )
        router = stack.enter_context(running_router(folder, data=data, settings=own, environment=environment))
        pbx.set_global("RINGWAY_AGI", f"127.0.0.1:{router.agi_port}")
        pbx.set_global("RINGWAY_RING_SECONDS", "1")
        if ami:
            router.wait_for("ami_up")
        yield Campaigns(pbx, router, notes, ami=ami)


def kept_attempt(campaigns: Exchange, name: str, to: str, number: str, *, campaign: str, age_seconds: float) -> None:
    """Put an attempt into AstDB as the hangup handler does, ended so long ago, busy; and have it told."""
    ended = int((time.time() - age_seconds) * 1000)
    campaigns.asterisk.cli(f'database put ringway-attempts {name} "{campaign}|{to}|{number}|BUSY|17|0|{ended}"')
    report(campaigns.asterisk)
    campaigns.router.wait_for("attempt", attempt=name)
    campaigns.asterisk.wait_idle()
