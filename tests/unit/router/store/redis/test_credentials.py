"""Passwords and certificates out of files, whatever stands in their place."""

import asyncio
import os
import pathlib
import subprocess
import threading
from collections.abc import Callable

import pytest

from router.config.limits import REDIS_PASSWORD_MAX_BYTES
from router.store.redis import credentials as redis_files
from router.store.redis.credentials import FilesError, Reader, password, tls
from tests.redis_server import make_certificates
from tests.tools import needed


@pytest.mark.parametrize("data", [b"s3cret", b"s3cret\n", b" s3cret \r\n", b"\xef\xbb\xbfs3cret"])
def test_a_password_comes_without_the_ends_of_its_line(tmp_path: pathlib.Path, data: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(data)
    assert password(str(path)) == "s3cret"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _: None, "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
        (os.mkfifo, "it is no file"),  # nobody ever writes to it
        (lambda path: path.symlink_to("/dev/zero"), "it is no file"),
        (lambda path: path.write_bytes(b" \n"), "it is empty"),
        (lambda path: path.write_bytes(b"\xff"), "it is no text"),
        (lambda path: path.write_bytes(b"x" * (REDIS_PASSWORD_MAX_BYTES + 1)), "it has more than 4096 bytes"),
    ],
)
def test_what_is_no_password_is_told_with_its_file(
    tmp_path: pathlib.Path, make: Callable[[pathlib.Path], None], why: str
) -> None:
    path = tmp_path / "password"
    make(path)
    with pytest.raises(FilesError) as caught:
        password(str(path))
    assert str(caught.value) == f"{path}: {why}"


def test_certificates_that_cannot_be_used_are_told_with_their_key_and_file(tmp_path: pathlib.Path) -> None:
    make_certificates(tmp_path)
    junk, own, key = (str(tmp_path / name) for name in ("junk", "server.cert", "server.key"))
    (tmp_path / "junk").write_text("no certificate")
    tls(str(tmp_path / "ca.crt"), own, key)
    for ca_file in (junk, str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(FilesError, match=rf"^\[store\] tls_ca_file {ca_file}: \S"):
            tls(ca_file, "", "")
    for cert_file, key_file in ((junk, key), (own, junk), (own, "")):
        with pytest.raises(FilesError, match=rf"^\[store\] tls_cert_file {cert_file}"):
            tls("", cert_file, key_file)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(tmp_path: pathlib.Path) -> None:
    make_certificates(tmp_path)
    locked = str(tmp_path / "locked")
    subprocess.run(
        [needed("openssl"), "pkey", "-in", "server.key", "-aes256", "-passout", "pass:word", "-out", locked],
        cwd=tmp_path,
        check=True,
    )
    with pytest.raises(FilesError, match=f"tls_key_file {locked}: "):
        tls("", str(tmp_path / "server.cert"), locked)


async def test_a_file_that_hangs_holds_up_nothing_else_and_no_second_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_files, "REDIS_FILES_SECONDS", 0.01)
    begun: list[None] = []
    there = threading.Event()

    def work() -> str:
        begun.append(None)
        there.wait(60)
        return "s3cret"

    reader = Reader(work, "/mnt/password")
    for _ in range(3):
        with pytest.raises(FilesError, match=r"^/mnt/password: not read within 0\.01 s$"):
            await reader.read()
    assert len(begun) == 1
    monkeypatch.setattr(redis_files, "REDIS_FILES_SECONDS", 60)
    asked = asyncio.gather(reader.read(), reader.read())
    there.set()
    assert list(await asked) == ["s3cret", "s3cret"]
    assert await reader.read() == "s3cret"  # read again
    assert len(begun) == 2


async def test_whoever_leaves_takes_the_answer_from_nobody() -> None:
    there = threading.Event()

    def work() -> str:
        there.wait(60)
        raise FilesError("gone")

    reader = Reader(work, "/mnt/password")
    leaver, stayer = (asyncio.create_task(reader.read()) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    there.set()
    with pytest.raises(FilesError, match="gone"):
        await stayer
    assert leaver.cancelled()


async def test_what_was_read_when_nobody_waited_any_more_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The password may have been changed since."""
    monkeypatch.setattr(redis_files, "REDIS_FILES_SECONDS", 0.01)
    secrets = iter(["old", "new"])
    there = threading.Event()

    def work() -> str:
        secret = next(secrets)
        there.wait(60)
        return secret

    reader = Reader(work, "/mnt/password")
    with pytest.raises(FilesError):
        await reader.read()
    there.set()
    assert reader._reading.under_way is not None
    assert await reader._reading.under_way == "old"
    monkeypatch.setattr(redis_files, "REDIS_FILES_SECONDS", 60)
    assert await reader.read() == "new"
