"""What a session lets the router hear: each slip is noticed, and nothing is missing that need not have come."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.ami.events import EventReader
from router.ami.hearing import Hearing, State, What
from router.config.limits import AMI_HEARING_ENDED_MAX, AMI_HEARING_PROOFS
from router.observe.metrics import HEARING
from tests.unit.router.ami.peers import VARIABLES, dial_text, hangup_text

NOT_SEEN, MISSING, OK = State.NOT_SEEN, State.MISSING, State.OK
BEGAN = 1_790_000_000
NOTHING = dict.fromkeys(What, NOT_SEEN)
DIALS = ("DialBegin", "DialState", "DialEnd")
NONE_SET = ("CAMPAIGN_ID=", "RINGWAY_ATTEMPT=")


def hear(hearing: Hearing, *texts: str) -> None:
    """Let events come as Asterisk writes them."""
    reader = EventReader()
    for text in texts:
        event = reader.read(text.replace("\n", "\r\n").encode().strip(b"\r\n"))
        assert event is not None
        hearing.event(event)


def leg_ends(call: int, *, second: int = BEGAN + 9, state: str = "5", variables: Sequence[str] = VARIABLES) -> str:
    """The Hangup of a channel that a campaign has dialled."""
    return hangup_text(
        variables, Uniqueid=f"london-{second}.{call}1", Linkedid=f"london-{second}.{call}0", ChannelState=state
    )


def dialled(*kinds: str, call: int = 1) -> list[str]:
    """Events of one dialled call."""
    outcome = {"DialBegin": "447700900123@trunk", "DialState": "RINGING", "DialEnd": "NOANSWER"}
    return [dial_text(kind, outcome[kind], DestUniqueid=f"{BEGAN + 9}.{call}1") for kind in kinds]


def session() -> Hearing:
    hearing = Hearing()
    hearing.began(BEGAN)
    return hearing


def looks(hearing: Hearing, *channels: int | None) -> None:
    for each in channels:
        hearing.look(each)


def test_the_metric_has_a_label_for_each() -> None:
    assert tuple(What) == HEARING


@pytest.mark.parametrize(
    "channels",
    [
        pytest.param([0] * 9, id="idle"),
        pytest.param([5] * 9, id="calls-that-go-on"),
        pytest.param([0, 1, 2, 4, 8, 16, 32], id="calls-that-begin"),
        pytest.param([9, *[9 - AMI_HEARING_PROOFS + 1] * 8], id="fewer-than-count"),
        pytest.param([None] * 9, id="not-known"),
        pytest.param([8, None, None, 8], id="not-known-for-a-while"),
    ],
)
def test_what_cannot_be_known_is_not_seen(channels: list[int | None]) -> None:
    hearing = session()
    looks(hearing, *channels)
    assert hearing.states == NOTHING
    assert hearing.unsettled


# --- variables ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "lacking"),
    [
        ((), "CAMPAIGN_ID and RINGWAY_ATTEMPT"),
        (("CAMPAIGN_ID=",), "RINGWAY_ATTEMPT"),
        (("RINGWAY_ATTEMPT=",), "CAMPAIGN_ID"),
        (("CAMPAIGN_ID =", " RINGWAY_ATTEMPT="), "CAMPAIGN_ID and RINGWAY_ATTEMPT"),
        (("OTHER=CAMPAIGN_ID=", "RINGWAY_ATTEMPTS="), "CAMPAIGN_ID and RINGWAY_ATTEMPT"),
    ],
)
@pytest.mark.parametrize("originated", [True, False])
def test_a_variable_that_events_do_not_carry_is_missing_at_once(
    variables: Sequence[str], lacking: str, originated: bool
) -> None:
    begin = dial_text("DialBegin", "1@trunk", variables, originated=originated)
    for text in (hangup_text(variables), begin):
        hearing = session()
        hear(hearing, text)
        assert hearing.states[What.VARIABLES] is MISSING
        why, hint = hearing.trouble(What.VARIABLES)
        assert f"do not carry {lacking}:" in why
        assert "channelvars = CAMPAIGN_ID,RINGWAY_ATTEMPT" in hint


@pytest.mark.parametrize("variables", [NONE_SET, VARIABLES, ("SITES=x", *NONE_SET), NONE_SET[::-1]])
def test_variables_are_ok_where_they_are_there_empty_or_not(variables: Sequence[str]) -> None:
    hearing = session()
    hear(hearing, hangup_text(variables))
    assert hearing.states[What.VARIABLES] is OK


def test_a_reload_of_the_managers_file_is_heard() -> None:
    hearing = session()
    for variables, state in ((NONE_SET, OK), ((), MISSING), (("CAMPAIGN_ID=",), MISSING), (NONE_SET, OK)):
        hearing.changed = False
        hear(hearing, hangup_text(variables))
        assert hearing.states[What.VARIABLES] is state
        assert hearing.changed, "what is said of it changes too"
    hearing.changed = False
    hear(hearing, hangup_text(NONE_SET))
    assert not hearing.changed


# --- hangups --------------------------------------------------------------------------------------------------------


def test_channels_that_end_without_any_hangup_are_told_one_look_later() -> None:
    hearing = session()
    looks(hearing, AMI_HEARING_PROOFS, 0)
    assert hearing.states == NOTHING, "their events may still be on their way"
    looks(hearing, 0)
    assert hearing.states == NOTHING | {What.HANGUPS: MISSING}
    why, hint = hearing.trouble(What.HANGUPS)
    assert "no Hangup event" in why
    assert "read = call,system" in hint
    assert "restart the router" in hint


def test_they_need_not_end_at_once() -> None:
    hearing = session()
    looks(hearing, *[1, 0] * AMI_HEARING_PROOFS, 0)
    assert hearing.states[What.HANGUPS] is MISSING


@pytest.mark.parametrize("later", [False, True])
def test_one_hangup_shows_that_all_come(later: bool) -> None:
    hearing = session()
    looks(hearing, 50, 0)
    if later:
        looks(hearing, 0)
    hear(hearing, hangup_text())
    looks(hearing, 50, 0, 0)
    assert hearing.states[What.HANGUPS] is OK


def test_where_other_events_come_a_filter_is_named_and_where_they_are_refused_their_form() -> None:
    hearing = session()
    hear(hearing, *dialled("DialBegin"))
    looks(hearing, 9, 0, 0)
    assert "eventfilter for each of Hangup" in hearing.trouble(What.HANGUPS)[1]
    hearing.refused()  # a caller may have forged it
    hint = hearing.trouble(What.HANGUPS)[1]
    assert "eventfilter for each of Hangup" in hint
    assert "in another form" in hint
    strange = session()
    strange.refused()
    looks(strange, 9, 0, 0)
    why, hint = strange.trouble(What.HANGUPS)
    assert "as the router knows it" in why
    assert "in another form" in hint
    assert "manager.conf" not in hint


# --- dials ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lacking", [DIALS, *[(kind,) for kind in DIALS]], ids="+".join)
def test_campaigns_calls_that_end_and_were_not_told_of(lacking: Sequence[str]) -> None:
    hearing = session()
    come = [kind for kind in DIALS if kind not in lacking]
    for call in range(AMI_HEARING_PROOFS):
        assert hearing.states[What.DIALS] is NOT_SEEN
        hear(hearing, *dialled(*come, call=call), leg_ends(call), leg_ends(call))
        looks(hearing, None)
    looks(hearing, None)
    assert hearing.states[What.DIALS] is MISSING
    why, hint = hearing.trouble(What.DIALS)
    assert f"no {', '.join(lacking)} event" in why
    assert "eventfilter" in hint
    hear(hearing, *dialled(*lacking))
    assert hearing.states[What.DIALS] is OK


def test_an_event_that_comes_behind_the_hangup_has_come() -> None:
    hearing = session()
    for call in range(AMI_HEARING_PROOFS):
        hear(hearing, *dialled("DialBegin", "DialState", call=call), leg_ends(call))
    looks(hearing, None)
    hear(hearing, *dialled("DialEnd"))
    looks(hearing, None, None)
    assert hearing.states[What.DIALS] is OK


def test_only_a_call_that_rang_should_have_said_so() -> None:
    hearing = session()
    for call in range(AMI_HEARING_PROOFS):
        hear(hearing, *dialled("DialBegin", "DialEnd", call=call), leg_ends(call, state="0"))
    looks(hearing, None, None, None)
    assert hearing.states[What.DIALS] is NOT_SEEN


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([leg_ends(call, second=BEGAN - 60) for call in range(9)], id="dialled-before-the-session"),
        pytest.param([leg_ends(call, second=BEGAN) for call in range(9)], id="in-the-second-of-its-beginning"),
        pytest.param([leg_ends(call, variables=NONE_SET) for call in range(9)], id="of-no-campaign"),
        pytest.param([leg_ends(1).replace(".11\n", f".{place}\n") for place in range(100, 109)], id="legs-of-one-call"),
        pytest.param(
            [hangup_text(Uniqueid=f"{BEGAN + 9}.{n}", Linkedid=f"{BEGAN + 9}.{n}") for n in range(9)], id="own"
        ),
        pytest.param(
            [leg_ends(call).replace("Channel: PJSIP/", "Channel: Local/") for call in range(9)], id="local-channels"
        ),
        pytest.param([hangup_text(Uniqueid=f"odd.{n}", Linkedid="x") for n in range(9)], id="odd-ids"),
    ],
)
def test_what_need_not_have_been_told_of_is_no_sign(texts: list[str]) -> None:
    hearing = session()
    hear(hearing, *texts)
    looks(hearing, None, None, None)
    assert hearing.states[What.DIALS] is NOT_SEEN


def test_without_asterisks_clock_nobody_knows_what_is_from_before() -> None:
    hearing = Hearing()
    hear(hearing, *[leg_ends(call) for call in range(9)])
    looks(hearing, None, None, None)
    assert hearing.states[What.DIALS] is NOT_SEEN


# --- own calls ------------------------------------------------------------------------------------------------------


def test_calls_that_ended_are_remembered_until_it_is_known_whose_asterisk_it_is() -> None:
    hearing = session()
    hear(hearing, *[hangup_text(Uniqueid=f"1.{place}") for place in range(AMI_HEARING_ENDED_MAX + 1)])
    assert not hearing.has_ended("1.0")
    assert hearing.has_ended("1.1")
    hearing.is_own()
    assert hearing.states[What.CALLS] is OK
    hear(hearing, hangup_text(Uniqueid="2.0"))
    assert not hearing.has_ended("2.0")


# --- all that a healthy link may do -----------------------------------------------------------------------------------


@given(st.lists(st.one_of(st.sampled_from(["look", "inbound", "answered", "missed"]), st.just("busy")), max_size=60))
def test_a_link_that_tells_of_all_is_never_found_wanting(steps: list[str]) -> None:
    """Channels come and go in any order; each that ends has its events before the look that could miss them."""
    hearing = session()
    channels = 0
    for call, step in enumerate(steps):
        if step == "look":
            hearing.look(channels)
        elif step == "inbound":
            channels += 1
        else:
            state = {"answered": "6", "missed": "5", "busy": "0"}[step]
            kinds = DIALS if step != "busy" else ("DialBegin", "DialEnd")
            hear(hearing, *dialled(*kinds, call=call), leg_ends(call, state=state))
            if channels:
                hear(hearing, hangup_text(NONE_SET, Uniqueid=f"{BEGAN}.{call}"))
                channels -= 1
        assert MISSING not in hearing.states.values()


@given(st.lists(st.integers(0, 50), max_size=40))
def test_numbers_of_channels_alone_tell_of_hangups_and_of_nothing_else(channels: list[int]) -> None:
    hearing = session()
    looks(hearing, *channels)
    gone = sum(max(0, one - other) for one, other in itertools.pairwise(channels[:-1]))
    expected = MISSING if gone >= AMI_HEARING_PROOFS else NOT_SEEN
    assert hearing.states == NOTHING | {What.HANGUPS: expected}
