"""The way to Redis: what an address names, errors with their mends, and questions that get their own answers."""

import asyncio
import pathlib
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import redis.exceptions

from router.store import redis_connection
from router.store.base import StoreError
from router.store.redis_address import Options, parse
from router.store.redis_connection import Link, Script, UnansweredError, named
from tests.fault_proxy import FaultProxy
from tests.ports import free_port
from tests.processes import wait_until
from tests.redis_server import RedisServer, make_certificates, running_cluster, running_redis

SECRET = "s3cret/#p@ss"  # noqa: S105
QUOTED = "s3cret%2F%23p%40ss"
ECHO = Script("return {ARGV[2], ARGV[1]}")
WRITE = Script("redis.call('SET', KEYS[1], ARGV[1]); return {ARGV[2]}")
COUNT = Script("return {ARGV[1], redis.call('INCR', KEYS[1])}")
Linker = Callable[..., Link]


@pytest.fixture
async def link() -> AsyncIterator[Linker]:
    """Makes links to a server, or to a URL; they are closed afterwards."""
    made: list[Link] = []

    def make(to: RedisServer | str, connections: int = 4, **options: str | bool) -> Link:
        url = to if isinstance(to, str) else to.url
        made.append(Link(parse(url), Options(**options), connections))  # type: ignore[arg-type] # of any option
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a server that is not going to answer."""
    monkeypatch.setattr(redis_connection, "REDIS_CONNECT_SECONDS", 0.2)


def at(port: int) -> str:
    return f"redis://127.0.0.1:{port}/0"


async def echo(link: Link, text: str = "hello", seconds: float = 30) -> str:
    (said,) = await link.script(ECHO, (), text, seconds=seconds)
    return bytes(said).decode()


async def refused(link: Link, script: Script = ECHO, seconds: float = 30) -> str:
    """The text of the error that a question ends in."""
    with pytest.raises(StoreError) as caught:
        await link.script(script, ("key",) if script is not ECHO else (), "value", seconds=seconds)
    return str(caught.value)


def clients(server: RedisServer) -> list[dict[str, str]]:
    """The connections of routers to it."""
    return [each for each in server.client().client_list() if each["name"] == "ringway"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - a server tells by being asked
            await asyncio.sleep(0.002)


# --- addresses -------------------------------------------------------------------------------------------------------


async def test_the_password_of_an_address_opens_the_server(link: Linker) -> None:
    with running_redis(requirepass=QUOTED) as server:
        good = link(f"redis://:{QUOTED.replace('%', '%25')}@127.0.0.1:{server.port}/0")
        assert await echo(good) == "hello"


async def test_the_database_of_an_address_is_used(redis_server: RedisServer, link: Linker) -> None:
    await link(f"{redis_server.url.removesuffix('0')}5").script(WRITE, ("of database five",), "value")
    assert redis_server.client().exists("of database five") == 0
    assert redis_server.client(db=5).get("of database five") == b"value"


# --- errors and mends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (redis.exceptions.ConnectionError("Error 111 connecting"), "Error 111 connecting; is it running, and there?"),
        (redis.exceptions.TimeoutError("no answer within 5 s"), "no answer within 5 s; is it running, and there?"),
        (redis.exceptions.ConnectionError(), "ConnectionError; is it running, and there?"),
        (redis.exceptions.OutOfMemoryError("command not allowed"), "raise its maxmemory, or move others out of it"),
        (redis.exceptions.ReadOnlyError("You can't write"), "it is a replica: name the master, or the sentinels"),
        (redis.exceptions.NoPermissionError("no rights"), "give its user the rights that the README lists"),
        (redis.exceptions.ResponseError("ACL failure in script: no"), "give its user the rights that the README lists"),
        (redis.exceptions.AuthenticationError("invalid"), "see [store] username and password_file"),
        (redis.exceptions.BusyLoadingError("loading"), "wait until it has read its own data"),
        (redis.exceptions.ResponseError("MISCONF Errors"), "see to its disk and its replicas; nothing was changed"),
        (redis.exceptions.ResponseError("NOREPLICAS Not enough"), "see to its disk and its replicas"),
        (redis.exceptions.ResponseError("ERR unknown"), "ERR unknown; nothing was changed"),
        (redis.exceptions.RedisClusterException("Cluster mode is not enabled"), "leave [store] cluster out"),
        (redis.exceptions.RedisClusterException("All slots are not covered"), "covered; see to its Cluster"),
        (redis.exceptions.ConnectionError("[SSL] PEM lib"), "see [store] tls_ca_file, tls_cert_file and tls_key_file"),
        (FileNotFoundError(2, "No such file", "/a/secret"), "'/a/secret'; see that the file is there and may be read"),
    ],
)
def test_an_error_names_the_server_and_the_mend(error: Exception, text: str) -> None:
    with pytest.raises(StoreError) as caught, named(parse(f"redis://ringway:{QUOTED}@10.0.0.5:7000/2")):
        raise error
    assert str(caught.value).startswith("store redis://10.0.0.5:7000/2: ")
    assert text in str(caught.value)
    assert caught.value.__cause__ is error


def test_a_defect_of_ours_is_no_error_of_the_server() -> None:
    with pytest.raises(ZeroDivisionError), named(parse("redis://10.0.0.5")):
        raise ZeroDivisionError


async def test_a_port_that_nobody_has_is_refused_by_name(link: Linker) -> None:
    port = free_port()
    text = await refused(link(f"redis://ringway:{QUOTED}@127.0.0.1:{port}/0"))
    assert text.startswith(f"store {at(port)}: ")
    assert text.endswith("; is it running, and there?")
    assert "s3cret" not in text


async def test_a_server_that_is_silent_is_given_up_at_the_deadline(link: Linker) -> None:
    with running_redis() as server:
        there = link(server)
        assert await echo(there) == "hello"
        server.pause()
        with pytest.raises(UnansweredError, match=r"no answer within 0\.1 s; is it running, and there\?"):
            await echo(there, seconds=0.1)
        server.go_on()
        assert await echo(there) == "hello"


async def test_a_host_that_takes_no_connection_is_given_up_soon(link: Linker, soon: None) -> None:
    """A queue that is full drops what comes, as a wrong route does."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = []
        for _ in range(4):
            each = socket.socket()
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
            fillers.append(each)
        text = await refused(link(at(port)))
        for each in fillers:
            each.close()
    assert text == f"store {at(port)}: Timeout connecting to server; is it running, and there?"


