"""Links that are up and of no use: each slip of a site is noticed from real calls, said once, and shown.

Several accounts log in to one Asterisk here, each with a slip of its own, so that all of them hear of the same calls.
An account's own lines stand behind the shipped ones, in the file of its secret.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.asterisk.ami_proxy import AmiProxy
from tests.asterisk.campaigns import DATA, OUR, OWN, SECRET, Campaigns, subscriber
from tests.asterisk.parts import Program
from tests.asterisk.pbx import Asterisk
from tests.asterisk.pbx_conf import CHANNELVARS, Flow
from tests.asterisk.sipp import Dial, place_calls
from tests.asterisk.subscribers import Behaviour, subscribers
from tests.asterisk.traffic import DEFAULT_FLOW
from tests.processes import Router, ringway, running_router, wait_until

pytestmark = pytest.mark.asterisk

UNSEEN, MISSING, OK = -1, 0, 1
ALL = ("variables", "hangups", "dials", "calls")
AT_ONCE, HOLD_S = 4, 2
NO_LINE = "; nothing"
# A dialler's own: only the manager interface tells of its calls.
EXTRA = f"""
[own-dialler]
exten => _X!,1,Set(__CAMPAIGN_ID=win-back)
 same => n,Set(CALLERID(num)={OUR})
 same => n,Dial(PJSIP/${{EXTEN}}@trunk,1)
 same => n,Hangup()
"""
# What a site may have added to its account -> what is missing then, and a word of what is said of it.
SLIPS = {
    "no-call": ("read = system", "hangups", "read = call,system"),
    "no-hangup": ("eventfilter = !Event: Hangup", "hangups", "eventfilter"),
    "no-dials": ("eventfilter = !Event: Dial", "dials", "no DialBegin, DialState, DialEnd event"),
    "no-begin": ("eventfilter = !Event: DialBegin", "dials", "there was no DialBegin event"),
    "no-state": ("eventfilter = !Event: DialState", "dials", "no DialState event"),
    "no-end": ("eventfilter = !Event: DialEnd", "dials", "no DialEnd event"),
}
RIGHT = "right"


def bare(number: str) -> str:
    """Without its +."""
    return number.removeprefix("+")


class Site(Campaigns):
    """Campaigns, and what the links to their Asterisk let the router hear."""

    def hears(self, link: str = RIGHT) -> dict[str, int]:
        """The states of a link, by the metrics."""
        found = self.router.metrics()
        return {what: int(found[f'ringway_ami_hearing{{asterisk="{link}",what="{what}"}}']) for what in ALL}

    def status(self, link: str = RIGHT) -> str:
        """What `ringway status` says of a link."""
        return str(ringway("status", "--json", config=self.router.config).json()[f"ami {link}"])

    def inbound(self) -> None:
        """Some people call at once, and stay for a while."""
        outcomes = place_calls(self.asterisk.ports.sip, [Dial(OUR)] * AT_ONCE, rate=50, at_once=AT_ONCE)
        assert {each.status for each in outcomes} == {200}

    def outbound(self) -> None:
        """The dialler's own dialplan calls somebody whose telephone rings, in vain."""
        self.originate(f"Local/{bare(subscriber(Behaviour.RINGS))}@own-dialler")
        self.asterisk.wait_idle()

    def until(self, place: Callable[[], None], condition: Callable[[], bool], what: str) -> None:
        """Place calls until something holds."""
        for _ in range(20):
            if condition():
                return
            place()
        wait_until(condition, what)

    def deaf(self, what: str, link: str = RIGHT) -> list[dict[str, Any]]:
        """What was said of what is missing."""
        return [line for line in self.router.events("ami_deaf") if (line["asterisk"], line["what"]) == (link, what)]

    def set_channelvars(self, line: str) -> None:
        """Let the site's manager.conf have that line in place of the right one; without any Asterisk is started anew.

        A reload of a file without the line leaves what was there.
        """
        file = self.asterisk.run / "etc" / "manager.conf"
        (old,) = [each for each in file.read_text("ascii").splitlines() if each.startswith((NO_LINE, "channelvars"))]
        file.write_text(file.read_text("ascii").replace(old, line), "ascii")
        if line != NO_LINE:
            self.asterisk.cli("manager reload")
            return
        before = len(self.router.log)
        self.asterisk.restart()
        self.router.wait_for("ami_up", after=before)
        ask(self.asterisk, self.router)


