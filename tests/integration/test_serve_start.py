"""A real `ringway serve` that cannot start yet, or that is told to stop meanwhile."""

import contextlib
import os
import pathlib
import signal
import socket
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.integration.serving import DID, FLOW
from tests.processes import PATIENCE_SECONDS, Router, ringway, running_router, wait_until, write_config
from tests.redis_server import RedisServer

CAMPAIGN, SUBSCRIBER, SHOWN = "win-back", "07700900456", "02079460002"  # of the demo data


@contextlib.contextmanager
def held(path: pathlib.Path) -> Iterator[None]:
    """Somebody has the file for itself alone."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        yield


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port where connections are taken, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield listening.getsockname()[1]


def page(router: Router, path: str) -> tuple[int, str]:
    """A page's status and text; 0 where nobody answers yet."""
    try:
        address = f"http://127.0.0.1:{router.metrics_port}{path}"
        with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def starting(router: Router) -> None:
    """Start, and wait until it waits for its store."""
    router.start(wait=False)
    wait_until(lambda: page(router, "/live")[0] == 200, "it is alive")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_told_to_stop_while_the_store_is_held_it_ends_and_was_never_ready(
    tmp_path: pathlib.Path, number: signal.Signals
) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        running_router(tmp_path, environment={"NOTIFY_SOCKET": str(tmp_path / "notify")}, start=False) as router,
        held(router.store_path),
    ):
        systemd.bind(str(tmp_path / "notify"))
        starting(router)
        assert page(router, "/ready") == (503, "not ready: it is starting, and has no table yet\n")
        status = ringway("status", config=router.config)
        assert status.status == 1
        assert "is not ready: it is starting, and has no table yet" in status.err
        assert "table_numbers        0" in status.out
        router.signal(number)
        assert router.wait() == 0, "and not because its own patience was over: the store is still held"
        assert [line["event"] for line in router.log] == ["stopped"]
        assert router.log[0]["while_starting"] is True
        assert systemd.recv(4096) == b"STOPPING=1"
        systemd.setblocking(False)
        with pytest.raises(BlockingIOError):
            systemd.recv(4096)
        assert router.err == ""


def test_told_to_stop_while_three_sentinels_are_silent_it_ends_and_was_never_ready(tmp_path: pathlib.Path) -> None:
    with contextlib.ExitStack() as stack:
        hosts = ",".join(f"127.0.0.1:{stack.enter_context(silent())}" for _ in range(3))
        store = {"url": f"redis+sentinel://{hosts}/ringway/0", "snapshot": str(tmp_path / "snapshot.db")}
        router = stack.enter_context(running_router(tmp_path, data=None, settings={"store": store}, start=False))
        starting(router)
        router.signal(signal.SIGTERM)
        assert router.wait() == 0
        assert [line["event"] for line in router.log] == ["stopped"]
        assert router.err == ""


def test_a_router_that_is_ready_says_so_and_one_that_drains_that_it_is_not(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path, settings={"agi": {"deadline_ms": 60_000}, "metrics": {"host": ""}}) as router:
        assert router.events("ready")[0]["metrics"].startswith("http://0.0.0.0:")
        assert [page(router, path)[0] for path in ("/live", "/ready", "/metrics", "/")] == [200, 200, 200, 404]
        assert router.metrics()["ringway_ready"] == 1
        status = ringway("status", config=router.config)
        assert status.status == 0
        assert "ready                yes" in status.out
        with socket.create_connection(("127.0.0.1", router.agi_port)):
            wait_until(lambda: router.metrics()["ringway_agi_connections"] == 1, "a call is in flight")
            router.signal(signal.SIGTERM)
            router.wait_for("draining")
            assert page(router, "/ready") == (503, "not ready: it is draining\n")
            assert page(router, "/live")[0] == 200
            assert router.metrics()["ringway_ready"] == 0
            asked = ringway("status", "--json", config=router.config)
            assert (asked.status, asked.json()["ready"]) == (1, "not ready: it is draining")
        assert router.wait() == 0
        assert router.log[-1]["cut_off"] == 0


