from dialplan.dataset.related import related
from dialplan.kinds.registry import RowKind
from tests.samples import campaign, company, flow, held, number

STORE = held(
    company(default_flow="closed"),
    company("globex"),
    flow("closed", company="acme"),
    flow("menu"),
    flow("xmas", company="acme"),
    flow("other"),
    campaign("offer"),
    campaign("ring", direction="outbound", caller_ids=["02079460000"]),
    number(call_flow="menu", updates=[{"at": "2026-12-24T17:00:00Z", "call_flow": "xmas"}]),
    number("02079460001", inbound_campaign="offer"),
)


def names(kind: RowKind, key: str) -> set[str]:
    found = [name for _, name, _ in related(STORE, kind, key)]
    assert len(set(found)) == len(found)
    return set(found)


def test_a_number_leads_to_its_company_its_flows_now_and_later_and_the_default() -> None:
    assert names(RowKind.NUMBER, "+442079460000") == {"+442079460000", "acme", "menu", "xmas", "closed"}
    assert names(RowKind.NUMBER, "+442079460001") == {"+442079460001", "acme", "offer", "closed"}


def test_a_circle_comes_to_an_end() -> None:
    assert names(RowKind.CALL_FLOW, "closed") == {"closed", "acme"}


def test_what_is_not_there_leads_nowhere() -> None:
    assert names(RowKind.NUMBER, "+442079469999") == set()