@pytest.mark.parametrize("options", [{}, {"password_file": "wrong"}])
async def test_a_missing_or_wrong_password_is_told_and_not_shown(
    link: Linker, tmp_path: pathlib.Path, options: dict[str, str]
) -> None:
    (tmp_path / "wrong").write_text("quite wrong")
    with running_redis(requirepass="right") as server:
        text = await refused(link(server, **{key: str(tmp_path / value) for key, value in options.items()}))
        assert text.startswith(f"store {server.url}: ")
        assert text.endswith("; see [store] username and password_file")
        assert "quite" not in text


async def test_a_right_that_is_lacking_is_told(link: Linker, tmp_path: pathlib.Path) -> None:
    (tmp_path / "users.acl").write_text("user default off\nuser ringway on >word ~* +evalsha +eval +client +hello\n")
    with running_redis(aclfile=str(tmp_path / "users.acl")) as server:
        there = link(f"redis://ringway:word@127.0.0.1:{server.port}/0")
        assert await echo(there) == "hello"
        text = await refused(there, WRITE)
        assert text.startswith(f"store {server.url}: ")
        assert text.endswith("; give its user the rights that the README lists")


async def test_a_full_memory_is_told(link: Linker) -> None:
    with running_redis(maxmemory=1) as server:
        there = link(server)
        assert await echo(there) == "hello"
        text = await refused(there, WRITE)
        assert text.endswith("; raise its maxmemory, or move others out of it")
        server.command("CONFIG SET", "maxmemory", 0)
        await there.script(WRITE, ("key",), "value")


