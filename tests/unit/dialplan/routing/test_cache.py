"""What Asterisk may do with an answer, for the time in which no router answers."""

import datetime as dt
from typing import Any

import pytest

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.kinds.fields import Destination
from dialplan.kinds.number import Number, ScheduledUpdate
from dialplan.kinds.registry import RowKind
from dialplan.numbering.numbers import Bare
from dialplan.routing.decide import Cache, Call, Decision, Kind, Waiting, begin, decide
from dialplan.routing.steps.assignment import FOLLOWING_SECONDS
from dialplan.routing.table import RoutingTable
from tests.samples import campaign, company, flow, number
from tests.tables import table_of

DEFAULT = Destination("ringway-default")
AT = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC).timestamp()
HOUR = 3600.0
TEXT = {"name": "TEXT", "type": "text", "default": "Hello"}


def at(seconds: float) -> str:
    return dt.datetime.fromtimestamp(AT + seconds, dt.UTC).isoformat()


def update(seconds: float, **assignment: Any) -> dict[str, Any]:
    return {"at": at(seconds), **assignment}


TABLE = table_of(
    company(default_flow="closed"),
    company("globex"),
    flow("closed", company="acme"),
    flow("menu", company="acme", parameters=[TEXT]),
    flow("night", company="acme", parameters=[TEXT]),
    campaign("offer"),
    campaign("over", active=False),
    campaign("past", company="globex", active=False),
    campaign("win-back", direction="outbound", accept_incoming=False),
    campaign("welcome", direction="outbound", accept_incoming=True),
    number("02079460000", call_flow="menu"),
    number("02079460001", call_flow="menu", status="disabled", updates=[update(HOUR, call_flow="night")]),
    number("02079460002"),
    number("02079460003", inbound_campaign="over", updates=[update(HOUR, call_flow="night")]),
    number("02079460004", call_flow="menu", updates=[update(HOUR, call_flow="night", parameters={"TEXT": "Good"})]),
    number(
        "02079460005", call_flow="menu", updates=[update(HOUR, call_flow="night"), update(2 * HOUR, call_flow="menu")]
    ),
    number("02079460006", call_flow="menu", updates=[update(HOUR, inbound_campaign="over")]),
    number(
        "02079460007",
        call_flow="menu",
        updates=[update(-HOUR, call_flow="night"), update(FOLLOWING_SECONDS, call_flow="menu")],
    ),
    number("+12025550143", company="globex", updates=[update(HOUR, inbound_campaign="past")]),
    # As an earlier version took it: an update that names nothing, and no more does the row.
    stored=[
        Number(
            "+442079460008", company="acme", updates=(ScheduledUpdate(dt.datetime.fromtimestamp(AT + HOUR, dt.UTC)),)
        )
    ],
)


def decided(dialled: str, now: float = AT, table: RoutingTable = TABLE) -> Decision:
    return decide(Call(dialled, "", "GB", Bare.E164), table, now, DEFAULT)


@pytest.mark.parametrize(
    ("dialled", "reason", "cache"),
    [
        ("02079460000", "assigned", Cache.KEEP),
        ("02079460004", "assigned", Cache.KEEP),
        ("02079460007", "scheduled", Cache.KEEP),
        ("02079460001", "disabled", Cache.DROP),
        ("02079460002", "no-destination", Cache.DROP),
        ("02079460003", "no-destination", Cache.DROP),
        ("02079469999", "unknown-number", Cache.DROP),
        ("front desk", "bad-number", Cache.NO),
    ],
)
def test_the_numbers_own_assignment_is_kept_and_one_that_ended_is_dropped(
    dialled: str, reason: str, cache: Cache
) -> None:
    made = decided(dialled)
    assert (made.reason, made.cache) == (reason, cache)


@pytest.mark.parametrize("dialled", ["02079460000", "front desk", "02079469999", ""])
def test_a_table_that_was_never_filled_says_nothing_of_any_number_and_touches_no_cache(dialled: str) -> None:
    made = decided(dialled, table=RoutingTable())
    assert (made.reason, made.cache, made.kind, made.destination) == ("no-data", Cache.NO, Kind.DEFAULT, DEFAULT)
    assert made.version == 0


def test_a_data_set_without_numbers_is_data_all_the_same() -> None:
    made = decided("02079460000", table=table_of(company()))
    assert (made.reason, made.cache) == ("unknown-number", Cache.DROP)


