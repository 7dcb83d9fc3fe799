"""`ringway attempts`: the outbound calls that the router has heard of, and what became of them."""

import argparse

from dialplan.wording import printable, quote
from router.commands.output import print_json
from router.commands.running import Failure, with_store
from router.config.settings import from_process
from router.management import attempts as use_case
from router.store.factory import stores_of


class BadNumber(Failure):
    """A number that was asked for cannot be read; the text says why."""


def attempts(arguments: argparse.Namespace) -> int:
    """List attempts, the newest first."""
    settings = from_process(arguments.config)
    reading = settings.numbering
    try:
        wanted = use_case.wanted(
            arguments.number,
            arguments.subscriber,
            arguments.limit,
            reading.region,
            reading.bare,
            arguments.campaign,
        )
    except use_case.BadNumberError as error:
        raise BadNumber(f"--{error.field} {quote(error.value)}: {error}") from None
    found = with_store(stores_of(settings.store).callbacks, lambda store: use_case.attempts(store, wanted))
    if arguments.json:
        print_json(found)
        return 0
    for each in found:
        name = printable(each.id)  # whoever told of it chose its bytes
        print(f"{each.at}  {each.outcome:<8}  {each.number:<16}  {each.subscriber:<16}  {each.campaign}  {name}")
    read = f" that showed {wanted.number}" if wanted.number else ""
    read += f" to {wanted.subscriber}" if wanted.subscriber else ""
    read += f" of campaign {quote(wanted.campaign)}" if wanted.campaign else ""
    print(f"{len(found)} attempt{'' if len(found) == 1 else 's'}{read}")
    return 0
