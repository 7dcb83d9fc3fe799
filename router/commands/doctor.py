"""`ringway doctor`: what is wrong with a site's wiring, part by part, and what to change."""

import argparse
import asyncio
import textwrap
from collections.abc import Sequence

from dialplan.wording import printable
from router.commands.output import print_json
from router.commands.running import Failure
from router.config.settings import SettingsError, from_process
from router.doctor import configuration
from router.doctor.examine import examine
from router.doctor.findings import Finding, State
from router.util import descriptors

_ARROW = "-> "


class Wrong(Failure):
    """Something is to be changed; the text says how many parts of it."""


def doctor(arguments: argparse.Namespace) -> int:
    """Look at each part, and print what is found of it. Changes nothing."""
    found = _found(arguments.config)
    if arguments.json:
        print_json({"findings": found})
    else:
        _print(found)
    count = sum(each.state is State.WRONG for each in found)
    if count:
        raise Wrong(f"{count} of {len(found)} parts {'is' if count == 1 else 'are'} wrong; each says what to change")
    return 0


def _found(path: str | None) -> Sequence[Finding]:
    try:
        settings = from_process(path)
    except SettingsError as error:
        return configuration.unusable(str(error))
    if descriptors.are_used_up():
        raise Failure(descriptors.TOO_FEW)
    source = path if path is not None else "the defaults and the environment, without -c FILE"
    return asyncio.run(examine(settings, printable(source)))


def _print(found: Sequence[Finding]) -> None:
    parts = [f"{each.part} {printable(each.of)}".strip() for each in found]
    width, states = max(map(len, parts)), max(map(len, State))
    for part, each in zip(parts, found, strict=True):
        print(f"{part:<{width}}  {each.state:<{states}}  {printable(each.what)}")
        if each.mend:
            print(textwrap.indent(f"{_ARROW}{printable(each.mend)}", " " * (width + states + 4)))
    counts = [f"{sum(each.state is state for each in found)} {state}" for state in State]
    print(", ".join(counts))
