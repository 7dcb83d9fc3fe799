"""What the hangup handler could tell nobody waits in AstDB, and is taken over from there when a session begins."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from dialplan.campaigns.attempts import AttemptReport
from dialplan.campaigns.reports import FAMILY, read_astdb
from router.ami.session import AmiError, AmiRefusedError, AmiSession
from router.config.limits import AMI_ASTDB_RETRY_SECONDS

_NOTHING_KEPT = "Database entry not found"


async def collect_astdb_reports(
    session: AmiSession, tell: Callable[[AttemptReport], Awaitable[None]], log: structlog.typing.FilteringBoundLogger
) -> None:
    """Hand over each attempt that waits; `tell` returns when there is room for the next one.

    What could not be had is asked for again within the session. An entry is deleted in AstDB by the dialplan, when
    that has told it.
    """
    said = ""
    while not session.ended.done():
        try:
            async with contextlib.aclosing(session.entries("DBGetTree", Family=FAMILY)) as entries:
                async for entry in entries:
                    report = read_astdb(str(entry.get("Key", "")), str(entry.get("Val", "")))
                    if report is not None:
                        await tell(report)
        except AmiError as error:
            why = str(error)
            if isinstance(error, AmiRefusedError) and _NOTHING_KEPT in why:
                return
            # The session's own end is said elsewhere.
            if not session.ended.done() and why != said:
                log.warning("ami_astdb_reports_failed", why=why)
                said = why
        else:
            return
        await asyncio.sleep(AMI_ASTDB_RETRY_SECONDS)
