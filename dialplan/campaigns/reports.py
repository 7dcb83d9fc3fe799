"""How the shipped dialplan tells of an attempt: the arguments of agi://…/attempt, and what it keeps in AstDB.

The facts are the hangup handler's: DIALSTATUS, HANGUPCAUSE, whether RINGTIME_MS or PROGRESSTIME_MS was set, and the
status of the last SIP answer.
"""

from collections.abc import Sequence

from dialplan.campaigns.attempts import ATTEMPT_ID_MAX_CHARS, Attempt, AttemptReport, outcome_of, status_code
from dialplan.kinds.campaign import Direction
from dialplan.numbering.numbers import Bare, Unreadable, normalise
from dialplan.routing.table import RoutingTable

FAMILY = "ringway-attempts"  # of AstDB; the key is the attempt's id
_KEPT = f"/{FAMILY}/"
_SEPARATOR = "|"
_ARGUMENTS = 8
_CANCELLED = "CANCEL"


def read_report(arguments: Sequence[str]) -> AttemptReport | None:
    """ID, campaign, subscriber, number shown, DIALSTATUS, hangup cause, what was heard, end in epoch ms, SIP status.

    What was heard: 1 ringing, 2 something else before an answer. The SIP status is of the last answer; it may be empty,
    0 or left out, where nobody knows it. None where the report cannot be read.
    """
    if len(arguments) == _ARGUMENTS:
        arguments = [*arguments, ""]
    if len(arguments) != _ARGUMENTS + 1:
        return None
    name, campaign, subscriber, number, status, cause, heard, ended_ms, sip = arguments
    if not name or len(name) > ATTEMPT_ID_MAX_CHARS or not (ended_ms.isascii() and ended_ms.isdigit()):
        return None
    outcome = outcome_of(
        answered=status == "ANSWER",
        rang=heard == "1",
        early_media=heard == "2",
        cause=status_code(cause),
        sip=status_code(sip),
        cancelled=status == _CANCELLED,
    )
    return AttemptReport(name, campaign, number, subscriber, int(ended_ms[:15]) / 1000, outcome)


def read_astdb(key: str, value: str) -> AttemptReport | None:
    """The same out of AstDB, None where it is none of ours. `key` as AstDB lists it: /FAMILY/ID.

    An id may hold slashes.
    """
    if not key.startswith(_KEPT):
        return None
    return read_report([key.removeprefix(_KEPT), *value.split(_SEPARATOR)])


def read_attempt(report: AttemptReport, table: RoutingTable, region: str, bare: Bare) -> Attempt | str:
    """The attempt in what a source tells, or why there is none in it.

    National numbers are read in the region of the campaign's company, with `region` where that is not known.
    """
    campaign = table.campaigns.get(report.campaign)
    if campaign is None:
        return "no such campaign is stored"
    if campaign.direction is Direction.INBOUND:
        return "the campaign is an inbound one, which calls nobody"
    number = read_number(report, table, region, bare)
    if isinstance(number, Unreadable):
        return f"the number shown cannot be read: {number.text}"
    subscriber = normalise(report.subscriber, _home(report, table, region), bare)
    if isinstance(subscriber, Unreadable):
        return f"the subscriber's number cannot be read: {subscriber.text}"
    entry = table.find(number)
    if entry is None or entry.company not in (None, campaign.company):
        return "the number shown is neither the pool's nor the campaign's company's"
    return Attempt(report.id, report.campaign, number, subscriber, report.at, report.outcome)


def read_number(report: AttemptReport, table: RoutingTable, region: str, bare: Bare) -> str | Unreadable:
    """The number shown in what a source tells, as rows have it; read as `read_attempt` reads it."""
    return normalise(report.number, _home(report, table, region), bare)


def _home(report: AttemptReport, table: RoutingTable, region: str) -> str:
    campaign = table.campaigns.get(report.campaign)
    company = table.companies.get(campaign.company) if campaign is not None else None
    return company.region if company is not None else region
