"""The link to the manager interface is cut, goes silent, is flooded, refused: while people call and are called.

A campaign's call by the shipped dialplan has two sources. Whatever becomes of the link, the hangup handler tells of
the attempt: none is lost, and where both tell of it it counts once. Incoming calls ask the router and nobody else.

What a dialler's own dialplan does while there is no link is lost by design: nobody else saw it. Such calls are placed
here when the link is there, in the middle of a flood too, and show that it is whole: nobody else tells of them.
"""

import contextlib
import itertools
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.asterisk.ami_proxy import AmiProxy
from tests.asterisk.campaigns import (
    CAMPAIGN,
    DATA,
    OUR,
    OUTCOMES,
    OWN,
    SECRET,
    Campaigns,
    ami_settings,
    running_campaigns,
    subscriber,
)
from tests.asterisk.parts import Program
from tests.asterisk.pbx import Asterisk
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.sipp import Dial
from tests.asterisk.subscribers import Behaviour, subscribers
from tests.asterisk.traffic import DEFAULT_FLOW, Traffic
from tests.ports import free_port
from tests.processes import PATIENCE_SECONDS, ringway, running_router, wait_until
from tests.unit.router.ami.peers import dial_text, hangup_text

pytestmark = pytest.mark.asterisk

# What people do who are called; a trunk's refusals are tested elsewhere.
SPOKEN = (
    *(Behaviour.RINGS, Behaviour.BUSY, Behaviour.DECLINES, Behaviour.UNKNOWN, Behaviour.ANSWERS, Behaviour.HANGS_UP),
    *(Behaviour.SILENT, Behaviour.UNAVAILABLE, Behaviour.PROGRESS, Behaviour.RINGS_THEN_BUSY),
)
CALLS_PER_SECOND, ATTEMPTS_PER_SECOND = 20, 10
SOME = 10
EVENTS_PER_SECOND, EVENTS = 1_000, 4_000
SEEN = 12  # calls that only the link tells of
UP = 'ringway_ami_connected{asterisk="pbx1"}'
SHIPPED, OWN_DIALLER = "ringway-outbound", "own-dialler"
TALK = "campaign-talk"  # where a subscriber goes who answers; not written down among the incoming calls
# The second context is a dialler's own: only the manager interface tells of its calls.
EXTRA = f"""
[{TALK}]
exten => s,1,Wait(0.2)
 same => n,Hangup()

[{OWN_DIALLER}]
exten => _X!,1,Set(__CAMPAIGN_ID=win-back)
 same => n,Set(CALLERID(num)={OUR})
 same => n,Dial(PJSIP/${{EXTEN}}@trunk,1)
 same => n,Hangup()
"""


def dial(campaigns: Campaigns, to: str, context: str) -> None:
    """Let a campaign call a subscriber by the shipped dialplan, or by a dialler's own."""
    number = to.removeprefix("+") if context == OWN_DIALLER else to
    campaigns.originate(f"Local/{number}@{context}", Variable="__CAMPAIGN_ID=win-back")


class Dialling:
    """A campaign that calls one subscriber after the other, of every behaviour, until `end()`; a context manager."""

    def __init__(self, campaigns: Campaigns, context: str) -> None:
        self._campaigns = campaigns
        self._context = context
        self._dialled: dict[str, Behaviour] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._dial)
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)

    def _dial(self) -> None:
        try:
            for behaviour in itertools.cycle(SPOKEN):
                to = subscriber(behaviour)
                self._dialled[to] = behaviour
                dial(self._campaigns, to, self._context)
                if self._stop.wait(1 / ATTEMPTS_PER_SECOND):
                    return
        except BaseException as error:  # noqa: BLE001 - a thread's error is the test's
            self._error = error

    def _untold(self, of: set[str]) -> set[str]:
        return of - {event["subscriber"] for event in self._campaigns.router.events("attempt")}

    def more(self, count: int) -> None:
        """Wait until the router has heard of so many more attempts that begin from now on."""
        before = set(self._dialled)

        def heard() -> bool:
            assert self._error is None, self._error
            later = set(self._dialled) - before
            return len(later) - len(self._untold(later)) >= count

        wait_until(heard, f"{count} more attempts")

    def end(self) -> dict[str, Behaviour]:
        """Call nobody any more; who was called, when the router has heard of all of them."""
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)
        assert self._error is None, self._error
        wait_until(lambda: not self._untold(set(self._dialled)), "the router hears of every attempt")
        return self._dialled


