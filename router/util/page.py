"""A page of a router that runs on this machine, over HTTP."""

import http.client
import urllib.error
import urllib.request

from dialplan.wording import printable
from router.util.listening import from_here


class PageError(Exception):
    """Nobody answered as HTTP has it; the text says why. `refused`: nobody listens there."""

    def __init__(self, text: str, *, refused: bool) -> None:
        self.refused = refused
        super().__init__(text)


def address_of(host: str, port: int) -> str:
    """Where the pages of a router are that serves them on `host`, as somebody on this machine reaches it."""
    shown = from_here(host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"


def page_of(address: str, seconds: float) -> tuple[int, str]:
    """The status and the text of a page; each step of it takes `seconds` at most. Raises PageError."""
    try:
        # Without the proxies of the environment: the router is here.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=seconds) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode("utf-8", "replace")
    except (OSError, UnicodeError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        why = getattr(reason, "strerror", None) or printable(str(reason).strip())
        raise PageError(why, refused=isinstance(reason, ConnectionRefusedError)) from error
