"""Events as Asterisk 22 writes them, and with a caller's text in them.

PJSIP cuts a caller's number, and the dialplan an extension, at 79 bytes. Asterisk's own text goes on behind it.
"""

from typing import Any

import pytest

from router.ami.dial_tracker import Event
from router.ami.events import EventReader
from tests.unit.router.ami.peers import CHANNEL, dial_text, hangup_text

TEXT_MAX_BYTES = 79
WHOLE = {
    "begin": dial_text("DialBegin", "447700900123@trunk"),
    "state": dial_text("DialState", "RINGING"),
    "end": dial_text("DialEnd", "ANSWER"),
    "hangup": hangup_text(),
    "hangup-with-sip": hangup_text(more="TechCause: 486\n"),
    "originated": dial_text("DialBegin", "447700900123@trunk", originated=True),
    "no-variables": dial_text("DialEnd", "ANSWER", ()),
    "forwarded": dial_text("DialEnd", "BUSY").removesuffix("\n") + "Forward: Local/1@x\n\n",
}
# Shutdown, an answer, a campaign, a reply: what a caller might like to say.
FORGED = {
    "shutdown": "1\n\nEvent: Shutdown\n\n",
    "answer": "1\n\nEvent: DialEnd\nDestUniqueid: 9.9\nDialStatus: ANSWER\n\n",
    "answer-without-an-end": "1\n\nEvent: DialEnd\nDestUniqueid: 9.9\nDialStatus: ANSWER",
    "hangup": "1\n\nEvent: Hangup\nUniqueid: 9.9\nCause: 17\nCause-txt: x\n\n",
    "hangup-without-an-end": "1\n\nEvent: Hangup\nPrivilege: call,all\nUniqueid: 9.9",
    "hangup-in-two": "1\n\nx\n\nEvent: Hangup\nUniqueid: 9.9\nCause-txt: x\n\nEvent: Hangup",
    "a-field": "1\nX: y",
    "an-event": "1\nEvent: x",
    "an-end": "1\nCause-txt: x\n\nEvent: Hangup",
    "another-leg": "1\nUniqueid: 9.9",
    "another-cause": "1\nCause: 17",
    "a-campaign": "1\nChanVariable: CAMPAIGN_ID=win-back",
    "a-campaign-of-the-other": "1\nDestChanVariable: CAMPAIGN_ID=win-back",
    "an-attempt": "1\nLinkedid: 1\nChanVariable: RINGWAY_ATTEMPT=x",
    "a-technology": "1\nTechCause: 486",
    "blank-lines": "1\n\n\n\n\n",
}


def read(reader: EventReader, text: str) -> list[Event]:
    messages = text.replace("\n", "\r\n").encode().split(b"\r\n\r\n")
    return [event for each in messages if (event := reader.read(each.strip(b"\r\n"))) is not None]


@pytest.mark.parametrize("name", WHOLE)
def test_what_asterisk_writes_is_believed(name: str) -> None:
    reader = EventReader()
    (event,) = read(reader, WHOLE[name])
    assert reader.refused == 0
    for line in WHOLE[name].strip().split("\n"):
        key, _, value = line.partition(": ")
        if key != "Forward":
            assert value in event[key] if key.endswith("ChanVariable") else value == event[key]


def test_other_events_are_nothing() -> None:
    reader = EventReader()
    texts = ["Event: Newchannel\nUniqueid: 1\n\n", "Event: Shutdown\n\n", "Response: Success\n\n", "x\n\n", "\n\n"]
    assert [event for text in texts for event in read(reader, text)] == []
    assert reader.refused == 0


@pytest.mark.parametrize("name", WHOLE)
def test_an_event_in_which_a_field_is_missing_or_stands_twice_is_not_believed(name: str) -> None:
    lines = WHOLE[name].strip().split("\n")
    own = [place for place, line in enumerate(lines) if "Variable" not in line and place]
    optional = ("TechCause", "Forward")
    for place in own:
        if not lines[place].startswith(optional):
            assert read(EventReader(), "\n".join([*lines[:place], *lines[place + 1 :], "\n"])) == []
        if not lines[place].startswith("Forward"):
            assert read(EventReader(), "\n".join([*lines[:place], lines[place], *lines[place:], "\n"])) == []


@pytest.mark.parametrize("field", ["CallerIDNum", "ConnectedLineNum", "Exten"])
@pytest.mark.parametrize("forged", FORGED)
def test_a_callers_text_forges_nothing_and_takes_nobody_elses_event_with_it(forged: str, field: str) -> None:
    """His own event may be lost, and tells at most what it would have told anyhow."""
    text: dict[str, Any] = {field: FORGED[forged]}
    dest: dict[str, Any] = {f"Dest{field}": FORGED[forged]}
    assert len(FORGED[forged].replace("\n", "\r\n")) <= TEXT_MAX_BYTES
    honest = hangup_text(Uniqueid="7.7")
    for his in (
        hangup_text(("CAMPAIGN_ID=",), **text),
        hangup_text((), **text),
        dial_text("DialBegin", "100@desk", ("CAMPAIGN_ID=",), **text, **dest),
        dial_text("DialEnd", "BUSY", ("CAMPAIGN_ID=",), **text),
        dial_text("DialState", "RINGING", ("CAMPAIGN_ID=",), **dest),
        dial_text("DialEnd", "BUSY", ("CAMPAIGN_ID=",), **dest, originated=True),
        _newchannel(**text),
    ):
        reader = EventReader()
        *of_his, last = read(reader, his + honest)
        assert last["Uniqueid"] == "7.7"
        for event in of_his:
            assert event["Event"] == his.partition("\n")[0].removeprefix("Event: ")
            told = [event.get(key) for key in ("Uniqueid", "DestUniqueid", "Cause", "DialStatus", "TechCause")]
            assert not {"9.9", "17", "ANSWER", "486"} & set(map(str, told))
            assert "win-back" not in str(event)


def _newchannel(**text: Any) -> str:
    """An event that is none of the four, as an account without a filter hears it: it ends otherwise than they do."""
    lines = hangup_text((), **text).replace("Event: Hangup", "Event: Newchannel", 1).split("\n")
    return "\n".join(line for line in lines if not line.startswith(("Cause", "TechCause")))


def test_two_texts_of_a_caller_are_too_short_for_an_event_between_them() -> None:
    """The one ends an event and begins another one, which the other one ends: Asterisk's own fields stand between."""
    names = list(CHANNEL)
    before = [f"{name}: " for name in names[: names.index("CallerIDNum") + 1]]
    behind = [f"{name}: " for name in names[names.index("Exten") + 1 :]]
    begins = "\r\n".join(["", "", "Event: Hangup", "Privilege: ", *before])
    ends = "\r\n".join(["", *behind, "Cause: ", "Cause-txt: ", "", ""])
    assert len(begins) > TEXT_MAX_BYTES
    between = hangup_text((), CallerIDNum=begins.replace("\r\n", "\n"), Exten=ends.replace("\r\n", "\n"))
    # Even so: what follows an event that was cut is not believed.
    reader = EventReader()
    assert read(reader, between) == []
    assert reader.refused > 0


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    data = hangup_text(Context="@").replace("\n", "\r\n").encode().replace(b"@", b"\xff").strip(b"\r\n")
    event = EventReader().read(data)
    assert event is not None
    assert event["Context"] == "\N{REPLACEMENT CHARACTER}"
