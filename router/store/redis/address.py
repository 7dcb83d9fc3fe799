"""What an address of a Redis names, and how it is reached."""

import contextlib
import urllib.parse

import msgspec

from dialplan.wording import quote
from router.store.api import StoreError

_PORT, _SENTINEL_PORT = 6379, 26379
_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel")


class Options(msgspec.Struct, frozen=True):
    """How to reach a Redis, beside its address. Files are read again for each connection; empty: none."""

    username: str = ""
    password_file: str = ""
    sentinel_username: str = ""
    sentinel_password_file: str = ""
    tls_ca_file: str = ""
    tls_cert_file: str = ""
    tls_key_file: str = ""
    cluster: bool = False
    prefix: str = "ringway"


class Address(msgspec.Struct, frozen=True):
    """A parsed address. `shown` is the address without any secret."""

    shown: str
    hosts: tuple[tuple[str, int], ...]
    tls: bool
    database: int
    service: str  # what the sentinels call the master; empty: no sentinels
    username: str
    password: str


def parse(url: str) -> Address:
    """Read redis://HOST:PORT/DB, rediss://…, or redis+sentinel://HOST:PORT,HOST:PORT/NAME/DB. Raises StoreError.

    Of a Cluster redis://HOST:PORT,HOST:PORT too.
    """
    scheme, _, rest = url.partition("://")
    user, _, place = rest.rpartition("@")
    where, _, path = place.partition("/")
    shown = f"{scheme}://{place}"
    sentinels = scheme.endswith("+sentinel")
    service, _, number = path.partition("/") if sentinels else ("", "", path)
    hosts = [_host(each, _SENTINEL_PORT if sentinels else _PORT) for each in where.split(",")]
    known = scheme in _SCHEMES and not set("?# ") & set(place) and place.isprintable() and _is_count(number or "0")
    if not known or None in hosts or bool(service) != sentinels:
        hint = "write redis://HOST:6379/0, rediss://HOST:6379/0 or redis+sentinel://HOST:26379,HOST:26379/NAME/0"
        raise StoreError(f"{quote(_without_secrets(url))} is no address of a Redis; {hint}")
    username, _, password = user.partition(":")
    return Address(
        shown,
        tuple(host for host in hosts if host is not None),
        scheme.startswith("rediss"),
        int(number or 0),
        service,
        urllib.parse.unquote(username),
        urllib.parse.unquote(password),
    )


def _without_secrets(url: str) -> str:
    """What of a mistaken address may be shown: before an @ and behind a ? there may be a password."""
    before, at, place = url.partition("?")[0].rpartition("@")
    scheme = before.partition(":")[0]
    return f"{scheme if scheme in _SCHEMES else ''}…@{place}" if at else place


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 7  # noqa: PLR2004 - the number of a database


def _host(text: str, usual_port: int) -> tuple[str, int] | None:
    with contextlib.suppress(ValueError):  # a port that is none
        parts = urllib.parse.urlsplit(f"//{text}")
        if parts.hostname and parts.port != 0:
            return parts.hostname, parts.port or usual_port
    return None