class Link:
    """Campaigns whose router has its manager session through a proxy."""

    def __init__(self, campaigns: Campaigns, proxy: AmiProxy) -> None:
        self.campaigns = campaigns
        self.proxy = proxy
        self.router = campaigns.router

    def now(self) -> int:
        """The present end of the router's log."""
        return len(self.router.log)

    def up(self, after: int) -> None:
        """Wait until the log says that the link is there, and the metric too."""
        self.router.wait_for("ami_up", after=after)
        wait_until(lambda: self.router.metrics()[UP] == 1, "the metric says up")

    def down(self, after: int) -> str:
        """Wait until the log says that the link has gone; its reason."""
        return str(self.router.wait_for("ami_down", after=after)["why"])

    @contextlib.contextmanager
    def busy(self, context: str = SHIPPED) -> Iterator[Callable[[], None]]:
        """People call and are called while the block runs; gives a function that waits until more of both is over.

        Insists afterwards that the router answered each call, and knows of each attempt exactly once. `context` is
        where they are called from: what [own-dialler] dials only the link tells of.
        """
        campaigns = self.campaigns
        decided = self.decisions()
        with Traffic(campaigns.asterisk, [OUR], CALLS_PER_SECOND) as calls, Dialling(campaigns, context) as dialling:

            def go_on() -> None:
                calls.more(SOME)
                dialling.more(SOME // 2)

            go_on()
            yield go_on
            go_on()
            dialled = dialling.end()
            ended = calls.end()
        assert {(call.context, call.variables["ROUTE_STATUS"]) for call in ended.calls} == {(OWN, "OK")}
        # Each was answered the first time that it asked.
        assert self.decisions() - decided == len(ended.calls)
        print(f"longest way to the flow: {max(call.route_ms for call in ended.calls):.0f} ms")  # noqa: T201 - to be read
        listed = self.attempts()
        assert {to: listed[to] for to in dialled} == {to: [OUTCOMES[kind]] for to, kind in dialled.items()}
        told = Counter(event["subscriber"] for event in self.router.events("attempt"))
        assert {told[to] for to in dialled} == {1}
        counted = [value for name, value in self.router.metrics().items() if name.startswith("ringway_attempts_total{")]
        assert sum(counted) == sum(map(len, listed.values()))
        assert campaigns.asterisk.kept("ringway-attempts") == {}
        assert self.router.events("ami_deaf") == []
        campaigns.asterisk.assert_no_surprise()

    def attempts(self) -> dict[str, list[str]]:
        """The outcomes of all attempts to each subscriber."""
        outcomes: dict[str, list[str]] = {}
        for attempt in ringway("attempts", "--limit", "100000", "--json", config=self.router.config).json():
            outcomes.setdefault(attempt["subscriber"], []).append(attempt["outcome"])
        return outcomes

    def decisions(self) -> float:
        """How many calls the router has decided."""
        found = self.router.metrics().items()
        return sum(value for name, value in found if name.startswith("ringway_decisions_total{"))

    def sees(self) -> None:
        """Insist that the link tells of several calls that nobody else tells of, each once and as it ended."""
        kinds = [kind for kind, _ in zip(itertools.cycle(SPOKEN), range(SEEN), strict=False)]
        dialled = {subscriber(kind): kind for kind in kinds}
        for to in dialled:
            dial(self.campaigns, to, OWN_DIALLER)
        wait_until(lambda: all(map(self.campaigns.told, dialled)), "the router sees calls by the link alone")
        listed = self.attempts()
        assert {to: listed[to] for to in dialled} == {to: [OUTCOMES[kind]] for to, kind in dialled.items()}


@pytest.fixture
def link(asterisk_program: Program, tmp_path: Path) -> Iterator[Link]:
    """One for each test: how long a router waits for the next session depends on what became of the last ones."""
    data = DATA.replace(f'"{CAMPAIGN}"', f'"{TALK}"')
    with (
        AmiProxy() as proxy,
        running_campaigns(
            asterisk_program, tmp_path, data, [Flow(OWN)], ami=True, extra=EXTRA, proxy=proxy
        ) as campaigns,
    ):
        yield Link(campaigns, proxy)


def test_cut_in_the_middle_of_dialling(link: Link) -> None:
    with link.busy() as go_on:
        for _ in range(2):
            before = link.now()
            link.proxy.cut()
            link.down(before)
            link.up(before)
        before = link.now()
        link.proxy.refuse()
        link.proxy.cut()
        link.down(before)
        wait_until(lambda: link.router.metrics()[UP] == 0, "the metric says down")
        go_on()
        assert link.router.metrics()[UP] == 0
        link.proxy.pass_on()
        link.up(before)
        go_on()
        link.sees()


@pytest.mark.long
def test_a_link_whose_other_half_has_gone(link: Link) -> None:
    """No packet comes through any more, and nobody says so: the router notices by its own pings.

    Attempts that only the manager interface sees are lost meanwhile, by design; those of the hangup handler are not.
    """
    with link.busy() as go_on:
        before = link.now()
        link.proxy.swallow()
        go_on()
        assert "Ping" in link.down(before)
        wait_until(lambda: link.router.metrics()[UP] == 0, "the metric says down")
        link.proxy.pass_on()
        link.up(before)
        go_on()
        link.sees()


def other_peoples_calls(place: int) -> bytes:
    """An event of a busy Asterisk: calls that are no campaign's, five events each."""
    call, step = divmod(place, 5)
    name, number = f"junk-{call}", f"4420{call:08}"
    none = ("CAMPAIGN_ID=", "RINGWAY_ATTEMPT=")
    fields = {"Uniqueid": name, "Linkedid": name, "CallerIDNum": number, "CallerIDName": f"Дежурный №{call}"}
    both = {**fields, "DestUniqueid": f"{name}-b", "DestLinkedid": name, "DestCallerIDName": f"Zoë №{call}"}
    if step == 0:
        text = f"Event: Newchannel\nPrivilege: call,all\nUniqueid: {name}\nLinkedid: {name}\n\n"
    elif step == 4:
        text = hangup_text(none, **{**fields, "Uniqueid": f"{name}-b"})
    else:
        kind, outcome = (("DialBegin", f"{number}@trunk"), ("DialState", "RINGING"), ("DialEnd", "ANSWER"))[step - 1]
        text = dial_text(kind, outcome, none, originated=False, **both)
    return text.replace("\n", "\r\n").encode()


def test_flooded_with_events(link: Link) -> None:
    before = link.now()
    with link.busy(OWN_DIALLER) as go_on:
        with link.proxy.flood(other_peoples_calls, EVENTS_PER_SECOND):
            go_on()
            link.sees()
            wait_until(lambda: link.proxy.events >= EVENTS, "all events")
        go_on()
        link.sees()
    assert link.router.metrics()[UP] == 1
    assert [line for line in link.router.log[before:] if str(line["event"]).startswith("ami_")] == []


@pytest.mark.long
def test_a_refused_login_is_said_once_and_ends_with_the_right_secret(link: Link, tmp_path: Path) -> None:
    secret = tmp_path / "ami.secret"
    link.router.terminate()
    secret.write_text("wrong\n", "ascii")
    before = link.now()
    link.router.start()
    with link.busy() as go_on:
        assert "Login was refused" in link.down(before)
        met = link.proxy.connections
        go_on()
        wait_until(lambda: link.proxy.connections >= met + 2, "the router tries again and again")
        assert link.router.metrics()[UP] == 0
        assert len([line for line in link.router.log[before:] if line["event"] == "ami_down"]) == 1
        secret.write_text(SECRET + "\n", "ascii")
        link.up(before)
        go_on()
        link.sees()


@pytest.mark.long
def test_asterisk_restarts(link: Link) -> None:
    with link.busy():
        pass
    campaigns = link.campaigns
    before = link.now()
    campaigns.asterisk.restart()
    campaigns.asterisk.forget()  # what it said when it went
    link.down(before)
    link.up(before)
    campaigns.asterisk.set_global("RINGWAY_AGI", f"127.0.0.1:{link.router.agi_port}")
    campaigns.asterisk.set_global("RINGWAY_RING_SECONDS", "1")
    link.sees()
    with link.busy():
        pass


def certificate(folder: Path, name: str) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody else has signed, in one file."""
    path = folder / name
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=manager", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text((folder / "key.pem").read_text("ascii") + path.read_text("ascii"), "ascii")
    return path


@pytest.mark.long
def test_by_tls_and_only_with_the_right_certificate(asterisk_program: Program, tmp_path: Path) -> None:
    own, other = certificate(tmp_path, "own.pem"), certificate(tmp_path, "other.pem")
    port = free_port()
    seen = "/mnt/etc/manager.pem" if asterisk_program.root else str(own)
    tls = f"[general](+)\ntlsenable = yes\ntlsbindaddr = 127.0.0.1:{port}\ntlscertfile = {seen}\n"
    files = {"ringway_ami_secret.conf": f"secret = {SECRET}\n{tls}", "manager.pem": own.read_text("ascii")}
    with contextlib.ExitStack() as stack:
        flows = (Flow(OWN), DEFAULT_FLOW)
        pbx = stack.enter_context(Asterisk(asterisk_program, flows=flows, extra=EXTRA, files=files))
        notes = stack.enter_context(subscribers(pbx.ports.trunk))
        (place,) = ami_settings(pbx, tmp_path, port)["ami"]
        trusting = [place | {"tls": True, "tls_ca_file": str(own)}]
        router = stack.enter_context(running_router(tmp_path, data=DATA, settings={"ami": trusting}))
        router.wait_for("ami_up")
        campaigns = Campaigns(pbx, router, notes)
        to = subscriber(Behaviour.BUSY)
        dial(campaigns, to, OWN_DIALLER)
        wait_until(lambda: bool(campaigns.told(to)), "the router sees a call by TLS")
        assert campaigns.outcomes(to) == ["missed"]
        # Somebody else's signature, one that this machine does not know, and the right one for another name.
        for name, more in enumerate(({"tls_ca_file": str(other)}, {"tls_ca_file": ""}, {"host": "localhost"})):
            folder = tmp_path / str(name)
            folder.mkdir()
            settings = {"ami": [trusting[0] | more]}
            with running_router(folder, data=DATA, settings=settings) as refusing:
                assert "its certificate is not trusted" in refusing.wait_for("ami_down")["why"]
                assert refusing.events("ami_up") == []


def test_of_200_first_callbacks_at_once_one_is_the_campaigns(asterisk_program: Program, tmp_path: Path) -> None:
    with running_campaigns(asterisk_program, tmp_path, ami=True) as campaigns:
        # The AGI timeout is not what is tested here: on a small machine so many channels at once take their time.
        campaigns.asterisk.set_global("RINGWAY_GUARD_SECONDS", "30")
        anna, boris = subscriber(Behaviour.BUSY), subscriber(Behaviour.RINGS)
        campaigns.dial(anna)
        outcomes, arrived = campaigns.place(*[Dial(OUR, anna)] * 200, rate=2_000, at_once=200)
        assert {each.status for each in outcomes} == {200}
        assert Counter(call.context for call in arrived) == {CAMPAIGN: 1, OWN: 199}
        assert {call.variables["ROUTE_STATUS"] for call in arrived} == {"OK"}

        campaigns.dial(boris)
        with ThreadPoolExecutor(8) as pool:
            same = list(pool.map(lambda _: campaigns.router.ask(OUR, boris, "same.1"), range(20)))
        assert {answer["ROUTE_REASON"] for answer in same} == {"callback-campaign"}
        assert campaigns.router.ask(OUR, boris, "same.1") == same[0]
        assert campaigns.router.ask(OUR, boris, "other.1")["ROUTE_REASON"] == "callback-used"
        campaigns.asterisk.assert_no_surprise()
