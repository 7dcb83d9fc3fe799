"""`ringway check`, `load` and `dump`: the data set in and out of the store."""

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence

from dialplan.dataset.problems import DataProblems, Problem
from dialplan.dataset.reader import AnyRawRow
from dialplan.kinds.registry import KINDS, RowKind
from router.commands.output import print_json, print_warnings
from router.commands.progress import bar
from router.commands.running import Failure, with_store
from router.config.settings import from_process
from router.management import check as checking
from router.management import data_files as files
from router.management import dump as dumping
from router.management import load as loading
from router.store.factory import stores_of


class Interrupted(Failure):
    """A load was broken off; the text says what has become of it."""


class NotSure(Failure):
    """A replacement would remove more than half of a kind; the text says how much, and how it is meant to be said."""


class NoRoom(Failure):
    """A dump found no place to wait in until it is printed; the text says where it was looked for."""


def check(arguments: argparse.Namespace) -> int:
    """Validate files as a set of their own; change nothing."""
    try:
        checked = checking.check(*_read(arguments.files), bar)
    except DataProblems as refused:
        refuse(refused, as_json=arguments.json)
        return 1
    print_warnings(checked.warnings)
    if arguments.json:
        print_json({"problems": [], "warnings": checked.warnings, "rows": checked.rows})
    else:
        print("no problems: " + ", ".join(_counted(count, RowKind(kind)) for kind, count in checked.rows.items()))
    return 0


def _counted(count: int, kind: RowKind) -> str:
    return f"{count} {KINDS[kind].word if count == 1 else KINDS[kind].plural}"


def load(arguments: argparse.Namespace) -> int:
    """Validate files against what is stored too, then apply all of it or nothing."""
    try:
        rows, problems = _read(arguments.files, whole=arguments.replace)
        done = with_store(
            stores_of(from_process(arguments.config).store).rows,
            lambda store: loading.load(
                store,
                rows,
                before=problems,
                replace=arguments.replace,
                as_company=arguments.as_company,
                sure=arguments.yes,
                tell=_tell,
                follow=bar,
            ),
            make=True,
        )
    except DataProblems as refused:
        refuse(refused, as_json=arguments.json)
        return 1
    except loading.NotSureError as error:
        raise NotSure(str(error)) from error
    except KeyboardInterrupt:
        raise Interrupted("interrupted; nothing was changed") from None
    _say_done(done, as_json=arguments.json)
    return 0


def _read(names: Sequence[str], *, whole: bool = False) -> tuple[list[AnyRawRow], list[Problem]]:
    # Standard input may have been closed by whoever started us.
    return files.read_files(names, sys.stdin.buffer if sys.stdin is not None else None, whole=whole, follow=bar)


def _tell(going: list[loading.Going | loading.LostContent]) -> None:
    """Say what a replacement removes, on standard error: the other may be read by a program."""
    print(f"--replace removes {', '.join(map(str, going))}", file=sys.stderr, flush=True)


def _say_done(done: loading.Loaded, *, as_json: bool) -> None:
    """Say what a load has changed: on standard error where standard output takes nothing."""
    if not done.changed:
        text = f"nothing to change, version {done.version}"
    else:
        text = f"{done.changed} row{'s' if done.changed > 1 else ''} changed, version {done.version}"
    print_warnings(done.warnings)
    try:
        if as_json:
            print_json({"version": done.version, "changed": done.changed, "warnings": done.warnings})
        else:
            print(text)
        sys.stdout.flush()
    except OSError:
        print(text, file=sys.stderr)
        raise


def dump(arguments: argparse.Namespace) -> int:
    """Print the whole data set as a data file."""
    settings = from_process(arguments.config)
    # A shared store lets nobody write while it is looked at, and who reads this may be a pager that stays open.
    with _room():
        whole = tempfile.TemporaryFile("w+", encoding="utf-8", newline="")  # noqa: SIM115 - closed below, full or not

    def write(piece: str) -> None:
        with _room():
            whole.write(piece)

    try:
        with_store(stores_of(settings.store).rows, lambda store: dumping.dump(store, write, as_json=arguments.json))
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


def refuse(refused: DataProblems, *, as_json: bool) -> None:
    """Say every problem for which a change was refused, and that nothing was changed."""
    if as_json:
        print_json({"problems": refused.problems})
    else:
        for each in refused.problems:
            print(each, file=sys.stderr)
    count = len(refused.problems)
    more = f"; more may show once {'these are' if count > 1 else 'it is'} corrected" if refused.more else ""
    print(f"ringway: {count} problem{'s' if count > 1 else ''}; nothing was changed{more}", file=sys.stderr)
