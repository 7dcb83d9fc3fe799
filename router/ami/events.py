"""Messages of the manager interface -> the four events of a dialled call, where they can be believed. Sans-IO.

Asterisk writes what a caller chooses as it is: CallerIDNum, ConnectedLineNum and Exten may hold line ends (seen with
Asterisk 22: `%0D%0A` in the From user). Such text may add fields to an event, or end it and begin another one. So an
event is believed only where each field that Asterisk always writes stands in it once and in Asterisk's order: the
head of an event up to the place where a caller's next text may stand is longer than the 79 bytes that a caller has.
"""

from router.ami.dial_tracker import Event

_HEAD = ("Event", "Privilege")
# Asterisk's snapshot of a channel. What another version adds may stand beside it.
_CHANNEL = (
    *("Channel", "ChannelState", "ChannelStateDesc", "CallerIDNum", "CallerIDName", "ConnectedLineNum"),
    *("ConnectedLineName", "Language", "AccountCode", "Context", "Exten", "Priority", "Uniqueid", "Linkedid"),
)
_DEST_CHANNEL = tuple(f"Dest{name}" for name in _CHANNEL)
_VARIABLES = ("ChanVariable", "DestChanVariable")  # manager.conf: channelvars; each stands once for each variable
_BEFORE_VARIABLES = {"ChanVariable": "Linkedid", "DestChanVariable": "DestLinkedid"}
_DIALLING = (*_HEAD, *_CHANNEL, *_DEST_CHANNEL)
_ORIGINATED = (*_HEAD, *_DEST_CHANNEL)  # there is no dialling channel
_HUNG_UP = (*_HEAD, *_CHANNEL, "Cause", "Cause-txt")
_FORMS = {
    "DialBegin": {(*_DIALLING, "DialString"), (*_ORIGINATED, "DialString")},
    "DialState": {(*_DIALLING, "DialStatus"), (*_ORIGINATED, "DialStatus")},
    "DialEnd": {(*_DIALLING, "DialStatus"), (*_ORIGINATED, "DialStatus")},
    "Hangup": {_HUNG_UP, (*_HUNG_UP, "TechCause")},  # the latter: where the technology said something
}
_FIELDS = frozenset(name for forms in _FORMS.values() for form in forms for name in form)
# How each of them begins: a caller's text has no room for so much.
_HEADS = frozenset({(*_HEAD, *_CHANNEL[:4]), (*_HEAD, *_DEST_CHANNEL[:4])})
_PREFIXES = tuple(f"Event: {kind}\r\n".encode() for kind in _FORMS)
# The last line of each; of DialEnd where somebody forwards it also Forward.
_LAST = frozenset({b"DialString", b"DialStatus", b"Forward", b"Cause-txt", b"TechCause"})


class EventReader:
    """Reads the messages of one session in their order. `refused` counts those that were not believed."""

    def __init__(self) -> None:
        self.refused = 0
        self._cut = False

    def read(self, message: bytes) -> Event | None:
        """The event; None where it is none of the four, or is not believed."""
        if self._cut:
            # The rest of an event that a caller's text has cut, and all that this text put before it.
            self._cut = not _is_end(message)
            self.refused += 1
            return None
        if not message.startswith(_PREFIXES):
            return None
        event = _fields(message.decode("utf-8", "replace"))
        if event is None:
            self.refused += 1
            self._cut = _has_head(message) and not _is_end(message)
        return event


def _has_head(message: bytes) -> bool:
    """Whether it begins as one of the four does; else it is the rest of another event, and ends where that does."""
    names = [line.partition(b": ")[0].decode("utf-8", "replace") for line in message.split(b"\r\n")]
    return tuple([name for name in names if name in _FIELDS][: len(_HEAD) + 4]) in _HEADS


def _is_end(message: bytes) -> bool:
    return message.rpartition(b"\r\n")[2].partition(b":")[0] in _LAST


def _fields(text: str) -> Event | None:
    """The fields that Asterisk always writes, and the variables; None where they are not as Asterisk writes them."""
    fields: dict[str, str | list[str]] = {}
    variables: dict[str, dict[str, str]] = {name: {} for name in _VARIABLES}
    order: list[str] = []
    for line in text.split("\r\n"):
        name, _, value = line.partition(": ")
        if name in _FIELDS:
            order.append(name)
            fields[name] = value
        elif name in variables:
            variable = value.partition("=")[0]
            # They stand together, behind the last thing that a caller chooses, and each has a name of its own.
            if not order or order[-1] != _BEFORE_VARIABLES[name] or variable in variables[name]:
                return None
            variables[name][variable] = value
    if tuple(order) not in _FORMS.get(str(fields["Event"]), ()):
        return None
    return fields | {name: list(values.values()) for name, values in variables.items()}
