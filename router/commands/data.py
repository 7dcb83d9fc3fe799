"""`ringway check`, `load` and `dump`: the data set in and out of the store."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import msgspec

from dialplan.model import Row, RowKind
from dialplan.problems import DataProblems
from dialplan.validate import ChangeSet, NothingStored, Stored, prepare
from router import files
from router.settings import from_process
from router.store.base import Commit, Store
from router.store.sqlite import from_url

T = TypeVar("T")


def with_store(config: str | None, use: Callable[[Store], Awaitable[T]], *, make: bool = False) -> T:
    """Open the configured store, use it, close it; with `make`, make a missing one first.

    Raises SettingsError and StoreError.
    """

    async def run() -> T:
        store = from_url(from_process(config).store.url)
        try:
            await store.open(make=make)
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(run())


def check(arguments: argparse.Namespace) -> int:
    """Validate files as a set of their own; change nothing."""
    rows, problems = files.read_files(arguments.files)
    try:
        changes = prepare(rows, NothingStored(), before=problems)
    except DataProblems as refused:
        _refuse(refused, as_json=arguments.json)
        return 1
    if arguments.json:
        _print_json({"problems": [], "rows": _counts(changes)})
    else:
        print("no problems: " + ", ".join(f"{count} {kind}" for kind, count in _counts(changes).items()))
    return 0


def load(arguments: argparse.Namespace) -> int:
    """Validate files against what is stored too, then apply all of it or nothing."""
    rows, problems = files.read_files(arguments.files)

    def prepared(stored: Stored) -> ChangeSet:
        return prepare(rows, stored, replace=arguments.replace, as_company=arguments.as_company, before=problems)

    async def commit(store: Store) -> Commit:
        return await store.commit(prepared)

    try:
        done = with_store(arguments.config, commit, make=True)
    except DataProblems as refused:
        _refuse(refused, as_json=arguments.json)
        return 1
    if arguments.json:
        _print_json({"version": done.version, "changed": done.changed})
    elif done.changed:
        print(f"{done.changed} row{'s' if done.changed > 1 else ''} changed, version {done.version}")
    else:
        print(f"nothing to change, version {done.version}")
    return 0


def dump(arguments: argparse.Namespace) -> int:
    """Print the whole data set as a data file."""

    def use(stored: Stored) -> None:
        for piece in files.write(_all_rows(stored), as_json=arguments.json):
            sys.stdout.write(piece)

    async def view(store: Store) -> int:
        return await store.view(use)

    with_store(arguments.config, view)
    return 0


def _all_rows(stored: Stored) -> Iterator[tuple[RowKind, Row]]:
    for kind in RowKind:
        for row in stored.rows(kind):
            yield kind, row


def _counts(changes: ChangeSet) -> dict[str, int]:
    return {kind: len(changes.rows.get(kind, {})) for kind in RowKind}


def _refuse(refused: DataProblems, *, as_json: bool) -> None:
    if as_json:
        _print_json({"problems": refused.problems})
    else:
        for each in refused.problems:
            print(each, file=sys.stderr)
    count = len(refused.problems)
    print(f"ringway: {count} problem{'s' if count > 1 else ''}; nothing was changed", file=sys.stderr)


def _print_json(value: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
