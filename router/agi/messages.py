"""The words of FastAGI: a request, a reply, and the one command that answers.

Sources: Asterisk's res/res_agi.c (setup_env, parse_args, the reply codes) and main/pbx_variables.c (MSet), and what
real calls through Asterisk 22 showed to arrive byte for byte.
"""

import re
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from router.config.limits import COMMAND_MAX_BYTES, ENVIRONMENT_MAX_LINES, MSET_MAX_PAIRS

# The keys in the order in which res_agi.c writes them, the same since Asterisk 1.8. Arguments follow.
ENVIRONMENT_KEYS = (
    "agi_network",
    "agi_network_script",
    "agi_request",
    "agi_channel",
    "agi_language",
    "agi_type",
    "agi_uniqueid",
    "agi_version",
    "agi_callerid",
    "agi_calleridname",
    "agi_callingpres",
    "agi_callingani2",
    "agi_callington",
    "agi_callingtns",
    "agi_dnid",
    "agi_rdnis",
    "agi_context",
    "agi_extension",
    "agi_priority",
    "agi_enhanced",
    "agi_accountcode",
    "agi_threadid",
)
_RANKS = {key: rank for rank, key in enumerate(ENVIRONMENT_KEYS)}
_USED = ("agi_network_script", "agi_uniqueid", "agi_callerid", "agi_callingpres", "agi_dnid", "agi_extension")
_ARGUMENT = "agi_arg_"
_CODE_DIGITS = 3
USUAL_REPLY = b"200 result=0\n"  # to MSet
# The usual block, a call without arguments, in one match; anything else is looked at key by key.
_USUAL = re.compile(r"\n".join(f"{key}: ([^\\n]*)" if key in _USED else f"{key}: [^\\n]*" for key in ENVIRONMENT_KEYS))


class Refused(StrEnum):
    """Why a peer's bytes were refused. Stable: `agi_rejected_total` carries these words."""

    NOT_AGI = "not-agi"  # it does not speak AGI at all
    TOO_LONG = "too-long"  # more bytes than any Asterisk sends
    BAD_LINE = "bad-line"  # a line of the environment is none, or there are too many
    BAD_ORDER = "bad-order"  # a key twice, or where Asterisk never has it: a forged line
    MISSING_KEY = "missing-key"
    AFTER_ENVIRONMENT = "after-environment"  # bytes after the blank line, before they were asked for: a forged end
    BAD_REPLY = "bad-reply"
    EOF = "eof"  # the peer went before its call was answered


class AgiError(Exception):
    """A peer's bytes were refused; `cause` says why."""

    def __init__(self, cause: Refused) -> None:
        self.cause = cause
        super().__init__(str(cause))


class AgiRequest(msgspec.Struct, frozen=True, gc=False):
    """What a FastAGI connection asks: the environment that Asterisk sends first."""

    script: str  # the path of agi://HOST/PATH, without its query
    query: str  # what follows a ? in it
    unique_id: str
    caller_id: str
    calling_presentation: str
    dnid: str
    extension: str
    arguments: tuple[str, ...]


class AgiReply(msgspec.Struct, frozen=True, gc=False):
    """Asterisk's reply to one command. `forged`: lines that are no reply came before it."""

    code: int  # 200 done, 510 unknown command, 511 dead channel, 520 wrong usage
    text: str
    forged: bool = False


class Hangup(msgspec.Struct, frozen=True, gc=False):
    """The unasked HANGUP line: the caller has gone; a reply may still follow."""


def parse_environment(block: bytes) -> AgiRequest:
    """Read the environment block, without its closing blank line.

    Asterisk copies a caller's bytes into it, line feeds included, so a line may be forged. Known keys have to come
    once and in Asterisk's own order; a key that this version does not know may stand anywhere, once.

    Raises AgiError.
    """
    text = block.decode("utf-8", "replace")
    usual = _USUAL.fullmatch(text)
    if usual is not None:
        script, unique_id, caller_id, presentation, dnid, extension = usual.groups()
        arguments: tuple[str, ...] = ()
    else:
        fields = _fields(text.split("\n"))
        arguments = _check_keys(fields)
        script, unique_id, caller_id, presentation, dnid, extension = (fields[key] for key in _USED)
    script, _, query = script.partition("?")
    return AgiRequest(script, query, unique_id, caller_id, presentation, dnid, extension, arguments)


