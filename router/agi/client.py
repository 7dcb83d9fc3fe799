"""The other side of FastAGI, for `ringway call`: asks a router as Asterisk would, and reads what it would set."""

import re
import socket

from router.agi.messages import ENVIRONMENT_KEYS
from router.config.limits import ENVIRONMENT_MAX_BYTES

_COMMAND = re.compile(r'EXEC MSet "(.*)"', re.DOTALL)


class AgiClientError(Exception):
    """The router's answer is none; the text says what came."""


def environment(did: str, caller: str, unique_id: str) -> bytes:
    """The block that Asterisk sends for a call to `did` from `caller` (empty: withheld), with its blank line.

    Raises AgiClientError for text that cannot stand in a line.
    """
    if any(char in text for text in (did, caller) for char in "\r\n\0"):
        raise AgiClientError("a number with a line feed cannot be asked for")
    values = dict.fromkeys(ENVIRONMENT_KEYS, "unknown") | {
        "agi_network": "yes",
        "agi_network_script": "route",
        "agi_request": "agi://localhost/route",
        "agi_channel": "Ringway/call",
        "agi_language": "en",
        "agi_type": "Ringway",
        "agi_uniqueid": unique_id,
        "agi_callerid": caller or "unknown",
        "agi_callingpres": "0" if caller else "67",
        "agi_dnid": did,
        "agi_context": "ringway-inbound",
        "agi_extension": did,
        "agi_priority": "1",
        "agi_enhanced": "0.0",
    }
    return ("".join(f"{key}: {value}\n" for key, value in values.items()) + "\n").encode("utf-8", "surrogateescape")


def ask(host: str, port: int, did: str, caller: str, unique_id: str, seconds: float) -> dict[str, str]:
    """Place one request; return the variables in the order in which they were set.

    `seconds` bounds each step of it (the connection, a read, a write), not all of them together.
    Raises OSError (refused, timed out) and AgiClientError.
    """
    variables: dict[str, str] = {}
    with socket.create_connection((host, port), timeout=seconds) as connection:
        connection.sendall(environment(did, caller, unique_id))
        with connection.makefile("rb") as lines:
            while line := lines.readline(ENVIRONMENT_MAX_BYTES):
                variables |= read_mset(line.decode("utf-8", "replace").rstrip("\n"))
                connection.sendall(b"200 result=0\n")
    if variables.get("ROUTE_STATUS") != "OK":
        raise AgiClientError("the connection was closed without a decision")
    return variables


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
