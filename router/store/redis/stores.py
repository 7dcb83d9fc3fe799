"""What `[store]` says of a Redis, with its secrets and certificates."""

from functools import partial

from router.config import settings
from router.store.api import Made, StoreError, Stores, unsaid
from router.store.redis.address import Options, parse
from router.store.redis.callbacks import RedisCallbackStore
from router.store.redis.counters import RedisCounterStore
from router.store.redis.inspection import inspect
from router.store.redis.store import RedisStore


def stores_of(wanted: settings.StoreSettings, made: Made = unsaid) -> Stores:
    """The Redis that the address names. Raises StoreError, also for what is said twice."""
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
    rows = RedisStore(address, options, made)
    asked = partial(inspect, callbacks.link)
    return Stores(rows, callbacks, counters, address.shown, shared=True, inspect=asked)
