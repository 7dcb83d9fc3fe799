"""The composition root: what cannot start says which key is to blame, and leaves nothing behind.

How a started router serves, drains and ends is shown with real processes in tests/integration/test_serve*.py.
"""

import asyncio
import contextlib
import os
import pathlib
import resource
import socket
import threading
from collections.abc import Iterator, Mapping

import msgspec
import pytest

from router import app
from router.config.settings import Agi, Endpoint, Settings, SettingsError, StoreSettings
from router.store.api import StoreError
from router.store.table_sync import TableSync
from router.util import systemd
from tests.ports import free_port

PATIENCE_SECONDS = 30.0


def settings(folder: pathlib.Path, *, agi: Agi | None = None, metrics_port: int = 0) -> Settings:
    return Settings(
        agi=agi or Agi(port=0),
        metrics=Endpoint(port=metrics_port),
        store=StoreSettings(url=f"sqlite://{folder / 'ringway.db'}"),
    )


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of loopback that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


def is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


def test_a_taken_port_is_an_error_that_names_the_key_the_variable_and_the_address(
    tmp_path: pathlib.Path, taken: int
) -> None:
    with pytest.raises(SettingsError) as error:
        app.serve(settings(tmp_path, agi=Agi(port=taken)))
    for part in ("[agi]", "port", f"127.0.0.1:{taken}", "in use", "RINGWAY_AGI__PORT"):
        assert part in str(error.value)


def test_a_taken_metrics_port_is_an_error_that_names_it_and_frees_the_agi_port(
    tmp_path: pathlib.Path, taken: int
) -> None:
    agi_port = free_port()
    with pytest.raises(SettingsError) as error:
        app.serve(settings(tmp_path, agi=Agi(port=agi_port), metrics_port=taken))
    for part in ("[metrics]", f"127.0.0.1:{taken}", "RINGWAY_METRICS__PORT"):
        assert part in str(error.value)
    assert is_free(agi_port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_this_machines_is_an_error_that_names_the_key(tmp_path: pathlib.Path, host: str) -> None:
    with pytest.raises(SettingsError, match=r"\[agi\]"):
        app.serve(settings(tmp_path, agi=Agi(host=host, port=0)))
    with pytest.raises(SettingsError, match=r"\[metrics\]"):
        app.serve(msgspec.structs.replace(settings(tmp_path), metrics=Endpoint(host=host, port=free_port())))


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "\n", "\udcff", "[::1]", "/run/ringway.sock", "localhost:4573"])
def test_what_is_no_host_is_an_error_in_one_line_that_does_not_blame_the_port(
    tmp_path: pathlib.Path, host: str
) -> None:
    for wanted in (
        settings(tmp_path, agi=Agi(host=host, port=0)),
        msgspec.structs.replace(settings(tmp_path), metrics=Endpoint(host=host, port=free_port())),
    ):
        with pytest.raises(SettingsError, match=r"^\[(agi|metrics)\] host") as error:
            app.serve(wanted)
        assert str(error.value).isprintable()
        assert "stop what has it" not in str(error.value)


