"""The store, the attempts beside it, and what is kept here for when a shared one is away."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from router.config.limits import DOCTOR_PART_SECONDS
from router.config.settings import StoreSettings
from router.doctor.clocks import Clock
from router.doctor.findings import Finding, fine, refused, unseen, wrong
from router.store.api import CallbackStore, Inspection, NoStoreError, Store, StoreError, Unfit, UnfitError
from router.store.factory import snapshot_seen_at, stores_of

T = TypeVar("T")

_RIGHTS, _POLICY, _DISK = "redis rights", "redis policy", "redis disk"

_GRANT = "add that with ACL SETUSER, and ACL SAVE (without an aclfile: in redis.conf); docs/redis.md has its line"


async def look(wanted: StoreSettings) -> tuple[list[Finding], list[Clock]]:
    """What is found of `[store]`, and the clock of its server, where it has one. Changes nothing."""
    try:
        stores = stores_of(wanted)
    except StoreError as error:
        return [refused("store", str(error)), unseen("attempts", "the store has no address")], []
    try:
        rows, attempts = await asyncio.gather(_rows(stores.rows, stores.shown), _attempts(stores.callbacks))
        found, clocks = [rows, attempts], list[Clock]()
        if stores.inspect is not None:
            more, clocks = await _server(stores.inspect)
            found += more
    finally:
        await asyncio.gather(stores.rows.close(), stores.callbacks.close())
    if stores.shared and wanted.snapshot:
        found.append(await _snapshot(wanted))
    return found, clocks


async def _in_time(work: Awaitable[T]) -> T:
    """What it gives. Raises StoreError, also where that takes too long."""
    try:
        async with asyncio.timeout(DOCTOR_PART_SECONDS):
            return await work
    except TimeoutError:
        hint = "see to its disk or its network, and to who else holds it"
        raise StoreError(f"it has not answered within {DOCTOR_PART_SECONDS:g} s; {hint}") from None


async def _rows(store: Store, shown: str) -> Finding:
    async def version() -> int:
        await store.open(make=False)
        return (await store.read(None, "")).version

    try:
        found = await _in_time(version())
    except UnfitError as error:
        if error.cause is Unfit.EVICTS:
            return unseen("store", f"{shown}: it is not read for its policy", "see redis policy below")
        return refused("store", str(error))
    except StoreError as error:
        return refused("store", str(error))
    if not found:
        return wrong("store", f"{shown}: nothing has been loaded into it", "load your data, with ringway load FILE")
    return fine("store", f"{shown}: version {found}")


async def _attempts(store: CallbackStore) -> Finding:
    try:
        await _in_time(store.open(make=False))
    except NoStoreError:
        return unseen("attempts", "there is no file for them", "a router makes it when it starts")
    except StoreError as error:
        return refused("attempts", str(error))
    return fine("attempts", "their store answers")


async def _server(inspect: Callable[[], Awaitable[Inspection]]) -> tuple[list[Finding], list[Clock]]:
    try:
        said = await _in_time(inspect())
    except StoreError as error:
        return [
            unseen(part, str(error).removeprefix("store ").partition("; ")[0], "see store above")
            for part in (_RIGHTS, _POLICY, _DISK)
        ], []
    clock = [] if said.clock_ahead is None else [Clock("redis", said.clock_ahead, said.clock_within)]
    return [rights(said), policy(said), disk(said)], clock


def rights(said: Inspection) -> Finding:
    """What its user may do."""
    if said.refused is None:
        return unseen(_RIGHTS, "a server before Redis 7.0 does not tell", "compare its user with docs/redis.md")
    if said.refused:
        lacking = " ".join(f"+{each}" for each in said.refused)
        return wrong(_RIGHTS, f"its user lacks {lacking}", _GRANT)
    return fine(_RIGHTS, "its user has all that docs/redis.md lists")


def policy(said: Inspection) -> Finding:
    """What it throws away when its memory is full."""
    if not said.policy:
        return unseen(_POLICY, "the server does not tell it", "its user needs +info")
    if said.policy != "noeviction" and said.limited:
        mend = "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf"
        return wrong(_POLICY, f"{said.policy}: it throws keys away when its memory is full; routers refuse that", mend)
    more = "" if said.policy == "noeviction" else ", but maxmemory is 0: nothing is thrown away"
    return fine(_POLICY, f"{said.policy}{more}")


def disk(said: Inspection) -> Finding:
    """Whether it has what it was given after a restart."""
    if said.appends is None:
        return unseen(_DISK, "the server does not tell it", "its user needs +info")
    if not said.appends:
        what = "appendonly is off: a restart loses minutes of loads, attempts and claims"
        return wrong(_DISK, what, "CONFIG SET appendonly yes, and the same in redis.conf")
    return fine(_DISK, "appendonly is on")


async def _snapshot(wanted: StoreSettings) -> Finding:
    try:
        seen = await _in_time(snapshot_seen_at(wanted))
    except StoreError as error:
        return refused("snapshot", str(error))
    if seen is None:
        return unseen("snapshot", f"{wanted.snapshot}: there is none, and it can be made", "a router makes it")
    hours = (time.time() - seen) / 3600
    what = f"{wanted.snapshot}: in step with the store {hours:.1f} hours ago"
    if 0 < wanted.snapshot_max_age_hours < hours:
        what += f", and [store] snapshot_max_age_hours allows {wanted.snapshot_max_age_hours}"
        return wrong("snapshot", what, "start a router while the store is in reach: it follows then")
    return fine("snapshot", what)
