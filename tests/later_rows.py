"""Rows as a later version may write them, put into a store behind this version's back."""

import asyncio
import contextlib
import pathlib
import sqlite3
from typing import Any, TypeAlias

import msgspec

from dialplan.dataset.changes import ChangeSet
from dialplan.dataset.later import AnyKind, Held, LaterRow, named_kind
from router.store.api import Store
from router.store.sqlite.store import SqliteStore

Behind: TypeAlias = tuple[int, str, dict[str, Any]]  # the number of the kind, the key, and what is stored
OTHER_KIND = 9  # of a kind that this version does not know

NUMBER = "+442079460000"
FLOW: dict[str, Any] = {
    "id": "menu",
    "name": "Menu",
    "destination": {"context": "flow-menu", "exten": "s", "priority": 1, "label": None},
    "colour": "red",
    "parameters": [{"name": "TEXT", "type": "text", "pattern": "[a-z]*"}, {"name": "COUNT", "type": "integer"}],
}
TAGGED: dict[str, Any] = {
    "number": NUMBER,
    "company": "acme",
    "call_flow": "menu",
    "tags": ["vip", 1.5, 2**63, {"a": None}],
    "updates": [
        {"at": "2199-01-01T00:00:00Z", "call_flow": "menu", "note": "New Year"},
        {"at": "2199-02-01T00:00:00Z", "call_flow": "menu"},
    ],
}
STOCK: dict[str, Any] = {"number": "+442079460009", "kind": "stock", "city": "London", "tags": ["x"]}
HOURS: dict[str, Any] = {"id": "office", "days": ["mo"], "open": "09:00"}
LATER: list[Behind] = [
    (2, "menu", FLOW),
    (4, NUMBER, TAGGED),
    (4, STOCK["number"], STOCK),
    (OTHER_KIND, "office", HOURS),
]


def written(*rows: Behind) -> ChangeSet:
    """Rows as they are, for a commit of a later version."""
    changes: dict[AnyKind, dict[str, Held | None]] = {}
    for code, key, values in rows:
        kind = named_kind(code)
        assert kind is not None
        changes.setdefault(kind, {})[key] = LaterRow(code, key, msgspec.json.encode(values), None)
    return ChangeSet(changes)


async def put(store: Store, *rows: Behind) -> None:
    """Commit them, as a later version would."""
    await store.commit(lambda _: written(*rows))


def put_into_file(path: pathlib.Path, *rows: Behind) -> None:
    """The same for a file that nobody has open here."""

    async def run() -> None:
        store = SqliteStore(path)
        await store.open()
        await put(store, *rows)
        await store.close()

    asyncio.run(run())


def in_file(path: pathlib.Path, code: int, key: str) -> dict[str, Any] | None:
    """What is stored of a row."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT body FROM rows WHERE kind = ? AND key = ?", (code, key)).fetchone()
    return None if found is None or found[0] is None else msgspec.json.decode(found[0], type=dict[str, Any])
