"""The command line: what may be asked, and which command answers.

Exit status: 0 done, 1 refused or failed with one clear line on standard error, 2 wrong usage.
"""

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dialplan.wording import quote
from router.commands import attempts, data, live, route
from router.commands.running import Failure
from router.config.settings import SettingsError, from_process
from router.store.api import StoreError

Command = Callable[[argparse.Namespace], int]


def main(words: Sequence[str] | None = None) -> int:
    """Run the command that the words name; returns the exit status."""
    _prepare_output()
    arguments = _parser().parse_args(words)
    command: Command = arguments.command
    try:
        status = command(arguments)
        sys.stdout.flush()
    except (SettingsError, StoreError, Failure) as error:
        print(f"ringway: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if command is serve:
            raise
        _give_up_printing(error)
        return 1
    except KeyboardInterrupt:
        print("ringway: interrupted", file=sys.stderr)
        return 1
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("ringway", description="Inbound call router for Asterisk.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: Command, summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        sub.set_defaults(command=command)
        return sub

    def configured(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("-c", dest="config", metavar="FILE", help="the configuration (else the defaults)")

    def printing(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--json", action="store_true", help="print JSON")

    sub = add("serve", serve, "run the router: AGI, AMI and metrics")
    configured(sub)

    sub = add("check", data.check, "validate data files and say every problem; change nothing")
    sub.add_argument("files", nargs="+", metavar="FILE", help="TOML, JSON, or CSV for numbers; - is standard input")
    printing(sub)

    sub = add("load", data.load, "validate data files, then apply all of them or nothing")
    sub.add_argument("files", nargs="+", metavar="FILE", help="TOML, JSON, or CSV for numbers; - is standard input")
    sub.add_argument("--replace", action="store_true", help="the files are the whole set: what they lack is removed")
    sub.add_argument("--as-company", metavar="ID", help="refuse what the admin of that company may not change")
    configured(sub)
    printing(sub)

    sub = add("dump", data.dump, "print the whole data set as a data file")
    configured(sub)
    printing(sub)

    sub = add("route", route.route, "show the decision that the store gives, with every step; consumes nothing")
    sub.add_argument("did", metavar="DID", help="the dialled number")
    sub.add_argument("--from", dest="caller", metavar="CALLER", help="the caller's number")
    sub.add_argument("--at", metavar="TIME", help="another moment, such as 2026-12-24T17:00:00Z")
    sub.add_argument("--region", metavar="CC", help="the country that reads national numbers")
    configured(sub)
    printing(sub)

    sub = add("attempts", attempts.attempts, "list the outbound calls that the router has heard of")
    sub.add_argument("--number", metavar="N", help="those that showed this number")
    sub.add_argument("--subscriber", metavar="S", help="those to this subscriber")
    sub.add_argument("--limit", metavar="COUNT", type=_count, default=100, help="the newest ones, 100 by default")
    configured(sub)
    printing(sub)

    sub = add("call", live.call, "ask a running router over FastAGI, as Asterisk would")
    sub.add_argument("did", metavar="DID", help="the dialled number")
    sub.add_argument("--from", dest="caller", metavar="CALLER", help="the caller's number")
    sub.add_argument("--agi", metavar="HOST:PORT", help="another router than the configured one")
    configured(sub)
    printing(sub)

    sub = add("status", live.status, "show table, store and ages of a running router")
    configured(sub)
    printing(sub)
    return parser
