"""`ringway route`: the decision that the store gives for a call, offline, with every step that led to it."""

import argparse
import time
from functools import partial

from dialplan.numbering.numbers import is_region
from dialplan.routing.decide import Call
from dialplan.wording import printable, quote
from router.commands.output import print_json
from router.commands.running import Failure, opened, with_store
from router.config.settings import from_process
from router.management.explain import BadTimeError, Explained, Past, explain, past_of
from router.store.api import NoStoreError
from router.store.factory import stores_of


class Refused(Failure):
    """The question cannot be answered; the text says why."""


def route(arguments: argparse.Namespace) -> int:
    """Decide and explain. Consumes nothing, changes nothing."""
    settings = from_process(arguments.config)
    region = (arguments.region or settings.numbering.region).upper()
    if not is_region(region):
        raise Refused(f"--region {quote(region)} is not a country; use its ISO 3166 code, such as GB")
    call = Call(arguments.did, arguments.caller or "", region, settings.numbering.bare)
    at = time.time() if arguments.at is None else arguments.at
    stores = stores_of(settings.store)

    async def past(number: str, subscriber: str, until: float) -> Past:
        """What was known of the two numbers then; nothing where no router has run here yet."""
        try:
            return await opened(stores.callbacks, partial(past_of, number=number, subscriber=subscriber, until=until))
        except NoStoreError:
            return Past()

    try:
        explained = with_store(stores.rows, lambda store: explain(store, past, call, at, settings.defaults.destination))
    except BadTimeError as error:
        raise Refused(f"--at: {error}") from None
    if arguments.json:
        print_json(explained)
    else:
        _print(explained)
    return 0


def _print(explained: Explained) -> None:
    width = max(len(step.step) for step in explained.steps)
    outcome_width = max(len(step.outcome) for step in explained.steps)
    for step in explained.steps:
        # Attempts and calls in it have names of somebody else's choice.
        print(f"{step.step:<{width}}  {step.outcome:<{outcome_width}}  {printable(step.detail)}")
    destination = ",".join(str(part) for part in explained.destination.values())
    what = f"{explained.kind} {explained.id}".strip()
    print(f"=> {destination}  {what}, reason {explained.reason}, at {explained.at}, version {explained.version}")
    for name, value in explained.parameters.items():
        print(f"   PARAM_{name} = {quote(value)}")
