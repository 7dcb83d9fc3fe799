"""What an Asterisk tells to the account of [[ami]], and nothing that this account may not ask.

Checked with Asterisk 22.10 and 16.28: with write = reporting it answers CoreSettings, DBGetTree, Getvar (a global of
the dialplan) and Status (the channels that are up, each with the variables of channelvars); Ping tells its clock to
whoever is logged in. Whether events of calls come shows only where a call ends.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import MutableMapping, Sequence
from typing import Any

import msgspec
import structlog

from dialplan.campaigns.reports import FAMILY
from router.ami.client import connect
from router.ami.credentials import CredentialFiles, CredentialsError
from router.ami.dial_tracker import Event
from router.ami.session import AmiError, AmiRefusedError, AmiSession
from router.config.limits import (
    DOCTOR_ASTERISK_SECONDS,
    DOCTOR_CHANNELS_MAX,
    DOCTOR_LISTEN_SECONDS,
    DOCTOR_LOOK_SECONDS,
    DOCTOR_TOLD_SECONDS,
)
from router.config.settings import Ami
from router.doctor.clocks import Clock
from router.doctor.dialplan_version import GLOBAL, LOADED
from router.doctor.networks import Way, addresses_of, is_here, way_of
from router.util.own_thread import OwnThread

GLOBALS = (GLOBAL, LOADED, "RINGWAY_AGI", "RINGWAY_AGI_2")
VARIABLES = ("CAMPAIGN_ID", "RINGWAY_ATTEMPT")
# What Asterisk says where there is nothing of a family; it has been asked all the same.
_NOTHING_KEPT = "Database entry not found"


class Seen(msgspec.Struct):
    """What was seen of an Asterisk. None: it was not told.

    `stage`: how far it came, `files`, `connect`, `login` or `in`; `error`: why no further. `addresses`: of its host.
    `astdb` and `dialplan`: why what the account has to read was refused, "" where it was not. `lacking`: the variables
    that a channel lacked, None where none was up. `hangups`: whether the end of a call was told.
    `broken_off`: it did not come to its end in time.
    """

    name: str
    host: str
    port: int
    stage: str = "files"
    error: str = ""
    addresses: tuple[str, ...] = ()
    here: bool = False
    system_name: str | None = None
    astdb: str | None = None
    dialplan: str | None = None
    values: dict[str, str] = {}
    ways: tuple[Way, ...] = ()
    clock: Clock | None = None
    lacking: tuple[str, ...] | None = None
    hangups: bool | None = None
    broken_off: str = ""


async def look(ami: Ami) -> Seen:
    """Log in, ask, and go. Never takes much longer than DOCTOR_ASTERISK_SECONDS."""
    seen = Seen(ami.name, ami.host, ami.port)
    try:
        async with asyncio.timeout(DOCTOR_ASTERISK_SECONDS):
            await _look(ami, seen)
    except TimeoutError:
        text = f"it has not answered all within {DOCTOR_ASTERISK_SECONDS:g} s"
        seen.broken_off, seen.error = text, seen.error if seen.stage == "in" else text
    except (AmiError, CredentialsError) as error:
        if seen.stage == "in":
            seen.broken_off = str(error)
        else:
            seen.error = _plain(error)
    return seen


def _plain(error: Exception) -> str:
    """What an error says, in the system's own words where the event loop has put others in their place."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno is not None and "Connect call failed" in str(error):
        return os.strerror(cause.errno)
    return str(error)


async def _look(ami: Ami, seen: Seen) -> None:
    names = OwnThread("names")
    resolving = asyncio.ensure_future(names.run(lambda: tuple(addresses_of(ami.host))))
    ended: set[str] = set()
    noted: list[str] = []
    session: AmiSession | None = None
    try:
        credentials = await CredentialFiles(ami.secret_file, tls=ami.tls, tls_ca_file=ami.tls_ca_file).read()
        seen.stage = "connect"
        session = await connect(ami.host, ami.port, lambda event: _note(event, ended), _log(noted), credentials.tls)
        seen.stage = "login"
        await session.login(ami.username, credentials.secret)
        seen.stage = "in"
        seen.here = is_here(session.peer)
        seen.addresses = (session.peer,)
        await _ask(session, seen, names)
        await _listen(session, seen, ended, noted)
    finally:
        if session is not None:
            session.close()
        if not seen.addresses:
            await asyncio.wait([resolving], timeout=DOCTOR_TOLD_SECONDS)  # whoever resolves names may be silent
            seen.addresses = resolving.result() if resolving.done() else ()
        resolving.cancel()


