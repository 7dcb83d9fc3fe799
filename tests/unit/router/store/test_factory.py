import pathlib
from typing import Any

import pytest
import structlog

from router.config import settings
from router.store.api import StoreError
from router.store.factory import router_stores_of, stores_of
from router.store.local.outbox import OutboxCallbackStore
from router.store.local.snapshot import SnapshotStore
from router.store.redis.address import Options
from router.store.redis.callbacks import RedisCallbackStore
from router.store.redis.counters import RedisCounterStore
from router.store.redis.store import RedisStore
from router.store.sqlite.callbacks import SqliteCallbackStore
from router.store.sqlite.store import SqliteStore
from tests.redis_server import RedisServer
from tests.unit.router.store import content as data

LOG: Any = structlog.get_logger()
URL = "redis://ringway:s3cret@10.0.0.5:7000/2"


def test_a_file_has_its_attempts_beside_it(tmp_path: pathlib.Path) -> None:
    url = f"sqlite://{tmp_path / 'ringway.db'}"
    stores = stores_of(settings.StoreSettings(url=url))
    assert isinstance(stores.rows, SqliteStore)
    assert isinstance(stores.callbacks, SqliteCallbackStore)
    assert stores.counters is None
    assert (stores.rows.path, stores.callbacks.path) == (tmp_path / "ringway.db", tmp_path / "ringway-callbacks.db")
    assert stores.shown == url


def test_a_file_needs_no_snapshot_of_itself(tmp_path: pathlib.Path) -> None:
    wanted = settings.StoreSettings(url=f"sqlite://{tmp_path / 'ringway.db'}", snapshot=str(tmp_path / "snapshot.db"))
    assert isinstance(router_stores_of(wanted, LOG).rows, SqliteStore)


def test_commands_ask_a_shared_store_itself() -> None:
    stores = stores_of(settings.StoreSettings(url=URL))
    assert isinstance(stores.rows, RedisStore)
    assert isinstance(stores.callbacks, RedisCallbackStore)
    assert isinstance(stores.counters, RedisCounterStore)
    assert stores.shown == "redis://10.0.0.5:7000/2"
    assert stores.rows.address == stores.callbacks.address


def test_a_router_has_a_part_of_a_shared_store_on_its_own_disk(tmp_path: pathlib.Path) -> None:
    wanted = settings.StoreSettings(url=URL, snapshot=str(tmp_path / "snapshot.db"), snapshot_max_age_hours=5)
    stores = router_stores_of(wanted, LOG)
    assert isinstance(stores.rows, SnapshotStore)
    assert isinstance(stores.callbacks, OutboxCallbackStore)
    assert isinstance(stores.counters, RedisCounterStore)
    assert stores.rows.path == tmp_path / "snapshot.db"
    assert stores.rows._oldest == 5 * 3600
    assert stores.callbacks._here.path == tmp_path / "snapshot-callbacks.db"
    assert stores.shown == "redis://10.0.0.5:7000/2"


def test_without_a_place_for_it_nothing_is_kept_here() -> None:
    stores = router_stores_of(settings.StoreSettings(url=URL, snapshot=""), LOG)
    assert isinstance(stores.rows, RedisStore)
    assert isinstance(stores.callbacks, RedisCallbackStore)
    assert isinstance(stores.counters, RedisCounterStore)


def test_every_setting_of_a_redis_reaches_its_connections() -> None:
    values: dict[str, Any] = {
        field: f"a {field}" for field in Options.__struct_fields__ if field not in ("cluster", "prefix")
    }
    wanted = settings.StoreSettings(url="redis://10.0.0.5:7000", cluster=True, prefix="calls", **values)
    stores = stores_of(wanted)
    assert isinstance(stores.rows, RedisStore)
    assert isinstance(stores.callbacks, RedisCallbackStore)
    assert isinstance(stores.counters, RedisCounterStore)
    links = [stores.rows._link, stores.rows._waiting, stores.callbacks.link, stores.callbacks._waiting]
    for link in (*links, stores.counters._link):
        assert link._options == Options(cluster=True, prefix="calls", **values)


@pytest.mark.parametrize("url", ["redis://ringway:s3cret@10.0.0.5:port/0", "sqlite://ringway.db"])
def test_an_address_that_is_none_is_told_without_its_secret(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        stores_of(settings.StoreSettings(url=url))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"), [("username", "another"), ("password_file", "/etc/ringway/password"), ("cluster", True)]
)
def test_what_the_address_says_too_is_refused_by_name(key: str, value: str | bool) -> None:
    setting: dict[str, Any] = {key: value}
    with pytest.raises(StoreError, match=rf"^store redis://10\S+: \[store\] {key}: .*leave.* out$") as caught:
        stores_of(settings.StoreSettings(url=URL, **setting))
    assert "s3cret" not in str(caught.value)


def test_several_servers_are_a_clusters() -> None:
    url = "redis://10.0.0.5:7000,10.0.0.6:7000"
    with pytest.raises(StoreError, match=r": \[store\] url: set cluster, or name one server$"):
        stores_of(settings.StoreSettings(url=url))
    assert stores_of(settings.StoreSettings(url=url, cluster=True)).shown == url


async def test_what_a_command_writes_a_router_reads(redis_server: RedisServer, tmp_path: pathlib.Path) -> None:
    wanted = settings.StoreSettings(url=redis_server.url, prefix="opening", snapshot=str(tmp_path / "snapshot.db"))
    command, router = stores_of(wanted), router_stores_of(wanted, LOG)
    await command.rows.open()
    await command.rows.commit(data.flows("a"))
    await router.rows.open()
    await router.callbacks.open()
    assert len(await data.everything(router.rows)) == 1
    for stores in (command, router):
        await stores.rows.close()
        await stores.callbacks.close()


async def test_a_router_says_by_name_which_store_it_has_made_and_only_then(
    redis_server: RedisServer, tmp_path: pathlib.Path
) -> None:
    made: list[str] = []
    path = tmp_path / "ringway.db"
    for url, prefix in ((f"sqlite://{path}", "ringway"), (redis_server.url, "made")):
        for _ in range(2):
            stores = stores_of(settings.StoreSettings(url=url, prefix=prefix), made.append)
            for each in (stores.rows, stores.callbacks):
                await each.open()
                await each.close()
    assert made == [str(path), str(tmp_path / "ringway-callbacks.db"), redis_server.url]
