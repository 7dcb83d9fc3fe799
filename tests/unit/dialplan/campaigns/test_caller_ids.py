from collections import Counter
from itertools import pairwise

import pytest

from dialplan.campaigns.caller_ids import CallerIdCandidates, CallerIdReason, CallerIdResult, RoundRobin, candidates
from dialplan.kinds.number import NumberKind
from dialplan.routing.table import Patch, RoutingTable
from tests.samples import Entry, campaign, company, number
from tests.tables import table_of

OWN = ["02079460000", "02079460001", "02079460002"]
POOL = [f"0207946010{digit}" for digit in range(5)]


def e164(text: str) -> str:
    return "+44" + text[1:]


def outbound(key: str, /, **fields: object) -> Entry:
    return campaign(key, direction="outbound", **fields)


def the_table(*entries: Entry, identified: bool = True) -> RoutingTable:
    return table_of(
        company(identified=identified),
        outbound("one", caller_ids=OWN[:1]),
        outbound("three", caller_ids=OWN),
        outbound("free"),
        outbound("over", active=False),
        campaign("inbound"),
        *(number(text) for text in OWN),
        *(number(e164(text), kind="pool", company=None) for text in POOL),
        *entries,
    )


def show(round_robin: RoundRobin, campaign: str, table: RoutingTable) -> CallerIdResult:
    """As one router shows numbers by itself."""
    chosen = candidates(campaign, table)
    return chosen if isinstance(chosen, CallerIdResult) else round_robin.next(chosen, table)


def shown(round_robin: RoundRobin, campaign: str, table: RoutingTable, times: int) -> list[str]:
    found = [show(round_robin, campaign, table).number for _ in range(times)]
    return [number for number in found if number is not None]


def test_a_campaign_shows_its_reserved_number() -> None:
    assert show(RoundRobin(), "one", the_table()) == CallerIdResult(
        e164(OWN[0]), NumberKind.RESERVED, CallerIdReason.RESERVED
    )


def test_several_reserved_numbers_take_turns() -> None:
    assert shown(RoundRobin(), "three", the_table(), 7) == [e164(text) for text in [*OWN, *OWN, OWN[0]]]


def test_a_campaign_without_numbers_shows_the_pool() -> None:
    assert show(RoundRobin(), "free", the_table()) == CallerIdResult(
        e164(POOL[0]), NumberKind.POOL, CallerIdReason.POOL
    )


def test_a_company_that_is_not_identified_shows_the_pool_only() -> None:
    table = the_table(identified=False)
    assert show(RoundRobin(), "three", table) == CallerIdResult(
        e164(POOL[0]), NumberKind.POOL, CallerIdReason.NOT_IDENTIFIED
    )


def test_consecutive_calls_differ_and_use_is_even_within_one() -> None:
    """Two campaigns share the pool, calls of both mixed."""
    round_robin, table = RoundRobin(), the_table(outbound("other"))
    numbers = [show(round_robin, "free" if turn % 3 else "other", table).number for turn in range(1000)]
    assert all(one != next_one for one, next_one in pairwise(numbers))
    counts = Counter(numbers)
    assert len(counts) == len(POOL)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_disabled_numbers_are_never_shown() -> None:
    table = table_of(
        company(identified=True),
        outbound("two", caller_ids=OWN[:2]),
        outbound("none", caller_ids=OWN[1:2]),
        number(OWN[0]),
        number(OWN[1], status="disabled"),
        number(e164(POOL[0]), kind="pool", company=None),
        number(e164(POOL[1]), kind="pool", company=None, status="disabled"),
    )
    round_robin = RoundRobin()
    assert set(shown(round_robin, "two", table, 5)) == {e164(OWN[0])}
    assert show(round_robin, "none", table) == CallerIdResult(e164(POOL[0]), NumberKind.POOL, CallerIdReason.DISABLED)
    assert set(shown(round_robin, "none", table, 5)) == {e164(POOL[0])}


