"""Addresses: whose they are, and whom `[agi] allow` lets in."""

import contextlib
import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_PLACE = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})")


def allowed(address: str, networks: Iterable[str]) -> bool:
    """Whether a peer of that IP address may ask; as `router.agi.server` decides it."""
    found = _ip(address)
    return found is not None and any(found in ipaddress.ip_network(each) for each in networks)


def is_loopback(address: str) -> bool:
    """Whether an IP address is one by which a machine reaches itself alone."""
    found = _ip(address)
    return found is not None and found.is_loopback


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def addresses_of(host: str) -> Sequence[str]:
    """The IP addresses of a host, none where the system knows none. May take long."""
    with contextlib.suppress(OSError, UnicodeError):
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(each[4][0]) for each in found))
    return []


def is_here(address: str) -> bool:
    """Whether an IP address is one of this machine's."""
    with contextlib.suppress(OSError, ValueError, OverflowError):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address.partition("%")[0], 0))
            return True
    return False


class Way(NamedTuple):
    """Where agi://HOST:PORT leads: `port` 0: it is no HOST:PORT; `here`: some of the addresses are this machine's."""

    text: str
    port: int = 0
    addresses: tuple[str, ...] = ()
    here: bool = False

    @property
    def stays(self) -> bool:
        """Whether it leads to the machine that Asterisk runs on."""
        return bool(self.addresses) and all(map(is_loopback, self.addresses))


def way_of(text: str) -> Way:
    """Look up where RINGWAY_AGI leads. May take long."""
    place = place_of(text)
    if place is None:
        return Way(text)
    found = tuple(addresses_of(place[0]))
    return Way(text, place[1], found, any(map(is_here, found)))


def place_of(text: str) -> tuple[str, int] | None:
    """HOST:PORT as Asterisk reads it in agi://HOST:PORT; the port may be left out. None: it is neither."""
    found = _PLACE.fullmatch(text if re.search(r":[0-9]+$", text) else f"{text}:4573")
    return (found["six"] or found["host"], int(found["port"])) if found else None
