"""What every store keeps of a claim; what each of them does with it is in test_callback_stores."""

import msgspec

from dialplan.campaigns.attempts import Outcome
from dialplan.campaigns.callbacks import Claim, ClaimStatus, History
from router.store.callback_rules import ClaimRecord, Decided, decided
from tests.unit.router.store.attempts import SINCE, attempt


def test_a_claim_is_kept_in_the_words_that_other_releases_read() -> None:
    kept = b'{"verdict":"right","attempt":"1.1","at":150.0,"used_at":151.5}'
    record = ClaimRecord(ClaimStatus.GRANTED, "1.1", 150.0, 151.5)
    assert msgspec.json.encode(record) == kept
    assert msgspec.json.decode(kept, type=ClaimRecord) == record


def test_a_call_that_gets_nothing_is_kept_without_an_attempt() -> None:
    """A name in its place would be one of an attempt that gave an entitlement, and nobody would ever delete it."""
    answered = History((attempt(outcome=Outcome.ANSWERED),))
    assert decided(answered, SINCE, 150.0) == Decided(
        Claim(ClaimStatus.NONE), ClaimRecord(ClaimStatus.NONE, "", 150.0, None)
    )