@pytest.mark.parametrize(
    ("campaign_id", "status", "reason"),
    [
        ("welcome", ClaimStatus.GRANTED, "callback-campaign"),
        ("win-back", ClaimStatus.GRANTED, "callback-not-accepted"),
        ("welcome", ClaimStatus.CONSUMED, "callback-used"),
    ],
)
def test_what_one_caller_gets_is_kept_for_nobody(campaign_id: str, status: ClaimStatus, reason: str) -> None:
    call = Call("02079460004", "+447700900123", "GB", Bare.E164)
    waiting = begin(call, TABLE, AT, DEFAULT, lambda _number, _caller: True)
    assert isinstance(waiting, Waiting)
    attempt = Attempt("1.1", campaign_id, "+442079460004", "+447700900123", AT - HOUR, Outcome.MISSED)
    made = waiting.resume(Claim(status, attempt), TABLE)
    assert (made.reason, made.cache) == (reason, Cache.NO)


def test_a_caller_without_an_entitlement_gets_what_everybody_gets() -> None:
    call = Call("02079460004", "+447700900123", "GB", Bare.E164)
    waiting = begin(call, TABLE, AT, DEFAULT, lambda _number, _caller: True)
    assert isinstance(waiting, Waiting)
    made = waiting.resume(Claim(ClaimStatus.NONE), TABLE)
    assert (made.cache, made.until, made.following) == (Cache.KEEP, int(AT + HOUR), decided("02079460004").following)


def test_without_an_update_ahead_an_answer_has_no_end() -> None:
    for dialled in ("02079460000", "02079460002"):
        made = decided(dialled)
        assert (made.until, made.following) == (None, None)
    made = decided("02079460004", AT + HOUR)
    assert (made.reason, made.until, made.following) == ("scheduled", None, None)


def test_the_next_update_ends_it_and_follows_with_its_own_values() -> None:
    made = decided("02079460004")
    assert made.until == int(AT + HOUR)
    after = made.following
    assert after is not None
    assert after.row is TABLE.flows["night"]
    assert (after.kind, after.destination.context, after.values) == (Kind.CALL_FLOW, "flow-night", (("TEXT", "Good"),))
    assert after.until is None


def test_what_follows_ends_with_the_update_behind_it() -> None:
    made = decided("02079460005")
    assert made.following is not None
    assert (made.until, made.following.until) == (int(AT + HOUR), int(AT + 2 * HOUR))


def test_what_follows_is_what_a_call_will_get_then() -> None:
    for dialled in ("02079460004", "02079460005", "02079460006", "02079460008"):
        before = decided(dialled)
        assert before.until is not None
        assert before.following is not None
        then = decided(dialled, before.until)
        after = before.following
        assert (after.kind, after.destination, after.row) == (then.kind, then.destination, then.target)
        assert (after.values, after.until) == (then.values, then.until)


def test_an_update_that_leads_nowhere_is_followed_by_the_companys_default_else_the_platforms() -> None:
    for dialled in ("02079460006", "02079460008"):  # to a campaign that is not active, and to nothing
        after = decided(dialled).following
        assert after is not None
        assert (after.kind, after.row) == (Kind.DEFAULT, TABLE.flows["closed"])
    after = decided("+12025550143").following
    assert after is not None
    assert (after.kind, after.row, after.destination) == (Kind.DEFAULT, None, DEFAULT)


@pytest.mark.parametrize(("seconds", "named"), [(0.0, False), (1.0, True), (FOLLOWING_SECONDS - 1, True)])
def test_what_follows_is_named_from_two_days_before(seconds: float, named: bool) -> None:
    made = decided("02079460007", AT + seconds)
    assert made.until == int(AT + FOLLOWING_SECONDS)
    assert (made.following is not None) is named


@pytest.mark.parametrize(
    ("left_out", "dialled", "reason", "cache"),
    [
        ((RowKind.NUMBER, "+442079469999"), "02079469999", "unknown-number", Cache.NO),
        ((RowKind.NUMBER, "+442079469999"), "02079469998", "unknown-number", Cache.DROP),
        ((RowKind.CAMPAIGN, "over"), "02079460003", "no-destination", Cache.NO),
        ((RowKind.CALL_FLOW, "over"), "02079460003", "no-destination", Cache.DROP),
        ((RowKind.CALL_FLOW, "gone"), "02079460008", "no-destination", Cache.NO),
        ((RowKind.CALL_FLOW, "gone"), "02079460009", "assigned", Cache.NO),
        ((RowKind.CALL_FLOW, "menu"), "02079460009", "assigned", Cache.KEEP),
    ],
    ids=str,
)
def test_what_cannot_be_read_leaves_alone_what_asterisk_has(
    left_out: tuple[RowKind, str], dialled: str, reason: str, cache: Cache
) -> None:
    """A router of the version that has written it may have said where the call goes."""
    table = table_of(
        company(),
        flow("gone"),
        flow("menu"),
        campaign("over", active=False),
        number("02079460003", inbound_campaign="over"),
        number("02079460008", call_flow="gone"),
        number("02079460009", call_flow="menu", updates=[update(HOUR, call_flow="gone")]),
    )
    del table.flows["gone"]
    table.left_out = frozenset({left_out})
    made = decided(dialled, table=table)
    assert (made.reason, made.cache) == (reason, cache)
