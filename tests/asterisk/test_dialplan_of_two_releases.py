"""A dialplan of the last release with this router, and this dialplan with a router of the last release."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.asterisk.campaigns import CAMPAIGN, FLOWS, OUR, OWN, Campaigns, running_campaigns, subscriber
from tests.asterisk.exchange import Exchange
from tests.asterisk.parts import Program
from tests.asterisk.pbx import FROM_KEPT, REFUSED, TO_DEFAULT
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.schedule import moment_ahead, sleep_until, written
from tests.asterisk.subscribers import Behaviour
from tests.asterisk.traffic import DEFAULT
from tests.processes import ringway, wait_until
from tests.releases import THIS, Release, unpacked

pytestmark = pytest.mark.asterisk

DAY = Flow("flow-day", params=("TEXT",))
NUMBER = "+442079461000"
FLOW = """
[[call_flows]]
id = "day"
name = "Day"
destination = { context = "flow-day" }
parameters = [ { name = "TEXT", type = "text" } ]
"""


class Pair(NamedTuple):
    """Whose dialplan, and whose router."""

    dialplan: Release
    router: Release


@pytest.fixture(scope="module", params=["an older dialplan", "an older router"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    last = unpacked(tmp_path_factory.mktemp("last-release"))
    return Pair(last, THIS) if request.param == "an older dialplan" else Pair(THIS, last)


@pytest.fixture(scope="module")
def started(asterisk_program: Program, pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaigns]:
    folder = tmp_path_factory.mktemp("router")
    with running_campaigns(
        asterisk_program,
        folder,
        flows=(*FLOWS, DAY),
        ami=True,
        dialplan=pair.dialplan.asterisk_files,
        environment=pair.router.environment,
    ) as running:
        yield running


@pytest.fixture
def campaigns(exchange: Exchange) -> Campaigns:
    exchange.expect(REFUSED, FROM_KEPT, TO_DEFAULT)
    assert isinstance(exchange, Campaigns)
    return exchange


def assign(campaigns: Campaigns, pair: Pair, text: str) -> None:
    """Give the number that assignment, by the router's own version."""
    data = f'{FLOW}\n[[numbers]]\nnumber = "{NUMBER}"\ncompany = "acme"\n{text}'
    done = ringway(
        "load", "-", "--json", config=campaigns.router.config, stdin=data, environment=pair.router.environment
    )
    assert done.status == 0, done.err
    version = done.json()["version"]
    wait_until(lambda: campaigns.router.metrics()["ringway_table_version"] == version, "the change in the table")


def test_a_call_gets_its_flow_and_its_values_and_gets_them_again_without_a_router(
    campaigns: Campaigns, pair: Pair
) -> None:
    assign(campaigns, pair, 'call_flow = "day"\nparameters = { TEXT = "Good, day" }')
    before = campaigns.call(NUMBER)
    assert (before.context, before.variables["PARAM_TEXT"]) == (DAY.context, "Good, day")
    campaigns.router.terminate()
    after = campaigns.call(NUMBER)
    assert after.variables["ROUTE_STATUS"] == "KEPT"
    assert (after.context, after.variables["PARAM_TEXT"]) == (DAY.context, "Good, day")


def test_what_ends_is_not_kept(campaigns: Campaigns, pair: Pair) -> None:
    assign(campaigns, pair, 'call_flow = "day"')
    campaigns.call(NUMBER)
    assert campaigns.asterisk.kept()
    assign(campaigns, pair, 'call_flow = "day"\nstatus = "disabled"')
    assert campaigns.call(NUMBER).variables["ROUTE_REASON"] == "disabled"
    assert campaigns.asterisk.kept() == {}


def test_a_switch_comes_on_time_with_a_router(campaigns: Campaigns, pair: Pair) -> None:
    def attempt(moment: int) -> float:
        update = f'{{ at = "{written(moment)}", call_flow = "day", parameters = {{ TEXT = "then" }} }}'
        assign(campaigns, pair, f'call_flow = "day"\nparameters = {{ TEXT = "now" }}\nupdates = [ {update} ]')
        assert campaigns.call(NUMBER).variables["PARAM_TEXT"] in ("now", "then")
        return 0.0

    moment, _ = moment_ahead(attempt)
    sleep_until(moment)
    call = campaigns.call(NUMBER)
    assert (call.variables["PARAM_TEXT"], call.variables["ROUTE_REASON"]) == ("then", "scheduled")
    campaigns.router.terminate()
    assert campaigns.call(NUMBER).variables["PARAM_TEXT"] == "then"


def test_an_unknown_number_goes_to_the_default(campaigns: Campaigns) -> None:
    call = campaigns.call("+442079469999")
    assert (call.context, call.variables["ROUTE_REASON"]) == (DEFAULT, "unknown-number")


def test_a_subscriber_who_missed_a_call_rings_back_once(campaigns: Campaigns) -> None:
    anna = subscriber(Behaviour.RINGS)
    campaigns.dial(anna)
    assert campaigns.outcomes(anna) == ["missed"]
    assert campaigns.call(OUR, anna).context == CAMPAIGN
    again = campaigns.call(OUR, anna)
    assert (again.context, again.variables["ROUTE_REASON"]) == (OWN, "callback-used")


def test_a_report_comes_through_the_dialplan_too(campaigns: Campaigns) -> None:
    """By what stays in AstDB: nothing does once a router has taken it."""
    anna = subscriber(Behaviour.BUSY)
    campaigns.dial(anna)
    assert campaigns.outcomes(anna) == ["missed"]
    wait_until(lambda: campaigns.asterisk.kept("ringway-attempts") == {}, "the report is taken")
