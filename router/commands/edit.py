"""`ringway edit` and `ringway remove`: one change by hand."""

import argparse
import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from dialplan.dataset.edits import NOT_AN_EDIT, Edit, read_edit
from dialplan.dataset.later import kind_word
from dialplan.dataset.problems import DataProblems
from dialplan.kinds.registry import KINDS, RowKind
from dialplan.wording import quote
from router.commands.data import refuse
from router.commands.output import print_json, print_warnings
from router.commands.running import Failure, with_store
from router.config.settings import from_process
from router.management import edit as editing
from router.store.api import Store
from router.store.factory import stores_of

KIND_WORDS = {kind.word.replace(" ", "-"): name for name, kind in KINDS.items()}


class NotAnEdit(Failure):
    """A word is no FIELD=VALUE."""


def edit(arguments: argparse.Namespace) -> int:
    """Change fields of one row."""
    edits = [_read(word) for word in arguments.edits]
    return _run(
        arguments,
        lambda store: editing.edit(
            store,
            KIND_WORDS[arguments.kind],
            arguments.key,
            edits,
            new=arguments.new,
            as_company=arguments.as_company,
            preview=arguments.preview,
        ),
    )


def remove(arguments: argparse.Namespace) -> int:
    """Remove rows."""
    return _run(
        arguments,
        lambda store: editing.remove(
            store,
            KIND_WORDS[arguments.kind],
            arguments.keys,
            as_company=arguments.as_company,
            preview=arguments.preview,
        ),
    )


def _read(word: str) -> Edit:
    found = read_edit(word)
    if found is None:
        fault = NOT_AN_EDIT(text=word)
        raise NotAnEdit(f"{fault.text}; {fault.hint}")
    return found


def _run(arguments: argparse.Namespace, work: Callable[[Store], Awaitable[editing.Edited]]) -> int:
    try:
        done = with_store(stores_of(from_process(arguments.config).store).rows, work)
    except DataProblems as refused:
        refuse(refused, as_json=arguments.json)
        return 1
    print_warnings(done.warnings)
    if arguments.json:
        print_json(
            {
                "version": done.version,
                "preview": arguments.preview,
                "rows": [msgspec.structs.asdict(each) for each in done.rows],
                "warnings": done.warnings,
            }
        )
        return 0
    for row in done.rows:
        _show(row)
    print(_summary(len(done.rows), done.version, preview=arguments.preview))
    return 0


def _summary(count: int, version: int, *, preview: bool) -> str:
    if not count:
        return f"nothing to change, version {version}"
    counted = f"{count} row{'s' if count > 1 else ''}"
    return f"{counted} would change; nothing was changed" if preview else f"{counted} changed, version {version}"


def _show(row: editing.RowChange) -> None:
    word = KINDS[row.kind].word if isinstance(row.kind, RowKind) else kind_word(row.kind)
    became = "new" if row.before is None else "removed" if row.after is None else "changed"
    print(f"{word} {quote(row.key)}: {became}")
    if row.before is None or row.after is not None:
        for field, before, after in row.fields:
            print(
                f"  {field}: {_said(before)} -> {_said(after)}"
                if row.before is not None
                else f"  {field}: {_said(after)}"
            )


def _said(value: Any) -> str:
    """A value in one line, nothing in it that a terminal would obey."""
    return "(none)" if value is None else json.dumps(value, default=str)
