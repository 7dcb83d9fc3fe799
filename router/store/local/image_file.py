"""The image of a table in a file: its pieces, and then the numbers that have changed since.

A record is its kind, its length, a hash, and MessagePack. The file is whole when its end mark is there, and it is of
the state that its last change brings. Where anything is not as it was written it is of no use, and the rows are read.
"""

import enum
import hashlib
import os
import pathlib
import struct
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, TypeAlias

import msgspec

from dialplan.routing.image import form
from dialplan.routing.table import Piece

_HEAD = struct.Struct(">BI8s")
_encode = msgspec.msgpack.Encoder().encode


class _Kind(enum.IntEnum):
    BEGIN, PIECE, END, CHANGE = range(4)


# A state of the data set: its version and its epoch, see `router.store.api.TableRead`.
State: TypeAlias = tuple[int, str]


class Begin(msgspec.Struct, frozen=True):
    """Of which state it is, and what its entries are made of."""

    state: State
    form: str = msgspec.field(default_factory=form)


class End(msgspec.Struct, frozen=True):
    """The pieces are whole: the digest of what is in them, and the numbers that are not."""

    digest: int
    rest: list[str]


class Change(msgspec.Struct, frozen=True):
    """These numbers have changed from one state to the next that was read."""

    before: State
    after: State
    numbers: list[str]


_DECODERS: dict[_Kind, msgspec.msgpack.Decoder[Any]] = {
    _Kind.BEGIN: msgspec.msgpack.Decoder(Begin),
    _Kind.PIECE: msgspec.msgpack.Decoder(Piece),
    _Kind.END: msgspec.msgpack.Decoder(End),
    _Kind.CHANGE: msgspec.msgpack.Decoder(Change),
}


class DamagedError(Exception):
    """The file is not as it was written."""


class Writer:
    """Writes a new image beside the present one, and puts it in its place. Everything raises OSError."""

    def __init__(self, path: pathlib.Path, begin: Begin) -> None:
        self._path = path
        self._beside = path.with_name(f"{path.name}.new")
        self._file = self._beside.open("wb")
        self._file.write(_record(_Kind.BEGIN, begin))

    def add(self, piece: Piece) -> None:
        """Write the next one."""
        self._file.write(_record(_Kind.PIECE, piece))

    def flush(self) -> None:
        """Wait until all of it is on the disk, which takes a while."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def end(self, end: End, changes: Sequence[Change]) -> None:
        """Put the file in its place, with what has changed while it was written."""
        self._file.write(_record(_Kind.END, end))
        for change in changes:
            self._file.write(_record(_Kind.CHANGE, change))
        self.flush()
        self._file.close()
        self._beside.replace(self._path)

    def give_up(self) -> None:
        """Leave nothing of it, unless it came to its end."""
        if not self._file.closed:
            self._file.close()
            self._beside.unlink(missing_ok=True)


def note(path: pathlib.Path, change: Change) -> None:
    """Write down what has changed. Raises OSError."""
    with path.open("r+b") as file:  # never a new one
        file.seek(0, os.SEEK_END)
        file.write(_record(_Kind.CHANGE, change))


class ImageFile:
    """An image that is there, of this state. `digest` is of what the pieces have; `numbers` are to be read.

    Raises OSError, and DamagedError where it is not whole, or of another state.
    """

    def __init__(self, path: pathlib.Path, state: State) -> None:
        self._path = path
        self._places: list[int] = []
        self.digest = 0
        self.numbers: set[str] = set()
        self.changed = 0  # how many of them were noted as changes
        with path.open("rb") as file:
            self._look_through(file, state)

    def _look_through(self, file: BinaryIO, state: State) -> None:
        size = os.fstat(file.fileno()).st_size
        begin: Begin | None = None
        end: End | None = None
        at: State | None = None
        while (place := file.tell()) < size:
            kind, length, _ = _head(file)
            if kind is _Kind.PIECE:
                self._places.append(place)
                file.seek(length, os.SEEK_CUR)
                continue
            file.seek(place)
            record = _read(file)
            if isinstance(record, Begin):
                begin, at = record, record.state
            elif isinstance(record, End):
                end = record
                self.digest = record.digest
                self.numbers.update(record.rest)
            elif isinstance(record, Change):
                if record.before != at:
                    raise DamagedError("a change is missing")
                at = record.after
                self.numbers.update(record.numbers)
                self.changed += len(record.numbers)
        if begin is None or end is None or file.tell() != size:
            raise DamagedError("it is not whole")
        if begin.form != form() or at != state:
            raise DamagedError("it is of another state of the data set, or by another version")

    def pieces(self) -> Iterator[Piece]:
        """All of them, one after the other. Raises OSError and DamagedError."""
        with self._path.open("rb") as file:
            for place in self._places:
                file.seek(place)
                piece = _read(file)
                if not isinstance(piece, Piece):
                    raise DamagedError("another file has come in its place")
                yield piece


def _record(kind: _Kind, content: msgspec.Struct) -> bytes:
    body = _encode(content)
    return _HEAD.pack(kind, len(body), _hash(kind, body)) + body


def _head(file: BinaryIO) -> tuple[_Kind, int, bytes]:
    try:
        kind, length, wanted = _HEAD.unpack(file.read(_HEAD.size))
        return _Kind(kind), length, wanted
    except (struct.error, ValueError) as error:
        raise DamagedError("a record is cut") from error


def _read(file: BinaryIO) -> Begin | Piece | End | Change:
    kind, length, wanted = _head(file)
    body = file.read(length)
    if len(body) != length or _hash(kind, body) != wanted:
        raise DamagedError("a record is not as it was written")
    try:
        return _DECODERS[kind].decode(body)  # type: ignore[no-any-return] # by the kind
    except msgspec.DecodeError as error:
        raise DamagedError(f"a record cannot be read: {error}") from error


def _hash(kind: _Kind, body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8, salt=bytes([kind])).digest()
