"""Real Redis servers for tests: one alone, a master with replicas under three Sentinels, a small cluster.

Each lives in a temporary folder, on free ports of 127.0.0.1. Nothing here guesses a time: a server is ready when it
answers. What was started ends with its `close()`, whether it runs, is paused or is dead, and with the Python that
started it.
"""

import contextlib
import functools
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.ports import free_port
from tests.processes import PATIENCE_SECONDS, wait_until
from tests.tools import needed

Option = str | int | Sequence[str]  # a sequence: the directive stands several times

_EVERY = {"bind": "127.0.0.1", "protected-mode": "no"}
_DATA: Mapping[str, Option] = {
    "appendonly": "yes",
    "appendfsync": "always",  # what was acknowledged outlives a SIGKILL
    "save": '""',
    "repl-diskless-sync-delay": 0,  # else a replica waits five seconds for others to join it
    "shutdown-timeout": 0,  # else an orderly end waits ten seconds for a replica that a test paused
}
_CERTIFIED = {"ca": "Test CA", "server": "127.0.0.1"}  # by the names of their files
_MASTER_NAME = "mymaster"
_SENTINELS = 3
_DOWN_AFTER_MS = 750
# A PING has to come well before the time to be down: by the default of a second each new master counts as down at
# first, and a second failover follows. Sentinels learn of each other, of replicas and of a master that came back by
# the next two, by default within ten seconds. In tilt a Sentinel that stood still for two seconds does nothing for
# thirty.
_PERIODS_MS = ("PING-PERIOD", 250, "INFO-PERIOD", 200, "PUBLISH-PERIOD", 200, "TILT-TRIGGER", 3_600_000)
_TROUBLES = frozenset({"s_down", "o_down", "disconnected", "failover_in_progress"})
_SLOTS = 16_384
# Linux ends a child so bound (setpriv) with the thread that started it. This one lives as long as Python does, while a
# test's own may be a short one.
_STARTER = ThreadPoolExecutor(1, thread_name_prefix="redis-starter")


