"""The other side of FastAGI for tests: what Asterisk sends, and what it makes of a command.

Written from Asterisk's own sources, not from the router's: res/res_agi.c (setup_env, parse_args, handle_exec),
main/app.c (__ast_app_separate_args), main/pbx_variables.c (pbx_builtin_setvar_multiple).
"""

import asyncio
from collections.abc import Mapping, Sequence

AGI_LINE_MAX = 2047  # what fgets takes into a buffer of 2,048 bytes, line feed included
OLD_MSET_PAIRS = 24
NEW_MSET_PAIRS = 99

# As Asterisk 22 sends it for a call from +44 7700 900123 to 020 7946 0000.
ENVIRONMENT: Mapping[str, str] = {
    "agi_network": "yes",
    "agi_network_script": "route",
    "agi_request": "agi://127.0.0.1:4573/route",
    "agi_channel": "PJSIP/trunk-00000007",
    "agi_language": "en",
    "agi_type": "PJSIP",
    "agi_uniqueid": "1795316003.7",
    "agi_version": "22.10.1",
    "agi_callerid": "+447700900123",
    "agi_calleridname": "unknown",
    "agi_callingpres": "0",
    "agi_callingani2": "0",
    "agi_callington": "0",
    "agi_callingtns": "0",
    "agi_dnid": "02079460000",
    "agi_rdnis": "unknown",
    "agi_context": "ringway-route",
    "agi_extension": "s",
    "agi_priority": "2",
    "agi_enhanced": "0.0",
    "agi_accountcode": "",
    "agi_threadid": "140213371025088",
}


def environment_lines(fields: Mapping[str, str] | None = None, arguments: Sequence[str] = ()) -> list[bytes]:
    """The writes of Asterisk for one call, the closing blank line last. `fields` stand over the usual ones."""
    values = {**ENVIRONMENT, **(fields or {})}
    values |= {f"agi_arg_{place}": argument for place, argument in enumerate(arguments, start=1)}
    return [*(f"{key}: {value}\n".encode("utf-8", "surrogateescape") for key, value in values.items()), b"\n"]


def environment(fields: Mapping[str, str] | None = None, arguments: Sequence[str] = ()) -> bytes:
    """The same in one piece."""
    return b"".join(environment_lines(fields, arguments))


def words(line: bytes) -> list[bytes]:
    """What res_agi.c's parse_args makes of a command: words by blanks, quotes around some, backslashes."""
    found: list[bytearray] = []
    quoted = escaped = False
    between = True
    for byte in line.rstrip(b"\n"):
        char = bytes([byte])
        if char == b'"' and not escaped:
            quoted = not quoted
            if quoted and between:
                found.append(bytearray())
                between = False
        elif char in b" \t" and not quoted and not escaped:
            between = True
        elif char == b"\\" and not escaped:
            escaped = True
            continue
        else:
            if between:
                found.append(bytearray())
                between = False
            found[-1] += char
        escaped = False
    return [bytes(word) for word in found]


def arguments(text: bytes, separator: bytes, places: int) -> list[bytes]:
    """What an application's arguments are: the last of `places` takes all that is left, as it stands."""
    found: list[bytes] = []
    at = 0
    trailing = False
    while at < len(text) and len(found) < places - 1:
        argument = bytearray()
        round_, square, quoted = 0, 0, False
        trailing = False
        while at < len(text):
            char = text[at : at + 1]
            at += 1
            if char == b"(":
                round_ += 1
            elif char == b")":
                round_ = max(round_ - 1, 0)
            elif char == b"[":
                square += 1
            elif char == b"]":
                square = max(square - 1, 0)
            elif char == b'"':
                quoted = not quoted
                continue
            elif char == b"\\":
                char = text[at : at + 1]
                at += 1
            elif char == separator and not (round_ or square or quoted):
                trailing = True
                break
            argument += char
        found.append(bytes(argument))
    if at < len(text) or trailing:
        found.append(text[at:])
    return found


def executed(command: bytes, places: int = OLD_MSET_PAIRS) -> list[tuple[str, str]]:
    """The variables that Asterisk sets for one `EXEC MSet` line, in order; `places` as its version has them.

    Insists on a line that every version takes whole.
    """
    assert command.endswith(b"\n"), command
    assert b"\n" not in command[:-1], command
    assert len(command) <= AGI_LINE_MAX, len(command)
    verb, application, data = words(command)
    assert (verb, application) == (b"EXEC", b"MSet"), command
    pairs = arguments(data, b",", places)
    assert len(pairs) <= OLD_MSET_PAIRS, len(pairs)
    variables = []
    for pair in pairs:
        name, value = arguments(pair, b"=", 2)  # the value is what is left: as it stands, a further = included
        variables.append((name.decode(), value.decode()))
    return variables


class Call:
    """One call as Asterisk holds it. `variables` are those that were set, `commands` the lines that came."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.commands: list[bytes] = []
        self.variables: dict[str, str] = {}

    async def run(self, pieces: Sequence[bytes], reply: bytes = b"200 result=0\n") -> None:
        """Send the pieces one write each, then reply to each command until the other side ends the call."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
        while command := await self.reader.readline():
            self.commands.append(command)
            self.variables |= executed(command)
            self.writer.write(reply)


async def place(
    host: str,
    port: int,
    pieces: Sequence[bytes] | None = None,
    *,
    reply: bytes = b"200 result=0\n",
) -> Call:
    """Place one call and see it through to its end. A connection that is reset ends it too."""
    reader, writer = await asyncio.open_connection(host, port)
    call = Call(reader, writer)
    try:
        await call.run(environment_lines() if pieces is None else pieces, reply)
    except ConnectionError:
        pass
    finally:
        writer.close()
    return call
