"""The command line: what may be asked, and which command answers.

Exit status: 0 done, 1 refused or failed with one clear line on standard error, 2 wrong usage.
"""

import argparse
import contextlib
import errno
import gc
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dialplan.wording import quote
from router.commands import attempts, data, edit, live, report_attempt, route
from router.commands.running import Failure, interruptible
from router.config.settings import SettingsError, from_process
from router.store.api import StoreError
from router.util import descriptors

Command = Callable[[argparse.Namespace], int]


def main(words: Sequence[str] | None = None) -> int:
    """Run the command that the words name; returns the exit status."""
    descriptors.keep_standard()
    _prepare_output()
    arguments = _parser().parse_args(words)
    command: Command = arguments.command
    if command is not serve:
        gc.disable()  # its leavings end with it, soon, and a million rows would be looked through again and again
    try:
        # A router has its own way to end.
        with contextlib.nullcontext() if command is serve else interruptible():
            status = command(arguments)
            sys.stdout.flush()
    except (SettingsError, StoreError, Failure) as error:
        print(f"ringway: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            print(f"ringway: {descriptors.TOO_FEW}", file=sys.stderr)
            return 1
        if command is serve:
            raise
        _give_up_printing(error)
        return 1
    except KeyboardInterrupt:
        print("ringway: interrupted", file=sys.stderr)
        return 1
    finally:
        gc.enable()  # whoever calls this may go on
    return status


def _prepare_output() -> None:
    """Output goes somewhere, and is UTF-8 as data files are, also where the terminal's own characters are others."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - for good
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")


def _give_up_printing(error: OSError) -> None:
    """Say why, unless a pipe's reader has had enough (`ringway dump | head`), and let nothing more be tried."""
    if not isinstance(error, BrokenPipeError):
        print(f"ringway: cannot print: {error.strerror}; nothing is wrong with the store", file=sys.stderr)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def serve(arguments: argparse.Namespace) -> int:
    """Run the router until it is told to stop."""
    from router import app  # noqa: PLC0415 - only this command needs the whole router

    app.serve(from_process(arguments.config))
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Check a site's wiring."""
    from router.commands import doctor as command  # noqa: PLC0415 - only this one needs the clients of all parts

    return command.doctor(arguments)


def _count(text: str) -> int:
    """A count of what is to be listed; more than a store can count is none."""
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0):  # noqa: PLR2004 - 64 bits
        raise argparse.ArgumentTypeError(f"{quote(text)} is not a whole number above 0")
    return int(text)


class _Version(argparse.Action):
    """Says the version of the installed package. Looked up only when asked: the code runs without being installed."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print it and exit."""
        try:
            print(f"ringway {version('ringway')}")
        except PackageNotFoundError:
            parser.exit(1, "ringway: not installed, so the version is not known; install it with make env\n")
        parser.exit()


_ALONE = "The files have to stand alone: `ringway load` checks them against what is stored too."
_REPLACES = "An entry replaces the stored one with its id or number; the others stay, unless --replace is given."
_VALUES = (
    "Texts stand as they are, all else as TOML writes it: active=false, caller_ids='[\"+442079460000\"]'. An empty "
    "value takes a field out. A dot leads into a table: destination.context=flow-menu, parameters.GREETING=Hello."
)
_DOCTOR = (
    "It changes nothing, and works with a running router and without one. What an idle site cannot show yet reads "
    "`not seen yet`. Exit status 1 where something is wrong."
)
_COUNTS = "With --from this is a call like any other: a callback entitlement of that caller is consumed by it."


class _Help(argparse.HelpFormatter):
    """Help with each command and its summary side by side."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)
        self._action_max_length = len("report-attempt") + 4  # argparse forgets that commands are indented once more


class _Commands:
    """The commands, as they are added one by one."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._all = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(self, name: str, command: Command, summary: str, epilog: str = "") -> argparse.ArgumentParser:
        """One command: what it is called, does, and says below its help."""
        description = f"{summary[0].upper()}{summary[1:]}."
        sub = self._all.add_parser(name, help=summary, description=description, epilog=epilog)
        sub.set_defaults(command=command)
        return sub


def _configured(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "-c", dest="config", metavar="FILE", help="the configuration, a TOML file (without it: the defaults)"
    )


