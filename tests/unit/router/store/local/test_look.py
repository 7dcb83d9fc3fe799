import os
import pathlib

import pytest

from router.store.api import StoreError
from router.store.local import look


async def test_what_is_not_there_and_could_be_made_is_nothing_yet(tmp_path: pathlib.Path) -> None:
    assert await look.seen_at(tmp_path / "a" / "b" / "snapshot.db") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", [False, True])
async def test_a_folder_that_may_not_be_written_is_told_of(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    path = tmp_path / "snapshot.db"
    if there:
        path.write_bytes(b"as it was")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StoreError, match=r"Permission denied; see that the folder is there and that this user may"):
        await look.seen_at(path)
    assert not there or path.read_bytes() == b"as it was"


async def test_a_file_in_the_place_of_a_folder_is_told_of(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="Not a directory; see that the folder is there"):
        await look.seen_at(tmp_path / "file" / "snapshot.db")
