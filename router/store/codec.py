"""Rows as stores keep them: JSON, and a number for the kind."""

from typing import Any

import msgspec

from dialplan.kinds.registry import ROW_TYPES, Row, RowKind

# As stored: never renumber.
CODES = {RowKind.COMPANY: 1, RowKind.CALL_FLOW: 2, RowKind.CAMPAIGN: 3, RowKind.NUMBER: 4}
_DECODERS: dict[int, tuple[RowKind, msgspec.json.Decoder[Any]]] = {
    code: (kind, msgspec.json.Decoder(ROW_TYPES[kind])) for kind, code in CODES.items()
}
encode = msgspec.json.Encoder(order="deterministic").encode


class MalformedError(ValueError):
    """What is kept is no row."""


def decode(code: int, body: bytes | str | None) -> tuple[RowKind, Row | None]:
    """A row out of what was kept; None where it was removed. Raises MalformedError, or msgspec.DecodeError."""
    try:
        kind, decoder = _DECODERS[code]
        return kind, None if body is None else decoder.decode(body)
    except (KeyError, TypeError) as error:
        raise MalformedError(f"malformed content (a row of kind {code})") from error
