"""The other side of FastAGI, for `ringway call` and `report-attempt`: asks a router as Asterisk would.

What the router answers is read as Asterisk reads it: the variables that it would set.
"""

import contextlib
import re
import socket
import time
from collections.abc import Iterator, Sequence

from dialplan.wording import quote
from router.agi.messages import ENVIRONMENT_KEYS, AgiRequest
from router.config.limits import ANSWER_MAX_BYTES, ANSWER_MAX_COMMANDS
from router.util.until import connected, left

_COMMAND = re.compile(r'EXEC MSet "(.*)"', re.DOTALL)
_WITHHELD = "67"  # agi_callingpres where there is no number: prohibited, number not available
_NO_CALLER = "unknown"
_READ_BYTES = 65_536
_TOO_MUCH = "more came than any router answers"
ATTEMPT_STATUSES = ("OK", "LATER", "REFUSED")
ROUTE_STATUSES = ("OK", "NODATA")


class AgiClientError(Exception):
    """What the router sent is no answer; the text says what came."""


class UnsendableError(AgiClientError):
    """A text cannot stand in a line of AGI; nothing was sent."""


def environment(request: AgiRequest) -> bytes:
    """The block that Asterisk sends for a request, with its blank line; `parse_environment` reads it back.

    Raises UnsendableError.
    """
    script = f"{request.script}?{request.query}" if request.query else request.script
    values = dict.fromkeys(ENVIRONMENT_KEYS, "unknown") | {
        "agi_network": "yes",
        "agi_network_script": script,
        "agi_request": f"agi://localhost/{script}",
        "agi_channel": "Ringway/call",
        "agi_language": "en",
        "agi_type": "Ringway",
        "agi_uniqueid": request.unique_id,
        "agi_callerid": request.caller_id,
        "agi_callingpres": request.calling_presentation,
        "agi_dnid": request.dnid,
        "agi_context": "ringway-inbound",
        "agi_extension": request.extension,
        "agi_priority": "1",
        "agi_enhanced": "0.0",
    }
    values |= {f"agi_arg_{place}": argument for place, argument in enumerate(request.arguments, start=1)}
    bad = next((text for text in values.values() if any(char in text for char in "\r\n\0")), None)
    if bad is not None:
        raise UnsendableError(f"{quote(bad)} cannot be sent over AGI; leave out line feeds and NUL")
    return ("".join(f"{key}: {value}\n" for key, value in values.items()) + "\n").encode("utf-8", "surrogateescape")


def ask(host: str, port: int, request: AgiRequest, seconds: float, status: str) -> dict[str, str]:
    """Place one request; return the variables in the order in which they were set, none where nothing was answered.

    `seconds` bounds all of it, but for the look-up of the host's name. `status` names the variable that is set last:
    once it has a value the answer stands, as it does in Asterisk, whatever the router does then.
    Raises OSError (refused, timed out) and AgiClientError.
    """
    until = time.monotonic() + seconds
    block = environment(request)
    variables: dict[str, str] = {}
    try:
        with connected(host, port, until) as connection:
            connection.sendall(block)
            for command in _commands(connection, until):
                variables |= read_mset(command)
    except (OSError, AgiClientError):
        if not variables.get(status):
            raise
    return variables


def _commands(connection: socket.socket, until: float) -> Iterator[str]:
    """The commands that come, each replied to once it has been looked at."""
    begun, count, received = b"", 0, 0
    connection.settimeout(left(until))
    while data := connection.recv(_READ_BYTES):
        received += len(data)
        *lines, begun = (begun + data).split(b"\n")
        for line in lines:
            count += 1
            if count > ANSWER_MAX_COMMANDS:
                raise AgiClientError(_TOO_MUCH)
            yield line.decode("utf-8", "replace")
            with contextlib.suppress(OSError):  # who reads no reply may have said all the same what is still to be read
                connection.settimeout(left(until))
                connection.sendall(b"200 result=0\n")
        if received > ANSWER_MAX_BYTES:
            raise AgiClientError(_TOO_MUCH)
        connection.settimeout(left(until))
    if begun:
        yield begun.decode("utf-8", "replace")


def ask_route(host: str, port: int, did: str, caller: str, unique_id: str, seconds: float) -> dict[str, str]:
    """What is answered to a call to `did` from `caller` (empty: withheld). Bounds and errors as of `ask`."""
    presentation = "0" if caller else _WITHHELD
    request = AgiRequest("route", "", unique_id, caller or _NO_CALLER, presentation, did, did, ())
    variables = ask(host, port, request, seconds, "ROUTE_STATUS")
    if variables.get("ROUTE_STATUS") not in ROUTE_STATUSES:
        raise AgiClientError("the connection was closed without a decision")
    return variables


def ask_attempt(host: str, port: int, arguments: Sequence[str], unique_id: str, seconds: float) -> str:
    """Report an attempt; returns ATTEMPT_STATUS: OK, LATER or REFUSED. Bounds and errors as of `ask`.

    `arguments`: see `dialplan.campaigns.reports.read_report`.
    """
    request = AgiRequest("attempt", "", unique_id, _NO_CALLER, _WITHHELD, "unknown", "s", tuple(arguments))
    status = ask(host, port, request, seconds, "ATTEMPT_STATUS").get("ATTEMPT_STATUS", "")
    if status not in ATTEMPT_STATUSES:
        raise AgiClientError("the connection was closed without a word about the attempt")
    return status


def read_mset(command: str) -> dict[str, str]:
    """The variables that one `EXEC MSet` command sets, unescaped as Asterisk does. Raises AgiClientError."""
    match = _COMMAND.fullmatch(command)
    if match is None:
        raise AgiClientError(f"not the expected command: {command[:80]!r}")
    pairs = _split(_unescape(match[1]))
    return dict(pairs)


def _unescape(text: str) -> str:
    """What the AGI parser does inside quotes: a backslash takes the next character as it is."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _split(text: str) -> list[tuple[str, str]]:
    """What the application's argument parser does: commas separate, a backslash takes the next character as it is."""
    pairs: list[tuple[str, str]] = []
    name: str | None = None
    current = ""
    characters = iter(text)
    for char in characters:
        if char == "\\":
            current += next(characters, "")
        elif char == "=" and name is None:
            name, current = current, ""
        elif char == ",":
            pairs.append((name or "", current))
            name, current = None, ""
        else:
            current += char
    pairs.append((name or "", current))
    return pairs