def _note(event: Event, ended: set[str]) -> None:
    if event["Event"] == "Hangup":
        ended.add(str(event.get("Uniqueid", "")))


def _log(noted: list[str]) -> structlog.typing.FilteringBoundLogger:
    """A log that nobody reads but us: which events were told."""

    def note(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> str:
        noted.append(str(line.get("event", "")))
        raise structlog.DropEvent

    log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(None, processors=[note])
    return log


async def _ask(session: AmiSession, seen: Seen, names: OwnThread) -> None:
    before = time.time()
    pong = str((await session.ask("Ping")).get("Timestamp", ""))
    after = time.time()
    with contextlib.suppress(ValueError):
        seen.clock = Clock(seen.name, float(pong) - (before + after) / 2, (after - before) / 2)
    with contextlib.suppress(AmiRefusedError):
        seen.system_name = str((await session.ask("CoreSettings")).get("SystemName", ""))
    seen.astdb = await _astdb(session)
    seen.dialplan = ""
    for name in GLOBALS:
        try:
            seen.values[name] = str((await session.ask("Getvar", Variable=name)).get("Value", ""))
        except AmiRefusedError as error:
            seen.dialplan = str(error)
            return
    texts = [text for name in ("RINGWAY_AGI", "RINGWAY_AGI_2") if (text := seen.values[name].strip())]
    seen.ways = await names.run(lambda: tuple(map(way_of, texts)))


async def _astdb(session: AmiSession) -> str:
    """Why the attempts that wait in AstDB cannot be read; "": they can."""
    try:
        async with contextlib.aclosing(session.entries("DBGetTree", Family=FAMILY)) as entries:
            async for _ in entries:
                break
    except AmiRefusedError as error:
        return "" if _NOTHING_KEPT in str(error) else str(error)
    return ""


async def _listen(session: AmiSession, seen: Seen, ended: set[str], noted: Sequence[str]) -> None:
    """Where calls are up: look at their variables, and wait a while for one of them to end."""
    up = await _channels(session)
    if not up:
        return
    seen.lacking = tuple(name for name in VARIABLES if any(name not in names for names in up.values()))
    end = time.monotonic() + DOCTOR_LISTEN_SECONDS
    gone: set[str] = set()
    while not gone and time.monotonic() < end:
        await asyncio.sleep(DOCTOR_LOOK_SECONDS)
        now = await _channels(session, list(up))
        gone = set(up) - set(now)
    for _ in range(int(DOCTOR_TOLD_SECONDS / DOCTOR_LOOK_SECONDS)):
        if gone & ended:
            break
        await asyncio.sleep(DOCTOR_LOOK_SECONDS)
    # An event that was not believed, since a caller's text stood in it, may have told of it.
    if gone & ended or (gone and "ami_event_refused" not in noted):
        seen.hangups = bool(gone & ended)


async def _channels(session: AmiSession, wanted: Sequence[str] = ()) -> dict[str, set[str]]:
    """Channels that are up, by their unique ids: the names of their variables. Those wanted, or some of all."""
    found: dict[str, set[str]] = {}
    try:
        async with contextlib.aclosing(session.entries("Status")) as entries:
            async for entry in entries:
                variables = entry.get("ChanVariable") or []
                each = [variables] if isinstance(variables, str) else variables
                name = str(entry.get("Uniqueid", ""))
                if not wanted or name in wanted:
                    found[name] = {str(text).partition("=")[0] for text in each}
                if not wanted and len(found) >= DOCTOR_CHANNELS_MAX:
                    break
    except AmiRefusedError:
        return {}
    return found
