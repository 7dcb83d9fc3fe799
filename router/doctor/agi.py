"""The FastAGI port: who listens there, and whom `[agi] allow` lets in."""

import asyncio
import enum
import os
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

from dialplan.wording import printable, quote
from router.agi.client import AgiClientError, ask
from router.agi.messages import AgiRequest
from router.config.limits import DOCTOR_PART_SECONDS, STATUS_TIMEOUT_SECONDS
from router.config.settings import Agi
from router.doctor import networks
from router.doctor.findings import Finding, fine, unseen, wrong
from router.doctor.router_page import Page
from router.util import listening
from router.util.own_thread import OwnThread

_PORT, _ALLOW = "agi port", "agi allow"
_STATUS = "ATTEMPT_STATUS"
_VARIABLES = "RINGWAY_AGI__"


class Answer(enum.Enum):
    """Who answers at the port."""

    ROUTER = "a router answers"
    NOBODY = "nobody listens there"
    SILENT = "it does not answer"
    STRANGER = "what answers is no router"
    NOT_LET_IN = "it takes connections"  # and this machine may not ask


class Asked(NamedTuple):
    """What came of asking. `error`: what keeps a router from listening there, where nobody does, with the hint."""

    answer: Answer
    error: str = ""
    mend: str = ""


class Caller(NamedTuple):
    """From where an Asterisk asks: `addresses` are those that it may connect from."""

    name: str
    host: str
    addresses: tuple[str, ...]


async def look(agi: Agi) -> Asked:
    """Ask at the port: for an attempt that is none, which a router refuses and its log tells, and nothing else."""
    try:
        return await asyncio.wait_for(OwnThread("agi").run(lambda: _ask(agi)), DOCTOR_PART_SECONDS)
    except TimeoutError:
        return Asked(Answer.SILENT)


def _ask(agi: Agi) -> Asked:
    host = listening.from_here(agi.host)
    request = AgiRequest(
        "attempt", "", f"{time.time():.0f}.{os.getpid()}", "unknown", "67", "unknown", "s", ()
    )  # an attempt without a word about it
    let_in = any(networks.allowed(each, agi.allow) for each in networks.addresses_of(host))
    try:
        if not let_in:
            socket.create_connection((host, agi.port), STATUS_TIMEOUT_SECONDS).close()
            return Asked(Answer.NOT_LET_IN)
        status = ask(host, agi.port, request, STATUS_TIMEOUT_SECONDS, _STATUS).get(_STATUS)
    except TimeoutError:
        return Asked(Answer.SILENT)
    except (AgiClientError, ConnectionResetError, BrokenPipeError):
        return Asked(Answer.STRANGER)
    except (OSError, UnicodeError, OverflowError):
        return _free(agi)
    return Asked(Answer.ROUTER if status else Answer.STRANGER)


