import pytest

from dialplan.kinds.number import Assignment
from dialplan.routing.table import RoutingTable
from dialplan.routing.target import Kind, Target, Targets, ToCampaign, ToFlow, ToFlowWithValues, named
from tests.samples import campaign, company, flow
from tests.tables import table_of

TABLE = table_of(company(), flow("menu"), campaign("offer"), campaign("over", active=False))


@pytest.mark.parametrize(
    ("target", "kind", "there"),
    [
        (ToFlow("menu"), Kind.CALL_FLOW, True),
        (ToFlow("gone"), Kind.CALL_FLOW, False),
        (ToCampaign("offer"), Kind.CAMPAIGN, True),
        (ToCampaign("over"), Kind.CAMPAIGN, False),  # not active
        (ToCampaign("gone"), Kind.CAMPAIGN, False),
    ],
)
def test_a_target_leads_to_its_row_where_the_table_has_it(target: Target, kind: Kind, there: bool) -> None:
    assert target.kind is kind
    assert (target.row(TABLE) is not None) is there
    assert target.row(RoutingTable()) is None


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        (Assignment(None, None, {}), "nothing"),
        (Assignment("menu", None, {}), 'call flow "menu"'),
        (
            Assignment("menu", None, {"WAIT": 5, "TEXT": 'say "a"'}),
            'call flow "menu" with WAIT="5", TEXT="say \\"a\\""',
        ),
        (Assignment(None, "offer", {}), 'inbound campaign "offer"'),
    ],
)
def test_what_a_target_is_called(assignment: Assignment, words: str) -> None:
    assert named(Targets().of(assignment)).text == words


def test_values_may_be_left_out() -> None:
    assert named(ToFlowWithValues("menu", ("WAIT",), (5,)), values=False).text == 'call flow "menu"'


def test_equal_targets_without_values_are_one_object() -> None:
    targets = Targets()
    assert targets.of(Assignment("menu", None, {})) is targets.of(Assignment("menu", None, {}))
    assert targets.of(Assignment(None, "offer", {})) is targets.of(Assignment(None, "offer", {}))
    assert targets.of(Assignment("menu", None, {"A": 1})) is not targets.of(Assignment("menu", None, {}))


def test_values_that_stand_beside_a_campaign_make_no_flow_of_it() -> None:
    """As an earlier version may have stored it: today it is refused."""
    assert isinstance(Targets().of(Assignment(None, "offer", {"TEXT": "Good day"})), ToCampaign)
