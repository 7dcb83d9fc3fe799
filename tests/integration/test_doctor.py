"""`ringway doctor` without an Asterisk: the configuration, the store in files and in Redis, the snapshot, the ports."""

import contextlib
import os
import pathlib
import re
import socket
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from router.store.redis.inspection import RIGHTS_WANTED
from tests.integration.test_redis_access import user
from tests.processes import DEMO_DATA, Finished, load, ringway, running_router, write_config
from tests.redis_server import RedisServer, running_redis

NOT_BY_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")


def found_by(done: Finished) -> dict[str, dict[str, str]]:
    """The findings by their part; each that is wrong says what to change."""
    every = done.json()["findings"]
    wrong = [each for each in every if each["state"] == "wrong"]
    assert all(each["mend"] for each in wrong), wrong
    said = f"ringway: {len(wrong)} of {len(every)} parts"
    assert (done.status, done.err[: len(said)]) == ((1, said) if wrong else (0, "")), done.err
    return {each["part"]: each for each in every}


class Site:
    """A configuration in a folder of its own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.config = write_config(folder)

    def found(self, settings: Mapping[str, Any] | None = None) -> dict[str, dict[str, str]]:
        if settings is not None:
            self.config = write_config(self.folder, {"agi": {"port": _free()}, **settings})
        return found_by(ringway("doctor", "--json", config=self.config))

    def files(self) -> dict[str, bytes]:
        """What is in the folder besides the configuration."""
        names = (each for each in sorted(self.folder.rglob("*")) if each.is_file() and each != self.config)
        return {str(each.relative_to(self.folder)): each.read_bytes() for each in names}


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return int(gone.getsockname()[1])


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Site:
    return Site(tmp_path)


# --- the configuration, and what is printed ---------------------------------------------------------------------------


def test_a_configuration_that_cannot_be_used_is_one_finding_and_the_rest_is_not_seen(site: Site) -> None:
    for text, said in (("[agi]\nprot = 1\n", "see config/ringway.toml"), ("[agi", "correct the TOML")):
        site.config.write_text(text)
        found = site.found()
        assert (found["configuration"]["state"], said in found["configuration"]["mend"]) == ("wrong", True)
        assert {each["state"] for part, each in found.items() if part != "configuration"} == {"not seen yet"}


def test_as_text_each_part_has_a_line_and_what_is_wrong_another_one(site: Site) -> None:
    done = ringway("doctor", config=site.config)
    lines = done.out.splitlines()
    assert done.status == 1
    assert re.search(r"^store +wrong +/", done.out, re.MULTILINE)
    assert any(line.strip().startswith("-> load data into it first") for line in lines)
    assert re.fullmatch(r"\d+ ok, \d+ wrong, \d+ not seen yet", lines[-1])
    assert done.err.count("\n") == 1


def test_everything_wrong_at_once_still_says_every_part(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        agi, metrics, manager = (each.getsockname()[1] for each in silent)
        settings: dict[str, Any] = {
            "agi": {"port": agi},
            "metrics": {"port": metrics},
            "store": {"url": f"redis://127.0.0.1:{_free()}/0", "snapshot": "/dev/null/snapshot.db"},
            "ami": [
                {"name": "silent", "port": manager, "secret_file": str(site.config)},
                {"name": "nowhere", "host": "a..b", "secret_file": str(site.config)},
                {"name": "gone", "port": _free(), "secret_file": "/no/such"},
            ],
        }
        found = site.found(settings)
    states = {part: each["state"] for part, each in found.items()}
    wrong = {part for part, state in states.items() if state == "wrong"}
    assert wrong == {"store", "attempts", "snapshot", "router", "agi port", "manager login"}
    assert {"redis rights", "redis policy", "redis disk", "channel variables", "dialplan", "clocks"} <= set(states)


def test_a_router_that_runs_is_asked(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path) as router:
        found = found_by(ringway("doctor", "--json", config=router.config))
        assert {
            each["state"] for part, each in found.items() if part in ("router", "agi port", "store", "attempts")
        } == {"ok"}
        assert found["agi allow"]["state"] == "not seen yet"
        router.ask("02079460000")
        assert found_by(ringway("doctor", "--json", config=router.config))["agi allow"]["state"] == "ok"
        assert [each["arguments"] for each in router.events("attempt_ignored")] == [0, 0]


# --- a store in files -------------------------------------------------------------------------------------------------


def test_a_store_that_is_not_there_is_not_made(site: Site) -> None:
    found = site.found()
    assert (found["store"]["state"], "ringway load" in found["store"]["mend"]) == ("wrong", True)
    assert site.files() == {}


def test_a_store_that_is_loaded_is_as_it_was(site: Site) -> None:
    load(site.config, DEMO_DATA)
    before = site.files()
    found = site.found()
    assert (found["store"]["state"], "version 1" in found["store"]["what"]) == ("ok", True)
    assert found["attempts"]["state"] == "not seen yet"
    assert site.files() == before


@pytest.mark.parametrize(
    ("make", "said"),
    [
        ("garbage", "put a backup in its place"),
        ("newer", "use the version that made it"),
        ("another program's", "name another file"),
        ("empty", "load data into it first"),
    ],
)
def test_a_store_that_is_none_is_as_it_was(site: Site, make: str, said: str) -> None:
    path = site.folder / "ringway.db"
    if make == "garbage":
        path.write_bytes(os.urandom(8192))
    elif make == "empty":
        path.touch()
    else:
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE a (b)")
            database.execute(f"PRAGMA user_version = {99 if make == 'newer' else 0}")
            database.commit()
    before = site.files()
    store = site.found()["store"]
    assert (store["state"], said in store["mend"]) == ("wrong", True), store
    assert site.files() == before


def test_a_store_that_somebody_holds_is_waited_for_no_longer_than_a_while(site: Site) -> None:
    load(site.config, DEMO_DATA)
    with contextlib.closing(sqlite3.connect(site.folder / "ringway.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")  # a load
        assert site.found()["store"]["state"] == "ok"
        holder.execute("ROLLBACK")
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")  # another program
        holder.execute("BEGIN EXCLUSIVE")
        holder.execute("CREATE TABLE another (a)")
        holder.execute("COMMIT")
        store = site.found()["store"]
        assert (store["state"], "who else holds it" in store["mend"] or "try again" in store["mend"]) == ("wrong", True)


# --- Redis ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shared(site: Site) -> Iterator[RedisServer]:
    with running_redis() as server:
        load(write_config(site.folder, {"store": redis_at(server)}), DEMO_DATA)
        yield server


def redis_at(server: RedisServer, **more: Any) -> dict[str, Any]:
    return {"url": server.url, "snapshot": str(server.folder / "snapshot.db")} | more


def as_user(server: RedisServer, *rights: str) -> dict[str, Any]:
    """By the user of docs/redis.md, with other rights than those."""
    server.command("ACL SETUSER", *user("word").split()[1:], *rights)
    password = server.folder / "password"
    password.write_text("word")
    return redis_at(server, username="ringway", password_file=str(password))


def test_the_rights_that_are_looked_for_are_those_of_the_page() -> None:
    named = {word.removeprefix("+") for word in user("word").split() if word.startswith("+")}
    assert named - set(RIGHTS_WANTED) == {"client|setname"}  # without it there is no connection
    assert set(RIGHTS_WANTED) <= named


def test_a_redis_at_which_all_is_right_is_as_it_was(site: Site, shared: RedisServer) -> None:
    settings = {"store": as_user(shared)}
    before = {key: shared.client().dump(key) for key in sorted(shared.client().keys())}
    shared.command("ACL LOG", "RESET")
    found = site.found(settings)
    parts = ("store", "attempts", "redis rights", "redis policy", "redis disk", "clock of redis")
    assert {part: found[part]["state"] for part in parts} == dict.fromkeys(parts, "ok")
    assert found["snapshot"]["state"] == "not seen yet"
    assert {key: shared.client().dump(key) for key in sorted(shared.client().keys())} == before
    assert shared.client().acl_log() == []
    assert not (shared.folder / "snapshot.db").exists()


@pytest.mark.parametrize("right", ["hset", "xadd", "xread", "zrevrangebyscore", "set"])
def test_a_right_that_is_lacking_is_named_before_it_is_wanted(site: Site, shared: RedisServer, right: str) -> None:
    rights = site.found({"store": as_user(shared, f"-{right}")})["redis rights"]
    assert (rights["state"], rights["what"]) == ("wrong", f"its user lacks +{right}")
    assert "docs/redis.md" in rights["mend"]


def test_keys_that_the_user_may_not_touch(site: Site, shared: RedisServer) -> None:
    found = site.found({"store": as_user(shared, "resetkeys", "~another:*")})
    assert (found["store"]["state"], "docs/redis.md" in found["store"]["mend"]) == ("wrong", True)


def test_without_info_the_rest_is_not_seen_and_the_right_is_named(site: Site, shared: RedisServer) -> None:
    found = site.found({"store": as_user(shared, "-info")})
    assert found["redis rights"]["what"] == "its user lacks +info"
    assert {found[part]["state"] for part in ("redis policy", "redis disk", "clocks")} == {"not seen yet"}


def test_a_policy_that_throws_away_and_a_server_that_keeps_nothing(site: Site, shared: RedisServer) -> None:
    shared.command("CONFIG SET", "maxmemory-policy", "allkeys-lru")
    shared.command("CONFIG SET", "appendonly", "no")
    found = site.found({"store": redis_at(shared)})
    assert (found["redis policy"]["state"], found["store"]["state"]) == ("ok", "ok")  # as long as there is no limit
    assert (found["redis disk"]["state"], "appendonly yes" in found["redis disk"]["mend"]) == ("wrong", True)
    shared.command("CONFIG SET", "maxmemory", "100mb")
    found = site.found({"store": redis_at(shared)})
    assert (found["redis policy"]["state"], "noeviction" in found["redis policy"]["mend"]) == ("wrong", True)
    assert found["store"]["state"] == "not seen yet"


def test_a_redis_that_is_not_to_be_had(site: Site, shared: RedisServer) -> None:
    settings = as_user(shared)
    pathlib.Path(settings["password_file"]).write_text("wrong")
    for store, said in (
        (settings, "username and password_file"),
        (redis_at(shared, url=f"redis://127.0.0.1:{_free()}/0"), "is it running"),
        (redis_at(shared, url=shared.url.replace("redis:", "rediss:")), "no TLS"),
        (redis_at(shared, prefix="another"), "ringway load"),
        (redis_at(shared, url=shared.url.removesuffix("0") + "99"), "database"),
        (redis_at(shared, password_file="/no/such"), "file"),  # noqa: S106 - a path
    ):
        found = site.found({"store": store})
        assert (found["store"]["state"], said in found["store"]["mend"]) == ("wrong", True), found["store"]
    shared.pause()
    found = site.found({"store": redis_at(shared)})
    assert found["store"]["state"] == "wrong"
    shared.go_on()


def test_an_empty_redis_stays_empty(site: Site) -> None:
    with running_redis() as server:
        found = site.found({"store": redis_at(server)})
        assert (found["store"]["state"], "ringway load" in found["store"]["mend"]) == ("wrong", True)
        assert server.client().keys() == []


# --- what is kept here ------------------------------------------------------------------------------------------------


def test_a_snapshot_that_a_router_has_made_is_told_with_its_age(site: Site, shared: RedisServer) -> None:
    store = redis_at(shared)
    with running_router(site.folder, data=None, settings={"store": store}) as router:
        router.wait_for("snapshot_filled")
    snapshot = site.found({"store": store})["snapshot"]
    assert (snapshot["state"], "0.0 hours ago" in snapshot["what"]) == ("ok", True)
    with contextlib.closing(sqlite3.connect(store["snapshot"])) as database:
        database.execute("UPDATE meta SET seen_at = seen_at - 360000")
        database.commit()
    snapshot = site.found({"store": store})["snapshot"]
    assert (snapshot["state"], "snapshot_max_age_hours" in snapshot["what"]) == ("wrong", True)


def test_a_snapshot_that_is_none_is_as_it_was(site: Site, shared: RedisServer) -> None:
    path = site.folder / "kept.db"
    for content, said in ((os.urandom(8192), "move it away"), (b"x", "move it away")):
        path.write_bytes(content)
        snapshot = site.found({"store": redis_at(shared, snapshot=str(path))})["snapshot"]
        assert (snapshot["state"], said in snapshot["mend"]) == ("wrong", True), snapshot
        assert path.read_bytes() == content


def test_a_folder_that_is_missing_can_be_made_and_a_file_in_its_place_cannot(site: Site, shared: RedisServer) -> None:
    missing = site.folder / "a" / "b" / "kept.db"
    snapshot = site.found({"store": redis_at(shared, snapshot=str(missing))})["snapshot"]
    assert snapshot["state"] == "not seen yet"
    assert not missing.parent.parent.exists()
    snapshot = site.found({"store": redis_at(shared, snapshot=str(site.config / "kept.db"))})["snapshot"]
    assert (snapshot["state"], "folder" in snapshot["mend"]) == ("wrong", True)


@NOT_BY_ROOT
def test_a_folder_that_may_not_be_written(site: Site, shared: RedisServer) -> None:
    folder = site.folder / "closed"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    snapshot = site.found({"store": redis_at(shared, snapshot=str(folder / "kept.db"))})["snapshot"]
    assert (snapshot["state"], "may write" in snapshot["mend"]) == ("wrong", True)
