"""The way to Redis: what an address names, errors with their mends, and questions that get their own answers."""

import asyncio
import pathlib
import shutil
import socket
from typing import Any

import pytest
import redis.exceptions

from router.store.api import StoreError
from router.store.redis import connection as redis_connection
from router.store.redis.address import Options, parse
from router.store.redis.connection import UnansweredError, named
from router.store.redis.lua_script import Script
from router.store.redis.store import RedisStore
from tests.fault_proxy import FaultProxy
from tests.ports import free_port
from tests.processes import wait_until
from tests.redis_server import RedisServer, running_cluster, running_redis
from tests.unit.router.store.links import COUNT, ECHO, QUOTED, WRITE, Linker, at, clients, echo, refused, until

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
        (redis.exceptions.ConnectionError("Connection refused."), "Connection refused; is it running, and there?"),
        (redis.exceptions.ResponseError("ERR unknown."), "ERR unknown; nothing was changed"),
        (redis.exceptions.TimeoutError("no answer within 5 s"), "no answer within 5 s; is it running, and there?"),
        (redis.exceptions.ConnectionError(), "ConnectionError; is it running, and there?"),
        (redis.exceptions.OutOfMemoryError("command not allowed"), "raise its maxmemory, or move others out of it"),
        (redis.exceptions.ReadOnlyError("You can't write"), "it is a replica: name the master, or the sentinels"),
        (redis.exceptions.NoPermissionError("no rights"), "give its user the rights that docs/redis.md lists"),
        (
            redis.exceptions.ResponseError("ACL failure in script: no"),
            "give its user the rights that docs/redis.md lists",
        ),
        (redis.exceptions.AuthenticationError("invalid"), "see [store] username and password_file"),
        (redis.exceptions.BusyLoadingError("loading"), "wait until it has read its own data"),
        (redis.exceptions.ResponseError("MISCONF Errors"), "see to its disk and its replicas; nothing was changed"),
        (redis.exceptions.ResponseError("NOREPLICAS Not enough"), "see to its disk and its replicas"),
        (redis.exceptions.ResponseError("ERR unknown"), "ERR unknown; nothing was changed"),
        (
            redis.exceptions.ResponseError("WRONGTYPE Operation script: 5a, on @user_script:9."),
            "@user_script:9; a part of it may be done already; see what its keys and its log say",
        ),
        (
            redis.exceptions.OutOfMemoryError("command not allowed script: 5a, on @user_script:9."),
            "@user_script:9; raise its maxmemory",
        ),
        (
            redis.exceptions.ResponseError("NOREPLICAS Not enough script: 5a, on @user_script:9."),
            "@user_script:9; see to its disk and its replicas; nothing was changed",
        ),
        (redis.exceptions.ConnectionError("Error 24 connecting to h:1. Too many open files."), "ulimit -n"),
        (redis.exceptions.ConnectionError("max number of clients reached"), "raise its maxclients"),
        (redis.exceptions.ConnectionError("[SSL: WRONG_VERSION_NUMBER] wrong version"), "that port speaks no TLS"),
        (
            redis.exceptions.ConnectionError("[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] alert"),
            "it wants a certificate; see [store] tls_cert_file, tls_key_file",
        ),
        (
            redis.exceptions.ConnectionError("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] alert"),
            "it wants a certificate; see [store] tls_cert_file, tls_key_file",
        ),
        (
            redis.exceptions.ConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate is not yet valid"),
            "set the clock here",
        ),
        (redis.exceptions.ConnectionError("Error -2 connecting. Name or service not known."), "see the host in"),
        (UnicodeError("encoding with 'idna' codec failed"), "see the host in [store] url"),
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


async def test_a_permission_that_is_lacking_is_told(link: Linker, tmp_path: pathlib.Path) -> None:
    (tmp_path / "users.acl").write_text("user default off\nuser ringway on >word ~* +evalsha +eval +client +hello\n")
    with running_redis(aclfile=str(tmp_path / "users.acl")) as server:
        there = link(f"redis://ringway:word@127.0.0.1:{server.port}/0")
        assert await echo(there) == "hello"
        text = await refused(there, WRITE)
        assert text.startswith(f"store {server.url}: ")
        assert text.endswith("; give its user the rights that docs/redis.md lists")


@pytest.mark.parametrize("command", ["INFO", "EVAL", "EVALSHA", "HSET"])
async def test_a_command_that_was_renamed_is_told_with_its_name_or_its_script(command: str) -> None:
    with running_redis(rename_command=f"{command} hidden") as server:
        store = RedisStore(parse(server.url), Options())
        with pytest.raises(StoreError, match="it was renamed there, or is newer than that server"):
            await store.open()
        await store.close()


async def test_a_script_that_fails_midway_is_not_said_to_have_changed_nothing(
    redis_server: RedisServer, link: Linker
) -> None:
    """Redis undoes nothing of it."""
    midway = Script("redis.call('SET', KEYS[1], 'x'); redis.call('LPUSH', KEYS[1], 'x'); return {ARGV[1]}")
    text = await refused(link(redis_server), midway)
    assert redis_server.client().get("key") == b"x"
    assert "; a part of it may be done already; " in text
    assert "nothing was changed" not in text


async def test_neither_is_one_for_which_a_right_is_lacking_midway(link: Linker, tmp_path: pathlib.Path) -> None:
    (tmp_path / "users.acl").write_text(
        "user default on nopass ~* +@all\nuser ringway on >word ~* +evalsha +eval +client +set\n"
    )
    midway = Script("redis.call('SET', KEYS[1], 'x'); redis.call('DEL', KEYS[1]); return {ARGV[1]}")
    with running_redis(aclfile=str(tmp_path / "users.acl")) as server:
        text = await refused(link(f"redis://ringway:word@127.0.0.1:{server.port}/0"), midway)
        assert server.client().get("key") == b"x"
    assert text.endswith("; a part of it may be done already; give its user the rights that docs/redis.md lists")


async def test_a_plain_port_that_is_asked_by_tls_is_not_only_asked_whether_it_runs(
    redis_server: RedisServer, link: Linker
) -> None:
    text = await refused(link(redis_server.url.replace("redis:", "rediss:")))
    assert "speak no TLS (then write redis: or redis+sentinel:)" in text


async def test_a_port_with_tls_that_is_asked_plainly_is_not_only_asked_whether_it_runs(link: Linker) -> None:
    with running_redis(tls=True) as server:
        text = await refused(link(server.url.replace("rediss:", "redis:")))
    assert "Does that port speak TLS (then write rediss: or rediss+sentinel:)?" in text


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


# --- requests and answers ---------------------------------------------------------------------------------------------


async def test_a_script_that_the_server_does_not_know_yet_is_sent(redis_server: RedisServer, link: Linker) -> None:
    there = link(redis_server)
    redis_server.command("SCRIPT FLUSH")
    assert [await echo(there, text) for text in ("one", "two")] == ["one", "two"]
    assert redis_server.client().script_exists(ECHO.digest) == [True]


async def test_another_callers_reply_is_refused_and_the_next_request_gets_its_own(
    redis_server: RedisServer, link: Linker
) -> None:
    """As when somebody left after its request was sent, and its connection was given to the next one."""
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


async def test_a_reply_without_the_id_of_its_request_is_refused(redis_server: RedisServer, link: Linker) -> None:
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


async def test_connections_that_the_server_has_closed_are_rebuilt(redis_server: RedisServer, link: Linker) -> None:
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
