"""Which store an address names, and what a running router puts around it."""

import pathlib
from typing import NamedTuple

import structlog

from router.config import settings
from router.store.api import CallbackStore, CounterStore, Store, StoreError
from router.store.local.outbox import OutboxCallbackStore
from router.store.local.snapshot import SnapshotStore
from router.store.redis.address import Options, parse
from router.store.redis.callbacks import RedisCallbackStore
from router.store.redis.counters import RedisCounterStore
from router.store.redis.store import RedisStore
from router.store.sqlite.callbacks import beside
from router.store.sqlite.store import from_url


class Stores(NamedTuple):
    """The data set, the attempts and claims, and the counters that routers share.

    `counters` is None in the embedded store, where each router counts for itself. `shown` is the address without any
    secret; `shared`: routers on other machines use it too.
    """

    rows: Store
    callbacks: CallbackStore
    counters: CounterStore | None
    shown: str
    shared: bool


def stores_of(wanted: settings.StoreSettings) -> Stores:
    """The stores of `[store]`, as commands use them. Raises StoreError."""
    if wanted.url.startswith("sqlite:"):
        file = from_url(wanted.url)
        return Stores(file, beside(file.path), None, wanted.url, shared=False)
    address = parse(wanted.url)
    for key, twice, hint in (
        ("username", address.username and wanted.username, "url names a user too; leave one of them out"),
        ("password_file", address.password and wanted.password_file, "url has a password too; leave one of them out"),
        ("url", not wanted.cluster and not address.service and address.hosts[1:], "set cluster, or name one server"),
        ("cluster", wanted.cluster and address.database, "a Cluster has database 0 alone; leave the one in url out"),
    ):
        if twice:
            raise StoreError(f"store {address.shown}: [store] {key}: {hint}")
    options = Options(
        username=wanted.username,
        password_file=wanted.password_file,
        sentinel_username=wanted.sentinel_username,
        sentinel_password_file=wanted.sentinel_password_file,
        tls_ca_file=wanted.tls_ca_file,
        tls_cert_file=wanted.tls_cert_file,
        tls_key_file=wanted.tls_key_file,
        cluster=wanted.cluster,
        prefix=wanted.prefix,
    )
    callbacks = RedisCallbackStore(address, options)
    counters = RedisCounterStore(callbacks.link)
    return Stores(RedisStore(address, options), callbacks, counters, address.shown, shared=True)


def router_stores_of(wanted: settings.StoreSettings, log: structlog.typing.FilteringBoundLogger) -> Stores:
    """The same as a running router uses them: one that is elsewhere has a part of it here, for when it is away."""
    stores = stores_of(wanted)
    if not stores.shared or not wanted.snapshot:
        return stores
    path = pathlib.Path(wanted.snapshot)
    rows = SnapshotStore(stores.rows, path, wanted.snapshot_max_age_hours * 3600.0, log)
    return stores._replace(rows=rows, callbacks=OutboxCallbackStore(stores.callbacks, beside(path), log))
