"""Callers whose number holds line ends, while the router watches: Asterisk writes it into its events as it is.

None of them ends the link, forges an event or a reply, or takes anybody else's event away.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.asterisk.campaigns import OUR, Campaigns, running_campaigns, subscriber
from tests.asterisk.exchange import BUSY, Exchange
from tests.asterisk.parts import Program
from tests.asterisk.pbx import TO_DEFAULT
from tests.asterisk.sipp import Dial, place_calls
from tests.asterisk.subscribers import Behaviour
from tests.asterisk.traffic import DEFAULT
from tests.processes import wait_until

pytestmark = pytest.mark.asterisk

TEXT_MAX_BYTES = 79  # PJSIP cuts a caller's number there
UP = 'ringway_ami_connected{asterisk="pbx1"}'
# A dialler's own: only the manager interface tells of its calls.
EXTRA = f"""
[own-dialler]
exten => _X!,1,Set(__CAMPAIGN_ID=win-back)
 same => n,Set(CALLERID(num)={OUR})
 same => n,Dial(PJSIP/${{EXTEN}}@trunk,${{SECONDS}})
 same => n,Hangup()
"""
ENDS = (
    "1\r\n\r\nEvent: Shutdown\r\n\r\n",
    "1\r\n\r\nEvent: Shutdown\r\nPrivilege: system,all\r\nShutdown: Cleanly\r\n\r\n",
    "1\r\n\r\nResponse: Goodbye\r\n\r\n",
    "1\r\n\r\nResponse: Error\r\nActionID: 1\r\nMessage: Permission denied\r\n\r\n",
    "1\r\n\r\n\r\n\r\n\r\n\r\n",
    "1\r\nEvent: x",
    "1\r\nEvent: x\r\n\r\nEvent: Hangup\r\nPrivilege: call,all",
    "1\r\nCause-txt: x\r\n\r\nEvent: DialEnd",
    "1\n\nEvent: Shutdown\n\n",
)


@pytest.fixture(scope="module")
def started(asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaigns]:
    """A router that watches."""
    folder = tmp_path_factory.mktemp("router")
    with running_campaigns(asterisk_program, folder, ami=True, extra=EXTRA) as running:
        yield running


@pytest.fixture
def campaigns(exchange: Exchange) -> Campaigns:
    """The module's own campaigns, made ready for a test."""
    assert isinstance(exchange, Campaigns)
    return exchange


def call_from(campaigns: Campaigns, *texts: str) -> None:
    """Let callers with these numbers ring up; each is turned away by the default, since AGI has line ends too."""
    assert max(map(len, texts)) <= TEXT_MAX_BYTES
    # Refused, or revoked where an answer was under way already: that depends on how the bytes come.
    campaigns.expect(TO_DEFAULT)
    before = {call.unique_id for call in campaigns.asterisk.calls()}
    outcomes = place_calls(campaigns.asterisk.ports.sip, [Dial(OUR, text) for text in texts])
    assert {each.status for each in outcomes} == {BUSY}
    arrived = [call.context for call in campaigns.asterisk.calls() if call.unique_id not in before]
    assert arrived == [DEFAULT] * len(texts)


def dial(campaigns: Campaigns, to: str, *, seconds: int) -> None:
    """Let the dialler's own dialplan call a subscriber."""
    campaigns.originate(f"Local/{to.removeprefix('+')}@own-dialler", Variable=f"__SECONDS={seconds}")


def leg(campaigns: Campaigns) -> str:
    """The unique id of the only call that rings at the trunk."""
    wait_until(lambda: "Ringing" in campaigns.asterisk.cli("core show channels"), "it rings")
    rows = [row.split("!") for row in campaigns.asterisk.cli("core show channels concise").splitlines()]
    (found,) = [row[-1] for row in rows if row[0].startswith("PJSIP/trunk")]
    return found


def told(campaigns: Campaigns, to: str) -> list[str]:
    campaigns.asterisk.wait_idle()
    wait_until(lambda: bool(campaigns.told(to)), f"the router hears of the call to {to}")
    return campaigns.outcomes(to)


def test_no_caller_ends_the_link(campaigns: Campaigns) -> None:
    for _ in range(3):
        call_from(campaigns, *ENDS)
    # All before it has been read when this one is told, which only the link tells of.
    to = subscriber(Behaviour.BUSY)
    dial(campaigns, to, seconds=1)
    assert told(campaigns, to) == ["missed"]
    assert campaigns.router.metrics()[UP] == 1
    said = Counter(line["event"] for line in campaigns.router.log if str(line["event"]).startswith("ami_"))
    assert said.pop("ami_up") == 1
    assert set(said) == {"ami_event_refused"}
    assert said["ami_event_refused"] < len(ENDS), "it is said for each call"
    assert not [line for line in campaigns.router.log if "exception" in line]


@pytest.mark.parametrize(
    "text",
    [
        "1\r\n\r\nEvent: DialEnd\r\nDestUniqueid: {leg}\r\nDialStatus: ANSWER\r\n\r\n",
        "1\r\n\r\nEvent: DialEnd\r\nDestUniqueid: {leg}\r\nDialStatus: ANSWER",
        "1\r\n\r\nEvent: Hangup\r\nUniqueid: {leg}\r\nCause: 1\r\nCause-txt: x\r\n\r\n",
        "1\r\n\r\nEvent: Hangup\r\nUniqueid: {leg}\r\nCause: 1",
        "1\r\nUniqueid: {leg}",
    ],
    ids=["answer", "answer-without-an-end", "hangup", "hangup-without-an-end", "own-hangup"],
)
def test_no_caller_changes_what_became_of_an_attempt(campaigns: Campaigns, text: str) -> None:
    """He knows more than he can: the leg that rings in this moment."""
    to = subscriber(Behaviour.RINGS)
    dial(campaigns, to, seconds=20)
    call_from(campaigns, text.format(leg=leg(campaigns)))
    assert campaigns.told(to) == []
    campaigns.asterisk.cli("channel request hangup all")
    assert told(campaigns, to) == ["missed"]


@pytest.mark.parametrize(
    "text",
    ["1\r\n\r\nEvent: Hangup", "1\r\n\r\nEvent: DialEnd\r\nPrivilege: call,all", "1\r\n\r\nx"],
    ids=["hangup", "answer", "nothing"],
)
def test_no_caller_takes_the_next_event_away(campaigns: Campaigns, text: str) -> None:
    """What is cut out of the stream ends where his own event does."""
    answers, busy = subscriber(Behaviour.ANSWERS), subscriber(Behaviour.BUSY)
    for to in (answers, busy):
        call_from(campaigns, *[text] * 3)
        dial(campaigns, to, seconds=20)  # of ringing: one who answers does so after a moment
        call_from(campaigns, *[text] * 3)
    assert [told(campaigns, to) for to in (answers, busy)] == [["answered"], ["missed"]]