async def test_a_replica_is_told_from_a_master(redis_server: RedisServer, link: Linker) -> None:
    with running_redis(replicaof=f"127.0.0.1 {redis_server.port}") as replica:
        wait_until(lambda: replica.client().info("replication")["master_link_status"] == "up", "the replica is there")
        there = link(replica)
        assert await echo(there) == "hello"
        assert (await refused(there, WRITE)).endswith("; it is a replica: name the master, or the sentinels")


async def test_a_server_that_cannot_save_is_told(link: Linker) -> None:
    with running_redis(appendonly="no", save="3600 1") as server:
        there = link(server)
        shutil.rmtree(server.folder / "data")
        server.client().bgsave()
        wait_until(lambda: server.client().info("persistence")["rdb_last_bgsave_status"] == "err", "it cannot save")
        assert (await refused(there, WRITE)).endswith("; see to its disk and its replicas; nothing was changed")


async def test_a_server_that_still_loads_its_data_is_told(link: Linker) -> None:
    with running_redis(appendonly="no", save="3600 1", rdbcompression="no") as server:
        for name in range(100):
            server.client().set(f"key {name}", "x" * 2_000)
        server.client().save()
        with server.config_file.open("a") as config:  # it answers after each key, which takes it 50 ms
            config.write("loading-process-events-interval-bytes 1024\nkey-load-delay 50000\n")
        server.restart()
        there = link(server)
        assert (await refused(there)).endswith("; wait until it has read its own data")
        server.client().config_set("key-load-delay", 0)
        wait_until(lambda: server.client().info("persistence")["loading"] == 0, "it has its data")
        assert await echo(there) == "hello"


async def test_a_node_of_a_cluster_is_told_from_a_server_and_the_other_way_round(
    redis_server: RedisServer, link: Linker
) -> None:
    text = await refused(link(redis_server, cluster=True))
    assert text.startswith(f"store {redis_server.url}: ")
    assert text.endswith("; it is no Cluster: leave [store] cluster out")
    with running_cluster() as cluster:
        of_slot = [link(server) for server in cluster.servers]
        answers = await asyncio.gather(*(each.script(COUNT, ("key",)) for each in of_slot), return_exceptions=True)
        errors = [str(answer) for answer in answers if isinstance(answer, StoreError)]
        assert [answer for answer in answers if not isinstance(answer, StoreError)] == [[1]]
        assert [text.endswith("; it is one of a Cluster: set [store] cluster") for text in errors] == [True, True]
        assert await link(cluster.url, cluster=True).script(COUNT, ("key",)) == [2]


async def test_a_cluster_that_is_away_is_told(link: Linker, soon: None) -> None:
    text = await refused(link(at(free_port()), cluster=True))
    assert text.startswith("store redis://127.0.0.1:")
    assert text.endswith("; is it running, and there?")


# --- TLS and secrets --------------------------------------------------------------------------------------------------


async def test_tls_is_by_the_authority_that_is_named(link: Linker, tmp_path: pathlib.Path) -> None:
    make_certificates(tmp_path)
    with running_redis(tls=True) as server:
        assert await echo(link(server, tls_ca_file=str(server.ca_file))) == "hello"
        by_name = f"rediss://localhost:{server.port}/0"
        assert await echo(link(by_name, tls_ca_file=str(server.ca_file))) == "hello"
        for stranger in ({}, {"tls_ca_file": str(tmp_path / "ca.crt")}):
            text = await refused(link(server, **stranger))
            assert text.startswith(f"store {server.url}: ")
            assert text.endswith("; see [store] tls_ca_file, and for which host its certificate is")
        for missing in ("tls_ca_file", "tls_cert_file"):
            text = await refused(link(server, **{missing: str(tmp_path / "none.crt")}))
            assert "none.crt" in text
            assert text.endswith("; see that the file is there and may be read")


