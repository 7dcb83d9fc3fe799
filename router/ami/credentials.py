"""What a session needs from files: the secret, and with TLS the certificates of the authority. Read anew each time."""

import ssl

import msgspec

from router.config.limits import AMI_FILES_SECONDS, AMI_SECRET_MAX_BYTES
from router.util.secrets import SharedRead, secret_text, why


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
        self._reading = SharedRead(self._read)

    async def read(self) -> Credentials:
        """Read them, in a thread: a mount that hangs holds up nothing else. Raises CredentialsError."""
        try:
            return await self._reading.result(AMI_FILES_SECONDS)
        except TimeoutError:
            text = f"secret_file {self._secret_file}: not read within {AMI_FILES_SECONDS} s"
            raise CredentialsError(text) from None

    def _read(self) -> Credentials:
        try:
            secret = secret_text(self._secret_file, AMI_SECRET_MAX_BYTES)
        except (OSError, ValueError) as error:  # the latter: no text in it, or no path
            raise CredentialsError(f"secret_file {self._secret_file}: {why(error)}") from error
        if not self._tls:
            return Credentials(secret, None)
        try:
            return Credentials(secret, ssl.create_default_context(cafile=self._tls_ca_file or None))
        except (OSError, ValueError) as error:  # the former: of SSL too
            raise CredentialsError(f"tls_ca_file {self._tls_ca_file}: {why(error)}") from error
