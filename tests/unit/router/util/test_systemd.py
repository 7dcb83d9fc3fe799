"""What systemd and the router tell each other, with the test in systemd's place."""

import os
import pathlib
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from router.util import systemd
from router.util.systemd import UnusableSocketError, listening_sockets, notify, watchdog_seconds

PATIENCE_SECONDS = 30.0

# Takes descriptors where systemd puts them, as the process that systemd meant, and tells what it found.
_TAKE = """
import os, sys
given = [int(each) for each in sys.argv[1:]]
moved = [os.dup(each) for each in given]
for place, each in enumerate(moved):
    os.dup2(each, 3 + place)
from router.util.systemd import listening_sockets
environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(given)), "LISTEN_FDNAMES": "agi"}
for sock in listening_sockets(environment):
    print(sock.fileno(), sock.getsockname()[1], sock.get_inheritable(), sock.getsockopt(1, 30))
    sock.detach()
"""


def test_the_sockets_that_systemd_holds_are_taken_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        numbers = [each.fileno() for each in (one, two)]
        said = subprocess.run(
            [sys.executable, "-c", _TAKE, *map(str, numbers)],
            pass_fds=numbers,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_SECONDS,
        ).stdout
        ports = [each.getsockname()[1] for each in (one, two)]
    assert said.splitlines() == [f"3 {ports[0]} False 1", f"4 {ports[1]} False 1"]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": "", "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid())},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"},
    ],
)
def test_sockets_meant_for_nobody_or_for_another_process_are_left_alone(environment: dict[str, str]) -> None:
    assert listening_sockets(environment) == []


# Takes what is handed over as the process that systemd meant, and tells what is wrong with it.
_REFUSE = """
import os, sys
from router.util.systemd import UnusableSocketError, listening_sockets
if sys.argv[1:] and sys.argv[1] != "3":
    os.dup2(int(sys.argv[1]), 3)
if not sys.argv[1:]:
    os.closerange(3, 256)
try:
    listening_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
except UnusableSocketError as error:
    print(error)
"""


def refusal(*handed_over: int) -> str:
    return subprocess.run(
        [sys.executable, "-c", _REFUSE, *map(str, handed_over)],
        pass_fds=handed_over,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    ).stdout


def test_a_descriptor_that_nobody_can_call_is_named_with_what_the_unit_has_to_say(tmp_path: pathlib.Path) -> None:
    stream = "; ListenStream=HOST:PORT is what ringway.socket has to have\n"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        assert refusal(datagrams.fileno()) == f"LISTEN_FDS: descriptor 3 takes single packets{stream}"
    one, two = socket.socketpair()
    with one, two:
        said = refusal(one.fileno())
    assert said.startswith("LISTEN_FDS: descriptor 3 is one connection, or does not listen; Accept=no is what ")
    with (tmp_path / "file").open("w") as file:
        assert refusal(file.fileno()) == f"LISTEN_FDS: descriptor 3 is no socket{stream}"
    assert refusal() == f"LISTEN_FDS: descriptor 3 is not open{stream}"


@pytest.mark.parametrize("count", ["abc", "", "-1", "1.5", " 1", "٣", "9" * 5_000])
def test_what_is_no_number_of_descriptors_is_told(count: str) -> None:
    with pytest.raises(UnusableSocketError, match=r"^LISTEN_FDS: .* is no number of descriptors; .*unset both"):
        listening_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count})


@pytest.fixture
def listener(tmp_path: pathlib.Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(PATIENCE_SECONDS)
        yield sock


def test_systemd_hears_what_it_is_told(listener: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": listener.getsockname()}
    notify(environment, "READY=1")
    notify(environment, "READY=1", "STATUS=6 numbers")
    assert listener.recv(100) == b"READY=1"
    assert listener.recv(100) == b"READY=1\nSTATUS=6 numbers"


def test_an_abstract_name_is_understood() -> None:
    name = f"ringway-test-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        sock.settimeout(PATIENCE_SECONDS)
        notify({"NOTIFY_SOCKET": f"@{name}"}, "WATCHDOG=1")
        assert sock.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", [None, "", "/nowhere/notify", "@ringway-nobody-listens", "/" + "x" * 200])
def test_where_nobody_listens_nothing_happens(address: str | None) -> None:
    notify({} if address is None else {"NOTIFY_SOCKET": address}, "READY=1")


def test_a_systemd_that_does_not_read_never_holds_the_router_up(listener: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": listener.getsockname()}
    for _ in range(5_000):  # far more than the queue of a datagram socket holds
        notify(environment, "WATCHDOG=1")
    assert listener.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "5000000"}, 5.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "٣"}, None),
        ({"WATCHDOG_USEC": "9" * 5_000}, None),
    ],
)
def test_the_watchdogs_interval(environment: dict[str, str], seconds: float | None) -> None:
    assert watchdog_seconds(environment) == seconds


def test_the_first_descriptor_is_where_sd_listen_fds_says() -> None:
    assert systemd._FIRST_DESCRIPTOR == 3