async def test_a_server_that_asks_for_a_certificate_gets_one(link: Linker) -> None:
    with running_redis(tls=True) as server:
        server.command("CONFIG SET", "tls-auth-clients", "yes")
        own = {"tls_cert_file": str(server.folder / "server.cert"), "tls_key_file": str(server.folder / "server.key")}
        assert await echo(link(server, tls_ca_file=str(server.ca_file), **own)) == "hello"
        text = await refused(link(server, tls_ca_file=str(server.ca_file)))
        assert text.startswith(f"store {server.url}: ")


async def test_another_authority_that_the_machine_trusts_is_not_the_one_that_is_named(
    link: Linker, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_certificates(tmp_path)
    with running_redis(tls=True) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_file))
        assert await echo(link(server)) == "hello"
        text = await refused(link(server, tls_ca_file=str(tmp_path / "ca.crt")))
        assert text.endswith("; see [store] tls_ca_file, and for which host its certificate is")


async def test_certificates_that_are_changed_are_read_anew_for_the_next_connection(
    link: Linker, tmp_path: pathlib.Path
) -> None:
    files = {"tls_ca_file": tmp_path / "ca.crt", "tls_cert_file": tmp_path / "own"}
    with running_redis(tls=True) as server:

        def given() -> None:
            files["tls_ca_file"].write_bytes(server.ca_file.read_bytes())
            own = [(server.folder / f"server.{kind}").read_bytes() for kind in ("cert", "key")]
            files["tls_cert_file"].write_bytes(b"".join(own))

        given()
        server.command("CONFIG SET", "tls-auth-clients", "yes")
        there = link(server, **{key: str(path) for key, path in files.items()})
        assert await echo(there) == "hello"
        make_certificates(server.folder)
        certificate, key = (str(server.folder / f"server.{kind}") for kind in ("cert", "key"))
        authority = ("tls-ca-cert-file", str(server.ca_file))
        server.command("CONFIG SET", "tls-cert-file", certificate, "tls-key-file", key, *authority)
        await asyncio.to_thread(server.client().client_kill_filter, _type="normal", skipme=True)
        given()
        assert await echo(there) == "hello"


@pytest.mark.long
async def test_sentinels_and_a_cluster_are_reached_by_the_same_files(link: Linker, tmp_path: pathlib.Path) -> None:
    make_certificates(tmp_path)
    cluster: dict[str, str] = {"cluster-enabled": "yes", "tls-cluster": "yes"}
    with RedisServer(tls=True) as master, RedisServer(cluster, tls=True) as node:
        node.command("CLUSTER ADDSLOTSRANGE", 0, 16_383)
        wait_until(lambda: node.command("CLUSTER INFO")["cluster_state"] == "ok", "the node finds its cluster sound")
        monitor = {"sentinel": [f"monitor main 127.0.0.1 {master.port} 1"], "tls-replication": "yes"}
        with RedisServer(monitor, tls=True, sentinel=True) as sentinel:
            known = tmp_path / "known"
            known.write_bytes(master.ca_file.read_bytes() + sentinel.ca_file.read_bytes() + node.ca_file.read_bytes())
            named = f"rediss+sentinel://127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}/main"
            for url, of in ((named, {}), (node.url, {"cluster": True})):
                there = link(url, tls_ca_file=str(known), **of)
                assert await there.script(COUNT, ("key",)) == [1]
                if there._sentinel is not None:  # who has answered is asked first the next time
                    first = there._sentinel.sentinels[0].connection_pool.connection_kwargs
                    assert first["port"] == sentinel.port
                assert "CERTIFICATE_VERIFY_FAILED" in await refused(
                    link(url, tls_ca_file=str(tmp_path / "ca.crt"), **of), WRITE
                )


