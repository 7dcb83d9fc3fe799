"""The file of an image: it is taken where it is just as it was written, and of the version that is wanted."""

import pathlib

import pytest

from dialplan.kinds.number import Number
from dialplan.routing.table import Piece
from router.store.local import image_file
from router.store.local.image_file import Begin, Change, DamagedError, End, ImageFile, State, Writer, note

PIECES = [Piece([Number("", company=f"company-{place}")], [[f"+4420{place}"]]) for place in range(3)]


def at(version: int) -> State:
    return version, f"as of {version}"


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "snapshot.db-table"


def write(path: pathlib.Path, *changes: Change) -> None:
    writer = Writer(path, Begin(at(7)))
    for piece in PIECES:
        writer.add(piece)
    writer.flush()
    writer.end(End(42, ["+441"]), changes)
    writer.give_up()


def test_what_was_written_is_read(path: pathlib.Path) -> None:
    write(path)
    file = ImageFile(path, at(7))
    assert list(file.pieces()) == PIECES
    assert (file.digest, file.numbers, file.changed) == (42, {"+441"}, 0)
    assert list(path.parent.iterdir()) == [path]


def test_changes_bring_it_to_their_state(path: pathlib.Path) -> None:
    write(path, Change(at(7), at(9), ["+442", "+443"]))
    note(path, Change(at(9), at(10), []))
    note(path, Change(at(10), at(12), ["+443", "+444"]))
    file = ImageFile(path, at(12))
    assert (file.numbers, file.changed) == ({"+441", "+442", "+443", "+444"}, 4)
    assert list(file.pieces()) == PIECES


def test_one_of_another_state_or_form_is_not_taken(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, Change(at(7), at(8), []))
    ImageFile(path, at(8))
    for state in (at(7), at(9), (8, "another")):
        with pytest.raises(DamagedError, match="another state"):
            ImageFile(path, state)
    monkeypatch.setattr(image_file, "form", lambda: "another")
    with pytest.raises(DamagedError, match="another version"):
        ImageFile(path, at(8))


def test_a_change_that_is_missing_makes_it_useless(path: pathlib.Path) -> None:
    write(path)
    note(path, Change(at(8), at(9), ["+442"]))
    with pytest.raises(DamagedError, match="a change is missing"):
        ImageFile(path, at(9))


def test_wherever_it_is_cut_it_is_not_taken_for_whole(path: pathlib.Path) -> None:
    """But where the last change is gone: then it is of the version before that."""
    write(path)
    before = path.stat().st_size
    note(path, Change(at(7), at(8), ["+442"]))
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedError):
            ImageFile(path, at(8))
        if size != before:
            with pytest.raises(DamagedError):
                ImageFile(path, at(7))
    path.write_bytes(whole[:before])
    assert ImageFile(path, at(7)).numbers == {"+441"}


def test_no_byte_of_it_can_change_unnoticed(path: pathlib.Path) -> None:
    write(path, Change(at(7), at(8), ["+442"]))
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamagedError):
            list(ImageFile(path, at(8)).pieces())


def test_another_file_that_comes_in_its_place_is_noticed(path: pathlib.Path) -> None:
    write(path)
    file = ImageFile(path, at(7))
    pieces = file.pieces()
    assert next(pieces) == PIECES[0]
    assert list(pieces) == PIECES[1:]  # the file that was open goes on
    path.write_bytes(b"\0" + path.read_bytes())
    with pytest.raises(DamagedError):
        list(file.pieces())


def test_one_that_is_given_up_leaves_the_one_that_is_there(path: pathlib.Path) -> None:
    write(path)
    before = path.read_bytes()
    writer = Writer(path, Begin(at(9)))
    writer.add(PIECES[0])
    writer.give_up()
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == before


def test_a_change_is_noted_in_no_new_file(path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        note(path, Change(at(1), at(2), []))
    assert not path.exists()


def test_what_is_no_image_is_not_taken(path: pathlib.Path) -> None:
    for content in (b"", b"\x09" * 100, b"SQLite format 3\0" * 100):
        path.write_bytes(content)
        with pytest.raises(DamagedError):
            ImageFile(path, at(7))
