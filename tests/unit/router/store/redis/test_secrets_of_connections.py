"""Logging in to Redis, and TLS: files that change, authorities, and what is never shown."""

import asyncio
import pathlib

import pytest

from tests.ports import free_port
from tests.processes import wait_until
from tests.redis_server import RedisServer, make_certificates, running_redis
from tests.unit.router.store.links import COUNT, WRITE, Linker, echo, refused


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


async def test_a_certificate_that_has_expired_is_told_and_no_setting_is_blamed_for_it(link: Linker) -> None:
    with running_redis(tls=True) as server:
        server.command("PING")  # by the authority that is replaced now
        make_certificates(server.folder, expired=True)
        certificate, key = (str(server.folder / f"server.{kind}") for kind in ("cert", "key"))
        authority = ("tls-ca-cert-file", str(server.ca_file))
        server.command("CONFIG SET", "tls-cert-file", certificate, "tls-key-file", key, *authority)
        text = await refused(link(server, tls_ca_file=str(server.ca_file)))
    assert "certificate has expired" in text
    assert text.endswith("; renew its certificate, or that of its authority, or set the clock here")


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


async def test_certificates_that_are_changed_are_read_again_for_the_next_connection(
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


async def test_a_password_that_is_changed_is_read_again_for_the_next_connection(
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