class RedisServer:
    """One redis-server; a context manager, or `start()` and `close()`.

    `options` are directives of redis.conf over the test's own (`maxmemory_policy` may stand for `maxmemory-policy`),
    such as maxmemory, appendonly, requirepass, aclfile or cluster-enabled. `tls` makes it speak TLS alone, with a
    certificate for 127.0.0.1 and localhost by the authority in `ca_file`. `sentinel` makes it a Sentinel.
    What it acknowledged is on disk, unless the options say otherwise.
    """

    def __init__(
        self, options: Mapping[str, Option] | None = None, *, tls: bool = False, sentinel: bool = False
    ) -> None:
        self.options = {name.replace("_", "-"): value for name, value in (options or {}).items()}
        self.tls = tls
        self.sentinel = sentinel
        self.port = 0
        self.paused = False
        self.folder = pathlib.Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._inside: redis.Redis | None = None
        self._clients: list[redis.Redis] = []

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where it listens. A password of the options does not stand in it."""
        return f"{'rediss' if self.tls else 'redis'}://127.0.0.1:{self.port}/0"

    @property
    def ca_file(self) -> pathlib.Path:
        """The certificate of the authority that signed the server's."""
        return self.folder / "ca.crt"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process of the present (or last) start."""
        assert self._process is not None, "the server was never started"
        return self._process

    @property
    def running(self) -> bool:
        """Whether there is a process, be it paused."""
        return self._process is not None and not self._ended()

    def start(self) -> Self:
        """Start it and return when it answers; after an end on the same port, with all that it left on disk.

        At the first start a lost race for the port is run again with another one.
        """
        assert not self.running, "it runs already"
        first = self.port == 0
        program = needed("redis-server")
        if first:
            self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ringway-redis-"))
        for attempts_left in reversed(range(5)):
            if first:
                self._prepare()
            said_before = len(self.log())
            self._launch(program)
            wait_until(lambda: self._ended() or self._answers(), "redis-server answers")
            if not self._ended():
                break
            told = self.log()[said_before:]
            assert attempts_left, told
            assert "Address already in use" in told, f"redis-server ended with {self.process.returncode}: {told}"
        return self

    def stop(self) -> int:
        """SIGTERM, and wait for the orderly end; returns the exit status."""
        self.go_on()  # a stopped process would never see what follows
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """SIGKILL to it and to whatever it forked for saving, as when the machine goes."""
        if self.running:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE_SECONDS)
        self.paused = False

    def pause(self) -> None:
        """SIGSTOP: it answers nothing any more, and the kernel still takes connections for it."""
        assert self.running, "only what runs can be paused"
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat")
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "redis-server is stopped")
        self.paused = True

    def go_on(self) -> None:
        """SIGCONT: go on after `pause()`, with what was sent meanwhile."""
        self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def restart(self, *, keep_data: bool = True) -> None:
        """Stop it in order if it runs, and start it on the same port; without `keep_data` it comes back empty."""
        if self.running:
            self.stop()
        if not keep_data:
            shutil.rmtree(self.folder / "data")
            (self.folder / "data").mkdir()
        self.start()

    def close(self) -> None:
        """End it at once; nothing of it stays."""
        self.kill()
        for client in self._clients:
            client.close()
        if self.folder != pathlib.Path():
            shutil.rmtree(self.folder, ignore_errors=True)

    def client(self, **how: Any) -> redis.Redis:
        """A synchronous client that never tries twice, to look inside and to give commands; it ends with the server.

        `how`: further arguments of redis.Redis, such as `decode_responses` or `username`. Without any it is always the
        same one, which knows the password of `requirepass`.
        """
        if how:
            self._clients.append(self._connect(**how))
            return self._clients[-1]
        if self._inside is None:
            self._inside = self._connect()
            self._clients.append(self._inside)
        return self._inside

    def log(self) -> str:
        """What it said, over all starts."""
        path = self.folder / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def command(self, *words: str | bytes | float) -> Any:
        """Give a command by `client()`; returns the reply as redis-py makes it."""
        inside: Any = self.client()  # for the types, execute_command is none of theirs
        return inside.execute_command(*words)

    def _ended(self) -> bool:
        return self.process.poll() is not None

    def _connect(self, **how: Any) -> redis.Redis:
        usual: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port,
            "password": self.options.get("requirepass"),
            "ssl": self.tls,
            "ssl_ca_certs": str(self.ca_file) if self.tls else None,
            "socket_timeout": PATIENCE_SECONDS,
            "retry": Retry(NoBackoff(), 0),
        }
        return redis.Redis(**(usual | how))

    def _prepare(self) -> None:
        (self.folder / "data").mkdir(exist_ok=True)
        self.port = free_port()
        options: dict[str, Option] = {**_EVERY, "port": self.port, "dir": str(self.folder / "data")}
        if not self.sentinel:
            options |= _DATA
        if self.tls:
            make_certificates(self.folder)
            options |= {"port": 0, "tls-port": self.port, "tls-auth-clients": "no"}
            options |= {"tls-ca-cert-file": str(self.ca_file)}
            options |= {f"tls-{kind}-file": str(self.folder / f"server.{kind}") for kind in ("cert", "key")}
        if self.options.get("cluster-enabled") == "yes":
            options["cluster-port"] = free_port()  # by itself the port and ten thousand, maybe not a free one
        options |= self.options
        self.config_file.write_text("".join(_directives(options)))

    @property
    def config_file(self) -> pathlib.Path:
        """Its redis.conf, written at the first start; Sentinels and CONFIG REWRITE write into it."""
        return self.folder / "redis.conf"

    def _launch(self, program: str) -> None:
        # The program goes by the name that it is called by: the path must be that of the link.
        command = ["setpriv", "--pdeathsig", "KILL", program, str(self.config_file)]
        if self.sentinel:
            command.append("--sentinel")
        with (self.folder / "log").open("ab") as log:
            self._process = _STARTER.submit(
                lambda: subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            ).result()
        self.paused = False

    def _answers(self) -> bool:
        """Whether this very process answers: in a lost race for the port it is another's."""
        with contextlib.closing(self._connect()) as probe:
            try:
                return bool(probe.info("server")["process_id"] == self.process.pid)
            except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
                return True  # the test has users of its own
            except redis.ResponseError as error:
                return "unknown command" in str(error)  # it has renamed it
            except (redis.ConnectionError, redis.TimeoutError):
                return False


