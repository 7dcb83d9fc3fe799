"""Where somebody listens, why a port cannot be listened on, and what to do about it: it is not always the port."""

import errno
import socket

from router.util.descriptors import TOO_FEW

_HOST = "set host to an address of this machine, or to 0.0.0.0 for all of them"


def from_here(host: str) -> str:
    """The host at which somebody on this machine reaches what listens on `host`, which may be any address."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def why(error: Exception) -> str:
    """What has been refused, without the number of the error."""
    if isinstance(error, UnicodeError):
        return "that is no name of a host"
    return getattr(error, "strerror", None) or str(error)


def hint(error: Exception, host: str, variable: str) -> str:
    """What to do; `variable` is what a setting of the section is called in the environment, up to its key."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"{_unnamed(host)} ({variable}HOST)"
    match getattr(error, "errno", None):
        case errno.EADDRINUSE:
            return f"stop what has it, or set another port ({variable}PORT)"
        case errno.EACCES | errno.EPERM:
            text = "this user may not listen there: ports below 1024 want the right CAP_NET_BIND_SERVICE"
            return f"{text}; set another port ({variable}PORT)"
        case errno.EADDRNOTAVAIL:
            return f"{_HOST} ({variable}HOST)"
        case errno.EINVAL if host.lower().startswith("fe80:"):
            return f"such an address wants its interface behind it, as in {host}%eth0 ({variable}HOST)"
        case errno.EAFNOSUPPORT:
            return f"this machine has no addresses of that kind; {_HOST} ({variable}HOST)"
        case errno.EMFILE | errno.ENFILE:
            return TOO_FEW
    return f"{_HOST}, and see port ({variable}HOST, {variable}PORT)"


def _unnamed(host: str) -> str:
    """What is wrong with a host of which the system knows no address."""
    if host.startswith("[") or host.endswith("]"):
        return "write an IPv6 address without brackets, such as ::1"
    if "/" in host:
        return f"a path or a URL is no host: {_HOST}"
    name, colon, port = host.rpartition(":")
    if colon and port.isdecimal() and ":" not in name:
        return f'the port stands in port: set host to "{name}"'
    return _HOST
