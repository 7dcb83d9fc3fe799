"""The usual call's short way and the session answer the same bytes, and count and log the same, whatever comes how."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from router.agi.server import AgiServer, Limits
from router.observe.log import CallRecord
from router.observe.metrics import Metrics
from tests.fastagi import environment
from tests.property.test_agi_session import cut
from tests.samples import campaign, company, flow, number
from tests.tables import table_of
from tests.unit.router.agi.asking import dispatcher, usual_calls
from tests.unit.router.agi.serving import NoCallbacks
from tests.unit.router.agi.wires import Line, in_a_loop

ANNA = "+447700900123"  # she may have missed a call of ours
PARAMETERS = [{"name": "TEXT", "type": "text", "default": "a, b"}, {"name": "SECONDS", "type": "integer", "default": 9}]
WIDE = [{"name": f"P{place}", "type": "text", "default": "v" * 90} for place in range(60)]
TABLE = table_of(
    company(default_flow="closed"),
    company("other"),
    flow("closed"),
    flow("menu", parameters=PARAMETERS),
    flow("wide", parameters=WIDE),
    campaign("spring"),
    campaign("over", active=False),
    number("+442079460000", call_flow="menu"),
    number("+442079460001", call_flow="menu", parameters={"TEXT": 'q"', "SECONDS": 5}),
    number("+442079460002", inbound_campaign="spring"),
    number("+442079460003", inbound_campaign="over"),
    number("+442079460004", call_flow="menu", updates=[{"at": "2090-01-01T00:00:00Z", "call_flow": "closed"}]),
    number("+442079460005", call_flow="menu", status="disabled"),
    number("+442079460006"),
    number("+442079460007", call_flow="wide"),
    number("+442079460008", company="other"),
)


class AnnaMayRingBack(NoCallbacks):
    def knows(self, _number: str, subscriber: str) -> bool:
        return subscriber == ANNA


NUMBERS = [f"0207946000{place}" for place in range(10)]
DIALLED = st.sampled_from(
    [*NUMBERS, "+442079460000", "442079460001", "00442079460002", "s", "", "020 7946 0000", "tel:+442079460001", "x"]
)
CALLERS = st.sampled_from(
    ["07700900456", "07700900123", ANNA, "unknown", "", "anonymous", "12", "+12125550123", "zoë", "sip:1@x", "+"]
)
TEXTS = st.sampled_from(["", "unknown", "Zoë", "Ann", "1\nagi_dnid: 9", "x\n\n", "200 result=0", "a: b", "\\"])
# Mostly one thing is unusual, so that it alone has to be noticed.
SHOWN = st.sampled_from(["0", "1", "3", "", "32", "67", "x", "\u0663"])
NEARLY_USUAL = st.fixed_dictionaries(
    {"agi_extension": st.sampled_from(NUMBERS), "agi_callerid": st.just("07700900456")},
    optional={"agi_callingpres": SHOWN},
) | st.fixed_dictionaries(
    {"agi_extension": st.sampled_from(["02079460000", "s"]), "agi_dnid": DIALLED, "agi_callerid": CALLERS}
)
FIELDS = st.fixed_dictionaries(
    {"agi_extension": DIALLED},
    optional={
        "agi_network_script": st.sampled_from(["route", "route?params", "route?x", "caller-id", "attempt", "nope", ""]),
        "agi_dnid": DIALLED,
        "agi_callerid": CALLERS,
        "agi_callingpres": SHOWN,
        "agi_calleridname": TEXTS,
        "agi_uniqueid": st.sampled_from(["1790000000.1", "pbx-1790000000.2", "", "x" * 200]),
        "agi_accountcode": TEXTS,
        "agi_later": TEXTS,
    },
)
ARGUMENTS = st.lists(st.one_of(DIALLED, CALLERS), max_size=3)
# What comes behind the block: replies to what was sent, and whatever else a peer may think of.
BEHIND = st.lists(
    st.lists(
        st.sampled_from(
            [
                *(b"200 result=0\n", b"200 result=0\n", b"200 result=0\n", b"200 result=1\n"),
                *(b"HANGUP\n", b"HANG", b"UP\n"),
                *(b"511 Command Not Permitted on a dead channel\n", b"510 x\n", b"520-x\n", b"520 y\n", b"x", b"\n"),
                b"agi_x: y\n",
            ]
        ),
        min_size=1,
        max_size=2,
    ).map(b"".join),
    max_size=3,
)


class Told(NamedTuple):
    """All that is seen of a call."""

    commands: list[bytes]
    ended: bool
    closed: bool
    records: list[CallRecord]
    counts: dict[str, float]
    log: list[dict[str, Any]]


async def told(pieces: Sequence[bytes], behind: Sequence[bytes], end: str, *, usual: bool) -> Told:
    """What a call whose bytes come so gets, twice: an answer is remembered."""
    metrics, capture, records = Metrics(), structlog.testing.LogCapture(), list[CallRecord]()
    wrapper = structlog.make_filtering_bound_logger(0)
    log = structlog.wrap_logger(None, processors=[capture], wrapper_class=wrapper)
    callbacks = AnnaMayRingBack()
    verbs = dispatcher(lambda: TABLE, callbacks, log=log)
    short = usual_calls(lambda: TABLE, callbacks) if usual else None
    server = AgiServer(verbs, Limits(("127.0.0.0/8",), 1_000.0), metrics, log, records.append, usual=short)
    lines = [Line(server), Line(server)]
    for line in lines:
        line.receive(*pieces)
        line.receive(*behind)
        if end == "deadline" and not line.wire.closed:
            line.connection.abort("deadline")
        elif end == "eof":
            line.connection.connection_lost(None)
    await server.drain(0.0)
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    counts = {
        sample.name + str(sample.labels): sample.value
        for family in metrics.registry.collect()
        if family.name in ("ringway_decisions", "ringway_agi_rejected", "ringway_agi_empty")
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    for name in ("ringway_decision_seconds_count", "ringway_agi_seconds_count"):
        labels = {"verb": "route"} if "agi" in name else {}
        counts[name] = metrics.registry.get_sample_value(name, labels) or 0.0
    return Told(
        [command for line in lines for command in line.wire.commands],
        all(line.wire.ended for line in lines),
        all(line.wire.closed for line in lines),
        [msgspec.structs.replace(record, timestamp=moment, duration_ms=0.0) for record in records],
        counts,
        [{key: value for key, value in entry.items() if key != "exc_info"} for entry in capture.entries],
    )


@settings(max_examples=300)
@given(
    fields=NEARLY_USUAL | FIELDS,
    arguments=st.just([]) | ARGUMENTS,
    places=st.lists(st.integers(min_value=0), max_size=5),
    behind=BEHIND,
    together=st.booleans(),
    end=st.sampled_from(["", "deadline", "eof"]),
)
@in_a_loop
async def test_both_ways_tell_the_same(
    fields: dict[str, str], arguments: list[str], places: list[int], behind: list[bytes], together: bool, end: str
) -> None:
    block = environment(fields, arguments)
    pieces = cut(block + b"".join(behind), places) if together else cut(block, places)
    after = [] if together else behind
    short = await told(pieces, after, end, usual=True)
    assert short == await told(pieces, after, end, usual=False)