async def test_no_sentinel_is_forgotten_where_several_connections_ask_at_once(link: Linker) -> None:
    with (
        RedisServer() as master,
        RedisServer({"sentinel": f"monitor main 127.0.0.1 {master.port} 1"}, sentinel=True) as up,
    ):
        ports = [free_port(), up.port, free_port()]
        there = link("redis+sentinel://" + ",".join(f"127.0.0.1:{each}" for each in ports) + "/main")
        await asyncio.gather(*(echo(there) for _ in range(4)))
        assert there._sentinel is not None
        known = [each.connection_pool.connection_kwargs["port"] for each in there._sentinel.sentinels]
    assert known[0] == up.port
    assert sorted(known) == sorted(ports)


async def test_sentinels_that_name_no_master_are_told_with_why(link: Linker, tmp_path: pathlib.Path) -> None:
    (tmp_path / "wrong").write_text("quite wrong")
    with RedisServer({"requirepass": "right"}, sentinel=True) as sentinel:
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main"
        missing, wrong = (str(tmp_path / name) for name in ("missing", "wrong"))
        for options in ({}, {"sentinel_password_file": wrong}):
            text = await refused(link(url, **options))
            assert text.startswith(f'store {url}: no sentinel names a master "main" that is up: ')
            assert text.endswith("; see [store] sentinel_username and sentinel_password_file")
            assert len(text) < 250
        text = await refused(link(url, sentinel_password_file=missing))
        assert text.endswith(f"{missing}: No such file or directory; see that the file is there and may be read")
    assert (await refused(link(url))).endswith("; is it running, and there?")
    with RedisServer(sentinel=True) as sentinel:
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main"
        assert (await refused(link(url))).endswith("that is up; see NAME in [store] url, and what its sentinels say")


@pytest.mark.parametrize("user", ["ringway:", ":"])
async def test_a_server_that_knows_no_login_does_not_bring_the_password_to_light(link: Linker, user: str) -> None:
    with running_redis(rename_command='AUTH ""') as server:
        text = await refused(link(f"redis://{user}s3cret@127.0.0.1:{server.port}/0"))
    assert text.startswith(f"store {server.url}: unknown command 'AUTH'")
    assert "s3cret" not in text


async def test_logging_in_says_nothing_by_the_way(link: Linker, caplog: pytest.LogCaptureFixture) -> None:
    """What the library logs goes to standard error, beside the one line of a command."""
    with running_redis(requirepass="right") as server:
        assert await echo(link(f"redis://:right@127.0.0.1:{server.port}/0")) == "hello"
    assert not [record for record in caplog.records if record.name.startswith("redis")]


