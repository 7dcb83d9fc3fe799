"""Events in the order and with the fields that Asterisk 22 was seen to send."""

from typing import Any

import pytest

from dialplan.campaigns.attempts import AttemptReport, Outcome
from router.ami import dial_tracker as attempts
from router.ami.dial_tracker import DialTracker, Event
from router.config.limits import AMI_ENDED_MAX, AMI_OPEN_LEGS_MAX

OUR, ANNA, BORIS = "+442079460000", "447700900123", "447700900456"
NOW = 1000.0


def dial(
    kind: str,
    *,
    leg: str = "1.2",
    subscriber: str = ANNA,
    dialling: str = "1.1",
    linked: str = "1.0",
    campaign: str = "win-back",
    attempt: str = "1.1",
    **fields: Any,
) -> Event:
    """An event of the Dial application: the dialling channel and the dialled one."""
    variables: list[str] = [f"CAMPAIGN_ID={campaign}", f"RINGWAY_ATTEMPT={attempt}"]
    event: dict[str, Any] = {
        "Event": kind,
        "Channel": "Local/s@out-00000000;2",
        "CallerIDNum": OUR,
        "Uniqueid": dialling,
        "Linkedid": linked,
        "ChanVariable": variables,
        "DestChannel": f"PJSIP/trunk-{leg}",
        "DestCallerIDNum": "dial",  # the extension that dials, whatever it dials
        "DialString": f"{subscriber}@trunk",
        "DestUniqueid": leg,
        "DestLinkedid": linked,
        "DestChanVariable": variables,
    }
    return event | fields


def originated(kind: str, **fields: Any) -> Event:
    """An event of an Originate straight to the trunk: there is no dialling channel."""
    event: dict[str, Any] = {
        "Event": kind,
        "DestChannel": "PJSIP/trunk-0",
        "DestCallerIDNum": OUR,
        "DestConnectedLineNum": OUR,
        "DestUniqueid": "1.2",
        "DestLinkedid": "1.2",
        "DestChanVariable": ["CAMPAIGN_ID=win-back", "RINGWAY_ATTEMPT="],
        "DialString": f"{ANNA}@trunk",
    }
    return event | fields


def hangup(leg: str = "1.2", cause: int = 16, sip: str = "") -> Event:
    event: dict[str, Any] = {"Event": "Hangup", "Channel": f"PJSIP/trunk-{leg}", "Uniqueid": leg, "Cause": str(cause)}
    return event | ({"TechCause": sip} if sip else {})


def seen(*events: Event) -> list[AttemptReport]:
    watch = DialTracker()
    found = [report for event in events for report in watch.feed(event, NOW)]
    assert len(watch) == 0, "a call is followed that is over"
    return found


def told(outcome: Outcome, name: str = "1.1", subscriber: str = ANNA) -> AttemptReport:
    return AttemptReport(name, "win-back", OUR, subscriber, NOW, outcome)


BEGIN = dial("DialBegin")
RINGING = dial("DialState", DialStatus="RINGING")
NO_ANSWER = dial("DialEnd", DialStatus="NOANSWER")
ANSWER = dial("DialEnd", DialStatus="ANSWER")


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        ([RINGING, NO_ANSWER, hangup()], Outcome.MISSED),
        ([RINGING, dial("DialEnd", DialStatus="CANCEL"), hangup()], Outcome.MISSED),
        ([dial("DialState", DialStatus="PROGRESS"), NO_ANSWER, hangup()], Outcome.MISSED),
        ([dial("DialEnd", DialStatus="BUSY"), hangup(cause=17)], Outcome.MISSED),
        ([NO_ANSWER, hangup(cause=21)], Outcome.MISSED),  # 603: what Asterisk calls no answer
        ([NO_ANSWER, hangup(cause=19)], Outcome.MISSED),  # 480
        ([NO_ANSWER, hangup(cause=1)], Outcome.FAILED),  # 404, and Asterisk says the same
        ([NO_ANSWER, hangup()], Outcome.FAILED),  # given up before it rang
        ([dial("DialEnd", DialStatus="CANCEL"), hangup()], Outcome.FAILED),
        ([dial("DialEnd", DialStatus="CONGESTION"), hangup(cause=34)], Outcome.FAILED),
        ([dial("DialState", DialStatus="PROCEEDING"), NO_ANSWER, hangup()], Outcome.FAILED),
        ([RINGING, ANSWER, hangup()], Outcome.ANSWERED),
        ([ANSWER, hangup()], Outcome.ANSWERED),
        ([hangup(cause=21), NO_ANSWER], Outcome.MISSED),  # the other way round
        ([dial("DialEnd", DialStatus="CANCEL"), hangup(cause=19)], Outcome.FAILED),  # the dialler's own cause
        ([dial("DialEnd", DialStatus="CANCEL"), hangup(cause=17, sip="486")], Outcome.FAILED),
        ([NO_ANSWER, hangup(cause=17, sip="180")], Outcome.MISSED),  # the final answer was not seen
        ([NO_ANSWER, hangup(cause=21, sip="603")], Outcome.MISSED),
        ([NO_ANSWER, hangup(cause=21, sip="403")], Outcome.FAILED),  # the trunk's refusal: SIP says more than Q.850
        ([dial("DialState", DialStatus="PROGRESS"), NO_ANSWER, hangup(cause=1)], Outcome.FAILED),  # an announcement
    ],
)
def test_the_outcome_of_one_call(events: list[Event], outcome: Outcome) -> None:
    assert seen(BEGIN, *events) == [told(outcome)]


