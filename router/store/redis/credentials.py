"""What a connection to Redis needs from files: the password, and with TLS the certificates.

They are read again for each connection, in a thread: a mount that hangs holds up nothing but that connection.
"""

import ssl
from collections.abc import Callable
from typing import Generic, TypeVar

from router.config.limits import REDIS_FILES_SECONDS, REDIS_PASSWORD_MAX_BYTES
from router.util.secrets import SharedRead, secret_text, why

T = TypeVar("T")


class FilesError(Exception):
    """A file cannot be used; the text names it."""


def password(path: str) -> str:
    """The password in a file, without the blanks and line ends around it. Raises FilesError."""
    try:
        found = secret_text(path, REDIS_PASSWORD_MAX_BYTES)
    except UnicodeDecodeError:
        raise FilesError(f"{path}: it is no text") from None
    except (OSError, ValueError) as error:
        raise FilesError(f"{path}: {why(error)}") from error
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
        raise FilesError(f"[store] tls_ca_file {ca_file}: {why(error)}") from error
    if cert_file:
        shown = f"[store] tls_cert_file {cert_file}" + (f", tls_key_file {key_file}" if key_file else "")
        try:
            # Without a password OpenSSL asks for that of an encrypted key on the terminal, and waits.
            context.load_cert_chain(cert_file, key_file or None, password="")
        except (OSError, ValueError) as error:
            raise FilesError(f"{shown}: {why(error)}") from error
    return context


class Reader(Generic[T]):
    """Reads by `work`, whose files are `what`, one read for as many as ask at a time."""

    def __init__(self, work: Callable[[], T], what: str) -> None:
        self._reading = SharedRead(work)
        self._what = what

    async def read(self) -> T:
        """What `work` gives. Raises FilesError."""
        try:
            return await self._reading.result(REDIS_FILES_SECONDS)
        except TimeoutError:
            raise FilesError(f"{self._what}: not read within {REDIS_FILES_SECONDS:g} s") from None