def _directives(options: Mapping[str, Option]) -> Iterator[str]:
    for name, value in options.items():
        for each in [value] if isinstance(value, str | int) else value:
            yield f"{name} {each}\n"


def make_certificates(folder: pathlib.Path, *, expired: bool = False) -> None:
    """Write ca.crt, server.cert and server.key into `folder`: an authority of one day, and a server of loopback.

    `expired`: the server's was for yesterday.
    """
    config = folder / "openssl.cnf"
    config.write_text(
        "[req]\ndistinguished_name = name\n[name]\n"
        "[ca]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\n"
        "subjectKeyIdentifier = hash\n"
        "[server]\nbasicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature\n"
        "extendedKeyUsage = serverAuth, clientAuth\nauthorityKeyIdentifier = keyid\nsubjectKeyIdentifier = hash\n"
        "subjectAltName = IP:127.0.0.1, DNS:localhost\n"
    )
    openssl = needed("openssl")
    new_key = ["-config", str(config), "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = {name: ["-subj", f"/CN={named}", "-keyout", f"{name}.key"] for name, named in _CERTIFIED.items()}
    authority = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
    extensions = ["-extfile", str(config), "-extensions", "server", "-days", "-1" if expired else "1"]
    for arguments in (
        ["req", "-x509", *new_key, "-days", "1", "-extensions", "ca", *names["ca"], "-out", "ca.crt"],
        ["req", "-new", *new_key, *names["server"], "-out", "server.csr"],
        ["x509", "-req", "-in", "server.csr", *authority, *extensions, "-out", "server.cert"],
    ):
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)


@contextlib.contextmanager
def running_redis(*, tls: bool = False, **options: Option) -> Iterator[RedisServer]:
    """A RedisServer that runs; `options` as there."""
    with RedisServer(options, tls=tls) as server:
        yield server


