"""`ringway report-attempt`: tells a running router of an attempt over FastAGI, as the shipped dialplan does."""

import argparse
import os
import time
import uuid
from collections.abc import Mapping
from typing import NamedTuple

from router.agi.client import ask_attempt
from router.commands.live import agi_address, asking
from router.commands.output import print_json
from router.commands.running import Failure
from router.config.limits import STATUS_TIMEOUT_SECONDS
from router.config.settings import from_process


class NotTaken(Failure):
    """The router did not take the report; the text says what to do."""


class Facts(NamedTuple):
    """What a hangup handler would have seen: the cause (Q.850), 1 where it rang, the last SIP answer (0: none)."""

    cause: int
    heard: int
    sip: int


# What usually comes with each DIALSTATUS of Asterisk.
OUTCOMES: Mapping[str, Facts] = {
    "NOANSWER": Facts(cause=19, heard=1, sip=0),  # no answer from user, alerted
    "BUSY": Facts(cause=17, heard=0, sip=486),  # user busy
    "ANSWER": Facts(cause=16, heard=1, sip=200),  # normal clearing
    "CANCEL": Facts(cause=16, heard=1, sip=0),  # the dialler gave up while it rang
    "CONGESTION": Facts(cause=34, heard=0, sip=503),  # no circuit available
    "CHANUNAVAIL": Facts(cause=3, heard=0, sip=0),  # no route to destination
}


def report_attempt(arguments: argparse.Namespace) -> int:
    """Report one attempt that ends now, under an id of its own, and say what the router made of it."""
    host, port = agi_address(arguments.agi, from_process(arguments.config))
    now = time.time()
    name = f"report-{uuid.uuid4().hex}"
    facts = OUTCOMES[arguments.outcome]
    what = (arguments.campaign, arguments.subscriber, arguments.number, arguments.outcome)
    report = [name, *what, *map(str, (facts.cause, facts.heard, int(now * 1000), facts.sip))]
    with asking(host, port):
        status = ask_attempt(host, port, report, f"{now:.0f}.{os.getpid()}", STATUS_TIMEOUT_SECONDS)
    if arguments.json:
        keys = ("status", "id", "campaign", "subscriber", "number", "outcome")
        print_json(dict(zip(keys, (status, name, *what), strict=True)))
    router = f"the router at {host}:{port}"
    if status == "LATER":
        hint = "report it again in a moment; `ringway status` shows its stores"
        raise NotTaken(f"{router} cannot write the attempt down now; {hint}")
    if status == "REFUSED":
        raise NotTaken(f"{router} cannot read the report; it may be of another version: compare `ringway --version`")
    if not arguments.json:
        print(f"{router} acknowledged it as attempt {name}")
        print("one that it cannot use is logged as attempt_ignored; `ringway attempts` lists what is written down")
    return 0
