"""What a router that runs says on its pages: whether it is ready, what has come to it, and what its links hear."""

import asyncio
import http
import math
from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from dialplan.wording import printable
from router.config.limits import DOCTOR_PART_SECONDS, STATUS_TIMEOUT_SECONDS
from router.config.settings import Endpoint
from router.doctor.findings import Finding, State, fine, unseen, wrong
from router.util.own_thread import OwnThread
from router.util.page import PageError, address_of, page_of

Hearing = Mapping[str, Mapping[str, State]]  # the name of an [[ami]] -> what is heard of it -> whether it is
_SEE = "see [metrics] host and port, and what listens there"
_HEARD = {1.0: State.OK, 0.0: State.WRONG}  # -1: not seen yet


class Sample(NamedTuple):
    """One value of the metrics page."""

    name: str
    labels: Mapping[str, str]
    value: float


class Page(NamedTuple):
    """The pages of a running router; `not_ready`: why it is not ready for calls."""

    samples: tuple[Sample, ...]
    not_ready: str = ""

    def total(self, name: str, **labels: str) -> int:
        """The sum of a metric's values that have these labels; 0 where they are no numbers that can be counted."""
        found = (each for each in self.samples if each.name == name and labels.items() <= each.labels.items())
        count = sum(each.value for each in found)
        return int(count) if math.isfinite(count) else 0


async def look(metrics: Endpoint) -> tuple[Page | None, Finding]:
    """The pages, where a router of this configuration answers, and what is found of them."""
    if not metrics.port:
        what = "[metrics] port is 0: a running router cannot be asked what it hears"
        return None, unseen("router", what, "give it a port, and restart the router")
    where = address_of(metrics.host, metrics.port)
    try:
        return await asyncio.wait_for(OwnThread("page").run(lambda: _asked(where)), DOCTOR_PART_SECONDS)
    except TimeoutError:
        return None, wrong("router", f"{printable(where)}/metrics does not answer", _SEE)


def _asked(where: str) -> tuple[Page | None, Finding]:
    shown = printable(where)
    try:
        text = page_of(f"{where}/metrics", STATUS_TIMEOUT_SECONDS)[1]
        code, ready = page_of(f"{where}/ready", STATUS_TIMEOUT_SECONDS)
    except PageError as error:
        if error.refused:
            return None, unseen("router", f"no router answers at {shown}/metrics", "start it: ringway serve")
        return None, wrong("router", f"{shown}/metrics: {printable(str(error))}", _SEE)
    page = read(text, ready.strip() if code == http.HTTPStatus.SERVICE_UNAVAILABLE else "")
    if page is None:
        mend = "set another [metrics] port, or stop what has this one"
        return None, wrong("router", f"what answers at {shown}/metrics is no router", mend)
    if page.not_ready:
        return page, wrong("router", f"it runs, and is {page.not_ready}", "see its log")
    return page, fine("router", f"it runs, and is ready; {page.total('ringway_decisions_total')} calls decided")


def read(text: str, not_ready: str = "") -> Page | None:
    """A metrics page; None where it is no router's."""
    samples: list[Sample] = []
    try:
        for family in text_string_to_metric_families(text):
            samples += (Sample(each.name, each.labels, each.value) for each in family.samples)
    except ValueError:
        return None
    page = Page(tuple(samples), printable(not_ready))
    return page if any(each.name == "ringway_table_version" for each in samples) else None


def hearing(page: Page | None) -> Hearing:
    """What the router's links have heard and miss, by the name of each [[ami]]; what is not seen yet is not in it.

    The words are those of `ringway_ami_hearing`: `variables` (channelvars of manager.conf), `hangups` and `dials`
    (events that the account gets), `calls` (that this router has decided).
    """
    found: dict[str, dict[str, State]] = {}
    for each in page.samples if page is not None else ():
        if each.name == "ringway_ami_hearing" and each.value in _HEARD:
            found.setdefault(each.labels.get("asterisk", ""), {})[each.labels.get("what", "")] = _HEARD[each.value]
    return found
