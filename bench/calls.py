"""What the benchmark's calls look like: the numbers, the `agi_*` block of each call and the answer it must get.

Everything follows from a number's index, so that the data file and the load generator agree without talking.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator

COMPANIES = 50
FLOWS_PER_COMPANY = 6
DEFAULT_RING_SECONDS = 20
MAX_NUMBERS = 10_000_000  # the eight prefixes below hold 1,428,571 each, with their gaps
MAX_CALLS = 2_000_000  # a plan is kept whole: 8 B a call for its time and as much for its latency

# Ten-digit British numbers, any seven digits after these three are a valid number: London and mobiles.
_PREFIXES = ("203", "207", "208", "740", "741", "742", "743", "744")
_MOBILE = "7"
_STRIDE = 7  # leaves gaps, so that neighbours of a number are unknown numbers

# The lines of Asterisk 22 that do not change from call to call, between those that do.
_HEAD = (b"agi_network: yes\n", b"agi_network_script: route\n")
_VERSION = b"agi_version: 22.10.1+dfsg+~cs6.17.60671434-1\n"
_AFTER_CALLER = (
    b"agi_calleridname: unknown\n",
    b"agi_callingpres: 0\n",
    b"agi_callingani2: 0\n",
    b"agi_callington: 0\n",
    b"agi_callingtns: 0\n",
)
_TAIL = (b"agi_priority: 7\n", b"agi_enhanced: 0.0\n", b"agi_accountcode: \n")


def national_number(index: int) -> str:
    """Return the ten digits of number `index`, without a trunk prefix."""
    return f"{_PREFIXES[index % len(_PREFIXES)]}{index // len(_PREFIXES) * _STRIDE:07d}"


def e164(index: int) -> str:
    """Return number `index` as `+44…`."""
    return f"+44{national_number(index)}"


def line_type(index: int) -> str:
    """Return the line type of number `index`, as a data file names it."""
    return "mobile" if national_number(index).startswith(_MOBILE) else "landline"


def flow_of(index: int) -> int:
    """Return which call flow number `index` is assigned to; flows are counted over all companies."""
    return index % (COMPANIES * FLOWS_PER_COMPANY)


def company_of(index: int) -> int:
    """Return which company owns number `index`: that of its flow."""
    return flow_of(index) // FLOWS_PER_COMPANY


def has_parameters(flow: int) -> bool:
    """Tell whether a call flow declares GREETING and RING_SECONDS: a third of them do not."""
    return flow % 3 != 0


def own_values(index: int) -> dict[str, str | int]:
    """Return the values that number `index` gives its flow's parameters: two, by one number in nine; else none."""
    if index % 18 not in (1, 11):  # one remainder of each kind of flow with parameters
        return {}
    return {"GREETING": f"You have reached line {index}", "RING_SECONDS": 10 + index % 7}


def expected(index: int) -> tuple[bytes, ...]:
    """Return the pieces that the right answer to a call to number `index` has, in whatever order."""
    flow = flow_of(index)
    pieces = [
        f"ROUTE_CONTEXT=flow-{flow},ROUTE_EXTEN=s,ROUTE_PRIORITY={flow % 3 + 1},",
        f"ROUTE_NUMBER={e164(index)},",
        "ROUTE_REASON=assigned,",
    ]
    if has_parameters(flow):
        own = own_values(index)
        pieces.append(f"PARAM_RING_SECONDS={own.get('RING_SECONDS', DEFAULT_RING_SECONDS)},")
        if own:
            pieces.append(f"PARAM_GREETING={own['GREETING']},")
    return tuple(piece.encode() for piece in pieces)


def dialled(index: int, form: int) -> str:
    """Return number `index` as a trunk may send it: national, `+`, bare E.164 or `00`, by `form` modulo 4."""
    digits = national_number(index)
    return ("0", "+44", "44", "0044")[form % 4] + digits


def block(call: int, index: int, port: int) -> list[bytes]:
    """Return the writes of call number `call` to number `index`: 22 lines and the blank one, about 510 B.

    Keys and their order are those of Asterisk 22 (`launch_netscript` and `setup_env` in its `res_agi.c`).
    """
    extension = dialled(index, call).encode()
    return [
        *_HEAD,
        b"agi_request: agi://127.0.0.1:%d/route\n" % port,
        b"agi_channel: PJSIP/trunk-%08x\n" % call,
        b"agi_language: en\n",
        b"agi_type: PJSIP\n",
        b"agi_uniqueid: 1790000000.%d\n" % call,
        _VERSION,
        b"agi_callerid: 020794%05d\n" % (call % 100_000),
        *_AFTER_CALLER,
        b"agi_dnid: %s\n" % extension,
        b"agi_rdnis: unknown\n",
        b"agi_context: ringway-inbound\n",
        b"agi_extension: %s\n" % extension,
        *_TAIL,
        b"agi_threadid: %d\n" % (139_800_000_000_000 + call * 4096),
        b"\n",
    ]


def is_whole_answer(answer: bytes) -> bool:
    """Tell whether `answer` is one or more `EXEC MSet` commands, the last pair of the last being the marker."""
    return answer.startswith(b'EXEC MSet "') and answer.endswith(b'ROUTE_STATUS=OK"\n')


def is_right_answer(index: int, answer: bytes) -> bool:
    """Tell whether `answer` sends number `index` where the data file of `bench.dataset` says."""
    return is_whole_answer(answer) and all(piece in answer for piece in expected(index))


def arrivals(rate: float, count: int, seed: int, *, poisson: bool) -> array[float]:
    """Return the start of each call in seconds from the beginning, fixed before the first one is placed."""
    draw = random.Random(seed).expovariate
    times = array("d")
    at = 0.0
    for _ in range(count):
        times.append(at)
        at += draw(rate) if poisson else 1 / rate
    return times


def targets(numbers: int, count: int, seed: int) -> Iterator[int]:
    """Yield the number that each call dials: drawn evenly over all of them, which no cache likes."""
    draw = random.Random(seed).randrange
    return (draw(numbers) for _ in range(count))
