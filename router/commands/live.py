"""`ringway call` and `ringway status`: what a running router says."""

import argparse
import contextlib
import http
import os
import re
import time
from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from dialplan.wording import printable, quote
from router.agi.client import AgiClientError, UnsendableError, ask_route
from router.commands.output import print_json
from router.commands.running import Failure
from router.config.limits import STATUS_TIMEOUT_SECONDS
from router.config.settings import PORT_MAX, Settings, from_process
from router.util.listening import from_here
from router.util.page import PageError, address_of, page_of

# What `ringway_ami_hearing` counts -> in words.
_HEARING = {"variables": "channel variables", "hangups": "hangups", "dials": "dials", "calls": "own calls"}
_MISSING = "MISSING"
_HEARD = {1.0: "ok", 0.0: _MISSING, -1.0: "not seen yet"}
_PORT = re.compile("[0-9]{1,5}")


class Unreachable(Failure):
    """A running router did not answer; the text says where it was looked for."""


class NotReady(Failure):
    """A running router is not ready for calls; the text says why."""


def call(arguments: argparse.Namespace) -> int:
    """Ask over FastAGI, as Asterisk would, and show the variables that it would get."""
    settings = from_process(arguments.config)
    host, port = agi_address(arguments.agi, settings)
    unique_id = f"{time.time():.0f}.{os.getpid()}"
    started = time.perf_counter()
    with asking(host, port):
        variables = ask_route(host, port, arguments.did, arguments.caller or "", unique_id, STATUS_TIMEOUT_SECONDS)
    milliseconds = (time.perf_counter() - started) * 1000
    if arguments.json:
        print_json(variables)
    else:
        for name, value in variables.items():
            print(f"{printable(name)} = {quote(value)}")
        print(f"answered by {host}:{port} in {milliseconds:.1f} ms")
    return 0


@contextlib.contextmanager
def asking(host: str, port: int) -> Iterator[None]:
    """Turn what the asking of a router raises into Unreachable."""
    try:
        yield
    except UnsendableError as error:
        raise Unreachable(str(error)) from None
    except (OSError, UnicodeError, AgiClientError) as error:  # UnicodeError: a host that no name can be
        why = getattr(error, "strerror", None) or error
        where = f"{printable(host)}:{port}"
        raise Unreachable(f"the router at {where} gave no answer: {why}; is `ringway serve` running?") from error


def agi_address(text: str | None, settings: Settings) -> tuple[str, int]:
    """Where to ask: `--agi HOST:PORT`, else where a router of this configuration listens. Raises Unreachable."""
    if text is None:
        return from_here(settings.agi.host), settings.agi.port
    host, _, port = text.rpartition(":")
    if not host or not _PORT.fullmatch(port) or not 1 <= int(port) <= PORT_MAX:
        raise Unreachable(f"--agi {quote(text)} is not HOST:PORT; write it like 127.0.0.1:4573")
    return host.strip("[]"), int(port)


def status(arguments: argparse.Namespace) -> int:
    """Table version and size, links and ages, from the router's own metrics, and whether it is ready for calls."""
    settings = from_process(arguments.config)
    if settings.metrics.port == 0:
        raise Unreachable("[metrics] port is 0: a router without metrics cannot tell its status; give it one")
    router = address_of(settings.metrics.host, settings.metrics.port)
    page = _got(f"{router}/metrics")[1]
    try:
        state = _state(page)
    except (ValueError, OverflowError):  # another program's page; a count that is infinite
        state = {}
    if "table_version" not in state:
        raise Unreachable(f"what answers at {router}/metrics is no router; see [metrics] port, and what listens there")
    code, text = _got(f"{router}/ready")
    why = printable(text.strip()) if code == http.HTTPStatus.SERVICE_UNAVAILABLE else ""
    remark = printable(text.strip()).removeprefix("ready").removeprefix(", ")
    state = {"ready": why or (f"yes, {remark}" if remark else "yes")} | state
    if arguments.json:
        print_json(state)
    else:
        for name, value in state.items():
            print(f"{name:<20} {value}")
    if why:
        raise NotReady(f"the router at {router} is {why}")
    return 0


def _got(address: str) -> tuple[int, str]:
    """The status and the text of a page of a running router. Raises Unreachable."""
    try:
        return page_of(address, STATUS_TIMEOUT_SECONDS)
    except PageError as error:
        raise Unreachable(f"the router at {address} gave no answer: {error}; is `ringway serve` running?") from error


def _state(text: str) -> dict[str, object]:
    """The answer of `status` out of a metrics page."""
    state: dict[str, object] = {}
    decisions = 0.0
    families = list(text_string_to_metric_families(text))
    for family in families:
        for sample in family.samples:
            name = sample.name.removeprefix("ringway_")
            if name in ("table_version", "table_numbers", "agi_connections"):
                state[name] = int(sample.value)
            elif name in ("table_rows_left_out", "table_rows_read_in_part") and sample.value:
                state[name.removeprefix("table_")] = int(sample.value)
            elif name == "table_digest":
                state[name] = f"{int(sample.value):013x}"
            elif name == "table_age_seconds":
                state[name] = round(sample.value, 3)
            elif name == "store_up" and sample.labels.get("store") == "callbacks":
                state["callbacks_store"] = "up" if sample.value else "DOWN"
            elif name == "store_up":
                state["store"] = f"{_label(sample, 'store')}, {'up' if sample.value else 'DOWN'}"
            elif name == "store_unfit" and sample.value:
                state["store_unfit"] = _label(sample, "cause")
            elif name == "decisions_total":
                decisions += sample.value
    state |= _links(families)
    state["decisions"] = int(decisions)
    return state


def _label(sample: Sample, name: str) -> str:
    """What a label says, as it may be shown: whoever has the port may have said it."""
    return printable(sample.labels.get(name, ""))


def _links(families: Sequence[Metric]) -> dict[str, str]:
    """The links to Asterisk, and what those that are up let the router hear."""
    links: dict[str, str] = {}
    heard: dict[str, list[str]] = {}
    for sample in (sample for family in families for sample in family.samples):
        key = f"ami {_label(sample, 'asterisk')}"
        if sample.name == "ringway_ami_connected":
            links[key] = "connected" if sample.value else "DOWN"
        elif sample.name == "ringway_ami_hearing":
            what = _label(sample, "what")
            heard.setdefault(key, []).append(f"{_HEARING.get(what, what)}: {_HEARD.get(sample.value, _MISSING)}")
    for key, parts in heard.items():
        if links.get(key) == "connected":
            links[key] = "; ".join(["connected", *parts])
            if any(part.endswith(_MISSING) for part in parts):
                links[key] += " (the log's ami_deaf says what to do)"
    return links