def test_an_answer_is_told_at_once_and_not_at_the_hangup() -> None:
    watch = DialTracker()
    assert list(watch.feed(BEGIN, NOW)) == []
    assert list(watch.feed(ANSWER, NOW)) == [told(Outcome.ANSWERED)]
    assert list(watch.feed(hangup(), NOW)) == []


def test_an_originated_call_has_no_dialling_channel() -> None:
    ringing = originated("DialState", DialStatus="RINGING")
    assert seen(originated("DialBegin"), ringing, hangup()) == [told(Outcome.MISSED, "1.2")]
    answer = originated("DialEnd", DialStatus="ANSWER")
    assert seen(originated("DialBegin"), ringing, answer, hangup()) == [told(Outcome.ANSWERED, "1.2")]


def test_a_local_channel_in_front_is_no_attempt() -> None:
    front = originated("DialBegin", DestChannel="Local/s@out-0;1", DestUniqueid="1.0", DestLinkedid="1.0")
    front_ends = originated("DialEnd", DestUniqueid="1.0", DestLinkedid="1.0", DialStatus="NOANSWER")
    events = [front, BEGIN, RINGING, NO_ANSWER, hangup(), front_ends, hangup("1.0")]
    assert seen(*events) == [told(Outcome.MISSED)]


def test_what_no_campaign_dials_is_nothing() -> None:
    nobody: dict[str, Any] = {"DestChanVariable": ["CAMPAIGN_ID=", "RINGWAY_ATTEMPT="], "ChanVariable": "CAMPAIGN_ID="}
    assert seen({**BEGIN, **nobody}, RINGING, NO_ANSWER, hangup()) == []
    assert seen({key: value for key, value in BEGIN.items() if "Variable" not in key}, hangup()) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, value) for field in ("DialString", "CallerIDNum") for value in ("", "<unknown>", ["1", "2"])),
        *(("DestUniqueid", value) for value in ("", ["1", "2"])),
    ],
)
def test_what_has_no_number_or_name_is_nothing(field: str, value: str | list[str]) -> None:
    assert seen({**BEGIN, field: value}, hangup()) == []


@pytest.mark.parametrize(
    "text",
    [f"{ANNA}@trunk", f"trunk/{ANNA}", f"trunk/sip:{ANNA}@192.0.2.1:5060", f"sip:{ANNA}@192.0.2.1", f"g1/{ANNA}", ANNA],
)
def test_the_subscriber_is_in_what_was_dialled(text: str) -> None:
    assert seen({**BEGIN, "DialString": text}, RINGING, hangup()) == [told(Outcome.MISSED)]


def test_without_the_attempts_variable_the_dialling_channel_names_it() -> None:
    plain = dial("DialBegin", attempt="", dialling="7.7", DestChanVariable="CAMPAIGN_ID=win-back")
    assert seen(plain, RINGING, hangup()) == [told(Outcome.MISSED, "7.7")]


def second(kind: str, **fields: Any) -> Event:
    return dial(kind, leg="1.3", **fields)


def test_a_fork_to_one_subscriber_is_one_attempt() -> None:
    """The mobile and the desk telephone of the same number: the last leg decides."""
    missed = [BEGIN, second("DialBegin"), RINGING, NO_ANSWER, hangup(), hangup("1.3", 1)]
    assert seen(*missed) == [told(Outcome.MISSED)]
    one_answers = [
        BEGIN,
        second("DialBegin"),
        RINGING,
        second("DialEnd", DialStatus="ANSWER"),
        hangup("1.2"),
        hangup("1.3"),
    ]
    assert seen(*one_answers) == [told(Outcome.ANSWERED)]


