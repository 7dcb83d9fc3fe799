"""The people whom a campaign rings: one SIPp that answers as the last two digits of the dialled number say."""

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

from tests.asterisk.parts import find_sipp
from tests.asterisk.sipp import SippError

_STOP_S = 5.0
_LONG_MS = 60_000


class Behaviour(IntEnum):
    """What a subscriber's telephone does; the value is the last two digits of the number.

    The second half is the trunk: it has not reached anybody.
    """

    RINGS = 0  # until the caller gives up
    BUSY = 1
    DECLINES = 2
    UNKNOWN = 3  # 404
    ANSWERS = 4  # after some ringing, and talks until the other side hangs up
    HANGS_UP = 5  # answers, and hangs up at once
    SILENT = 6  # 100 and nothing more
    UNAVAILABLE = 7  # 480 without ringing
    PROGRESS = 8  # an announcement (183) until the caller gives up
    RINGS_THEN_BUSY = 9
    RINGS_THEN_ENDS = 10  # 487, although nobody gave up
    FORBIDDEN = 11  # 403
    WANTS_A_PASSWORD = 12  # 407
    TIMES_OUT = 13  # 408
    TOO_MANY_HOPS = 14  # 483
    OVERLOADED = 15  # 503
    ANNOUNCED_UNKNOWN = 16  # an announcement, then 404
    MOVED = 17  # 302, to where it would cost money


# What Asterisk's log says of WANTS_A_PASSWORD: it has none for the trunk.
NOT_LOGGED_IN = (
    r"res_pjsip_outbound_authenticator_digest\.c: "
    r"( trunk:127\.0\.0\.1|Endpoint: 'trunk'): There were no auth ids available"
)
MOVED_TO = "+9001234180"
_HEADERS = "[last_Via:]\n[last_From:]\n[last_To:]{tag}\n[last_Call-ID:]\n{cseq}"
_OWN = _HEADERS.format(tag=";tag=[call_number]", cseq="[last_CSeq:]")
_SDP = """Content-Type: application/sdp
Content-Length: [len]

v=0
o=subscriber 1 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000"""


def _send(
    status: str, *, sdp: bool = False, headers: str = _OWN, again: bool = False, contact: str = "subscriber"
) -> str:
    body = _SDP if sdp else "Content-Length: 0\n"
    repeated = ' retrans="500"' if again else ""
    own = f"Contact: <sip:{contact}@127.0.0.1:[local_port]>"
    return f"<send{repeated}><![CDATA[\nSIP/2.0 {status}\n{headers}\n{own}\n{body}\n]]></send>\n"


_ACK = '<recv request="ACK" timeout="5000"/>\n'
_OVER = '<nop next="over"/>\n'
_RING = _send("180 Ringing")
_CANCELLED = (
    f'<recv request="CANCEL" timeout="{_LONG_MS}"/>\n'
    + _send("200 OK")
    + _send(
        "487 Request Terminated",
        headers=_HEADERS.format(tag=";tag=[call_number]", cseq="CSeq: [$sequence] INVITE"),
        again=True,
    )
    + _ACK
    + _OVER
)
_TAKE = _send("200 OK", sdp=True, again=True) + _ACK
_TALK = f'<recv request="BYE" timeout="{_LONG_MS}"/>\n' + _send(
    "200 OK", headers=_OWN.replace(";tag=[call_number]", "")
)
_HANG_UP = """<send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From:[$to];tag=[call_number]
To:[$from]
[last_Call-ID:]
CSeq: 1 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200" timeout="5000"/>
"""


_SOON = '<pause milliseconds="100"/>\n'


def _refuse(status: str, headers: str = "", contact: str = "subscriber") -> str:
    return _send(status, again=True, headers=_OWN + headers, contact=contact) + _ACK + _OVER


