"""Files that change or hang: read in a thread, bounded, and never served stale."""

import os
import pathlib
import threading

import pytest

from router.util.secrets import SharedRead, secret_text, why


def test_a_secret_is_what_stands_there_without_an_editors_traces(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "secret"
    file.write_text("\ufeff s3cret\r\n", "utf-8")
    assert secret_text(str(file), 100) == "s3cret"


def test_what_is_no_file_or_too_long_is_told(tmp_path: pathlib.Path) -> None:
    fifo, long = tmp_path / "fifo", tmp_path / "long"
    os.mkfifo(fifo)
    long.write_text("x" * 11)
    for path, text in ((fifo, "it is no file"), (long, "it has more than 10 bytes")):
        with pytest.raises(ValueError, match=text):
            secret_text(str(path), 10)
    with pytest.raises(FileNotFoundError) as caught:
        secret_text(str(tmp_path / "none"), 10)
    assert why(caught.value) == "No such file or directory"


async def test_one_that_hangs_is_waited_for_by_all_and_what_it_found_late_is_nobodys() -> None:
    goes_on = threading.Event()
    begun: list[str] = []

    def work() -> str:
        begun.append(f"reading {len(begun)}")
        goes_on.wait(60)
        return begun[-1]

    reading = SharedRead(work)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await reading.result(0.01)
    assert begun == ["reading 0"]
    goes_on.set()
    assert reading.under_way is not None
    assert await reading.under_way == "reading 0"
    assert await reading.result(60) == "reading 1"
