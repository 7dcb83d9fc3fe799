"""A real `ringway serve` under systemd: sockets handed over, readiness, the watchdog."""

import asyncio
import contextlib
import pathlib
import signal
import socket
import sys
from collections.abc import Iterator

import pytest

from tests.integration.serving import DID, FLOW, refuses, steady_load
from tests.processes import Router, running_router, wait_until

_HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.closerange(4, 256)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="agi")
os.execv(sys.argv[2], sys.argv[2:])
"""


@contextlib.contextmanager
def activated(folder: pathlib.Path) -> Iterator[tuple[Router, int]]:
    """A router on a socket that the test holds, as systemd would, and the port of that."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as held:
        descriptor = held.fileno()
        with running_router(
            folder,
            settings={"agi": {"deadline_ms": 30_000}},
            prefix=[sys.executable, "-S", "-E", "-c", _HAND_OVER, str(descriptor)],
            popen={"pass_fds": [descriptor]},
        ) as router:
            yield router, held.getsockname()[1]


async def test_under_socket_activation_a_restart_refuses_nobody_and_every_call_is_answered(
    tmp_path: pathlib.Path,
) -> None:
    with activated(tmp_path) as (router, port):
        assert router.events("ready")[0]["agi"] == f"127.0.0.1:{port}"
        assert refuses(router.agi_port), "the configured port is not used then"
        async with steady_load(port) as calls:
            for _ in range(2):
                await calls.more(20)
                assert await asyncio.to_thread(router.terminate) == 0
                await asyncio.to_thread(router.start)
            await calls.more(20)
        assert set(calls.ended) == {"answered"}, calls.ended


async def test_under_socket_activation_a_killed_router_costs_only_the_calls_that_it_held(
    tmp_path: pathlib.Path,
) -> None:
    with activated(tmp_path) as (router, port):
        async with steady_load(port) as calls:
            await calls.more(20)
            await asyncio.to_thread(router.kill)
            await asyncio.to_thread(router.start)
            await calls.more(20)
        assert "refused" not in calls.ended
        assert sum(calls.ended.values()) - calls.ended["answered"] <= 5, calls.ended


class Systemd:
    """The socket that systemd listens on, and what it heard."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.address = str(folder / "notify")
        self._socket.bind(self.address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        """What has come since the last time."""
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(self._socket.recv(4096).decode())
        return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: pathlib.Path) -> Iterator[Systemd]:
    place_ = Systemd(tmp_path)
    yield place_
    place_.close()


def is_stopped(pid: int) -> bool:
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("T")


def test_systemd_is_told_of_readiness_of_life_and_of_the_end(tmp_path: pathlib.Path, systemd: Systemd) -> None:
    environment_ = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "100000"}
    heard: list[str] = []

    def watchdogs() -> int:
        heard.extend(systemd.heard())
        return heard.count("WATCHDOG=1")

    with running_router(tmp_path, environment=environment_) as router:
        wait_until(lambda: watchdogs() >= 5, "signs of life")
        assert heard[0].split("\n") == ["READY=1", "STATUS=6 numbers"]
        assert set(heard[1:]) == {"WATCHDOG=1"}

        router.signal(signal.SIGSTOP)
        wait_until(lambda: is_stopped(router.pid), "it is stopped")
        systemd.heard()
        router.signal(signal.SIGCONT)
        heard.clear()
        wait_until(lambda: watchdogs() >= 2, "signs of life again")
        assert router.terminate() == 0
    said = [message for message in [*heard, *systemd.heard()] if message != "WATCHDOG=1"]
    assert said == ["STOPPING=1"]


def test_systemd_is_told_of_readiness_only_when_calls_are_answered(tmp_path: pathlib.Path, systemd: Systemd) -> None:
    with running_router(tmp_path, environment={"NOTIFY_SOCKET": systemd.address}, start=False) as router:
        router.start(wait=False)
        wait_until(lambda: "READY=1" in "".join(systemd.heard()), "readiness")
        assert router.ask(DID)["ROUTE_CONTEXT"] == FLOW
        router.wait_for("ready")
        assert not [message for message in systemd.heard() if "WATCHDOG" in message], "nobody asked for it"


def test_a_watchdog_meant_for_another_process_is_left_alone(tmp_path: pathlib.Path, systemd: Systemd) -> None:
    environment_ = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    with running_router(tmp_path, environment=environment_) as router:
        for _ in range(20):
            router.ask(DID)
        assert router.terminate() == 0
    assert {message.partition("\n")[0] for message in systemd.heard()} == {"READY=1", "STOPPING=1"}
