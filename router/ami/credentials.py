"""What a session needs from files: the secret, and with TLS the certificates of the authority. Read anew each time."""

import asyncio
import contextlib
import os
import ssl
import stat
import threading
from collections.abc import Callable

import msgspec

from router.limits import AMI_FILES_SECONDS, AMI_SECRET_MAX_BYTES


class CredentialsError(Exception):
    """The files cannot be used; the text names the key and the file."""


class Credentials(msgspec.Struct, frozen=True):
    """The account's secret, and how to speak TLS (None: in clear text)."""

    secret: str
    tls: ssl.SSLContext | None


class CredentialFiles:
    """`tls_ca_file` "" with `tls`: the authorities that this machine trusts."""

    def __init__(self, secret_file: str, *, tls: bool, tls_ca_file: str) -> None:
        self._secret_file = secret_file
        self._tls = tls
        self._tls_ca_file = tls_ca_file
        self._reading: asyncio.Future[Credentials] | None = None

    async def read(self) -> Credentials:
        """Read them, in a thread: a mount that hangs holds up nothing else. Raises CredentialsError."""
        if self._reading is None:
            self._reading = _in_thread(self._read)
        reading = self._reading
        try:
            return await asyncio.wait_for(asyncio.shield(reading), AMI_FILES_SECONDS)
        except TimeoutError:
            why = f"secret_file {self._secret_file}: not read within {AMI_FILES_SECONDS} s"
            raise CredentialsError(why) from None
        finally:
            if reading.done():  # else the next one waits for the same thread: no second one hangs beside it
                self._reading = None

    def _read(self) -> Credentials:
        try:
            secret = _text(self._secret_file)
        except (OSError, ValueError) as error:  # the latter: no text in it, or no path
            raise CredentialsError(f"secret_file {self._secret_file}: {_why(error)}") from error
        if not self._tls:
            return Credentials(secret, None)
        try:
            return Credentials(secret, ssl.create_default_context(cafile=self._tls_ca_file or None))
        except (OSError, ValueError) as error:  # the former: of SSL too
            raise CredentialsError(f"tls_ca_file {self._tls_ca_file}: {_why(error)}") from error


def _text(path: str) -> str:
    # A FIFO that nobody writes to would never open.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no file")
        data = file.read(AMI_SECRET_MAX_BYTES + 1)
    if len(data) > AMI_SECRET_MAX_BYTES:
        raise ValueError(f"it has more than {AMI_SECRET_MAX_BYTES} bytes")
    return data.decode("utf-8-sig").strip()


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _in_thread(work: Callable[[], Credentials]) -> asyncio.Future[Credentials]:
    """Do it in a thread that the end of the process does not wait for, as it does for those of an executor."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Credentials] = loop.create_future()

    def settle(found: Credentials | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if found is not None:
            done.set_result(found)
        else:
            done.set_exception(error or RuntimeError("nothing was read"))
            done.exception()  # whoever waited may have gone meanwhile

    def run() -> None:
        found, error = None, None
        try:
            found = work()
        except Exception as caught:  # noqa: BLE001 - it is whoever waits that has to hear of it
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, found, error)

    threading.Thread(target=run, name="ami-credentials", daemon=True).start()
    return done
