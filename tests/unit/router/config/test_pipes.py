"""Texts out of files and pipes: whole, or refused with the why; nobody waits for ever."""

import os
import pathlib
import threading

import pytest

from router.config.pipes import text_of

PATIENCE_SECONDS = 30.0


@pytest.fixture
def pipe(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_a_file_is_read_in_full(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "text"
    text = "ü" * 100_000
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert text_of(path, 1_000_000, PATIENCE_SECONDS) == text
    path.write_bytes(b"")
    assert text_of(path, 10, PATIENCE_SECONDS) == ""


def test_a_pipe_is_read_to_its_end_however_its_pieces_come(pipe: pathlib.Path) -> None:
    pieces = [b"a" * 70_000, b"b", b"c"]

    def write() -> None:
        with pipe.open("wb", buffering=0) as out:
            for piece in pieces:
                out.write(piece)

    writer = threading.Thread(target=write)
    writer.start()
    assert text_of(pipe, 1_000_000, PATIENCE_SECONDS) == b"".join(pieces).decode()
    writer.join(PATIENCE_SECONDS)


def test_a_pipe_without_a_writer_and_one_whose_writer_does_not_end_are_not_waited_for(pipe: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"whose writer has not come, or not ended, within 0\.05 s"):
        text_of(pipe, 100, 0.05)
    with pipe.open("r+b", buffering=0) as held:
        held.write(b"[agi]\n")
        with pytest.raises(ValueError, match="not ended"):
            text_of(pipe, 100, 0.05)


@pytest.mark.parametrize("path", ["/dev/zero", "large"])
def test_more_than_a_text_may_have_is_refused(tmp_path: pathlib.Path, path: str) -> None:
    (tmp_path / "large").write_bytes(b"x" * 101)
    with pytest.raises(ValueError, match="it has more than 100 bytes"):
        text_of(tmp_path / path, 100, PATIENCE_SECONDS)


def test_what_is_no_file_is_the_systems_own_error(tmp_path: pathlib.Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(OSError, match=r"Is a directory|No such file"):
            text_of(path, 100, PATIENCE_SECONDS)
