"""Places real calls with SIPp, and says of each how it ended."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.asterisk.parts import find_sipp

# Final answers that the scenario knows; any other one ends the call as status 0.
FINAL = (400, 403, 404, 408, 480, 484, 486, 487, 488, 500, 502, 503, 600, 603)
# CANCEL, and the ACK of a refusal, belong to the INVITE's transaction.
_INVITE_BRANCH = "z9hG4bK-[pid]-[call_number]-invite"
_USER_SAFE = "-_.!~*'()&=+$,;?/"  # what RFC 3261 allows in a URI's user part as it is, beside letters and digits


class SippError(Exception):
    """SIPp did not run; has what it said."""


@dataclass(frozen=True, slots=True)
class Dial:
    """One call to place.

    `number` and `caller` are texts of any bytes (surrogate escapes for what is no UTF-8) that travel percent-encoded
    where a SIP URI demands it: a line feed goes out as %0A. `caller` None is a withheld number; `caller_name` is the
    display name, put in quotes. `headers` are whole header lines.
    """

    number: str
    caller: str | None = "+15550100"
    caller_name: str = ""
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call ended: the final status (0: none came), and times in ms from the INVITE (None: it never was).

    `placed` is False for a call that SIPp did not come to, because it was told to end.
    """

    dial: Dial
    status: int
    setup_ms: int | None
    ended_ms: int | None
    placed: bool = True

    @property
    def answered(self) -> bool:
        """Whether the other side took the call."""
        return self.status == 200


def user_part(text: str) -> str:
    """Return a text as the user part of a SIP URI."""
    return quote(text, safe=_USER_SAFE, errors="surrogateescape")


def _from_header(dial: Dial) -> str:
    if dial.caller is None:
        return '"Anonymous" <sip:anonymous@anonymous.invalid>'
    name = dial.caller_name.replace("\\", "\\\\").replace('"', '\\"')
    return f"{f'{chr(34)}{name}{chr(34)} ' if name else ''}<sip:{user_part(dial.caller)}@127.0.0.1>"


def _headers(dial: Dial) -> str:
    return "\n      ".join([*dial.headers, *(["Privacy: id"] if dial.caller is None else [])])


def _scenario(dial: Dial | None, talk_ms: int | None, give_up_ms: int | None, wait_ms: int) -> str:
    """Return a caller's scenario. The number and the From header come from fields; headers stand in the text.

    `talk_ms`: hang up so long after the answer (None: wait for the other side to). `give_up_ms`: cancel the call when
    nothing final came so long after the INVITE. `wait_ms`: the longest wait for anything else.
    """
    # SIPp keeps only the time limit of the line that it waits at, so each line has it.
    limit = f'timeout="{give_up_ms if give_up_ms is not None else wait_ms}" ontimeout="cancel"'
    finals = "".join(
        f'<recv response="{code}" optional="true" next="refused" {limit}><action>{_note(str(code))}</action></recv>\n'
        for code in FINAL
    )
    hang_up = (
        f"""<pause milliseconds="{talk_ms}"/>
<send retrans="500"><![CDATA[
{_request("BYE", "[next_url]", "2 BYE", tag=True)}
]]></send>
<recv response="200" timeout="{wait_ms}"/>"""
        if talk_ms is not None
        else f"""<recv request="BYE" timeout="{wait_ms}"/>
<send><![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:]
      [last_Call-ID:]
      [last_CSeq:]
      Content-Length: 0

]]></send>"""
    )
    extra = _headers(dial) if dial is not None else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<scenario name="caller">
<nop><action>{_note("begin")}</action></nop>
<send retrans="500"><![CDATA[
      INVITE sip:[field0]@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={_INVITE_BRANCH}
      From: [field1];tag=[call_number]
      To: <sip:[field0]@[remote_ip]:[remote_port]>
      Call-ID: [call_id]
      CSeq: 1 INVITE
      Contact: <sip:caller@[local_ip]:[local_port]>
      Max-Forwards: 70
{f"      {extra}{chr(10)}" if extra else ""}      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=caller 1 1 IN IP[local_ip_type] [local_ip]
      s=-
      c=IN IP[media_ip_type] [media_ip]
      t=0 0
      m=audio [media_port] RTP/AVP 0
      a=rtpmap:0 PCMU/8000
]]></send>
<recv response="100" optional="true" {limit}/>
<recv response="180" optional="true" {limit}/>
<recv response="183" optional="true" {limit}/>
{finals}<recv response="200" rrs="true" {limit}><action>{_note("200")}</action></recv>
<send><![CDATA[
{_request("ACK", "[next_url]", "1 ACK", tag=True)}
]]></send>
{hang_up}
<nop next="over"><action>{_note("end")}</action></nop>
<label id="refused"/>
<send><![CDATA[
{_request("ACK", "sip:[field0]@[remote_ip]:[remote_port]", "1 ACK", tag=True, branch=_INVITE_BRANCH)}
]]></send>
<nop next="over"><action>{_note("end")}</action></nop>
<label id="cancel"/>
<send retrans="500"><![CDATA[
{_request("CANCEL", "sip:[field0]@[remote_ip]:[remote_port]", "1 CANCEL", tag=False, branch=_INVITE_BRANCH)}
]]></send>
<recv response="200" optional="true"/>
<recv response="487" timeout="{wait_ms}"><action>{_note("487")}</action></recv>
<send><![CDATA[
{_request("ACK", "sip:[field0]@[remote_ip]:[remote_port]", "1 ACK", tag=True, branch=_INVITE_BRANCH)}
]]></send>
<nop><action>{_note("end")}</action></nop>
<label id="over"/>
</scenario>
"""


def _note(what: str) -> str:
    return f'<log message="{what} [call_number] [clock_tick]"/>'


def _request(method: str, target: str, sequence: str, *, tag: bool, branch: str = "[branch]") -> str:
    return f"""      {method} {target} SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}
      From: [field1];tag=[call_number]
      To: <sip:[field0]@[remote_ip]:[remote_port]>{"[peer_tag_param]" if tag else ""}
      Call-ID: [call_id]
      CSeq: {sequence}
      Max-Forwards: 70
      Content-Length: 0
