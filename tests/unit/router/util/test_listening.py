"""What is to blame where a port cannot be listened on."""

import errno
import os
import socket

import pytest

from router.util.listening import hint, why

UNKNOWN = socket.gaierror(-2, "Name or service not known")


def refused(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "host", "expected"),
    [
        (refused(errno.EADDRINUSE), "127.0.0.1", "stop what has it, or set another port (X__PORT)"),
        (refused(errno.EACCES), "127.0.0.1", "CAP_NET_BIND_SERVICE; set another port (X__PORT)"),
        (refused(errno.EPERM), "127.0.0.1", "CAP_NET_BIND_SERVICE; set another port (X__PORT)"),
        (refused(errno.EADDRNOTAVAIL), "192.0.2.1", "set host to an address of this machine"),
        (refused(errno.EINVAL), "fe80::1", "fe80::1%eth0 (X__HOST)"),
        (refused(errno.EAFNOSUPPORT), "::1", "this machine has no addresses of that kind"),
        (refused(errno.EMFILE), "127.0.0.1", "ulimit -n"),
        (refused(errno.EIO), "127.0.0.1", "(X__HOST, X__PORT)"),
        (UNKNOWN, "pbx.invalid", "set host to an address of this machine"),
        (UNKNOWN, "[::1]", "without brackets, such as ::1 (X__HOST)"),
        (UNKNOWN, "/run/ringway.sock", "a path or a URL is no host"),
        (UNKNOWN, "agi://127.0.0.1", "a path or a URL is no host"),
        (UNKNOWN, "localhost:4573", 'set host to "localhost" (X__HOST)'),
        (UNKNOWN, "2001:db8::zz", "set host to an address of this machine"),
        (UnicodeError("label empty or too long"), "a..b", "set host to an address of this machine"),
    ],
)
def test_the_hint_is_for_what_has_been_refused(error: Exception, host: str, expected: str) -> None:
    said = hint(error, host, "X__")
    assert expected in said
    assert ("stop what has it" in said) is (getattr(error, "errno", 0) == errno.EADDRINUSE)


def test_what_was_refused_is_said_without_its_number() -> None:
    assert why(refused(errno.EADDRINUSE)) == "Address already in use"
    assert why(UNKNOWN) == "Name or service not known"
    assert why(UnicodeError("label empty or too long")) == "that is no name of a host"
    assert why(OSError("no more")) == "no more"
