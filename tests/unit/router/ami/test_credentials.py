"""The files of a session, on a real disk."""

import asyncio
import os
import ssl
import threading
from pathlib import Path

import pytest

from router.ami import credentials
from router.ami.credentials import CredentialFiles, Credentials, CredentialsError
from router.config.limits import AMI_SECRET_MAX_BYTES


def files(path: Path, *, tls: bool = False, tls_ca_file: str = "") -> CredentialFiles:
    return CredentialFiles(str(path), tls=tls, tls_ca_file=tls_ca_file)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "ami.secret"
    path.write_text("s3cret\n")
    return path


@pytest.mark.parametrize("content", ["s3cret", "s3cret\n", " s3cret\r\n", "\ufeffs3cret\n"])
async def test_the_secret_is_what_stands_there(secret: Path, content: str) -> None:
    """A byte order mark is an editor's, and no part of it."""
    secret.write_text(content, "utf-8")
    assert await files(secret).read() == Credentials("s3cret", None)


async def test_it_is_read_anew_each_time(secret: Path) -> None:
    made = files(secret)
    await made.read()
    secret.write_text("another")
    assert await made.read() == Credentials("another", None)
    secret.unlink()
    with pytest.raises(CredentialsError):
        await made.read()
    secret.write_text("s3cret")
    assert await made.read() == Credentials("s3cret", None)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file or directory"),
        (b"\xff\xfe\xfd", "codec can't decode"),
        (b"x" * (AMI_SECRET_MAX_BYTES + 1), "more than"),
    ],
)
async def test_what_cannot_be_read_is_named(secret: Path, content: bytes | None, why: str) -> None:
    secret.unlink()
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(CredentialsError, match=why) as refused:
        await files(secret).read()
    assert str(refused.value).startswith(f"secret_file {secret}: ")


async def test_what_is_no_file_is_named_and_holds_up_nobody(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, tmp_path, Path("/dev/zero"), Path("/a\0b")):
        with pytest.raises(CredentialsError, match="secret_file"):
            await files(path).read()


async def test_a_mount_that_hangs_holds_up_one_thread_and_no_call(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "AMI_FILES_SECONDS", 0.01)
    hangs, readers = threading.Event(), []

    def read(_path: str, _max_bytes: int) -> str:
        readers.append(threading.current_thread())
        hangs.wait()
        return "s3cret"

    monkeypatch.setattr(credentials, "secret_text", read)
    made = files(secret)
    for _ in range(3):
        with pytest.raises(CredentialsError, match=r"not read within 0\.01 s"):
            await made.read()
    monkeypatch.setattr(credentials, "AMI_FILES_SECONDS", 5.0)
    waiting = asyncio.create_task(made.read())
    hangs.set()
    assert await waiting == Credentials("s3cret", None)
    assert [thread.daemon for thread in readers] == [True]


async def test_with_tls_the_servers_certificate_is_verified(secret: Path) -> None:
    tls = (await files(secret, tls=True).read()).tls
    assert tls is not None
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_an_authoritys_file_that_cannot_be_used_is_named(
    secret: Path, tmp_path: Path, content: str | None
) -> None:
    authority = tmp_path / "ca.pem"
    if content is not None:
        authority.write_text(content)
    with pytest.raises(CredentialsError, match=f"tls_ca_file {authority}: "):
        await files(secret, tls=True, tls_ca_file=str(authority)).read()