@contextlib.contextmanager
def running_site(
    program: Program,
    folder: Path,
    accounts: Mapping[str, str] | None = None,
    *,
    proxy: AmiProxy | None = None,
    asks: Asterisk | None = None,
    name: str = "",
) -> Iterator[Site]:
    """An Asterisk with the shipped account and these (name -> its own lines), and a router that logs in to all.

    `proxy` is put before the shipped one; `asks`: another Asterisk, whose calls the router decides.
    """
    own = dict(accounts or {})
    text = f"secret = {SECRET}\n" + "".join(f"[{each}](ringway)\n{lines}\n" for each, lines in own.items())
    with contextlib.ExitStack() as stack:
        pbx = stack.enter_context(exchange_of(program, name, {"ringway_ami_secret.conf": text}))
        notes = stack.enter_context(subscribers(pbx.ports.trunk))
        secret = folder / "ami.secret"
        secret.write_text(f"{SECRET}\n", "ascii")
        links = []
        for link in (RIGHT, *own):
            port = pbx.ports.ami
            if link in own or proxy is not None:  # no two [[ami]] have one port
                between = proxy if proxy is not None and link == RIGHT else stack.enter_context(AmiProxy())
                between.target_port, port = port, between.port
            user = link if link in own else "ringway"
            links.append({"name": link, "username": user, "port": port, "secret_file": str(secret)})
        router = stack.enter_context(running_router(folder, data=DATA, settings={"ami": links}))
        for each in links:
            router.wait_for("ami_up", asterisk=each["name"])
        ask(asks or pbx, router)
        yield Site(pbx, router, notes)


def exchange_of(program: Program, name: str = "", files: Mapping[str, str] | None = None) -> Asterisk:
    """An Asterisk whose calls to our number last some seconds."""
    return Asterisk(program, flows=(Flow(OWN, hold_s=HOLD_S), DEFAULT_FLOW), extra=EXTRA, files=files, name=name)


def ask(pbx: Asterisk, router: Router) -> None:
    """Let an Asterisk ask the router."""
    pbx.set_global("RINGWAY_AGI", f"127.0.0.1:{router.agi_port}")


def place_next(turns: Iterator[Callable[[], None]]) -> None:
    """Do what comes next."""
    next(turns)()


@pytest.fixture
def site(asterisk_program: Program, tmp_path: Path) -> Iterator[Site]:
    with running_site(asterisk_program, tmp_path) as running:
        yield running


def test_where_all_is_right_nothing_is_ok_before_it_was_seen(site: Site) -> None:
    nothing = "connected; channel variables: not seen yet; hangups: not seen yet; dials: not seen yet; own calls: "
    assert site.hears() == dict.fromkeys(ALL, UNSEEN)
    assert site.status() == f"{nothing}not seen yet"
    assert place_calls(site.asterisk.ports.sip, [Dial(OUR)])[0].answered
    wait_until(lambda: site.hears()["calls"] == OK and site.hears()["hangups"] == OK, "one inbound call is heard")
    assert site.hears() == {"variables": OK, "hangups": OK, "dials": UNSEEN, "calls": OK}
    site.outbound()
    wait_until(lambda: site.hears() == dict.fromkeys(ALL, OK), "one outbound call is heard")
    assert site.status() == "connected; channel variables: ok; hangups: ok; dials: ok; own calls: ok"
    assert [line for line in site.router.log if str(line["event"]).startswith(("ami_deaf", "ami_calls"))] == []


def test_a_line_of_channelvars_that_is_missing_or_wrong_and_the_right_one(site: Site) -> None:
    """A reload of the manager's file is enough."""
    for line, lacking in (
        (NO_LINE, "CAMPAIGN_ID and RINGWAY_ATTEMPT"),
        ("channelvars = CAMPAIGN_ID", "RINGWAY_ATTEMPT"),
        ("channelvars = RINGWAY_ATTEMPT", "CAMPAIGN_ID"),
        ("channelvars = CAMPAIGN_ID , RINGWAY_ATTEMPT", "CAMPAIGN_ID and RINGWAY_ATTEMPT"),
    ):
        site.set_channelvars(line)
        before = len(site.router.log)
        site.inbound()
        said = site.router.wait_for("ami_deaf", after=before, what="variables")
        assert f"do not carry {lacking}:" in said["why"]
        assert CHANNELVARS in said["hint"]
        assert "manager.conf" in said["hint"]
        assert site.hears()["variables"] == MISSING
        assert "channel variables: MISSING" in site.status()
        site.inbound()
        site.set_channelvars(CHANNELVARS)
        site.inbound()
        site.router.wait_for("ami_hears", after=before, what="variables")
        assert site.hears()["variables"] == OK
        assert len([each for each in site.router.log[before:] if each["event"] == "ami_deaf"]) == 1, "it is said again"