def test_a_fork_to_two_subscribers_is_an_attempt_to_each() -> None:
    begin = [BEGIN, second("DialBegin", subscriber=BORIS)]
    assert seen(*begin, RINGING, hangup(), hangup("1.3", 17)) == [
        told(Outcome.MISSED),
        told(Outcome.MISSED, "1.1", BORIS),
    ]


BEGIN_FORK = [BEGIN, second("DialBegin")]
FORK_ENDS: list[tuple[Event, Event]] = [
    (hangup(cause=17), hangup("1.3", 1)),
    (hangup(cause=18), hangup("1.3", 1)),
    (hangup(cause=19), hangup("1.3", 34)),
    (hangup(cause=21, sip="603"), hangup("1.3", 1, sip="404")),
]


@pytest.mark.parametrize("ends", [*FORK_ENDS, *[(last, first) for first, last in FORK_ENDS]])
def test_one_leg_that_reached_him_is_enough_whichever_ends_last(ends: tuple[Event, Event]) -> None:
    """The mobile is busy, the desk telephone's number is wrong: he was called, and did not take it."""
    assert seen(*BEGIN_FORK, *ends) == [told(Outcome.MISSED)]


def test_a_leg_that_rang_is_enough_whichever_ends_last() -> None:
    assert seen(*BEGIN_FORK, RINGING, hangup(), hangup("1.3", 1)) == [told(Outcome.MISSED)]
    assert seen(*BEGIN_FORK, RINGING, hangup("1.3", 1), hangup()) == [told(Outcome.MISSED)]
    assert seen(*BEGIN_FORK, hangup("1.3", 1), hangup(cause=34)) == [told(Outcome.FAILED)]


def test_one_channel_that_calls_one_after_the_other_is_an_attempt_to_each() -> None:
    """A dialler's own dialplan without RINGWAY_ATTEMPT: the channel names them, the number tells them apart."""
    other = {"leg": "1.3", "subscriber": BORIS, "attempt": ""}
    events = [dial("DialBegin", attempt=""), RINGING, hangup(), dial("DialBegin", **other)]
    assert seen(*events, dial("DialEnd", DialStatus="ANSWER", **other), hangup("1.3")) == [
        told(Outcome.MISSED),
        told(Outcome.ANSWERED, "1.1", BORIS),
    ]


def test_one_answer_is_an_answer_for_everybody_who_was_called_with_it() -> None:
    begin = [BEGIN, second("DialBegin", subscriber=BORIS), RINGING]
    answer = second("DialEnd", subscriber=BORIS, DialStatus="ANSWER")
    everybody = [told(Outcome.ANSWERED), told(Outcome.ANSWERED, "1.1", BORIS)]
    assert seen(*begin, answer, hangup(), hangup("1.3")) == everybody
    # Anna was busy before Boris answered: her attempt was missed at first.
    assert seen(*begin, hangup(), answer, hangup("1.3")) == [told(Outcome.MISSED), *everybody]


def test_an_answer_behind_a_local_channel_counts_for_the_whole_call() -> None:
    """Two Local channels dialled at once, each with a call of its own behind it: one Linkedid."""
    begin = [BEGIN, dial("DialBegin", leg="1.5", dialling="1.4", attempt="1.4", subscriber=BORIS), RINGING]
    answer = dial("DialEnd", leg="1.5", dialling="1.4", attempt="1.4", subscriber=BORIS, DialStatus="ANSWER")
    assert seen(*begin, answer, hangup(), hangup("1.5")) == [
        told(Outcome.ANSWERED),
        told(Outcome.ANSWERED, "1.4", BORIS),
    ]


def test_a_retry_is_an_attempt_of_its_own() -> None:
    again = {"leg": "1.3", "attempt": "1.1-2"}
    events = [BEGIN, RINGING, hangup(), dial("DialBegin", **again), dial("DialEnd", DialStatus="ANSWER", **again)]
    assert seen(*events, hangup("1.3")) == [told(Outcome.MISSED), told(Outcome.ANSWERED, "1.1-2")]


def test_events_of_calls_that_began_before_the_session_are_nothing() -> None:
    assert seen(RINGING, ANSWER, hangup()) == []
    assert seen({"Event": "DialBegin"}, {"Event": "Hangup"}, {}, {"Event": ["x", "y"]}) == []


@pytest.mark.parametrize("cause", ["", "x", "-1", "9" * 50, "9" * 5000, "٣", "\u00b2"])
def test_a_cause_that_is_none_is_unknown(cause: str) -> None:
    assert seen(BEGIN, {**hangup(), "Cause": cause}) == [told(Outcome.FAILED)]