async def test_a_password_that_is_changed_is_read_anew_for_the_next_connection(
    link: Linker, tmp_path: pathlib.Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text("first\n")
    with running_redis(requirepass="first") as server:
        there = link(server, username="default", password_file=str(secret))
        assert await echo(there) == "hello"
        inside = server.client()
        inside.config_set("requirepass", "second")
        secret.write_text("second")
        inside.client_kill_filter(_type="normal", skipme=True)
        assert await echo(there) == "hello"


async def test_a_password_file_that_is_missing_or_no_text_is_named(
    redis_server: RedisServer, link: Linker, tmp_path: pathlib.Path
) -> None:
    secret = tmp_path / "password"
    there = link(redis_server, password_file=str(secret))
    assert f"{secret}: No such file or directory; see that the file is there and may be read" in await refused(there)
    secret.write_bytes(b"\xff\xfe")
    assert f"{secret}: it is no text; see that" in await refused(there)
    secret.write_bytes(b"\n")
    assert f"{secret}: it is empty; see that" in await refused(there)
    secret.unlink()
    assert str(secret) in await refused(there)  # and not by a connection that has not logged in


# --- questions and answers --------------------------------------------------------------------------------------------


async def test_a_script_that_the_server_does_not_know_yet_is_sent(redis_server: RedisServer, link: Linker) -> None:
    there = link(redis_server)
    redis_server.command("SCRIPT FLUSH")
    assert [await echo(there, text) for text in ("one", "two")] == ["one", "two"]
    assert redis_server.client().script_exists(ECHO.digest) == [True]


async def test_another_callers_reply_is_refused_and_the_next_question_gets_its_own(
    redis_server: RedisServer, link: Linker
) -> None:
    """As when somebody left after his question was sent, and his connection was given to the next one."""
    there = link(redis_server, connections=1)
    assert await echo(there) == "hello"
    client: Any = there._client
    connection = await client.connection_pool.get_connection()
    await connection.send_command("BLPOP", "somebody's", 0)
    await client.connection_pool.release(connection)
    asked = asyncio.create_task(echo(there, "mine"))
    await until(lambda: any(int(each["qbuf"]) for each in clients(redis_server)))  # both are with the server
    redis_server.client().lpush("somebody's", "answer")
    with pytest.raises(UnansweredError, match="it gave the answer to another question"):
        await asked
    assert await asyncio.gather(*(echo(there, text) for text in "abc")) == ["a", "b", "c"]


async def test_a_reply_without_the_number_of_its_question_is_refused(redis_server: RedisServer, link: Linker) -> None:
    there = link(redis_server)
    for text in ("return 'bare'", "return {}", "return {'0', ARGV[1]}"):
        assert "the answer to another question" in await refused(there, Script(text))


async def test_many_questions_at_once_get_their_own_answers_whoever_leaves(
    redis_server: RedisServer, link: Linker
) -> None:
    there = link(redis_server, connections=3)
    for step in range(10):
        asked = [asyncio.create_task(echo(there, f"{step} {place}")) for place in range(30)]
        for _ in range(step):
            await asyncio.sleep(0)
        for leaver in asked[::3]:
            leaver.cancel()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for place, answer in enumerate(answers):
            assert answer == f"{step} {place}" or (place % 3 == 0 and isinstance(answer, asyncio.CancelledError))


@pytest.mark.parametrize("after_bytes", [0, 3])
async def test_a_question_whose_reply_is_cut_off_is_asked_again_once(
    redis_server: RedisServer, proxy: FaultProxy, link: Linker, after_bytes: int
) -> None:
    there = link(at(proxy.port), connections=1)
    key = f"cut after {after_bytes}"
    assert await there.script(COUNT, (key,)) == [1]
    proxy.reset_in_reply(after_bytes)
    assert await there.script(COUNT, (key,)) == [3]  # done, and done again
    assert redis_server.client().get(key) == b"3"


async def test_connections_that_the_server_has_closed_are_made_anew(redis_server: RedisServer, link: Linker) -> None:
    there = link(redis_server)
    await asyncio.gather(*(echo(there) for _ in range(4)))
    redis_server.client().client_kill_filter(_type="normal", skipme=True)
    assert await asyncio.gather(*(echo(there, text) for text in "abcdefgh")) == list("abcdefgh")


async def test_no_more_connections_are_open_than_allowed(redis_server: RedisServer, link: Linker) -> None:
    there = link(redis_server, connections=3)
    await asyncio.gather(*(there.script(COUNT, ("connections",)) for _ in range(50)))
    assert 1 <= len(clients(redis_server)) <= 3
    await there.close()
    await until(lambda: not clients(redis_server))
    await there.close()
    assert await echo(there) == "hello"


async def test_waiting_for_a_stream_ends_with_its_next_entry(redis_server: RedisServer, link: Linker) -> None:
    there = link(redis_server)
    assert not await there.newer("a stream", "5-0", 0)
    waiting = asyncio.create_task(there.newer("a stream", "5-0", 60))
    inside = redis_server.client()
    await until(lambda: inside.info("clients")["blocked_clients"] == 1)
    inside.xadd("a stream", {"a": "b"}, "6-0")
    assert await waiting
    assert await there.newer("a stream", "5-0", 60)


async def test_a_wait_may_last_longer_than_a_question(
    redis_server: RedisServer, link: Linker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_connection, "REDIS_COMMAND_SECONDS", 0.7)
    assert not await link(redis_server).newer("an empty stream", "0-0", 1.6)