def _printing(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--json", action="store_true", help="print JSON instead of text")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "ringway",
        description="Inbound call router for Asterisk.",
        epilog="`ringway COMMAND -h` says more of a command. Exit status: 0 done, 1 refused or failed, 2 wrong usage.",
        formatter_class=_Help,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = _Commands(parser)
    _configured(commands.add("serve", serve, "run the router: AGI, AMI and metrics"))
    _add_data(commands)
    _add_stored(commands)
    _add_live(commands)
    return parser


def _add_data(commands: _Commands) -> None:
    """The data set in and out of the store."""
    sub = commands.add("check", data.check, "validate data files and say every problem; change nothing", _ALONE)
    sub.add_argument("files", nargs="+", metavar="FILE", help="TOML, JSON, or CSV for numbers; - is standard input")
    _printing(sub)

    sub = commands.add("load", data.load, "validate data files, then apply all of them or nothing", _REPLACES)
    sub.add_argument("files", nargs="+", metavar="FILE", help="TOML, JSON, or CSV for numbers; - is standard input")
    sub.add_argument("--replace", action="store_true", help="the files are the whole data set: remove what they lack")
    sub.add_argument("--yes", action="store_true", help="with --replace: more than half of a kind may go")
    sub.add_argument(
        "--as-company", metavar="ID", help="check besides that the admin of that company may change all of it"
    )
    _configured(sub)
    _printing(sub)

    _add_by_hand(commands)

    sub = commands.add("dump", data.dump, "print the whole data set as a data file")
    _configured(sub)
    _printing(sub)


def _add_by_hand(commands: _Commands) -> None:
    """One change at a prompt."""
    sub = commands.add("edit", edit.edit, "change fields of one row", _VALUES)
    sub.add_argument("kind", choices=list(edit.KIND_WORDS), metavar="KIND", help=", ".join(edit.KIND_WORDS))
    sub.add_argument("key", metavar="KEY", help="its id, or the number with its + in front")
    sub.add_argument("edits", nargs="+", metavar="FIELD=VALUE", help="a field, and what it becomes")
    sub.add_argument("--new", action="store_true", help="make a row that is not there yet")
    _changing(sub)

    sub = commands.add("remove", edit.remove, "remove rows, unless others still name them")
    sub.add_argument("kind", choices=list(edit.KIND_WORDS), metavar="KIND", help=", ".join(edit.KIND_WORDS))
    sub.add_argument("keys", nargs="+", metavar="KEY", help="an id, or a number with its + in front")
    _changing(sub)


def _changing(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--preview", action="store_true", help="show what would change, and change nothing")
    sub.add_argument("--as-company", metavar="ID", help="check besides that the admin of that company may change it")
    _configured(sub)
    _printing(sub)


def _add_stored(commands: _Commands) -> None:
    """What the store says, without a running router."""
    sub = commands.add("route", route.route, "decide a call by what is stored, and show every step; consumes nothing")
    sub.add_argument("did", metavar="DID", help="the dialled number")
    sub.add_argument("--from", dest="caller", metavar="CALLER", help="the caller's number (without it: withheld)")
    sub.add_argument(
        "--at",
        metavar="TIME",
        help="another moment than now, such as 2026-12-24T17:00:00Z; without an offset in the company's time zone",
    )
    sub.add_argument(
        "--region",
        metavar="CC",
        help="the country whose national numbers are meant, such as GB (without it: [numbering] region)",
    )
    _configured(sub)
    _printing(sub)

    sub = commands.add("attempts", attempts.attempts, "list the outbound calls that the router has heard of")
    sub.add_argument("--number", metavar="N", help="only those that showed this number")
    sub.add_argument("--subscriber", metavar="S", help="only those to this subscriber")
    sub.add_argument("--campaign", metavar="ID", help="only those of this campaign")
    sub.add_argument(
        "--limit", metavar="COUNT", type=_count, default=100, help="at most so many (100 by default), the newest first"
    )
    _configured(sub)
    _printing(sub)


def _add_live(commands: _Commands) -> None:
    """What is asked of a running router."""
    sub = commands.add("call", live.call, "ask a running router over FastAGI, as Asterisk would", _COUNTS)
    sub.add_argument("did", metavar="DID", help="the dialled number")
    sub.add_argument("--from", dest="caller", metavar="CALLER", help="the caller's number (without it: withheld)")
    sub.add_argument("--agi", metavar="HOST:PORT", help="where the router listens (without it: as configured)")
    _configured(sub)
    _printing(sub)

    sub = commands.add(
        "report-attempt",
        report_attempt.report_attempt,
        "tell a running router of a campaign's call over FastAGI, as the dialplan would",
        epilog="The router says OK to an attempt that it ignores as well, because it does not know the campaign, or "
        "the number shown is neither the pool's nor of that company; its log says why (attempt_ignored). "
        "`ringway attempts` lists what it has written down.",
    )
    sub.add_argument("campaign", metavar="CAMPAIGN", help="the id of the campaign that called")
    sub.add_argument("subscriber", metavar="SUBSCRIBER", help="the number that it called")
    sub.add_argument("number", metavar="NUMBER", help="the number of yours that it showed")
    sub.add_argument(
        "--outcome",
        metavar="DIALSTATUS",
        type=str.upper,
        choices=list(report_attempt.OUTCOMES),
        default="NOANSWER",
        help="how it ended: NOANSWER (it rang, and nobody answered; the default), BUSY, CANCEL (given up while it "
        "rang), ANSWER; or CONGESTION, CHANUNAVAIL (it never reached the subscriber)",
    )
    sub.add_argument("--agi", metavar="HOST:PORT", help="where the router listens (without it: as configured)")
    _configured(sub)
    _printing(sub)

    sub = commands.add("doctor", doctor, "check a site's wiring part by part, and say what to change", _DOCTOR)
    _configured(sub)
    _printing(sub)

    sub = commands.add(
        "status", live.status, "show the table, the stores and the links of a running router, and their ages"
    )
    _configured(sub)
    _printing(sub)
