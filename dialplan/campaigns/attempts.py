"""Attempts of outbound campaigns: one call to a subscriber, showing one of our numbers, and what became of it.

Two sources tell of them, the manager interface and the dialplan's hangup handler. What they report is judged here, by
the same rule for both, and their words for the numbers are read here.
"""

from enum import StrEnum

import msgspec

ATTEMPT_ID_MAX_CHARS = 200  # a unique id of Asterisk (150), and what tells attempts of one channel apart
# Q.850 causes of a call that came to the subscriber and was not taken: user busy, no user responding, no answer from
# user (alerted), call rejected.
_REACHED_CAUSES = frozenset({17, 18, 19, 21})
_STATUS_DIGITS = 9  # more than any cause or status has
_SIP_FINAL = 300  # an answer below it says nothing of how the call ended
# The same in SIP: not available now, busy, busy everywhere, declined. Asterisk makes causes of the four above out of
# others too: 21 of 401, 403 and 407, 18 of 408, 19 of 483, which come from a trunk that has not reached anybody.
_REACHED_SIP = frozenset({480, 486, 600, 603})
# Unallocated number, no route, number changed, not a complete number: an announcement before it was the trunk's own.
_NOBODY_CAUSES = frozenset({1, 2, 3, 22, 28})


class Outcome(StrEnum):
    """What became of an attempt. Stable: metrics and data carry these words."""

    MISSED = "missed"
    ANSWERED = "answered"
    FAILED = "failed"  # it never reached the subscriber


def status_code(text: str) -> int:
    """A hangup cause or a SIP status as a source of reports writes it; 0 where it is none."""
    return int(text[:_STATUS_DIGITS]) if text.isascii() and text.isdigit() else 0


def outcome_of(
    *, answered: bool, rang: bool, cause: int, early_media: bool = False, sip: int = 0, cancelled: bool = False
) -> Outcome:
    """The verdict on an attempt, all of its legs together.

    `rang`: one of them was heard ringing; `early_media`: something was heard before an answer. `cause`: the hangup
    cause (Q.850), 0 where unknown; `sip`: the status of the last SIP answer, 0 where unknown. A final one says more
    than the cause. `cancelled`: the dialler gave up, and then cause and status tell nothing of the subscriber. What
    Asterisk calls NOANSWER does not tell: it says so of a 404 and of a 603 as well.
    """
    if answered:
        return Outcome.ANSWERED
    if rang:
        return Outcome.MISSED
    if cancelled:
        return Outcome.MISSED if early_media else Outcome.FAILED
    if cause in _NOBODY_CAUSES:
        return Outcome.FAILED
    reached = sip in _REACHED_SIP if sip >= _SIP_FINAL else cause in _REACHED_CAUSES
    return Outcome.MISSED if early_media or reached else Outcome.FAILED


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One outbound call of a campaign to a subscriber, showing one of our numbers, when it is over.

    `id` names the call: both sources of an attempt give it the same. It is one attempt for each pair of numbers: a
    dialler may call several subscribers out of one channel. `at` is its end, in epoch seconds UTC.
    """

    id: str
    campaign: str
    number: str  # shown, E.164
    subscriber: str  # E.164
    at: float
    outcome: Outcome


class Heard(StrEnum):
    """What a word about an attempt is to somebody who may have heard of it before."""

    NEW = "new"
    MORE = "more"  # of an attempt that is known, with an outcome that says more
    KNOWN = "known"


_WEIGHT = {Outcome.FAILED: 0, Outcome.MISSED: 1, Outcome.ANSWERED: 2}


def merged(known: Attempt | None, told: Attempt) -> tuple[Attempt, Heard]:
    """What is known of an attempt after another word about it; of both, the id and the two numbers are the same.

    Answered stands over missed, and missed over failed, since nobody sees more than there was. The moment is the one
    that came first.
    """
    if known is None:
        return told, Heard.NEW
    if _WEIGHT[told.outcome] <= _WEIGHT[known.outcome]:
        return known, Heard.KNOWN
    return msgspec.structs.replace(known, outcome=told.outcome), Heard.MORE


class AttemptReport(msgspec.Struct, frozen=True):
    """An attempt as a source tells of it: numbers as they were written."""

    id: str
    campaign: str
    number: str  # shown
    subscriber: str
    at: float  # its end, epoch seconds UTC
    outcome: Outcome
