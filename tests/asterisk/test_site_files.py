"""The shipped files as a site has them: the modules they need, whom the trunk lets in, what the manager account may."""

import re
import socket

import pytest

from tests.asterisk.conftest import StartAsterisk
from tests.asterisk.pbx import DEPLOY, Asterisk
from tests.asterisk.traffic import DEFAULT_FLOW
from tests.processes import PATIENCE_SECONDS

pytestmark = pytest.mark.asterisk

SECRET = "of a test alone"  # noqa: S105 - it opens nothing else
# What a call needs beside the dialplan's own modules, whichever dialplan it is.
BARE = """pbx_config res_timing_timerfd res_sorcery_config res_sorcery_memory res_sorcery_astdb res_pjproject res_pjsip
res_pjsip_session chan_pjsip"""


@pytest.fixture(scope="module")
def started(start_asterisk: StartAsterisk) -> Asterisk:
    return start_asterisk(flows=[DEFAULT_FLOW], files={"ringway_ami_secret.conf": f"secret = {SECRET}\n"})


def sip_status(asterisk: Asterisk, method: str, *, sender: str, user: str) -> int:
    """Send one request to 02079460000 from an address of loopback; return the final status."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((sender, 0))
        udp.settimeout(PATIENCE_SECONDS)
        here = f"{sender}:{udp.getsockname()[1]}"
        lines = (
            f"{method} sip:02079460000@127.0.0.1:{asterisk.ports.sip} SIP/2.0",
            f"Via: SIP/2.0/UDP {here};branch=z9hG4bK-{method}",
            f"From: <sip:{user}@{sender}>;tag=1",
            "To: <sip:02079460000@127.0.0.1>",
            f"Call-ID: {method}@{here}",
            f"CSeq: 1 {method}",
            f"Contact: <sip:{here}>",
            "Max-Forwards: 70",
            "Content-Type: text/plain" if method == "MESSAGE" else "Supported: replaces",
            "Content-Length: 0",
        )
        udp.sendto("\r\n".join([*lines, "", ""]).encode(), ("127.0.0.1", asterisk.ports.sip))
        while True:
            status = int(udp.recv(65_536).split()[1])
            if status >= 200:
                return status


def manager(asterisk: Asterisk, secret: str, *actions: str) -> list[str]:
    """Log in to the shipped account and send actions, lines apart by `|`; return the reply to each, the login first."""
    replies: list[str] = []
    with socket.create_connection((asterisk.host, asterisk.ports.ami), PATIENCE_SECONDS) as ami:
        lines = ami.makefile("r", encoding="utf-8", newline="\r\n")
        for action in (f"Action: Login|Username: ringway|Secret: {secret}|Events: off", *actions):
            ami.sendall(action.replace("|", "\r\n").encode() + b"\r\n\r\n")
            while not (line := lines.readline()).startswith("Response: "):
                assert line, replies
            replies.append(line.strip() + " " + lines.readline().strip())
            if "Error" in replies[0]:
                break
    return replies


def test_the_modules_that_the_readme_names_are_all_it_needs(start_asterisk: StartAsterisk) -> None:
    readme = (DEPLOY / "README.md").read_text("utf-8")
    listed = re.search(r"(?s)The modules that it needs(.*?);", readme)
    assert listed is not None
    modules = [*BARE.split(), *re.findall(r"`(\w+)`", listed[1])]
    text = "\n".join(["[modules]", "autoload=no", *(f"load={name}" for name in modules), ""])
    asterisk = start_asterisk(files={"modules.conf": text})
    dialplan = re.sub(r"(?m)^;.*$", "", (DEPLOY / "extensions_ringway.conf").read_text("utf-8"))
    applications = set(re.findall(r"[,?](AGI|[A-Z]+[a-z]\w*)\(", dialplan))
    functions = set(re.findall(r"(?:\$\{|Set\()([A-Z_]+)\(", dialplan))
    assert {"AGI", "Gosub", "MSet", "Playtones"} <= applications
    assert {"CALLERID", "CUT", "DB", "TIMEOUT"} <= functions
    for name in applications:
        assert "is (are) not registered" not in asterisk.cli(f"core show application {name}"), name
    for name in functions:
        assert "No function by that name" not in asterisk.cli(f"core show function {name}"), name


def test_only_the_trunks_addresses_are_the_trunk(started: Asterisk) -> None:
    assert sip_status(started, "INVITE", sender="127.0.0.2", user="trunk") == 401
    assert started.calls() == []


def test_a_text_message_is_not_routed(started: Asterisk) -> None:
    assert sip_status(started, "MESSAGE", sender="127.0.0.1", user="+447700900123") == 404
    assert started.calls() == []


def test_the_manager_account_reads_what_is_kept_and_does_nothing_else(started: Asterisk) -> None:
    started.keep("+442079460000", "flow-a")
    login, tree, *refused = manager(
        started,
        SECRET,
        "Action: DBGetTree|Family: ringway",
        "Action: Command|Command: core show version",
        "Action: Originate|Channel: Local/s@ringway-default|Application: Wait|Data: 1",
        "Action: DBDel|Family: ringway|Key: +442079460000",
        "Action: GetConfig|Filename: manager.conf",
    )
    assert login.startswith("Response: Success")
    assert tree.startswith("Response: Success")
    assert set(refused) == {"Response: Error Message: Permission denied"}
    assert started.kept()


def test_nobody_logs_in_to_an_account_without_a_secret(start_asterisk: StartAsterisk) -> None:
    asterisk = start_asterisk()
    for secret in ("", "ringway", SECRET):
        assert manager(asterisk, secret) == ["Response: Error Message: Authentication failed"]
