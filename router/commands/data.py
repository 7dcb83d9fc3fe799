"""`ringway check`, `load` and `dump`: the data set in and out of the store."""

import argparse
import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import msgspec

from dialplan.dataset.changes import ChangeSet, NothingStored, Stored, prepare
from dialplan.dataset.problems import DataProblems
from dialplan.kinds.registry import Row, RowKind
from router.config.settings import from_process
from router.management import data_files as files
from router.store.api import Commit, Store
from router.store.factory import stores_of

T = TypeVar("T")


class Interrupted(Exception):  # noqa: N818 - somebody wanted it so
    """A load was broken off; the text says what has become of it."""


class NoRoom(Exception):  # noqa: N818 - it is the machine's
    """A dump found no place to wait in until it is printed; the text says where it was looked for."""


def with_store(config: str | None, use: Callable[[Store], Awaitable[T]], *, make: bool = False) -> T:
    """Open the configured store, use it, close it; with `make`, make a missing one first.

    Ctrl-C, however often, is one cancellation: `use` gets to know what has become of its work.
    Raises SettingsError and StoreError.
    """

    async def run() -> T:
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
        store = stores_of(from_process(config).store).rows
        try:
            await store.open(make=make)
            return await use(store)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def check(arguments: argparse.Namespace) -> int:
    """Validate files as a set of their own; change nothing."""
    rows, problems = files.read_files(arguments.files)
    try:
        changes = prepare(rows, NothingStored(), before=problems)
    except DataProblems as refused:
        _refuse(refused, as_json=arguments.json)
        return 1
    if arguments.json:
        print_json({"problems": [], "rows": _counts(changes)})
    else:
        print("no problems: " + ", ".join(f"{count} {kind}" for kind, count in _counts(changes).items()))
    return 0


def load(arguments: argparse.Namespace) -> int:
    """Validate files against what is stored too, then apply all of it or nothing."""
    done: list[Commit] = []

    async def commit(store: Store) -> None:
        done.append(await store.commit(prepared))

    try:
        rows, problems = files.read_files(arguments.files)

        def prepared(stored: Stored) -> ChangeSet:
            return prepare(rows, stored, replace=arguments.replace, as_company=arguments.as_company, before=problems)

        with_store(arguments.config, commit, make=True)
    except DataProblems as refused:
        _refuse(refused, as_json=arguments.json)
        return 1
    except KeyboardInterrupt:
        if not done:
            raise Interrupted("interrupted; nothing was changed") from None
    _say_done(done[0], as_json=arguments.json)
    return 0


def _say_done(done: Commit, *, as_json: bool) -> None:
    """Say what a load has changed: on standard error where standard output takes nothing."""
    if not done.changed:
        text = f"nothing to change, version {done.version}"
    else:
        text = f"{done.changed} row{'s' if done.changed > 1 else ''} changed, version {done.version}"
    try:
        if as_json:
            print_json({"version": done.version, "changed": done.changed})
        else:
            print(text)
        sys.stdout.flush()
    except OSError:
        print(text, file=sys.stderr)
        raise


def dump(arguments: argparse.Namespace) -> int:
    """Print the whole data set as a data file."""
    # A shared store lets nobody write while it is looked at, and who reads this may be a pager that stays open.
    with _room():
        whole = tempfile.TemporaryFile("w+", encoding="utf-8", newline="")  # noqa: SIM115 - closed below, full or not

    def use(stored: Stored) -> None:
        with _room():
            for piece in files.write(_all_rows(stored), as_json=arguments.json):
                whole.write(piece)

    async def view(store: Store) -> int:
        return await store.view(use)

    try:
        with_store(arguments.config, view)
        with _room():
            whole.seek(0)
        shutil.copyfileobj(whole, sys.stdout)
    finally:
        with contextlib.suppress(OSError):
            whole.close()
    return 0


@contextlib.contextmanager
def _room() -> Iterator[None]:
    """Turn what the temporary folder raises into NoRoom: it is neither the store nor the output."""
    try:
        yield
    except OSError as error:
        folder = tempfile.tempdir or "a temporary folder"
        text = f"the dump cannot be kept in {folder} until it is printed: {error.strerror}"
        raise NoRoom(f"{text}; name a folder with room for it in TMPDIR") from error


def _all_rows(stored: Stored) -> Iterator[tuple[RowKind, Row]]:
    for kind in RowKind:
        for row in stored.rows(kind):
            yield kind, row


def _counts(changes: ChangeSet) -> dict[str, int]:
    return {kind: len(changes.rows.get(kind, {})) for kind in RowKind}


def _refuse(refused: DataProblems, *, as_json: bool) -> None:
    if as_json:
        print_json({"problems": refused.problems})
    else:
        for each in refused.problems:
            print(each, file=sys.stderr)
    count = len(refused.problems)
    print(f"ringway: {count} problem{'s' if count > 1 else ''}; nothing was changed", file=sys.stderr)


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
