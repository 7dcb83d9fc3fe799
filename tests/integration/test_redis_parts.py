"""The parts that tests of Redis stand on do what they say: a real server, Sentinels, a cluster, and the faults."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from tests.fault_proxy import FaultProxy
from tests.ports import free_port
from tests.processes import PATIENCE_SECONDS, REPOSITORY, wait_until
from tests.redis_server import RedisServer, Sentinels, make_certificates, running_cluster, running_redis
from tests.tools import needed

SHORT_SECONDS = 0.4

pytestmark = pytest.mark.long


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running_redis() as running:
        yield running


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.port) as running:
        yield running


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[redis.Redis]:
    """A client of the server behind the proxy that has its connection and never tries twice."""
    with contextlib.closing(to_port(proxy.port)) as made:
        made.ping()
        yield made


def to_port(port: int, **how: Any) -> redis.Redis:
    usual: dict[str, Any] = {"socket_timeout": PATIENCE_SECONDS, "retry": Retry(NoBackoff(), 0)}
    return redis.Redis(host="127.0.0.1", port=port, **(usual | how))


def clients_of(server: RedisServer) -> int:
    """How many clients it has beside the one that asks."""
    return int(server.client().info("clients")["connected_clients"]) - 1


def alive(pid: int) -> bool:
    stat = pathlib.Path(f"/proc/{pid}/stat")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def test_a_killed_server_comes_back_with_all_that_it_acknowledged(server: RedisServer) -> None:
    port, written = server.port, 0
    for written in range(1, 201):
        server.client().set(f"key {written}", written)
    server.kill()
    with pytest.raises(redis.ConnectionError):
        server.client().ping()
    server.start()
    assert (server.port, server.client().dbsize()) == (port, written)


def test_a_restart_keeps_the_data_or_drops_it(server: RedisServer) -> None:
    server.client().set("key", "value")
    first = server.process.pid
    server.restart()
    assert server.client().get("key") == b"value"
    assert not alive(first)
    server.restart(keep_data=False)
    assert server.client().get("key") is None


def test_an_orderly_stop_is_no_failure(server: RedisServer) -> None:
    server.pause()
    assert server.stop() == 0
    assert not server.running


def test_a_paused_server_lets_its_clients_wait_and_goes_on(server: RedisServer) -> None:
    with contextlib.closing(to_port(server.port, socket_timeout=SHORT_SECONDS)) as hasty:
        hasty.ping()
        server.pause()
        with pytest.raises(redis.TimeoutError):
            hasty.incr("key")
        with pytest.raises(redis.TimeoutError):  # the kernel takes a new connection for it
            hasty.incr("key")
        server.go_on()
        wait_until(lambda: server.client().get("key") == b"1", "the command that was waiting is done")


def test_a_paused_server_ends_and_leaves_nothing() -> None:
    with running_redis() as server:
        server.pause()
        pid, folder = server.process.pid, server.folder
    assert not alive(pid)
    assert not folder.exists()


def test_a_server_ends_with_the_python_that_started_it(tmp_path: pathlib.Path) -> None:
    """Also where that has no time for its own ends, and although it started it in a thread that is gone."""
    program = (
        "import threading, time, tests.redis_server as it; server = it.RedisServer();"
        "thread = threading.Thread(target=server.start); thread.start(); thread.join();"
        "server.client().ping(); print(server.process.pid, flush=True); time.sleep(600)"
    )
    needed("redis-server")
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as python:
        assert python.stdout is not None
        pid = int(python.stdout.readline())
        assert alive(pid)
        python.kill()
    wait_until(lambda: not alive(pid), "redis-server ends")


def test_a_port_that_another_server_has_is_left_to_it(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = iter([server.port, free_port()])
    monkeypatch.setattr("tests.redis_server.free_port", lambda: next(ports))
    with running_redis() as other:
        assert other.port != server.port
        assert other.client().info("server")["process_id"] == other.process.pid


def test_what_redis_refuses_is_told() -> None:
    with pytest.raises(AssertionError, match="Bad directive"), running_redis(no_such_directive="yes"):
        pass


def test_options_reach_the_server() -> None:
    with running_redis(maxmemory="1mb", maxmemory_policy="noeviction", requirepass="secret") as server:
        with pytest.raises(redis.OutOfMemoryError):
            server.client().set("key", "value" * 1_000_000)
        with contextlib.closing(to_port(server.port)) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()


def test_users_come_from_a_file(tmp_path: pathlib.Path) -> None:
    users = tmp_path / "users.acl"
    users.write_text("user default off\nuser reader on nopass ~* +@read +@connection +info\n")
    with running_redis(aclfile=str(users)) as server:
        reader = server.client(username="reader", password="any")  # noqa: S106
        assert reader.get("key") is None
        with pytest.raises(redis.exceptions.NoPermissionError):
            reader.set("key", "value")


def test_tls_is_by_an_authority_of_its_own(tmp_path: pathlib.Path) -> None:
    make_certificates(tmp_path)
    with running_redis(tls=True) as server:
        assert server.url == f"rediss://127.0.0.1:{server.port}/0"
        for host in ("127.0.0.1", "localhost"):
            good = redis.Redis(host=host, port=server.port, ssl=True, ssl_ca_certs=str(server.ca_file))
            with contextlib.closing(good):
                assert good.ping()
        plain = to_port(server.port)
        stranger = to_port(server.port, ssl=True, ssl_ca_certs=str(tmp_path / "ca.crt"))
        for bad in (plain, stranger):
            with contextlib.closing(bad), pytest.raises(redis.ConnectionError):
                bad.ping()


def test_sentinels_promote_a_replica_and_take_the_old_master_back() -> None:
    with Sentinels() as sentinels:
        hosts = [("127.0.0.1", sentinel.port) for sentinel in sentinels.sentinels]
        names = ",".join(f"{host}:{port}" for host, port in hosts)
        assert sentinels.url == f"redis+sentinel://{names}/mymaster/0"

        old = sentinels.master()
        assert (old, old.port) == (sentinels.servers[0], sentinels.master_port())
        old.client().set("key", "value")
        assert old.client().wait(1, 10_000) == 1

        new = sentinels.fail_over()
        assert new is sentinels.servers[1]
        assert new.client().get("key") == b"value"
        new.client().set("key", "new value")
        asked: Any = Sentinel(hosts, socket_timeout=PATIENCE_SECONDS)  # type: ignore[no-untyped-call]
        assert asked.discover_master("mymaster") == ("127.0.0.1", new.port)
        for each in asked.sentinels:
            each.close()

        old.start()
        sentinels.wait_whole()
        assert old.client().get("key") == b"new value"
        with pytest.raises(redis.ReadOnlyError):
            old.client().set("key", "value")


def test_a_cluster_has_its_keys_on_three_masters() -> None:
    with running_cluster() as cluster:
        with contextlib.closing(RedisCluster.from_url(cluster.url)) as client:
            for number in range(60):
                client.set(f"key {number}", number)
        assert sum(server.client().dbsize() for server in cluster.servers) == 60
        assert all(server.client().dbsize() > 0 for server in cluster.servers)
        elsewhere = cluster.servers[1].command("RANDOMKEY")
        with pytest.raises(redis.exceptions.MovedError):
            cluster.servers[0].client().get(elsewhere)


def test_the_proxy_passes_on_and_counts(proxy: FaultProxy, client: redis.Redis) -> None:
    large = os.urandom(5_000_000)
    client.set("key", large)
    assert client.get("key") == large
    assert proxy.connections == 1
    client.connection_pool.disconnect()
    client.ping()
    assert proxy.connections == 2


def test_the_proxy_passes_on_an_end(server: RedisServer, proxy: FaultProxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_SECONDS) as bare:
        bare.sendall(b"PING\r\n")
        assert bare.recv(100) == b"+PONG\r\n"
        server.client().client_kill_filter(_type="normal", skipme=True)
        assert bare.recv(100) == b""
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_SECONDS) as bare:
        bare.sendall(b"PING\r\n")
        bare.shutdown(socket.SHUT_WR)
        assert bare.makefile("rb").read() == b"+PONG\r\n"
    wait_until(lambda: clients_of(server) == 0, "the server sees it go")


def test_a_cut_ends_a_command_that_waits(server: RedisServer, proxy: FaultProxy, client: redis.Redis) -> None:
    errors: list[str] = []

    def wait() -> None:
        try:
            client.blpop(["nothing"], 0)
        except redis.ConnectionError as error:
            errors.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: server.client().info("clients")["blocked_clients"] == 1, "the client waits")
    proxy.cut()
    waiting.join(PATIENCE_SECONDS)
    assert len(errors) == 1
    assert "reset by peer" in errors[0]
    wait_until(lambda: clients_of(server) == 0, "the server sees it go")
    assert client.ping()
    assert proxy.connections == 2


def test_a_refused_client_keeps_what_it_has(proxy: FaultProxy, client: redis.Redis) -> None:
    proxy.refuse()
    assert client.ping()
    with contextlib.closing(to_port(proxy.port)) as other:
        with pytest.raises(redis.ConnectionError, match="refused"):
            other.ping()
        proxy.accept()
        assert other.ping()


def test_a_swallowed_command_arrives_late(server: RedisServer, proxy: FaultProxy) -> None:
    with contextlib.closing(to_port(proxy.port, socket_timeout=SHORT_SECONDS)) as client:
        client.ping()
        proxy.swallow()
        with pytest.raises(redis.TimeoutError):  # on the present connection, which it gives up
            client.incr("key")
        with pytest.raises(redis.TimeoutError):  # on a new one
            client.ping()
        assert (proxy.connections, server.client().get("key")) == (2, None)
        assert clients_of(server) == 1  # no end has come through
        proxy.pass_on()
        wait_until(lambda: server.client().get("key") == b"1", "the command arrives")
        wait_until(lambda: clients_of(server) == 0, "the end arrives")
        assert client.ping()


def test_what_is_swallowed_and_cut_never_arrives(server: RedisServer, proxy: FaultProxy) -> None:
    with contextlib.closing(to_port(proxy.port, socket_timeout=SHORT_SECONDS)) as client:
        client.ping()
        proxy.swallow()
        with pytest.raises(redis.TimeoutError):
            client.incr("key")
        proxy.cut()
        proxy.pass_on()
        assert client.get("key") is None


def test_a_delay_is_for_each_chunk_and_not_for_each_after_another(proxy: FaultProxy, client: redis.Redis) -> None:
    large = os.urandom(3_000_000)
    client.set("key", large)
    proxy.delay(0.1)
    began = time.monotonic()
    assert client.get("key") == large
    took = time.monotonic() - began
    proxy.delay(0)
    assert 0.2 <= took < 2.0  # one after another: 46 chunks, 4.6 s


def test_a_reply_is_lost_although_the_command_is_done(
    server: RedisServer, proxy: FaultProxy, client: redis.Redis
) -> None:
    proxy.reset_in_reply(0)
    with pytest.raises(redis.ConnectionError, match="reset by peer"):
        client.incr("key")
    assert server.client().get("key") == b"1"
    assert client.incr("key") == 2


def test_a_reply_is_cut_off_where_the_test_says(proxy: FaultProxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_SECONDS) as bare:
        proxy.reset_in_reply(10)
        bare.sendall(b"PING\r\n")
        assert bare.recv(100) == b"+PONG\r\n"
        bare.sendall(b"PING\r\n")
        assert bare.recv(100) == b"+PO"
        with pytest.raises(ConnectionResetError):
            bare.recv(100)


def test_the_proxy_may_lead_elsewhere(server: RedisServer, proxy: FaultProxy, client: redis.Redis) -> None:
    with running_redis() as other:
        other.client().set("key", "other")
        proxy.target_port = other.port
        assert client.get("key") is None
        proxy.cut()
        assert client.get("key") == b"other"
    with pytest.raises(redis.ConnectionError):
        client.get("key")
    proxy.target_port = server.port
    assert client.ping()


def test_a_killed_server_is_seen_through_the_proxy(server: RedisServer, client: redis.Redis) -> None:
    server.kill()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    server.start()
    assert client.ping()


def test_an_error_of_the_proxy_itself_fails_the_test(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise RuntimeError("the proxy's own")

    monkeypatch.setattr(FaultProxy, "_cut_short", fail)
    with (
        pytest.raises(AssertionError, match="the proxy's own"),
        FaultProxy(server.port) as proxy,
        contextlib.closing(to_port(proxy.port)) as client,
        pytest.raises(redis.ConnectionError),
    ):
        client.ping()
    assert "fault-proxy" not in {thread.name for thread in threading.enumerate()}