def test_a_host_that_is_named_twice_is_bound_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a hosts file that has a line twice."""
    found = socket.getaddrinfo("127.0.0.1", free_port(), type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found * 2)
    (sock,) = app._bind("agi", "localhost", 0)
    sock.close()


def test_a_process_that_may_open_too_few_files_does_not_begin(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20, 20))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    with pytest.raises(
        SettingsError, match=r"a router wants 64 open files, and may have 20; raise that limit: ulimit -n"
    ):
        app.serve(settings(tmp_path))


def test_two_routers_that_start_at_once_do_not_both_serve_and_the_second_says_why(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sockets may be bound to one port as long as none listens: the loser finds out only when it listens."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        load = TableSync.load

        async def slowly(self: TableSync) -> None:
            await load(self)
            other.listen()

        monkeypatch.setattr(TableSync, "load", slowly)
        with pytest.raises(SettingsError, match=r"\[agi\].*in use"):
            app.serve(settings(tmp_path, agi=Agi(port=other.getsockname()[1])))


def test_a_store_that_cannot_be_opened_ends_the_start_and_frees_the_ports(tmp_path: pathlib.Path) -> None:
    (tmp_path / "ringway.db").write_bytes(b"this is no database, and never was one" * 100)
    ports = [free_port(), free_port()]
    with pytest.raises(StoreError):
        app.serve(settings(tmp_path, agi=Agi(port=ports[0]), metrics_port=ports[1]))
    assert all(map(is_free, ports))


def test_what_systemd_hands_over_and_nobody_can_call_ends_the_start(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "abc")
    with pytest.raises(SettingsError, match='LISTEN_FDS: "abc" is no number of descriptors'):
        app.serve(settings(tmp_path))
    assert not (tmp_path / "ringway.db").exists()


@pytest.fixture
def descriptor_limit() -> Iterator[int]:
    """A soft limit of open files that is lower than the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = 300
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    yield low
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_as_many_files_may_be_open_as_the_cap_on_connections_needs(descriptor_limit: int) -> None:
    app._allow_descriptors(descriptor_limit + 50)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == descriptor_limit + 50
    app._allow_descriptors(descriptor_limit)  # never fewer than there were
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == descriptor_limit + 50


def test_the_hard_limit_is_as_far_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, limits: wanted.append(limits))
    for soft, hard in ((100, 200), (100, resource.RLIM_INFINITY), (resource.RLIM_INFINITY,) * 2, (500, 500)):
        monkeypatch.setattr(resource, "getrlimit", lambda _kind, found=(soft, hard): found)
        app._allow_descriptors(400)
    assert wanted == [(200, 200), (400, resource.RLIM_INFINITY)]


async def test_the_sign_of_life_comes_from_the_event_loop_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """One from another thread would go on while the loop, and each call in it, stands still."""
    told: list[tuple[str, int]] = []
    enough = asyncio.Event()

    def notify(_environment: Mapping[str, str], *lines: str) -> None:
        told.extend((line, threading.get_ident()) for line in lines)
        if len(told) == 3:
            enough.set()

    monkeypatch.setenv("WATCHDOG_USEC", "2")
    monkeypatch.setattr(systemd, "notify", notify)
    watchdog = asyncio.ensure_future(app._watchdog())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await enough.wait()
    watchdog.cancel()
    assert set(told) == {("WATCHDOG=1", threading.get_ident())}


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1:"), ("::1", "[::1]:")])
def test_an_address_is_shown_as_it_is_written(host: str, shown: str) -> None:
    try:
        sockets = app._bind("agi", host, 0)
    except SettingsError:
        pytest.skip(f"this machine has no {host}")
    with contextlib.ExitStack() as stack:
        for each in sockets:
            stack.callback(each.close)
        assert [app._shown(each).startswith(shown) for each in sockets] == [True]


@pytest.mark.parametrize(
    ("name", "shown"),
    [("{folder}/agi", "{folder}/agi"), ("\0ringway-{folder}", "@ringway-{folder}"), ("", "a socket without a name")],
)
def test_a_socket_that_is_no_port_is_shown_by_its_name(tmp_path: pathlib.Path, name: str, shown: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        if name:
            sock.bind(name.format(folder=tmp_path))
        assert app._shown(sock) == shown.format(folder=tmp_path)


async def test_work_that_is_told_to_stop_is_called_off_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "GIVE_UP_SECONDS", 0.01)
    stop, goes_on = asyncio.Event(), asyncio.Event()
    began = asyncio.Event()

    async def stubborn() -> str:
        began.set()
        with contextlib.suppress(asyncio.CancelledError):
            await goes_on.wait()
        await goes_on.wait()
        return "late"

    waiting = asyncio.ensure_future(app._unless(stop, stubborn()))
    await began.wait()
    stop.set()
    assert await waiting is None
    goes_on.set()


async def test_work_that_is_done_first_gives_its_result_or_its_error() -> None:
    async def works() -> str:
        return "done"

    async def fails() -> str:
        raise StoreError("no route to host")

    assert await app._unless(asyncio.Event(), works()) == "done"
    with pytest.raises(StoreError, match="no route to host"):
        await app._unless(asyncio.Event(), fails())
