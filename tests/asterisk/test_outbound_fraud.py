"""Nobody makes Asterisk dial what he likes: not by a destination, a far end's answer, or a text for a number."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.asterisk.campaigns import DATA, FLOWS, OUR, Campaigns, running_campaigns, subscriber
from tests.asterisk.exchange import Exchange
from tests.asterisk.parts import Program
from tests.asterisk.pbx import REFUSED
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.subscribers import MOVED_TO, Behaviour
from tests.asterisk.traffic import DEFAULT
from tests.processes import load, ringway, wait_until, write_config

pytestmark = pytest.mark.asterisk

# What rings where somebody gets through.
COSTS = "+900123418000"
# Steps of Ringway's own that would dial, report or loop.
INSIDE = (
    ("ringway-ring", "s"),
    ("ringway-dial", "s"),
    ("ringway-outbound", COSTS),
    ("ringway-answered", "subscriber"),
    ("ringway-attempt", "s"),
    ("ringway-report", "s"),
    ("ringway-route", "kept"),
)
NUMBERS = [f"+4420794600{70 + place}" for place in range(len(INSIDE))]
# A destination of the site's own that is a dialler: the site means it so, and no campaign dials by it.
SITE = f"""
[site-dials]
exten => s,1,Goto(ringway-outbound,{COSTS},1)

[site-texts]
exten => s,1,Goto(ringway-outbound,${{TEXT}},1)
"""


def _campaign(name: str, context: str, exten: str = "s") -> str:
    return f"""
[[campaigns]]
id = "{name}"
company = "acme"
name = "{name}"
direction = "outbound"
destination = {{ context = "{context}", exten = "{exten}" }}
caller_ids = ["{OUR}"]
"""


def _data() -> str:
    """The names of Ringway's own contexts have `open-` before them: with that, they may be loaded."""
    text = DATA + _campaign("inside", "open-ringway-outbound", COSTS) + _campaign("site", "site-dials")
    for number, (context, exten) in zip(NUMBERS, INSIDE, strict=True):
        text += f"""
[[call_flows]]
id = "to{number[-2:]}"
company = "acme"
name = "Inside"
destination = {{ context = "open-{context}", exten = "{exten}" }}

[[numbers]]
number = "{number}"
company = "acme"
call_flow = "to{number[-2:]}"
"""
    return text


@pytest.fixture(scope="module")
def started(asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaigns]:
    """A router whose store has got hold of what no command would have loaded."""
    folder = tmp_path_factory.mktemp("router")
    load(write_config(folder), _data())
    _open_no_more(folder / "ringway.db")
    with running_campaigns(asterisk_program, folder, None, (*FLOWS, Flow("flow-x")), ami=False, extra=SITE) as running:
        yield running


def _open_no_more(store: Path) -> None:
    with closing(sqlite3.connect(store)) as database, database:
        changed = database.execute(
            """UPDATE rows SET body = CAST(replace(CAST(body AS TEXT), 'open-ringway-', 'ringway-') AS BLOB)
            WHERE CAST(body AS TEXT) LIKE '%open-ringway-%'"""
        )
        assert changed.rowcount == len(INSIDE) + 1


@pytest.fixture
def campaigns(exchange: Exchange) -> Iterator[Campaigns]:
    """The module's own campaigns, made ready for a test; who costs money must not have been called."""
    assert isinstance(exchange, Campaigns)
    yield exchange
    exchange.asterisk.wait_idle()
    assert exchange.rung(COSTS) == []
    assert exchange.rung(MOVED_TO) == []


def test_a_company_cannot_load_a_destination_inside_ringway(campaigns: Campaigns) -> None:
    row = '[[call_flows]]\nid = "evil"\ncompany = "acme"\nname = "x"\ndestination = { context = "ringway-dial" }\n'
    refused = ringway("load", "--as-company", "acme", "-", config=campaigns.router.config, stdin=row)
    assert refused.status == 1
    assert 'destination.context: "ringway-dial" is Ringway\'s own' in refused.err
    assert "ringway-inbound, ringway-default" in refused.err


@pytest.mark.parametrize(("number", "place"), list(zip(NUMBERS, INSIDE, strict=True)), ids=[each for each, _ in INSIDE])
def test_no_call_gets_inside_by_an_answer(campaigns: Campaigns, number: str, place: tuple[str, str]) -> None:
    context, exten = place
    campaigns.expect(
        rf"ERROR.*Ringway: no extension {exten.replace('+', '.')}@{context} priority 1 ",
        r"Ringway: the default takes the call",
    )
    for dialled in (number, f"{number}@trunk&PJSIP/{COSTS}"):
        arrival = campaigns.call(dialled)
        assert (arrival.context, arrival.variables["ROUTE_REASON"]) == (DEFAULT, "missing-destination")
    assert campaigns.asterisk.kept() == {}


def test_no_call_gets_inside_by_a_kept_answer(campaigns: Campaigns) -> None:
    campaigns.expect(REFUSED, r"Ringway: no extension s@ringway-ring ", r"Ringway: the default takes the call")
    campaigns.asterisk.keep(NUMBERS[0], "ringway-ring")
    campaigns.router.terminate()
    assert campaigns.call(NUMBERS[0]).context == DEFAULT


def test_a_subscriber_who_answers_does_not_get_inside(campaigns: Campaigns) -> None:
    campaigns.expect(
        rf"ERROR.*no extension .{COSTS[1:]}@ringway-outbound .* a subscriber of campaign inside goes to the"
    )
    to = subscriber(Behaviour.ANSWERS)
    campaigns.originate(f"Local/{to}@ringway-outbound", Variable="__CAMPAIGN_ID=inside")
    wait_until(lambda: "ringway-default" in campaigns.asterisk.cli("core show channels"), "he hears the default's tone")
    campaigns.asterisk.cli("channel request hangup all")


def test_a_subscribers_flow_dials_in_no_campaigns_name(campaigns: Campaigns) -> None:
    campaigns.expect(rf"Ringway: .{COSTS[1:]} is not called for campaign : ")
    campaigns.dial(subscriber(Behaviour.ANSWERS), "site")
    wait_until(lambda: "is not called" in campaigns.asterisk.log(), "it is refused")


def test_a_far_end_that_has_moved_is_not_followed(campaigns: Campaigns) -> None:
    to = subscriber(Behaviour.MOVED)
    campaigns.dial(to)
    assert campaigns.outcomes(to) == ["failed"]


@pytest.mark.parametrize(
    "text",
    [f"1&PJSIP/{COSTS}", f"1@trunk&PJSIP/{COSTS}@trunk", f"{OUR}^x", "${SHELL(true)}", '1" & "1', "front desk"],
)
def test_a_subscriber_who_is_no_number_is_not_called(campaigns: Campaigns, text: str) -> None:
    campaigns.expect(r"Ringway: \S* is not called for campaign win-back: no")
    before = campaigns.rung()
    campaigns.originate("Local/s@site-texts", Variable=f"__CAMPAIGN_ID=win-back\r\nVariable: __TEXT={text}")
    wait_until(lambda: "is not called for campaign win-back" in campaigns.asterisk.log(), "it is refused")
    campaigns.asterisk.wait_idle()
    assert campaigns.rung() == before
    assert campaigns.router.events("attempt_ignored") == []
