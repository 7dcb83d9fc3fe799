"""Who may do what in Redis, and by which way: TLS, and a user with the rights that docs/redis.md lists."""

import gc
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import pytest

from router.store.api import StoreError
from router.store.redis import connection as redis_connection
from tests.integration.redis_stores import Stores, everything
from tests.redis_server import RedisServer, running_cluster, running_redis

pytestmark = pytest.mark.usefixtures("soon")

_ROOT = pathlib.Path(__file__).parents[2]
_PAGE = _ROOT / "docs" / "redis.md"


def user(password: str) -> str:
    """The line of the page on Redis, with a password."""
    (line,) = re.findall("^user ringway .*$", _PAGE.read_text(), re.MULTILINE)
    assert " >PASSWORD " in line
    return str(line).replace(">PASSWORD", f">{password}")


async def test_all_of_it_goes_by_tls(stores: Stores) -> None:
    with running_redis(tls=True) as server:
        options = {"tls_ca_file": str(server.ca_file)}
        await everything(stores.of(server.url, **options), stores.calls_of(server.url, **options))


def used(server: RedisServer) -> set[str]:
    """The commands that clients have given, also those within scripts."""
    stats: Mapping[str, Any] = server.client().info("commandstats")
    return {name.removeprefix("cmdstat_") for name in stats}


async def test_a_user_with_the_least_rights_can_do_all_of_it_and_no_permission_is_too_many(
    stores: Stores, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "users.acl").write_text(f"user default on nopass ~* +@all\n{user('word')}\n")
    (tmp_path / "password").write_text("word\n")
    with running_redis(aclfile=str(tmp_path / "users.acl")) as server:
        server.command("CONFIG RESETSTAT")
        options = {"username": "ringway", "password_file": str(tmp_path / "password")}
        await everything(stores.of(server.url, **options), stores.calls_of(server.url, **options))
        denied = {entry["object"] for entry in server.client().acl_log()}
        assert denied == set()
        names = {word.removeprefix("+") for word in user("word").split() if word.startswith("+")}
        assert names - used(server) == set()
        with pytest.raises(StoreError, match=r"give its user the rights that docs/redis\.md lists"):
            await stores.of(server.url, **options, prefix="another").open()


async def test_the_redis_conf_of_its_page_is_one_that_redis_takes(stores: Stores, tmp_path: pathlib.Path) -> None:
    """Without the replica that it wants nothing is written, and the error says so."""
    (text,) = re.findall("```text\n([^`]*^appendonly [^`]*)```", _PAGE.read_text(), re.MULTILINE)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    options = dict(line.replace("-", "_").split(maxsplit=1) for line in lines)
    (tmp_path / "users.acl").write_text(f"user default on nopass ~* +@all\n{user('word')}\n")
    (tmp_path / "password").write_text("word\n")
    with running_redis(**options | {"aclfile": str(tmp_path / "users.acl")}) as server:
        how = {"username": "ringway", "password_file": str(tmp_path / "password")}
        store = stores.of(server.url, **how)
        with pytest.raises(StoreError, match="see to its disk and its replicas; nothing was changed"):
            await store.open()
        server.command("CONFIG SET", "min-replicas-to-write", 0)
        await everything(store, stores.calls_of(server.url, **how))


@pytest.mark.long
async def test_in_a_cluster_the_user_needs_the_three_rights_more_that_the_readme_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_connection, "REDIS_COMMAND_SECONDS", 5.0)  # of which the first question needs some
    (named,) = re.findall("^A Cluster wants `(.*)` as well", _PAGE.read_text(), re.MULTILINE)
    with running_cluster() as cluster:
        async with Stores() as stores:
            for server in cluster.servers:
                server.command("ACL SETUSER", *user("word").split()[1:])
            url = cluster.url.replace("://", "://ringway:word@")
            with pytest.raises(StoreError):
                await stores.of(url, cluster=True).open()
            for server in cluster.servers:
                server.command("ACL SETUSER", "ringway", *str(named).split())
                server.command("ACL LOG", "RESET")
            await everything(stores.of(url, cluster=True), stores.calls_of(url, cluster=True))
            assert [entry["object"] for server in cluster.servers for entry in server.client().acl_log()] == []
        gc.collect()  # a connection that was left is told here, and not in another test
