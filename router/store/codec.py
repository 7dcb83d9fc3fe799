"""Rows as stores keep them: JSON, and a number for the kind."""

from typing import Any

import msgspec

from dialplan.kinds.registry import KINDS, Row, RowKind

CODES = {name: kind.code for name, kind in KINDS.items()}
_DECODERS: dict[int, tuple[RowKind, msgspec.json.Decoder[Any]]] = {
    kind.code: (name, msgspec.json.Decoder(kind.struct)) for name, kind in KINDS.items()
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