def _fields(lines: list[str]) -> dict[str, str]:
    if len(lines) > ENVIRONMENT_MAX_LINES:
        raise AgiError(Refused.BAD_LINE)  # as long as one that Asterisk may send, but full of a caller's line feeds
    fields: dict[str, str] = {}
    for line in lines:
        key, separator, value = line.partition(": ")
        if not separator:
            raise AgiError(Refused.BAD_LINE)
        if key in fields:
            raise AgiError(Refused.BAD_ORDER)
        fields[key] = value
    return fields


def _check_keys(fields: dict[str, str]) -> tuple[str, ...]:
    """Check keys and order; return the arguments."""
    arguments: list[str] = []
    last = -1
    for key, value in fields.items():
        rank = _RANKS.get(key)
        if rank is not None:
            if rank < last or arguments:
                raise AgiError(Refused.BAD_ORDER)
            last = rank
        elif key.startswith(_ARGUMENT):
            if key != f"{_ARGUMENT}{len(arguments) + 1}":
                raise AgiError(Refused.BAD_ORDER)
            arguments.append(value)
        elif not key.startswith("agi_"):
            raise AgiError(Refused.BAD_LINE)
    if any(key not in fields for key in _USED):
        raise AgiError(Refused.MISSING_KEY)
    return tuple(arguments)


def parse_reply(line: bytes) -> AgiReply | None:
    """Read a reply's line, None where it is none."""
    code, rest = line[:_CODE_DIGITS], line[3:4]
    if not (len(code) == _CODE_DIGITS and code.isdigit() and rest in (b" ", b"-", b"")):
        return None
    return AgiReply(int(code), line[4:].decode("utf-8", "replace"))


def _twice(char: str) -> str:
    """A character escaped for the application's arguments, and that once more for the AGI command's quotes."""
    return ("\\" + char).replace("\\", "\\\\").replace('"', '\\"')


_ESCAPES = str.maketrans({char: _twice(char) for char in '\\",()[]='})


def escape(value: str) -> str:
    """A value as it has to stand inside `EXEC MSet "…"` to arrive byte for byte.

    Line feeds, returns and NUL cannot be carried at all; they are refused where data is written. One that comes here
    all the same becomes a space, so that no value can ever end the command.
    """
    return value.translate(_ESCAPES).replace("\n", " ").replace("\r", " ").replace("\0", " ")


def pair(name: str, value: str) -> str:
    """One variable for `mset`."""
    return f"{name}={escape(value)}"


def mset(pairs: Sequence[str]) -> bytes:
    """One command that sets variables, each made by `pair`; at most MSET_MAX_PAIRS of them."""
    return f'EXEC MSet "{",".join(pairs)}"\n'.encode("utf-8", "replace")


def split_pairs(
    ahead: Sequence[str], last: Sequence[str], room: int, opening: Sequence[str] = ()
) -> tuple[list[list[str]], list[str]]:
    """Lay out pairs over as few commands as Asterisk's limits allow.

    `ahead` are the pairs that may go in earlier commands, `last` those that have to be in the last one, `room` the
    bytes that the last one needs besides. `opening` are pairs for whichever command goes first. Returns the groups of
    the earlier commands, and of `ahead` those (its first ones) that still fit into the last; `opening` stands in the
    first group, or in front of those where there is no group.

    Asterisk does not unescape the pair in MSet's last place (main/app.c, __ast_app_separate_args): the last command
    has one there that needs no escape, the earlier ones leave it free.
    """
    frame = len(b'EXEC MSet ""\n')
    size = frame + room + sum(len(each.encode()) + 1 for each in (*last, *opening))
    count = len(last) + len(opening)
    taken = 0
    for each in ahead:
        size += len(each.encode()) + 1
        count += 1
        if size > COMMAND_MAX_BYTES or count > MSET_MAX_PAIRS:
            break
        taken += 1
    groups: list[list[str]] = []
    left = list(ahead[taken:])
    fitting = list(ahead[:taken])
    (left or fitting)[:0] = opening
    size = COMMAND_MAX_BYTES
    for each in left:
        length = len(each.encode()) + 1
        if not groups or size + length > COMMAND_MAX_BYTES or len(groups[-1]) == MSET_MAX_PAIRS - 1:
            groups.append([])
            size = frame
        groups[-1].append(each)
        size += length
    return groups, fitting
