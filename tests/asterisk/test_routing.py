"""How real calls are read: the dialled number and the caller, in every form that trunks send."""

from collections.abc import Iterator

import pytest

from tests.asterisk.exchange import BUSY, CALLER, Exchange, routed, running_exchange
from tests.asterisk.operator_set import (
    ABROAD_PJSIP,
    DATA,
    DEEP,
    EXTRA,
    FLOWS,
    MENU,
)
from tests.asterisk.parts import Program
from tests.asterisk.sipp import Dial
from tests.asterisk.traffic import DEFAULT

pytestmark = pytest.mark.asterisk

# How the one number 020 7946 0000 may be dialled where the trunk says nothing of its region.
WRITTEN = (
    "02079460000",
    "+442079460000",
    "00442079460000",
    "442079460000",
    "020 7946 0000",
    "(020) 7946-0000",
    "+44 (0)20.7946/0000",
    "tel:+442079460000",
    "tel:020-7946-0000",
    "sip:+442079460000@pbx.example;user=phone",
    "<sip:02079460000@192.0.2.1;user=phone>",
    "tel:2079460000;phone-context=+44",
    "٠٢٠٧٩٤٦٠٠٠٠",
    "\u202a+442079460000\u202c",
)


@pytest.fixture(scope="module")
def started(asterisk_program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    folder = tmp_path_factory.mktemp("router")
    with running_exchange(
        asterisk_program, folder, DATA, FLOWS, extra=EXTRA, files={"pjsip_more.conf": ABROAD_PJSIP}
    ) as running:
        yield running


def test_every_way_to_write_a_number_reaches_it(exchange: Exchange) -> None:
    outcomes, calls = exchange.place(*(Dial(text, CALLER) for text in WRITTEN))
    assert all(outcome.answered for outcome in outcomes)
    assert [call.dialled for call in calls] == list(WRITTEN)
    expected = routed(exchange, MENU, number="+442079460000", company="acme", params={"GREETING": "Hello"})
    for call in calls:
        assert (call.context, call.exten, call.priority) == ("flow-menu", "s", 1), call.dialled
        assert call.variables == expected, call.dialled


def test_the_destination_is_context_extension_and_priority(exchange: Exchange) -> None:
    call = exchange.call("+12025550143")
    assert (call.context, call.exten, call.priority) == ("flow-deep", "100", 3)
    assert call.variables == routed(exchange, DEEP, number="+12025550143", company="globex")


def test_the_channel_has_these_variables_and_no_others(exchange: Exchange) -> None:
    hold = '[[call_flows]]\nid = "hold"\nname = "Hold"\ndestination = { context = "flow-hold" }\n'
    number = '[[numbers]]\nnumber = "02079460031"\ncompany = "acme"\ncall_flow = "hold"\n'
    exchange.load(hold + number)
    seen: dict[str, str] = {}

    def arrived() -> bool:
        if not exchange.asterisk.calls():
            return False
        seen.update(exchange.channel_variables())
        return True

    exchange.watch("02079460031", arrived, "the call is in its flow")
    to = MENU | {"ROUTE_CONTEXT": "flow-hold", "ROUTE_ID": "hold"}
    expected = routed(exchange, to, number="+442079460031", company="acme")
    del expected["ROUTE_AGE"]  # of cached routes alone
    digest = seen.pop("ROUTE_DIGEST")
    assert len(digest) == 16
    assert {name: value for name, value in seen.items() if name.startswith(("ROUTE_", "PARAM_"))} == expected


@pytest.mark.parametrize(
    ("region", "dialled", "number"),
    [
        ("RU", "84951234567", "+74951234567"),
        ("RU", "8 (495) 123-45-67", "+74951234567"),
        ("ru", "74951234567", "+74951234567"),
        ("RU", "8~10442079460000", "+442079460000"),
        ("RU", "810 44 20 7946 0000", "+442079460000"),
        ("RU", "+442079460000", "+442079460000"),
        ("US", "011442079460000", "+442079460000"),
        ("US", "011 7 495 123 45 67", "+74951234567"),
        ("US", "12025550143", "+12025550143"),
        ("US", "02025550143", "+12025550143"),
        ("IT", "0612345678", "+390612345678"),
        ("IT", "00442079460000", "+442079460000"),
        ("GB", "tel:+442079460000", "+442079460000"),
        ("GB", "sip:02079460000@pbx.example;user=phone", "+442079460000"),
        ("DE", "tel:2079460000;phone-context=+44", "+442079460000"),
    ],
)
def test_a_trunk_says_where_its_numbers_are_from(exchange: Exchange, region: str, dialled: str, number: str) -> None:
    call = exchange.call(dialled, headers=[f"X-Region: {region}"])
    if number == "+442079460000":
        expected = routed(exchange, MENU, number=number, company="acme", params={"GREETING": "Hello"})
    else:
        expected = routed(exchange, DEEP, number=number, company="globex")
    # This context asks as any site's own would: without the names that keeping an answer needs.
    assert call.variables == expected | {"ROUTE_PARAMS": ""}


def test_a_region_reads_the_caller_too(exchange: Exchange) -> None:
    call = exchange.call("84951234567", "84957654321", headers=["X-Region: RU"])
    assert call.variables["ROUTE_CALLER"] == "+74957654321"


def test_calls_at_the_same_time_get_each_its_own(exchange: Exchange) -> None:
    wanted = {
        "02079460000": "flow-menu",
        "+12025550143": "flow-deep",
        "02079460015": "campaign-offer",
        "02079460012": "flow-closed",
        "02079460013": DEFAULT,
        "02079469999": DEFAULT,
    }
    outcomes, calls = exchange.place(*(Dial(number, CALLER) for number in [*wanted] * 10), rate=500, at_once=60)
    assert all(call.context == wanted[call.dialled] for call in calls)
    assert sorted(call.dialled for call in calls) == sorted([*wanted] * 10)
    assert [outcome.status == BUSY for outcome in outcomes] == [
        wanted[each.dial.number] == DEFAULT for each in outcomes
    ]


@pytest.mark.parametrize(
    ("caller", "headers", "read"),
    [
        ("+447700900123", (), "+447700900123"),
        ("07700900123", (), "+447700900123"),
        ("447700900123", (), "+447700900123"),
        ("00447700900123", (), "+447700900123"),
        ("+7 495 765-43-21", (), "+74957654321"),
        ("12", (), ""),
        ("reception", (), ""),
        ("anonymous", (), ""),
        (None, (), ""),
        (None, ("P-Asserted-Identity: <sip:+447700900123@127.0.0.1>",), ""),
        ("anonymous", ("P-Asserted-Identity: <sip:+447700900123@127.0.0.1>",), "+447700900123"),
        ("+447700900999", ("P-Asserted-Identity: <tel:+447700900123>",), "+447700900123"),
        ("+447700900123", ("P-Asserted-Identity: <sip:+447700900123@127.0.0.1>", "Privacy: id"), ""),
        ("+447700900123", ("Remote-Party-ID: <sip:+447700900123@127.0.0.1>;privacy=full",), ""),
    ],
)
def test_the_caller(exchange: Exchange, caller: str | None, headers: tuple[str, ...], read: str) -> None:
    call = exchange.call("02079460000", caller, headers=headers)
    expected = routed(exchange, MENU, number="+442079460000", company="acme", params={"GREETING": "Hello"})
    assert call.variables == expected | {"ROUTE_CALLER": read}