@pytest.mark.parametrize(
    ("campaign", "why"),
    [
        ("nobodys", CallerIdReason.UNKNOWN_CAMPAIGN),
        ("", CallerIdReason.UNKNOWN_CAMPAIGN),
        ("inbound", CallerIdReason.NOT_OUTBOUND),
        ("over", CallerIdReason.INACTIVE),
    ],
)
def test_nothing_is_shown_for_what_may_not_call(campaign: str, why: CallerIdReason) -> None:
    assert show(RoundRobin(), campaign, the_table()) == CallerIdResult(None, None, why)


def test_an_empty_pool_has_nothing_to_show() -> None:
    table = table_of(company(), outbound("free"))
    assert show(RoundRobin(), "free", table) == CallerIdResult(None, None, CallerIdReason.EMPTY_POOL)


def test_the_turn_survives_changes_of_the_pool() -> None:
    round_robin, table = RoundRobin(), the_table()
    assert shown(round_robin, "free", table, 2) == [e164(POOL[0]), e164(POOL[1])]
    smaller = table_of(
        company(), outbound("free"), *(number(e164(text), kind="pool", company=None) for text in (POOL[0], POOL[3]))
    )
    assert shown(round_robin, "free", smaller, 3) == [e164(POOL[3]), e164(POOL[0]), e164(POOL[3])]
    assert shown(round_robin, "free", table, 1) == [e164(POOL[4])]


def test_campaigns_that_are_gone_are_forgotten() -> None:
    round_robin = RoundRobin()
    for round_ in range(20):
        names = [f"c-{round_}-{place}" for place in range(5)]
        table = table_of(
            company(identified=True),
            *(outbound(name, caller_ids=OWN) for name in names),
            *(number(text) for text in OWN),
        )
        for name in names:
            show(round_robin, name, table)
    assert len(round_robin._last) <= 2 * 5 + 1


def test_where_some_are_forgotten_the_others_keep_their_turn_and_the_pool_its_own() -> None:
    round_robin = RoundRobin()
    for name in ("three", "free", "gone"):
        show(round_robin, name, the_table(outbound("gone", caller_ids=OWN)))
    smaller = table_of(
        company(identified=True),
        outbound("three", caller_ids=OWN),
        *(number(text) for text in OWN),
        *(number(e164(text), kind="pool", company=None) for text in POOL),
    )
    assert shown(round_robin, "three", smaller, 1) == [e164(OWN[1])]
    assert set(round_robin._last) == {"three", ""}
    pool = CallerIdCandidates(smaller.pool, "", NumberKind.POOL, CallerIdReason.POOL)
    assert round_robin.next(pool, smaller).number == e164(POOL[1])


def test_a_campaign_whose_company_this_version_cannot_read_shows_the_pool() -> None:
    table = the_table()
    del table.companies["acme"]
    assert show(RoundRobin(), "three", table) == CallerIdResult(
        e164(POOL[0]), NumberKind.POOL, CallerIdReason.NOT_IDENTIFIED
    )


def test_before_there_is_any_data_that_is_the_reason() -> None:
    assert show(RoundRobin(), "one", RoutingTable()) == CallerIdResult(None, None, CallerIdReason.NO_DATA)


def test_the_pool_follows_each_patch() -> None:
    table = the_table()
    assert table.pool == [e164(text) for text in POOL]
    changed = the_table(number("+442079460109", kind="pool", company=None))
    patch = Patch(8, full=False)
    key = "+442079460109"
    patch.numbers[key] = changed.numbers[key]
    table.apply(patch)
    assert table.pool == [*(e164(text) for text in POOL), key]


def test_turns_that_routers_share_go_through_the_same_numbers_in_order() -> None:
    chosen = candidates("three", the_table())
    assert isinstance(chosen, CallerIdCandidates)
    assert [chosen.at(place).number for place in range(3, 7)] == [e164(text) for text in [*OWN, OWN[0]]]


def test_campaigns_share_the_turns_of_the_pool_and_nothing_else() -> None:
    table = the_table(outbound("other"))
    turns = {
        name: each.sequence_key
        for name in ("one", "three", "free", "other")
        if isinstance(each := candidates(name, table), CallerIdCandidates)
    }
    assert turns == {"one": "one", "three": "three", "free": "", "other": ""}
