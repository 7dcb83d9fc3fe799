"""What every store of attempts does with a claim between looking and writing: the answer, and what is kept of it.

A store looks at what it knows of the pair, lets this decide, and writes the record if nothing has changed meanwhile: a
transaction of SQLite sees to that, and with Redis the claim begins again where something has.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from dialplan.campaigns.attempts import Attempt
from dialplan.campaigns.callbacks import Claim, ClaimStatus, History, claim_of, consumed_until


class ClaimRecord(msgspec.Struct, frozen=True):
    """What a call was told, as stores keep it.

    `attempt`: the id of the one that gives its entitlement, or gave it; "" where there is none. `at`: when the call
    began; `used_at`: up to when it consumes the entitlements of its pair, None where it consumes none. Both are epoch
    seconds.
    """

    status: ClaimStatus = msgspec.field(name="verdict")  # as it is stored
    attempt: str
    at: float
    used_at: float | None

    def again(self, attempt: Attempt | None) -> Claim:
        """The answer to the same call, which asks again; `attempt` is the one of the id, as it is known now."""
        return Claim(self.status, attempt, again=True)


class Decided(NamedTuple):
    """The answer to a call, and what is to be kept of it; None where nothing is."""

    claim: Claim
    record: ClaimRecord | None


def decided(history: History, since: Mapping[str, float], began: float) -> Decided:
    """The answer to a call that `began` then and asks for the first time. `since`: see `callbacks.earliest`.

    `history` has the attempts that came to the subscriber, the newest ones. Of a call that finds none nothing is kept:
    when it asks again there may be one.
    """
    if not history.attempts:
        return Decided(Claim(ClaimStatus.NONE), None)
    claim = claim_of(history, since, began=began)
    name = claim.attempt.id if claim.attempt is not None else ""
    return Decided(claim, ClaimRecord(claim.status, name, began, consumed_until(claim, began)))