@pytest.mark.long
def test_an_account_that_does_not_hear_of_calls_or_of_some_of_their_events(
    asterisk_program: Program, tmp_path: Path
) -> None:
    with running_site(asterisk_program, tmp_path, {name: slip[0] for name, slip in SLIPS.items()}) as site:
        assert all(site.hears(name) == dict.fromkeys(ALL, UNSEEN) for name in SLIPS)
        turns = itertools.cycle([site.inbound, site.outbound])
        site.until(
            lambda: place_next(turns),
            lambda: all(site.deaf(what, name) for name, (_, what, _) in SLIPS.items()),
            "each slip is noticed",
        )
        for name, (_, what, word) in SLIPS.items():
            (said,) = site.deaf(what, name)
            assert word in f"{said['why']} {said['hint']}"
            assert "[ringway] in manager.conf" in said["hint"]
            assert site.hears(name)[what] == MISSING
            assert f"{what}: MISSING" in site.status(name)
            others = {state for each, state in site.hears(name).items() if each != what}
            assert MISSING not in others
        assert site.hears("no-call") == dict.fromkeys(ALL, UNSEEN) | {"hangups": MISSING, "calls": OK}
        assert site.hears() == dict.fromkeys(ALL, OK)
        assert len(site.router.events("ami_deaf")) == len(SLIPS)


@pytest.mark.long
def test_events_in_another_form_than_any_that_is_known(asterisk_program: Program, tmp_path: Path) -> None:
    with AmiProxy() as proxy:
        proxy.rewrite = lambda message: message.replace(b"AccountCode: ", b"Account: ")
        with running_site(asterisk_program, tmp_path, proxy=proxy) as site:
            site.until(site.inbound, lambda: bool(site.deaf("hangups")), "it is noticed that no event is believed")
            (said,) = site.deaf("hangups")
            assert "in another form" in said["hint"]
            assert site.hears() == {"variables": UNSEEN, "hangups": MISSING, "dials": UNSEEN, "calls": OK}


@pytest.mark.long
def test_the_session_is_to_another_asterisk_than_the_one_that_asks(asterisk_program: Program, tmp_path: Path) -> None:
    """It may be that both are right, and nobody watches the one that asks: so it is said, and is no fault."""
    with (
        exchange_of(asterisk_program, "leeds") as other,
        running_site(asterisk_program, tmp_path, asks=other, name="london") as site,
    ):
        site.outbound()
        wait_until(lambda: site.hears()["dials"] == OK, "its events come")

        def place() -> None:
            place_calls(other.ports.sip, [Dial(OUR)] * 10, rate=2, at_once=10)

        site.until(place, lambda: bool(site.router.events("ami_calls_elsewhere")), "none of the calls is its own")
        (said,) = site.router.events("ami_calls_elsewhere")
        assert "[[ami]] host" in said["hint"]
        assert site.hears() == {"variables": OK, "hangups": OK, "dials": OK, "calls": UNSEEN}
        assert site.router.events("ami_deaf") == []
        # It is the right one after all, or the site has mended it.
        ask(site.asterisk, site.router)
        site.inbound()
        site.router.wait_for("ami_hears", what="calls")
        assert site.hears()["calls"] == OK
        other.wait_idle()


def test_calls_that_ended_while_no_session_or_no_router_was_there_are_no_sign(
    asterisk_program: Program, tmp_path: Path
) -> None:
    with AmiProxy() as proxy, running_site(asterisk_program, tmp_path, proxy=proxy) as site:
        router = site.router

        def cut() -> None:
            proxy.cut()
            router.wait_for("ami_down", after=seen)

        def restart() -> None:
            router.terminate()
            router.start()

        for interrupt in (cut, restart):
            seen = len(router.log)
            proxy.refuse()
            with ThreadPoolExecutor(1) as pool:
                calls = pool.submit(site.inbound)
                site.originate(f"Local/{bare(subscriber(Behaviour.RINGS))}@own-dialler")
                wait_until(lambda: site.asterisk.channels() > AT_ONCE, "they are there")
                interrupt()  # they end in no session, or in the next one
                proxy.pass_on()
                router.wait_for("ami_up", after=seen)
                calls.result()
            site.asterisk.wait_idle()
            for _ in range(2):
                site.inbound()
                site.outbound()
            wait_until(lambda: site.hears() == dict.fromkeys(ALL, OK), "all is heard")
        assert router.events("ami_deaf") == []
