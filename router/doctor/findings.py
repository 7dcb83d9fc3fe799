"""What was found of each part of a site."""

import enum

import msgspec


class State(enum.StrEnum):
    """What a part of the wiring is known to be."""

    OK = "ok"
    WRONG = "wrong"
    NOT_SEEN = "not seen yet"


class Finding(msgspec.Struct, frozen=True):
    """One line. `of`: which of several Asterisks; `mend`: what to change, or what lets it be seen ("": nothing)."""

    part: str
    state: State
    what: str
    mend: str = ""
    of: str = ""


def fine(part: str, what: str, of: str = "") -> Finding:
    """A part that is right."""
    return Finding(part, State.OK, what, of=of)


def wrong(part: str, what: str, mend: str, of: str = "") -> Finding:
    """A part that is to be changed."""
    return Finding(part, State.WRONG, what, mend, of)


def unseen(part: str, what: str, mend: str = "", of: str = "") -> Finding:
    """A part of which nothing is known yet."""
    return Finding(part, State.NOT_SEEN, what, mend, of)


def refused(part: str, text: str, of: str = "") -> Finding:
    """A part whose error has the hint behind a semicolon, as errors here have; a store's is of the store anyhow."""
    what, _, mend = text.removeprefix("store ").partition("; ")
    return wrong(part, what, mend, of)