def test_an_accept_header_that_names_no_version_gives_the_page(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path) as router:
        address = f"http://127.0.0.1:{router.metrics_port}/metrics"
        asked = urllib.request.Request(address, headers={"Accept": "application/openmetrics-text;version=banana"})
        with urllib.request.urlopen(asked, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - http
            assert (answer.status, b"ringway_ready 1.0" in answer.read()) == (200, True)
        assert router.err == ""


def test_the_habits_of_log_rotation_do_not_end_the_router_and_are_told(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path) as router:
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            router.signal(number)
            line = router.wait_for("signal_ignored", signal=number.name)
            assert "restart the router" in line["hint"]
        assert router.ask(DID)["ROUTE_CONTEXT"] == FLOW
        assert router.terminate() == 0


def test_a_router_whose_terminal_goes_ends_in_order(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path, start=False) as router:
        ours, theirs = os.openpty()
        # The router would not be ended by the terminal itself, which is not the one that controls it.
        router._command = ["/bin/sh", "-c", 'exec "$@" <"$0"', os.ttyname(theirs), *router._command]
        router.start()
        os.close(theirs)
        os.close(ours)
        router.signal(signal.SIGHUP)
        assert router.wait() == 0
        assert router.log[-1]["event"] == "stopped"


def test_a_pipe_that_nobody_writes_to_is_no_configuration_and_one_with_a_writer_is(tmp_path: pathlib.Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = ringway("status", config=pipe)
    assert done.status == 1
    assert done.err.startswith(f"ringway: {pipe}: it is a pipe whose writer has not come")
    config = write_config(tmp_path, metrics_port=0)
    done = ringway("status", prefix=["/bin/bash", "-c", f'"$@" -c <(cat {config})', "bash"])
    assert "[metrics] port is 0" in done.err


# --- what helps must not stop what matters ----------------------------------------------------------------------------


def callbacks_of(router: Router) -> pathlib.Path:
    return router.store_path.with_name("ringway-callbacks.db")


def report(router: Router) -> int:
    return ringway("report-attempt", CAMPAIGN, SUBSCRIBER, SHOWN, config=router.config).status


def test_a_file_of_callbacks_that_is_damaged_or_deleted_costs_no_call_and_no_restart(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path, start=False) as router:
        callbacks_of(router).write_bytes(os.urandom(65_536))
        router.start()
        down = router.wait_for("callbacks_down")
        assert "ringway-callbacks.db: file is not a database; the file is damaged; move it away" in down["error"]
        assert router.ask(DID)["ROUTE_CONTEXT"] == FLOW
        assert page(router, "/ready")[0] == 200
        assert router.metrics()['ringway_store_up{store="callbacks"}'] == 0
        assert report(router) == 1
        callbacks_of(router).unlink()
        router.wait_for("callbacks_up")
        assert report(router) == 0

        seen = len(router.log)
        callbacks_of(router).unlink()
        assert "No such file" in router.wait_for("callbacks_down", after=seen)["error"]
        router.wait_for("callbacks_up", after=seen)
        assert report(router) == 0
        assert router.terminate() == 0
        assert router.err == ""


def test_a_silent_redis_is_not_waited_for_again_once_the_snapshot_serves(
    tmp_path: pathlib.Path, server: RedisServer
) -> None:
    store = {"url": server.url, "snapshot": str(tmp_path / "snapshot.db")}
    with running_router(tmp_path, settings={"store": store}) as router:
        router.wait_for("snapshot_filled")
        assert router.terminate() == 0
        server.pause()
        seen = len(router.log)
        router.start()
        said = [line["event"] for line in router.log[seen:]]
        assert said.index("callbacks_down") < said.index("ready")
        assert router.events("callbacks_down")[-1]["error"] == "the store is away", "it was not asked"
        assert router.ask(DID)["ROUTE_CONTEXT"] == FLOW
        server.go_on()
        router.wait_for("callbacks_up", after=seen)
        assert router.terminate() == 0
