"""`ringway doctor` at a site with a real Asterisk: all right, and then each thing wrong in turn."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from router.config.limits import DOCTOR_CLOCKS_APART_SECONDS
from tests.asterisk.campaigns import DATA, FLOWS, OUR, SECRET_FILE, ami_settings, originate
from tests.asterisk.exchange import Exchange
from tests.asterisk.parts import Program
from tests.asterisk.pbx import Asterisk
from tests.asterisk.test_ami_link import certificate
from tests.asterisk.traffic import DEFAULT_FLOW
from tests.ports import free_port
from tests.processes import Finished, Router, ringway, running_router, write_config
from tests.releases import unpacked

pytestmark = pytest.mark.asterisk

SHORT = "[short]\nexten => 1,1,Answer()\n same => n,Wait(1)\n same => n,Hangup()\n"
REFUSED_LOGIN = r"manager\.c: .*(failed to authenticate|failed to pass IP ACL|tried to authenticate)"
NO_TLS = r"(iostream|tcptls)\.c: .*(ssl|SSL)"
ACCOUNT = "ringway_ami_secret.conf"
Found = Mapping[str, dict[str, str]]  # by its part; of Asterisks the first one's


class Site:
    """A router and its Asterisk, and what `ringway doctor` finds of them."""

    def __init__(self, asterisk: Asterisk, router: Router, folder: Path) -> None:
        self.asterisk = asterisk
        self.router = router
        self._folder = folder
        self.link: dict[str, Any] = ami_settings(asterisk, folder)["ami"][0]

    def run(self, settings: Mapping[str, Any] | None = None, *more: dict[str, Any], **link: Any) -> Finished:
        """The command, with other settings or another link than the router's own, and `more` links."""
        usual = {"ami": [self.link | link, *more], "store": {"url": f"sqlite://{self.router.store_path}"}}
        config = write_config(
            self._folder,
            usual | dict(settings or {}),
            agi_port=self.router.agi_port,
            metrics_port=self.router.metrics_port,
        )
        return ringway("doctor", "--json", config=config)

    def found(self, settings: Mapping[str, Any] | None = None, *more: dict[str, Any], **link: Any) -> Found:
        done = self.run(settings, *more, **link)
        every = done.json()["findings"]
        wrong = [each for each in every if each["state"] == "wrong"]
        assert (done.status, done.err.count("\n")) == ((1, 1) if wrong else (0, 0)), done.err
        assert all(each["mend"] for each in wrong), wrong
        return {each["part"]: each for each in reversed(every)}

    @contextlib.contextmanager
    def account(self, *lines: str) -> Iterator[None]:
        """While the block runs the account has these lines besides."""
        with self.edited(ACCOUNT, lambda text: "\n".join([text, *lines, ""])):
            yield

    @contextlib.contextmanager
    def edited(self, name: str, edit: Callable[[str], str]) -> Iterator[None]:
        """While the block runs a file of the manager's is another one."""
        path = self.asterisk.run / "etc" / name
        before = path.read_text("utf-8")
        path.write_text(edit(before), "utf-8")
        self.asterisk.cli("manager reload")
        try:
            yield
        finally:
            path.write_text(before, "utf-8")
            self.asterisk.cli("manager reload")

    @contextlib.contextmanager
    def told(self, name: str, value: str) -> Iterator[None]:
        """While the block runs a global of the dialplan has that value."""
        before = self.asterisk.cli("dialplan show globals")
        (was,) = [line.partition("=")[2] for line in before.splitlines() if line.strip().startswith(f"{name}=")]
        self.asterisk.set_global(name, value)
        try:
            yield
        finally:
            self.asterisk.set_global(name, was.strip())

    @contextlib.contextmanager
    def calls(self) -> Iterator[None]:
        """While the block runs there is always a call that is up, and soon ends."""
        ends = threading.Event()

        def place() -> None:
            while not ends.is_set():
                originate(self.asterisk, {"Channel": "Local/1@short"})
                ends.wait(0.3)

        thread = threading.Thread(target=place)
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join()
            self.asterisk.wait_idle()


