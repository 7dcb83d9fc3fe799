"""The same job as a user of panoramisk's FastAGI server would write it, on uvloop.

After the library's own example: an Application, one route, a coroutine that sends one command. The numbers are in a
dictionary. No metrics, no log, no callbacks, no deadline. The backlog alone is larger than the usual 100, for a burst
would overflow that and measure refused connections.
"""

import argparse
import asyncio
import gc
import logging
import sys
from pathlib import Path
from typing import NamedTuple

import uvloop
from panoramisk import fast_agi

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import calls
from bench.bare import BACKLOG


class Route(NamedTuple):
    """What the dictionary has of a number."""

    flow: int
    company: int
    ring_seconds: int
    greeting: str


def routes(numbers: int) -> dict[str, Route]:
    """Return where each number goes, by its E.164 form."""
    found = {}
    for index in range(numbers):
        own = calls.own_values(index)
        ring = int(own.get("RING_SECONDS", calls.DEFAULT_RING_SECONDS))
        greeting = str(own.get("GREETING", "Hello and welcome"))
        found[calls.e164(index)] = Route(calls.flow_of(index), calls.company_of(index), ring, greeting)
    return found


def to_e164(dialled: str) -> str:
    """Return a British number as `+44…`, from the forms that a trunk sends."""
    for prefix in ("+", "00"):
        if dialled.startswith(prefix):
            return "+" + dialled.removeprefix(prefix)
    if dialled.startswith("0"):
        return "+44" + dialled[1:]
    return "+" + dialled


def command_for(number: str, caller: str, route: Route) -> str:
    """Return the one command, of the size of the router's."""
    flow = route.flow
    values = [
        f"ROUTE_CONTEXT=flow-{flow},ROUTE_EXTEN=s,ROUTE_PRIORITY={flow % 3 + 1}",
        f"ROUTE_KIND=call-flow,ROUTE_ID=flow-{flow},ROUTE_COMPANY=company-{route.company}",
        f"ROUTE_NUMBER={number},ROUTE_CALLER={caller},ROUTE_REASON=assigned,ROUTE_VERSION=1",
    ]
    if calls.has_parameters(flow):
        values.append(f"PARAM_GREETING={route.greeting},PARAM_RING_SECONDS={route.ring_seconds}")
    return f'EXEC MSet "{",".join(values)},ROUTE_STATUS=OK"'


def main() -> None:
    """Run until killed."""
    parser = argparse.ArgumentParser(description="panoramisk's FastAGI server with a dictionary of all numbers.")
    parser.add_argument("--numbers", type=int, default=1_000_000)
    # It logs a traceback for each caller that gave up; those are counted anyway.
    logging.getLogger(fast_agi.__name__).setLevel(logging.CRITICAL)
    table = routes(parser.parse_args().numbers)
    gc.collect()
    gc.freeze()  # or each full collection would walk the table: the router does the same

    async def route(request: fast_agi.Request) -> None:
        headers = request.headers
        number = to_e164(headers["agi_extension"])
        await request.send_command(command_for(number, to_e164(headers["agi_callerid"]), table[number]))

    async def serve() -> None:
        application = fast_agi.Application(loop=asyncio.get_running_loop())
        application.add_route("route", route)
        server = await asyncio.start_server(application.handler, "127.0.0.1", 0, backlog=BACKLOG)
        print(f"listening {server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()

    uvloop.run(serve())


if __name__ == "__main__":
    main()
