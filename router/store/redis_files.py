"""What a connection to Redis needs from files: the password, and with TLS the certificates.

They are read anew for each connection, in a thread: a mount that hangs holds up nothing but that connection.
"""

import asyncio
import contextlib
import os
import ssl
import stat
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from router.limits import REDIS_FILES_SECONDS, REDIS_PASSWORD_MAX_BYTES

T = TypeVar("T")


class FilesError(Exception):
    """A file cannot be used; the text names it."""


def password(path: str) -> str:
    """The password in a file, without the blanks and line ends around it. Raises FilesError."""
    try:
        # A FIFO that nobody writes to would never open.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FilesError(f"{path}: it is no file")
            data = file.read(REDIS_PASSWORD_MAX_BYTES + 1)
        if len(data) > REDIS_PASSWORD_MAX_BYTES:
            raise FilesError(f"{path}: it has more than {REDIS_PASSWORD_MAX_BYTES} bytes")
        found = data.decode("utf-8-sig").strip()
    except OSError as error:
        raise FilesError(f"{path}: {error.strerror}") from error
    except ValueError:
        raise FilesError(f"{path}: it is no text") from None
    if not found:
        raise FilesError(f"{path}: it is empty")
    return found


def tls(ca_file: str, cert_file: str, key_file: str) -> ssl.SSLContext:
    """How to speak TLS: the server's certificate is by that authority and no other. Raises FilesError.

    `ca_file` empty: the authorities that this machine trusts; `cert_file` empty: without a certificate of our own.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ValueError) as error:
        raise FilesError(f"[store] tls_ca_file {ca_file}: {_why(error)}") from error
    if cert_file:
        shown = f"[store] tls_cert_file {cert_file}" + (f", tls_key_file {key_file}" if key_file else "")
        try:
            # Without a password OpenSSL asks for that of an encrypted key on the terminal, and waits.
            context.load_cert_chain(cert_file, key_file or None, password="")
        except (OSError, ValueError) as error:
            raise FilesError(f"{shown}: {_why(error)}") from error
    return context


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


class Reader(Generic[T]):
    """Reads by `work`, whose files are `what`, for as many as ask at a time."""

    def __init__(self, work: Callable[[], T], what: str) -> None:
        self._work = work
        self._what = what
        self._reading: asyncio.Future[T] | None = None

    async def read(self) -> T:
        """What `work` gives. Raises FilesError."""
        # One that hangs is waited for by the next one too, and no second thread hangs beside it. What it has found when
        # nobody waited any more is nobody's: it may be long ago.
        if self._reading is None or self._reading.done():
            self._reading = _in_thread(self._work)
        try:
            return await asyncio.wait_for(asyncio.shield(self._reading), REDIS_FILES_SECONDS)
        except TimeoutError:
            raise FilesError(f"{self._what}: not read within {REDIS_FILES_SECONDS:g} s") from None


def _in_thread(work: Callable[[], T]) -> "asyncio.Future[T]":
    """Do it in a thread that the end of the process does not wait for, as it does for those of an executor."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(found: list[T], error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(found[0])
        else:
            done.set_exception(error)
            done.exception()  # whoever waited may have gone meanwhile

    def run() -> None:
        found: list[T] = []
        error: BaseException | None = None
        try:
            found.append(work())
        except Exception as caught:  # noqa: BLE001 - it is whoever waits that has to hear of it
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, found, error)

    threading.Thread(target=run, name="redis-files", daemon=True).start()
    return done
