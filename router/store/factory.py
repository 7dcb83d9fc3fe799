"""Which store an address names, and what a running router puts around it.

A store is a folder whose module `stores` makes its parts out of `[store]`: `stores_of(settings, made) -> Stores`, which
raises StoreError; `made` is told of one that was not there. It is imported when an address asks for it, so that a
command pays for no client that it has no use for.
"""

import importlib
import pathlib

import structlog

from router.config import settings
from router.store.api import Made, Stores, unsaid
from router.store.local import look
from router.store.local.outbox import OutboxCallbackStore
from router.store.local.snapshot import SnapshotStore
from router.store.sqlite.callbacks import beside

_FOLDERS = {"sqlite": "router.store.sqlite", "redis": "router.store.redis"}
_USUAL = "redis"  # reads what no other one does, and says what is wrong with it


def stores_of(wanted: settings.StoreSettings, made: Made = unsaid) -> Stores:
    """The stores of `[store]`, as commands use them. Raises StoreError."""
    folder = _FOLDERS.get(wanted.url.partition(":")[0], _FOLDERS[_USUAL])
    stores: Stores = importlib.import_module(f"{folder}.stores").stores_of(wanted, made)
    return stores


def router_stores_of(wanted: settings.StoreSettings, log: structlog.typing.FilteringBoundLogger) -> Stores:
    """The same as a running router uses them: one that is elsewhere has a part of it here, for when it is away."""
    stores = stores_of(wanted, lambda shown: log.info("store_made", store=shown))
    if not stores.shared or not wanted.snapshot:
        return stores
    path = pathlib.Path(wanted.snapshot)
    rows = SnapshotStore(stores.rows, path, wanted.snapshot_max_age_hours * 3600.0, log)
    return stores._replace(rows=rows, callbacks=OutboxCallbackStore(stores.callbacks, beside(path), log))


async def snapshot_seen_at(wanted: settings.StoreSettings) -> float | None:
    """When the snapshot of `[store]` was in step with the store, see `router.store.local.look`. Raises StoreError."""
    return await look.seen_at(pathlib.Path(wanted.snapshot))