_STEPS = {
    Behaviour.RINGS: _RING + _CANCELLED,
    Behaviour.BUSY: _refuse("486 Busy Here"),
    Behaviour.DECLINES: _refuse("603 Decline"),
    Behaviour.UNKNOWN: _refuse("404 Not Found"),
    Behaviour.ANSWERS: _RING + _SOON + _TAKE + _TALK + _OVER,
    Behaviour.HANGS_UP: _TAKE + _HANG_UP + _OVER,
    Behaviour.SILENT: _send("100 Trying") + _CANCELLED,
    Behaviour.UNAVAILABLE: _refuse("480 Temporarily Unavailable"),
    Behaviour.PROGRESS: _send("183 Session Progress", sdp=True) + _CANCELLED,
    Behaviour.RINGS_THEN_BUSY: _RING + _SOON + _refuse("486 Busy Here"),
    Behaviour.RINGS_THEN_ENDS: _RING + _SOON + _refuse("487 Request Terminated"),
    # What it says of itself would end the expression, and begin another, where it stood in one.
    Behaviour.FORBIDDEN: _refuse('403 no" & ${SHELL(touch /tmp/x)}) | "1'),
    Behaviour.WANTS_A_PASSWORD: _refuse("407 Proxy Authentication Required", '\nProxy-Authenticate: Digest realm="t"'),
    Behaviour.TIMES_OUT: _refuse("408 Request Timeout"),
    Behaviour.TOO_MANY_HOPS: _refuse("483 Too Many Hops"),
    Behaviour.OVERLOADED: _refuse("503 Service Unavailable"),
    Behaviour.ANNOUNCED_UNKNOWN: _send("183 Session Progress", sdp=True) + _SOON + _refuse("404 Not Found"),
    Behaviour.MOVED: _refuse("302 Moved Temporarily", contact=f"PJSIP/{MOVED_TO}%40trunk"),
}


def _scenario() -> str:
    choose = "".join(
        f'<strcmp assign_to="differs" variable="digits" value="{kind.value:02}"/>\n'
        f'<test assign_to="is{kind.value}" variable="differs" compare="equal" value="0"/>\n'
        for kind in Behaviour
    )
    jumps = "".join(f'<nop next="as{kind.value}" test="is{kind.value}"/>\n' for kind in Behaviour)
    parts = "".join(f'<label id="as{kind.value}"/>\n{steps}' for kind, steps in _STEPS.items())
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<scenario name="subscriber">
<Global variables="unused"/>
<recv request="INVITE" rrs="true"><action>
<ereg regexp="INVITE sip:[+0-9]*([0-9][0-9])@" search_in="msg" check_it="true" assign_to="line,digits"/>
<ereg regexp="[0-9]+" search_in="hdr" header="CSeq:" assign_to="sequence"/>
<ereg regexp=".*" search_in="hdr" header="From:" assign_to="from"/>
<ereg regexp=".*" search_in="hdr" header="To:" assign_to="to"/>
<log message="[$line] from [$from]"/>
{choose}</action></recv>
{jumps}{parts}<label id="over"/>
<nop><action><log message="over [$line]"/></action></nop>
<Reference variables="line,unused"/>
</scenario>
"""


@contextlib.contextmanager
def subscribers(port: int) -> Iterator[Path]:
    """Let the subscribers answer on that port of loopback; gives the file that says who was called by whom."""
    with tempfile.TemporaryDirectory(prefix="ringway-subscribers-") as folder:
        place = Path(folder)
        (place / "subscriber.xml").write_text(_scenario(), "utf-8")
        command = [find_sipp(), "-sf", "subscriber.xml", "-i", "127.0.0.1", "-p", str(port), "-nostdin", "-nd"]
        command += ["-trace_logs", "-log_file", "notes", "-trace_err", "-error_file", "errors"]
        with (place / "console").open("wb") as console:
            process = subprocess.Popen(command, cwd=place, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        try:
            _await_port(process, port, place)
            yield place / "notes"
        finally:
            process.kill()
            process.wait(_STOP_S)


def _await_port(process: "subprocess.Popen[bytes]", port: int, place: Path) -> None:
    wanted = f":{port:04X} "
    end = time.monotonic() + 10
    while wanted not in Path("/proc/net/udp").read_text("ascii"):
        if process.poll() is not None or time.monotonic() > end:
            raise SippError(f"the subscribers did not start:\n{(place / 'console').read_text('utf-8', 'replace')}")
        time.sleep(0.01)
