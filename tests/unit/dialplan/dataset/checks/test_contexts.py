"""Where a company's calls may lead is the platform owner's word, or its admins could have calls go anywhere."""

from typing import Any

import pytest

from dialplan.dataset.changes import prepare
from dialplan.kinds.registry import RowKind
from tests.samples import Entry, Held, campaign, company, fields, flow, held, number, raw, refused

FLOWS = ["flow-*", "campaign-offer"]
ELSEWHERE = {"context": "from-internal", "exten": "00881234567"}


def site(**of_company: Any) -> Held:
    """A company with a flow, a campaign and a number."""
    return held(company(**of_company), flow("menu", company="acme"), campaign("offer"), number(call_flow="menu"))


def codes(*entries: Entry, stored: Held, **options: Any) -> list[tuple[str, str]]:
    return [(each.field, each.code) for each in refused(*entries, stored=stored, **options)]


# --- contexts that were given -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [None, "acme"])
@pytest.mark.parametrize(
    "entry",
    [
        flow("new", company="acme", destination=ELSEWHERE),
        flow("menu", company="acme", destination=ELSEWHERE),
        campaign("new", destination=ELSEWHERE),
        campaign("offer", destination={"context": "campaign-offer2"}),
        campaign("offer", destination={"context": "ringway-inbound"}),
    ],
)
def test_nobody_leads_calls_of_a_company_elsewhere(entry: Entry, who: str | None) -> None:
    found = codes(entry, stored=site(contexts=FLOWS), as_company=who)
    assert found == [("destination.context", "context-not-allowed")]


@pytest.mark.parametrize("who", [None, "acme"])
@pytest.mark.parametrize("context", ["flow-", "flow-new", "campaign-offer"])
def test_a_context_that_was_given_is_a_companys_to_use(context: str, who: str | None) -> None:
    made = [
        flow("new", company="acme", destination={"context": context}),
        campaign("new", destination={"context": context}),
    ]
    assert len(prepare(raw(*made), site(contexts=FLOWS), as_company=who)) == 2


def test_flows_of_the_platform_lead_where_their_owner_says() -> None:
    assert len(prepare(raw(flow("any", destination=ELSEWHERE)), site(contexts=FLOWS))) == 1


def test_a_company_whose_list_is_empty_leads_calls_nowhere() -> None:
    assert len(prepare(raw(company(contexts=[])), held())) == 1
    (found,) = refused(campaign("new"), stored=held(company(contexts=[])))
    assert found.text == 'calls of company "acme" may lead to no context at all, not to "campaign-new"'


@pytest.mark.parametrize("contexts", [[], ["flow-menu"], ["campaign-*"], ["flow-men", "campaign-offer"]])
def test_contexts_do_not_become_fewer_while_rows_lead_there(contexts: list[str]) -> None:
    found = refused(company(contexts=contexts), stored=site(contexts=FLOWS))
    assert {each.code for each in found} == {"context-not-allowed"}
    assert set(fields(found)) == {"destination.context"}
    assert all(each.file == "stored" for each in found)


def test_contexts_are_not_given_past_rows_that_lead_elsewhere() -> None:
    assert codes(company(contexts=["campaign-*"]), stored=site()) == [("destination.context", "context-not-allowed")]
    assert len(prepare(raw(company(contexts=["flow-menu", "campaign-*"])), site())) == 1


def test_contexts_and_rows_change_together() -> None:
    both = company(contexts=["new-*"]), flow("menu", company="acme", destination={"context": "new-menu"})
    found = refused(*both, stored=site(contexts=FLOWS))
    assert [each.entry for each in found] == ['campaigns "offer"']
    rest = campaign("offer", destination={"context": "new-offer"})
    assert len(prepare(raw(*both, rest), site(contexts=FLOWS))) == 3


# --- contexts that were not given -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        flow("new", company="acme", destination=ELSEWHERE),
        flow("menu", company="acme", destination=ELSEWHERE),
        flow("menu", company="acme", destination={"context": "flow-menu", "exten": "00881234567"}),
        campaign("new", destination={"context": "ringway-inbound"}),
        campaign("offer", destination={"context": "campaign-offer", "priority": 2}),
    ],
)
def test_without_contexts_only_the_owner_writes_destinations(entry: Entry) -> None:
    assert codes(entry, stored=site(), as_company="acme") == [("destination", "destination-by-owner")]
    assert len(prepare(raw(entry), site())) == 1


def test_without_contexts_an_admin_changes_all_else() -> None:
    made = [flow("menu", company="acme", name="Menu"), campaign("offer", name="Offer", active=False)]
    assert len(prepare(raw(*made), site(), as_company="acme")) == 2
    removals = [(RowKind.CAMPAIGN, "offer")]
    assert len(prepare([], site(), removals=removals, as_company="acme")) == 1


def test_contexts_are_the_owners_to_give() -> None:
    found = codes(company(contexts=["*"]), stored=site(), as_company="acme")
    assert found == [("contexts", "owners-field")]
    together = company(contexts=["*"]), flow("menu", company="acme", destination=ELSEWHERE)
    found = codes(*together, stored=site(), as_company="acme")
    assert found == [("contexts", "owners-field"), ("destination", "destination-by-owner")]


# --- what they may be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["", "flow *", "flow-**", "*-flow", "flow-*-x", "é", "f" * 80, "flow,1", "a&b"])
def test_a_pattern_is_a_context_or_the_beginning_of_some(pattern: str) -> None:
    found = refused(company(contexts=["flow-*", pattern]))
    assert [(each.field, each.code) for each in found] == [("contexts[2]", "not-a-context-pattern")]


def test_there_are_at_most_a_hundred() -> None:
    assert len(prepare(raw(company(contexts=[f"flow-{place}" for place in range(100)])), held())) == 1
    found = refused(company(contexts=[f"flow-{place}" for place in range(101)]))
    assert [(each.field, each.code) for each in found] == [("contexts", "too-many-contexts")]


def test_all_contexts_are_one_pattern() -> None:
    assert (
        len(prepare(raw(flow("new", company="acme", destination=ELSEWHERE)), site(contexts=["*"]), as_company="acme"))
        == 1
    )
