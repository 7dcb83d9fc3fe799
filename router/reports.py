"""How the shipped dialplan tells of an attempt: the arguments of agi://…/attempt, and what it keeps in AstDB.

The facts are the hangup handler's: DIALSTATUS, HANGUPCAUSE and whether RINGTIME_MS or PROGRESSTIME_MS was set.
"""

from collections.abc import Sequence

from dialplan.attempts import Sighting, outcome_of
from router.limits import ATTEMPT_ID_MAX_CHARS

FAMILY = "ringway-attempts"  # of AstDB; the key is the attempt's id
_SEPARATOR = "|"
_FIELDS = 7


def read_report(arguments: Sequence[str]) -> Sighting | None:
    """ID, campaign, subscriber, number shown, DIALSTATUS, hangup cause, 1 where it rang, end in ms since 1970.

    None where that cannot be read.
    """
    if len(arguments) != _FIELDS + 1:
        return None
    name, campaign, subscriber, number, status, cause, rang, ended_ms = arguments
    if not name or len(name) > ATTEMPT_ID_MAX_CHARS or not (ended_ms.isascii() and ended_ms.isdigit()):
        return None
    outcome = outcome_of(
        answered=status == "ANSWER",
        rang=rang == "1",
        cause=int(cause[:3]) if cause.isascii() and cause.isdigit() else 0,
    )
    return Sighting(name, campaign, number, subscriber, int(ended_ms[:15]) / 1000, outcome)


def read_kept(key: str, value: str) -> Sighting | None:
    """The same out of AstDB, None where it is none of ours."""
    return read_report([key, *value.split(_SEPARATOR)])