class Sentinels:
    """A master, its replicas, and three Sentinels that know them by the name of mymaster; a context manager.

    The Sentinels find a server down in less than a second, and hear of news sooner than by default. `servers` are the
    data servers, the first master first; `sentinels` the three; `options` are for the data servers, as for RedisServer.
    """

    def __init__(self, replicas: int = 1, options: Mapping[str, Option] | None = None) -> None:
        self.options = dict(options or {})
        self.replicas = replicas
        self.servers: list[RedisServer] = []
        self.sentinels: list[RedisServer] = []
        self._texts: dict[int, Any] = {}  # a client by each Sentinel's port
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            master = stack.enter_context(RedisServer(self.options))
            of_master = {**self.options, "replicaof": f"127.0.0.1 {master.port}"}
            self.servers = [master]
            self.servers += [stack.enter_context(RedisServer(of_master)) for _ in range(self.replicas)]
            self.sentinels = [stack.enter_context(_sentinel(master.port)) for _ in range(_SENTINELS)]
            for sentinel in self.sentinels:
                self._texts[sentinel.port] = sentinel.client(decode_responses=True, protocol=3)
                self._ask(sentinel, "DEBUG", *_PERIODS_MS)
            self.wait_whole()
            self._running = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    @property
    def url(self) -> str:
        """The three Sentinels, the master's name and the database."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{_MASTER_NAME}/0"

    def master_port(self) -> int:
        """The master's port, as soon as all Sentinels that are awake agree on it."""
        wait_until(lambda: len(self._told()) == 1, "the Sentinels agree on the master")
        return self._told().pop()

    def master(self) -> RedisServer:
        """The server that is master by what the Sentinels say."""
        port = self.master_port()
        return next(server for server in self.servers if server.port == port)

    def fail_over(self) -> RedisServer:
        """SIGKILL the master, and wait until another is promoted and takes writes; returns that one."""
        old = self.master()
        old.kill()
        return self.wait_promoted(old)

    def wait_promoted(self, old: RedisServer) -> RedisServer:
        """Wait until another than `old`, which the test killed or paused, is master and takes writes; returns it."""
        wait_until(lambda: old.port not in self._told(), "another master is promoted")
        new = self.master()
        wait_until(lambda: _takes_writes(new), "the new master takes writes")
        return new

    def wait_whole(self) -> None:
        """Wait until each Sentinel sees the master, all replicas (with their master's data) and the others up."""
        wait_until(lambda: all(self._sees_all(sentinel) for sentinel in self.sentinels), "the Sentinels see everybody")

    def _told(self) -> set[int]:
        awake = [sentinel for sentinel in self.sentinels if sentinel.running and not sentinel.paused]
        return {int(self._ask(sentinel, "GET-MASTER-ADDR-BY-NAME", _MASTER_NAME)[1]) for sentinel in awake}

    def _sees_all(self, sentinel: RedisServer) -> bool:
        master = self._ask(sentinel, "MASTER", _MASTER_NAME)
        replicas = self._ask(sentinel, "REPLICAS", _MASTER_NAME)
        others = self._ask(sentinel, "SENTINELS", _MASTER_NAME)
        return (
            (len(replicas), len(others)) == (self.replicas, _SENTINELS - 1)
            and _TROUBLES.isdisjoint(",".join(each["flags"] for each in (master, *replicas, *others)).split(","))
            and all(each["master-link-status"] == "ok" for each in replicas)
        )

    def _ask(self, sentinel: RedisServer, *words: str | int) -> Any:
        """The bare reply to a command of SENTINEL."""
        return self._texts[sentinel.port].execute_command("SENTINEL", *words)


def _sentinel(master_port: int) -> RedisServer:
    directives = [
        f"monitor {_MASTER_NAME} 127.0.0.1 {master_port} 2",
        f"down-after-milliseconds {_MASTER_NAME} {_DOWN_AFTER_MS}",
        f"failover-timeout {_MASTER_NAME} 2000",
    ]
    return RedisServer({"sentinel": directives}, sentinel=True)


def _takes_writes(server: RedisServer) -> bool:
    try:
        server.client().delete("a key that nobody has")
    except redis.RedisError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Cluster:
    """The masters of a Redis Cluster, each with its share of the slots."""

    servers: Sequence[RedisServer]

    @property
    def url(self) -> str:
        """One of its nodes."""
        return self.servers[0].url


@contextlib.contextmanager
def running_cluster(masters: int = 3) -> Iterator[Cluster]:
    """A cluster whose nodes all find it sound."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(RedisServer({"cluster-enabled": "yes"})) for _ in range(masters)]
        for place, server in enumerate(servers):
            first, end = (_SLOTS * share // masters for share in (place, place + 1))
            server.command("CLUSTER SET-CONFIG-EPOCH", place + 1)
            server.command("CLUSTER ADDSLOTSRANGE", first, end - 1)
            if place:
                bus_port = server.command("CONFIG GET", "cluster-port")["cluster-port"]
                servers[0].command("CLUSTER MEET", "127.0.0.1", server.port, bus_port)
        for server in servers:
            wait_until(functools.partial(_is_sound, server, masters), "the node finds the cluster sound")
        yield Cluster(servers)


def _is_sound(node: RedisServer, masters: int) -> bool:
    info = node.command("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok" and int(info["cluster_size"]) == masters)
