"""Rows as stores keep them: JSON, and a number for the kind.

They are read strictly where that can be, and else leniently: see `dialplan.dataset.later`.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from dialplan.dataset.later import AnyKind, Held, LaterRow, named_kind, read_leniently
from dialplan.kinds.registry import KINDS
from router.config.limits import NAMES_SOUGHT_MAX

CODES = {name: kind.code for name, kind in KINDS.items()}
_DECODERS: dict[int, tuple[AnyKind, msgspec.json.Decoder[Any]]] = {
    kind.code: (name, msgspec.json.Decoder(kind.struct)) for name, kind in KINDS.items()
}
_encode = msgspec.json.Encoder(order="deterministic").encode


class MalformedError(ValueError):
    """What is kept is no row."""


def encode(held: Held) -> bytes:
    """What is kept of a row."""
    return held.body if isinstance(held, LaterRow) else _encode(held)


def quoted(keys: Collection[str]) -> list[bytes]:
    """What stands in the body of each row that names one of these; nothing where they are too many to be sought.

    Ids and numbers have no character that JSON would write in another way. To seek them takes far less than to read a
    row.
    """
    return [f'"{key}"'.encode() for key in keys] if len(keys) <= NAMES_SOUGHT_MAX else []


def decode(code: int, key: str, body: bytes | str | None) -> tuple[AnyKind, Held | None]:
    """A row out of what was kept; None where it was removed. Raises MalformedError, or msgspec.DecodeError."""
    try:
        kind, decoder = _DECODERS[code]
        return kind, None if body is None else decoder.decode(body)
    except msgspec.ValidationError as error:
        later = read_leniently(code, key, _bytes(body), str(error))
        if later is None:
            raise
        return kind, later
    except (KeyError, TypeError):
        return _of_another_kind(code, key, body)


def _bytes(body: bytes | str | None) -> bytes:
    return body.encode() if isinstance(body, str) else bytes(body or b"")


def _of_another_kind(code: Any, key: str, body: Any) -> tuple[AnyKind, LaterRow | None]:
    kind = named_kind(code) if isinstance(code, int) else None
    if isinstance(kind, int) and isinstance(body, bytes | str | None):
        if body is None:
            return kind, None
        later = read_leniently(code, key, _bytes(body), "")
        if later is not None:
            return kind, later
    raise MalformedError(f"malformed content (a row of kind {code})")