"""


def place_calls(
    port: int,
    dials: Sequence[Dial],
    *,
    rate: float = 10,
    at_once: int = 1000,
    talk_ms: int | None = None,
    give_up_ms: int | None = None,
    wait_s: float = 30,
) -> list[Outcome]:
    """Place the calls, `rate` a second and at most `at_once` at a time; return their outcomes in the order of `dials`.

    `port` is Asterisk's SIP port on loopback. For `talk_ms` and `give_up_ms` see `_scenario`; headers are those of the
    first call.
    """
    if not dials:
        return []
    with tempfile.TemporaryDirectory(prefix="ringway-sipp-") as folder:
        place = Path(folder)
        command = write_calls(place, port, dials, rate=rate, talk_ms=talk_ms, give_up_ms=give_up_ms, wait_s=wait_s)
        command += ["-l", str(at_once)]
        limit = wait_s * 2 + len(dials) / rate + 10
        try:
            done = subprocess.run(
                command, cwd=place, capture_output=True, check=False, timeout=limit, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired as error:
            raise SippError(f"SIPp did not end within {limit} s\n{_errors(place)}") from error
        # 0: all went well, 1: some call failed, as its outcome says.
        if done.returncode not in (0, 1):
            raise SippError(
                f"SIPp ended with {done.returncode}:\n{_errors(place)}\n{done.stderr.decode(errors='replace')}"
            )
        return read_outcomes(place, dials)


def write_calls(
    place: Path,
    port: int,
    dials: Sequence[Dial],
    *,
    rate: float,
    talk_ms: int | None = None,
    give_up_ms: int | None = None,
    wait_s: float = 30,
) -> list[str]:
    """Write SIPp's files into the folder `place`; return the command, to be run there, that places the calls."""
    (place / "caller.xml").write_text(_scenario(dials[0], talk_ms, give_up_ms, int(wait_s * 1000)), "utf-8")
    rows = [f"{user_part(dial.number).replace(';', '%3B')};{_from_header(dial).replace(';', '%3B')};" for dial in dials]
    (place / "calls.csv").write_text("\n".join(["SEQUENTIAL", *rows, ""]), "utf-8", "surrogateescape")
    command = [find_sipp(), f"127.0.0.1:{port}", "-sf", "caller.xml", "-inf", "calls.csv", "-i", "127.0.0.1"]
    command += ["-m", str(len(dials)), "-r", f"{rate:g}", "-nostdin", "-trace_logs", "-log_file", "notes"]
    return [*command, "-trace_err", "-error_file", "errors", "-nd", "-aa"]


def read_outcomes(place: Path, dials: Sequence[Dial]) -> list[Outcome]:
    """Return how the calls of an ended SIPp went, in the order of `dials`; `place` is where it ran."""
    return _outcomes(dials, (place / "notes").read_text("utf-8", "replace"), _errors(place))


def place_call(port: int, number: str, caller: str | None = "+15550100", *, wait_s: float = 30) -> Outcome:
    """Place one call and return how it ended."""
    return place_calls(port, [Dial(number, caller)], wait_s=wait_s)[0]


def _errors(place: Path) -> str:
    file = place / "errors"
    return file.read_text("utf-8", "replace")[-3000:] if file.exists() else ""


def _outcomes(dials: Sequence[Dial], notes: str, errors: str) -> list[Outcome]:
    ticks: dict[int, dict[str, int]] = {}
    for what, call, tick in re.findall(r"(?m)^(\w+) (\d+) (\d+)$", notes):
        ticks.setdefault(int(call), {})[what] = int(tick)
    if not ticks:
        raise SippError(f"SIPp placed no call:\n{errors}")
    outcomes = []
    for call, dial in enumerate(dials, 1):
        seen = ticks.get(call, {})
        status = next((int(what) for what in seen if what.isdigit()), 0)
        begin, final, end = seen.get("begin"), seen.get(str(status)), seen.get("end")
        outcomes.append(
            Outcome(
                dial,
                status,
                None if begin is None or final is None else final - begin,
                None if begin is None or end is None else end - begin,
                placed=begin is not None,
            )
        )
    return outcomes