@pytest.fixture(scope="module")
def started(asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("router")
    flows = (*FLOWS, DEFAULT_FLOW)
    with contextlib.ExitStack() as stack:
        pbx = stack.enter_context(Asterisk(asterisk_program, flows=flows, files=SECRET_FILE, extra=SHORT))
        router = stack.enter_context(running_router(folder, data=DATA))
        pbx.set_global("RINGWAY_AGI", f"127.0.0.1:{router.agi_port}")
        yield Site(pbx, router, tmp_path_factory.mktemp("doctor"))


@pytest.fixture
def site(started: Site) -> Iterator[Site]:
    started.asterisk.forget()
    yield started
    started.asterisk.assert_no_surprise(REFUSED_LOGIN, NO_TLS)


def test_all_is_right_and_what_an_idle_asterisk_cannot_show_is_not_seen_yet(site: Site) -> None:
    found = site.found()
    states = {part: each["state"] for part, each in found.items()}
    unseen = {part for part, state in states.items() if state == "not seen yet"}
    assert unseen == {"channel variables", "hangup events", "dial events"}, found
    assert set(states.values()) == {"ok", "not seen yet"}, found
    assert found["dialplan"]["of"] == "pbx1"
    assert f"127.0.0.1:{site.router.agi_port}" in found["routers asked"]["what"]
    assert site.asterisk.kept() == site.asterisk.kept("ringway-attempts") == {}


def test_the_router_answers_nothing_and_counts_nothing_for_it(site: Site) -> None:
    decided = {name: value for name, value in site.router.metrics().items() if "decisions" in name}
    dropped = {name: value for name, value in site.router.metrics().items() if "attempts" in name}
    site.found()
    assert decided == {name: value for name, value in site.router.metrics().items() if "decisions" in name}
    assert dropped == {name: value for name, value in site.router.metrics().items() if "attempts" in name}


def test_calls_show_the_variables_and_the_events(site: Site) -> None:
    with site.calls():
        found = site.found()
    assert {found[part]["state"] for part in ("channel variables", "hangup events")} == {"ok"}, found


@pytest.mark.parametrize("line", ["channelvars = OTHER", "channelvars = CAMPAIGN_ID", "channelvars = RINGWAY_ATTEMPT"])
def test_channel_variables_that_are_missing_show_at_the_first_call(site: Site, line: str) -> None:
    """(A line that is only taken out keeps its value over a reload.)"""

    def edit(text: str) -> str:
        return text.replace("channelvars = CAMPAIGN_ID,RINGWAY_ATTEMPT", line)

    with site.edited("manager.conf", edit):
        assert site.found()["channel variables"]["state"] == "not seen yet"
        with site.calls():
            variables = site.found()["channel variables"]
    assert variables["state"] == "wrong"
    lacking = [name for name in ("CAMPAIGN_ID", "RINGWAY_ATTEMPT") if name not in line]
    assert all(f"no {name}" in variables["what"] for name in lacking)
    assert "channelvars = CAMPAIGN_ID,RINGWAY_ATTEMPT" in variables["mend"]


@pytest.mark.parametrize("line", ["read = system", "eventfilter = !Event: Hangup"])
def test_events_that_do_not_come_show_at_the_first_call(site: Site, line: str) -> None:
    with site.account(line), site.calls():
        found = site.found()
    assert found["hangup events"]["state"] == "wrong"
    assert "read = call,system" in found["hangup events"]["mend"]
    assert found["manager rights"]["state"] == "ok"


def test_an_account_that_may_not_report(site: Site) -> None:
    with site.account("write = call"):  # DBGetTree wants system or reporting, Getvar call or reporting
        found = site.found()
    assert found["manager rights"]["state"] == "wrong"
    assert "DBGetTree was refused: Permission denied" in found["manager rights"]["what"]
    assert "write = reporting" in found["manager rights"]["mend"]
    with site.account("write = system"):
        found = site.found()
    assert "Getvar was refused" in found["manager rights"]["what"]
    assert {found[part]["state"] for part in ("dialplan", "routers asked")} == {"not seen yet"}


@pytest.mark.parametrize("line", ["secret = another", "deny = 0.0.0.0/0.0.0.0"])
def test_a_login_that_is_refused(site: Site, line: str) -> None:
    with site.account(line):
        found = site.found()
    login = found["manager login"]
    assert login["state"] == "wrong"
    assert "Authentication failed" in login["what"]
    assert "secret" in login["mend"]
    assert "permit" in login["mend"]
    assert {found[part]["state"] for part in ("manager rights", "dialplan", "channel variables")} == {"not seen yet"}
    assert found["agi port"]["state"] == "ok"


def test_a_user_that_is_not_there_and_a_secret_that_is_no_file(site: Site) -> None:
    login = site.found(username="nobody")["manager login"]
    assert "[nobody] in manager.conf" in login["mend"]
    login = site.found(secret_file="/no/such/file")["manager login"]  # noqa: S106 - a path
    assert "/no/such/file: No such file" in login["what"]
    assert "secret_file" in login["mend"]


def test_a_manager_that_is_not_there(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        login = site.found(port=silent.getsockname()[1])["manager login"]
    assert "no answer within" in login["what"]
    assert "tls = true" in login["mend"]
    login = site.found(port=free_port())["manager login"]
    assert "refused" in login["what"]
    assert "port and bindaddr" in login["mend"]
    found = site.found(host="a..b")
    assert "host" in found["manager login"]["mend"]
    assert 'the host "a..b" has no address' in found["agi allow"]["what"]


def test_tls_to_a_port_that_speaks_none(site: Site) -> None:
    login = site.found(tls=True)["manager login"]
    assert login["state"] == "wrong"
    assert "speaks no TLS" in login["mend"]


def test_a_port_that_speaks_tls(site: Site, tmp_path: Path) -> None:
    own, other = certificate(tmp_path, "own.pem"), certificate(tmp_path, "other.pem")
    (site.asterisk.run / "etc" / "manager.pem").write_text(own.read_text("ascii"), "ascii")
    seen = site.asterisk.program.folder(site.asterisk.run) / "etc" / "manager.pem"
    port = free_port()
    lines = f"[general](+)\ntlsenable = yes\ntlsbindaddr = 127.0.0.1:{port}\ntlscertfile = {seen}"
    with site.account(lines):
        assert "tls = true" in site.found(port=port)["manager login"]["mend"]
        login = site.found(port=port, tls=True, tls_ca_file=str(other))["manager login"]
        assert (login["state"], "tls_ca_file" in login["mend"]) == ("wrong", True)
        login = site.found(port=port, tls=True, tls_ca_file=str(own))["manager login"]
        assert login["state"] == "ok", login


def test_a_dialplan_that_asks_elsewhere(site: Site) -> None:
    port = site.router.agi_port
    for text, state in (
        (f"127.0.0.1:{free_port()}", "wrong"),
        ("", "wrong"),
        (f"192.0.2.1:{port}", "not seen yet"),
        (f"localhost:{port}", "ok"),
    ):
        with site.told("RINGWAY_AGI", text):
            asked = site.found()["routers asked"]
        assert asked["state"] == state, asked
        assert state == "ok" or str(port) in asked["mend"] or "[agi]" in asked["mend"]


def test_a_dialplan_that_says_nothing_is_an_older_one_and_one_without_its_globals_is_none(site: Site) -> None:
    with site.told("RINGWAY_DIALPLAN", ""):
        older = site.found()["dialplan"]
        with site.told("RINGWAY_CHOICE_1", ""):
            none = site.found()["dialplan"]
    assert "older than version" in older["what"]
    assert "dialplan reload" in older["mend"]
    assert "not loaded" in none["what"]
    assert "#include" in none["mend"]


def test_a_peer_that_may_not_ask(site: Site) -> None:
    found = site.found({"agi": {"port": site.router.agi_port, "allow": ["192.0.2.0/24"]}})
    assert "127.0.0.1 may not ask" in found["agi allow"]["what"]
    assert '"127.0.0.1"' in found["agi allow"]["mend"]
    assert found["agi port"]["state"] == "not seen yet"


def test_clocks_are_compared(site: Site) -> None:
    """A real Asterisk has this machine's clock. What another one makes of it stands in the unit tests."""
    clock = site.found()["clock of pbx1"]
    assert clock["state"] == "ok"
    within = float(clock["what"].removeprefix("within ").partition(" s")[0])
    assert within <= DOCTOR_CLOCKS_APART_SECONDS


def test_two_links_to_asterisks_without_a_name(site: Site) -> None:
    name = site.found(None, site.link | {"name": "pbx2", "host": "localhost"})["system name"]
    assert name["state"] == "wrong"
    assert "it has none" in name["what"]
    assert "systemname" in name["mend"]


def test_a_site_without_a_router(asterisk_program: Program, tmp_path: Path) -> None:
    """What waits in AstDB stays there, and what the router would show is not seen yet. And two links of one name."""
    with (
        Asterisk(asterisk_program, flows=(*FLOWS, DEFAULT_FLOW), files=SECRET_FILE, name="london") as pbx,
        running_router(tmp_path, data=DATA) as router,
    ):
        router.terminate()
        pbx.set_global("RINGWAY_AGI", f"127.0.0.1:{router.agi_port}")
        pbx.cli('database put ringway-attempts a.1 "win-back|+447700900123|+442079460000|BUSY|17|0|1|0"')
        site = Site(pbx, router, tmp_path)
        found = site.found()
        assert {part for part, each in found.items() if each["state"] == "wrong"} == set()
        assert {"agi port", "router"} <= {part for part, each in found.items() if each["state"] == "not seen yet"}
        assert set(pbx.kept("ringway-attempts")) == {"ringway-attempts/a.1"}
        with socket.create_server(("127.0.0.1", router.agi_port)):
            port = site.found()["agi port"]
        assert (port["state"], "ss -ltnp" in port["mend"]) == ("wrong", True)
        name = site.found(None, site.link | {"name": "pbx2", "host": "localhost"})["system name"]
        assert "their calls cannot be told apart" in name["what"]
        assert "leave one out" in name["mend"]


def test_a_dialplan_of_the_last_release(asterisk_program: Program, tmp_path: Path) -> None:
    last = unpacked(tmp_path / "last")
    files = {"flows": (*FLOWS, DEFAULT_FLOW), "files": SECRET_FILE, "dialplan": last.asterisk_files}
    with Asterisk(asterisk_program, **files) as pbx, running_router(tmp_path, data=DATA) as router:  # type: ignore[arg-type]
        pbx.set_global("RINGWAY_AGI", f"127.0.0.1:{router.agi_port}")
        dialplan = Site(pbx, router, tmp_path).found()["dialplan"]
        assert (dialplan["state"], "older than version" in dialplan["what"]) == ("wrong", True)
        assert Exchange(pbx, router).call(OUR).variables["ROUTE_STATUS"] == "OK"