def _free(agi: Agi) -> Asked:
    """Whether a router could listen there; the port is bound for a moment, and nobody is listened to."""
    try:
        found = socket.getaddrinfo(agi.host or None, agi.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except (OSError, UnicodeError) as error:
        return Asked(Answer.NOBODY, listening.why(error), listening.hint(error, printable(agi.host), _VARIABLES))
    return Asked(Answer.NOBODY)


def port(agi: Agi, asked: Asked) -> Finding:
    """Who listens at the port."""
    where = f"{printable(agi.host)}:{agi.port}"
    match asked.answer:
        case Answer.ROUTER:
            return fine(_PORT, f"a router answers at {where}")
        case Answer.NOBODY if asked.error:
            return wrong(_PORT, f"a router cannot listen on {where}: {asked.error}", asked.mend)
        case Answer.NOBODY:
            return unseen(_PORT, f"nobody listens on {where}", "start the router: ringway serve")
        case Answer.NOT_LET_IN:
            mend = "look whose it is: ss -ltnp. To be asked from here [agi] allow needs this machine's address"
            return unseen(_PORT, f"somebody listens on {where}, and [agi] allow does not let this machine ask", mend)
        case Answer.SILENT:
            mend = "look whose the port is (ss -ltnp), and that host is resolved; restart a router that hangs"
            return wrong(_PORT, f"{where} does not answer", mend)
    mend = f"stop what has the port (ss -ltnp), or set another: {_VARIABLES}PORT, and RINGWAY_AGI in extensions.conf"
    return wrong(_PORT, f"what answers at {where} is no router", mend)


def allow(agi: Agi, callers: Sequence[Caller], page: Page | None) -> list[Finding]:
    """Whether each Asterisk would be let in, and can get to the port at all."""
    shown = ", ".join(agi.allow)
    if callers:
        return [_caller(agi, each) for each in callers]
    if page is not None and page.total("ringway_decisions_total"):
        return [fine(_ALLOW, f"{shown}; calls have come")]
    if page is not None and (count := page.total("ringway_agi_rejected_total", cause="peer")):
        what = f"{shown}; no call has come, and {count} connections from other addresses were refused"
        return [wrong(_ALLOW, what, "the log's agi_rejected has them; put those of your Asterisks into [agi] allow")]
    return [unseen(_ALLOW, f"{shown}; no [[ami]] says where Asterisk is", "make a call")]


def _caller(agi: Agi, caller: Caller) -> Finding:
    if not caller.addresses:
        what = f"the host {quote(caller.host)} has no address"
        return wrong(_ALLOW, what, "correct host in its [[ami]], or who resolves names here", caller.name)
    outside = [each for each in caller.addresses if not networks.allowed(each, agi.allow)]
    shown = ", ".join(printable(each) for each in (outside or caller.addresses))
    if len(outside) == len(caller.addresses):
        mend = f'add it to [agi] allow, such as "{printable(outside[0])}", and restart the router'
        return wrong(_ALLOW, f"{shown} may not ask: [agi] allow has {', '.join(agi.allow)}", mend, caller.name)
    if agi.host and networks.is_loopback(agi.host) and not any(map(networks.is_loopback, caller.addresses)):
        mend = "set [agi] host to the address of this machine that Asterisk reaches, and ListenStream in ringway.socket"
        return wrong(_ALLOW, f"{shown} cannot reach {agi.host}, which is this machine's own", mend, caller.name)
    if outside:
        what = f"{shown} is one of its addresses, and may not ask"
        return unseen(_ALLOW, what, "add it to [agi] allow if Asterisk connects from there", caller.name)
    return fine(_ALLOW, f"{shown} may ask", caller.name)


def asked_by_dialplan(agi: Agi, of: str, ways: Sequence[networks.Way], *, here: bool) -> Finding:
    """Whether the dialplan of an Asterisk asks this router. `here`: that Asterisk runs on this machine."""
    part = "routers asked"
    shown = " and ".join(printable(each.text) for each in ways)
    mend = (
        f"write RINGWAY_AGI = ADDRESS:{agi.port}, with this router's address, into [globals] of extensions.conf, above "
        'the #include (or RINGWAY_AGI_2, for a second router); then asterisk -rx "dialplan reload"'
    )
    if not any(each.port for each in ways):
        return wrong(part, f"it asks {shown or 'nobody'}, which is no address:port", mend, of)
    verdicts = [leads_here(agi, each, here=here) for each in ways]
    if True in verdicts:
        return fine(part, f"it asks {shown}", of)
    if None in verdicts:
        what = f"it asks {shown}; whether that leads to this router is not known here"
        return unseen(part, what, "compare that with [agi] host and port", of)
    return wrong(part, f"it asks {shown}, and this router is elsewhere", mend, of)


def leads_here(agi: Agi, way: networks.Way, *, here: bool) -> bool | None:
    """Whether a way, as Asterisk sees it, leads to this router; None: that cannot be told."""
    if not way.port:
        return False
    if way.stays:
        return here and way.port == agi.port
    if way.here:
        return way.port == agi.port
    return None  # another router, or a way to this one that is not seen from here
