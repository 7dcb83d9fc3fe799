"""`attempt`: the dialplan's hangup handler reports an attempt. See `dialplan.campaigns.reports` for its arguments."""

from collections.abc import Awaitable, Callable

import structlog

from dialplan.campaigns.attempts import AttemptReport
from dialplan.campaigns.reports import read_report
from router.agi.messages import AgiRequest, mset
from router.agi.verbs.verb import Response


class AttemptVerb:
    """Takes reports. `report` writes one down, durably; False where it has to be told again."""

    name = "attempt"
    decides = False

    def __init__(
        self, report: Callable[[AttemptReport], Awaitable[bool]], log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self._report = report
        self._log = log
        self._taken, self._later, self._refused = (
            Response((mset([f"ATTEMPT_STATUS={status}"]),), self) for status in ("OK", "LATER", "REFUSED")
        )

    def answer(self, request: AgiRequest, now: float) -> Response | Awaitable[Response]:
        """Whether it was taken."""
        del now
        report = read_report(request.arguments)
        if report is None:
            self._log.warning("attempt_ignored", why="the report cannot be read", arguments=len(request.arguments))
            return self._refused
        return self._recorded(report)

    async def _recorded(self, report: AttemptReport) -> Response:
        return self._taken if await self._report(report) else self._later

    def revocation(self, given: Response) -> tuple[bytes, ...]:
        """That it was taken: the dialplan keeps its record in AstDB then, and reports it once more."""
        del given
        return (mset(["ATTEMPT_STATUS="]),)