def dialled(place: int, **fields: Any) -> Event:
    return dial("DialBegin", leg=f"{place}.0", attempt=f"{place}.0", **fields)


def test_calls_whose_end_is_never_told_are_given_up_oldest_first() -> None:
    watch = DialTracker()
    for place in range(AMI_OPEN_LEGS_MAX + 1):
        assert list(watch.feed(dialled(place, linked=f"{place}.0"), NOW)) == []
    assert len(watch) == AMI_OPEN_LEGS_MAX
    assert list(watch.feed(hangup("0.0", 17), NOW)) == []
    assert list(watch.feed(hangup("1.0", 17), NOW)) == [told(Outcome.MISSED, "1.0")]


def test_one_call_has_no_more_legs_than_all_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "AMI_OPEN_LEGS_MAX", 10)
    watch = DialTracker()
    for place in range(105):
        assert list(watch.feed(dialled(place), NOW)) == []
        assert len(watch) <= 10
    found = [report for place in range(105) for report in watch.feed(hangup(f"{place}.0", 17), NOW)]
    assert found == [told(Outcome.MISSED, f"{place}.0") for place in range(100, 105)]
    assert len(watch) == 0


def test_a_leg_that_begins_twice_is_one() -> None:
    assert seen(BEGIN, BEGIN, RINGING, hangup()) == [told(Outcome.MISSED)]


def test_of_those_who_are_through_no_more_is_kept_than_a_late_answer_needs() -> None:
    watch = DialTracker()
    assert list(watch.feed(BEGIN, NOW)) == []
    count = AMI_ENDED_MAX * 3
    for place in range(10, count + 10):
        assert list(watch.feed(dialled(place), NOW)) == []
        assert list(watch.feed(hangup(f"{place}.0", 17), NOW)) == [told(Outcome.MISSED, f"{place}.0")]
    late = list(watch.feed(ANSWER, NOW))
    newest = range(count + 10 - AMI_ENDED_MAX, count + 10)
    assert late == [*(told(Outcome.ANSWERED, f"{place}.0") for place in newest), told(Outcome.ANSWERED)]
    assert list(watch.feed(hangup(), NOW)) == []
    assert len(watch) == 0


class Counted(str):
    """A unique id that counts how often ids are compared or hashed."""

    __slots__ = ()
    looks = 0

    def __eq__(self, other: object) -> bool:
        Counted.looks += 1
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        Counted.looks += 1
        return str.__hash__(self)


def test_an_event_costs_the_same_however_large_its_call_is() -> None:
    """Counted in looks at ids, not in time."""

    def looks(legs: int) -> int:
        watch = DialTracker()
        Counted.looks = 0
        events = [
            dial("DialBegin", leg=Counted(f"{place}.0"), attempt=f"{place}.0", linked=Counted("1.0"))
            for place in range(legs)
        ]
        for event in [*events, *(hangup(Counted(f"{place}.0"), 17) for place in range(legs))]:
            list(watch.feed(event, NOW))
        assert len(watch) == 0
        return Counted.looks

    assert looks(1000) <= looks(100) * 11


@pytest.mark.parametrize(
    ("events", "outcome"),
    [([RINGING, NO_ANSWER, hangup()], Outcome.MISSED), ([RINGING, ANSWER, hangup()], Outcome.ANSWERED)],
)
def test_a_subscriber_who_is_called_for_an_agent_is_judged_by_himself(events: list[Event], outcome: Outcome) -> None:
    """The agent is originated first, and answers; then his channel dials."""
    agent = {"DestUniqueid": "1.0", "DestLinkedid": "1.0", "DialString": "agent-7", "DestChannel": "PJSIP/agent-7-1"}
    reports = seen(
        originated("DialBegin", **agent),
        originated("DialEnd", **agent, DialStatus="ANSWER"),
        dial("DialBegin", dialling="1.0"),
        *events,
        hangup("1.0"),
    )
    assert reports[1:] == [told(outcome)]
    assert [each.subscriber for each in reports[:1]] == ["agent-7"]  # no number: no attempt comes of it


def test_legs_that_nobody_ends_give_way_also_where_their_call_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "AMI_OPEN_LEGS_MAX", 3)
    watch = DialTracker()
    for place in range(20):
        leg = f"2.{place}"
        for event in (dial("DialBegin", leg=leg), dial("DialEnd", leg=leg, DialStatus="ANSWER")):
            assert len(list(watch.feed(event, NOW))) == (event["Event"] == "DialEnd")
        assert len(watch) <= 3
