"""Clocks: a call's beginning is Asterisk's, an attempt's end too, and what is past is by the router's and Redis's."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from dialplan.campaigns.callbacks import CLOCKS_APART_SECONDS
from router.config.limits import DOCTOR_CLOCKS_APART_SECONDS
from router.doctor.findings import Finding, fine, unseen, wrong

_HERE = "this machine"
_MEND = "let NTP set the clocks (timedatectl, chronyc tracking) on both machines"


class Clock(NamedTuple):
    """A clock: seconds ahead of this machine's, to within so many."""

    whose: str
    ahead: float
    within: float


def compared(clocks: Sequence[Clock]) -> list[Finding]:
    """Each clock against this machine's, and those that are apart from each other besides."""
    here = Clock(_HERE, 0.0, 0.0)
    found = [_pair(each, here) for each in clocks]
    near = [each for each in clocks if not _apart(each, here)]
    found += [_pair(one, other) for one, other in itertools.combinations(near, 2) if _apart(one, other)]
    return found or [unseen("clocks", "nobody else's clock was told", "see the parts above")]


def _apart(one: Clock, other: Clock) -> bool:
    """Whether they are too far apart for certain."""
    return abs(one.ahead - other.ahead) - one.within - other.within > DOCTOR_CLOCKS_APART_SECONDS


def _pair(one: Clock, other: Clock) -> Finding:
    difference = one.ahead - other.ahead
    shown = f"{abs(difference):.1f} s {'ahead of' if difference > 0 else 'behind'} {other.whose}"
    part = f"clock of {one.whose}"
    if not _apart(one, other):
        return fine(part, f"within {abs(difference) + one.within + other.within:.1f} s of {other.whose}")
    loss = ", and callbacks find no attempt or a wrong one" if abs(difference) > CLOCKS_APART_SECONDS else ""
    return wrong(part, f"{shown}{loss}", _MEND)
