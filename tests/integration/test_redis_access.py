"""Who may do what in Redis, and by which way: TLS, and a user with the rights that docs/redis.md lists."""

import contextlib
import gc
import pathlib
import re
from collections.abc import Mapping
from typing import Any, Self

import pytest

from router.store.api import StoreError
from router.store.redis import connection as redis_connection
from tests.integration.redis_stores import Stores, everything
from tests.processes import wait_until
from tests.redis_server import RedisServer, running_cluster, running_redis

pytestmark = pytest.mark.usefixtures("soon")

_ROOT = pathlib.Path(__file__).parents[2]
_PAGE = _ROOT / "docs" / "redis.md"


def users(password: str) -> tuple[str, str]:
    """The two lines of the page on Redis, with a password: the server's and the sentinels'."""
    server, sentinels = re.findall("^user ringway .*$", _PAGE.read_text(), re.MULTILINE)
    assert " >PASSWORD " in server
    assert " >PASSWORD " in sentinels
    return server.replace(">PASSWORD", f">{password}"), sentinels.replace(">PASSWORD", f">{password}")


def user(password: str) -> str:
    """That of the server."""
    return users(password)[0]


def besides(form: str) -> list[str]:
    """What the page names besides for a Cluster, or for another database."""
    (named,) = re.findall(rf"{form} `([^`]*)`", _PAGE.read_text())
    return str(named).split()


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


class Site:
    """Servers for one form of address, each with just the users that the page has, and how a router gets there."""

    def __init__(self, form: str, folder: pathlib.Path) -> None:
        self.form = form
        self.url = ""
        self.options: dict[str, Any] = {}
        self._folder = folder
        self._servers: list[RedisServer] = []
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with self._running:
            self._start()
            self._running = self._running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _start(self) -> None:
        scheme, _, rest = self.form.partition("://")
        tls = scheme.startswith("rediss")
        cluster = {"cluster-enabled": "yes", **({"tls-cluster": "yes"} if tls else {})} if "," in rest else {}
        server = self._run(RedisServer(cluster if "sentinel" not in scheme else {}, tls=tls))
        rights = [*user("word").split()[1:]]
        places = f"127.0.0.1:{server.port}"
        if "sentinel" in scheme:
            monitor: dict[str, Any] = {"sentinel": [f"monitor main {places.replace(':', ' ')} 1"]}
            sentinel = self._run(
                RedisServer(monitor | ({"tls-replication": "yes"} if tls else {}), tls=tls, sentinel=True)
            )
            sentinel.command("ACL SETUSER", *users("other")[1].split()[1:])
            sentinel.command("ACL SETUSER", "default", "off")
            (self._folder / "sentinel").write_text("other")
            places = f"127.0.0.1:{sentinel.port}/main"
            self.options |= {
                "sentinel_username": "ringway",
                "sentinel_password_file": str(self._folder / "sentinel"),
            }
        elif cluster:
            server.command("CLUSTER ADDSLOTSRANGE", 0, 16_383)
            wait_until(
                lambda: server.command("CLUSTER INFO")["cluster_state"] == "ok", "the node finds its cluster sound"
            )
            rights += besides("A Cluster wants")
            self.options["cluster"] = True
        database = rest.rpartition("/")[2] if rest.count("/") else "0"
        if database not in ("0", ""):
            rights += besides("a database other than 0")
        server.command("ACL SETUSER", *rights)
        if tls:
            known = self._folder / "known"
            known.write_bytes(b"".join(each.ca_file.read_bytes() for each in self._servers))
            self.options["tls_ca_file"] = str(known)
        (self._folder / "password").write_text("word")
        self.options |= {"username": "ringway", "password_file": str(self._folder / "password")}
        self.url = f"{scheme}://{places}" + ("" if cluster else f"/{database}")

    def _run(self, server: RedisServer) -> RedisServer:
        self._servers.append(self._running.enter_context(server))
        return server

    def denied(self) -> list[object]:
        """What the server did not allow."""
        return [entry["object"] for entry in self._servers[0].client().acl_log()]


# Each row of the page's table of addresses, by TLS and without, and another database.
_FORMS = (
    "redis://HOST:6379/0",
    "redis://HOST:6379/3",
    "rediss://HOST:6379/0",
    "redis://H1:7000,H2:7000,H3:7000",
    "rediss://H1:7000,H2:7000,H3:7000",
    "redis+sentinel://H1:26379,H2:26379,H3:26379/NAME/0",
    "rediss+sentinel://H1:26379,H2:26379,H3:26379/NAME/0",
)


def test_the_forms_of_the_page_are_those_that_are_tried() -> None:
    shown = re.findall(r"^\| (`rediss?[+:].*?) \|", _PAGE.read_text(), re.MULTILINE)
    named = {each for cell in shown for each in re.findall("`([^`]*)`", cell)}
    assert {each for each in named if "…" not in each} <= set(_FORMS)
    assert {each.removesuffix("…") for each in named if "…" in each} == {"rediss://", "rediss+sentinel://"}


@pytest.mark.parametrize("form", _FORMS)
async def test_the_rights_of_the_page_are_enough_for_each_form_of_address(
    form: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_connection, "REDIS_COMMAND_SECONDS", 60.0)
    monkeypatch.setattr(redis_connection, "REDIS_CONNECT_SECONDS", 10.0)
    with Site(form, tmp_path) as site:
        async with Stores() as stores:
            await everything(stores.of(site.url, **site.options), stores.calls_of(site.url, **site.options))
            assert site.denied() == []
        gc.collect()  # a connection that was left is told here, and not in another test


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
