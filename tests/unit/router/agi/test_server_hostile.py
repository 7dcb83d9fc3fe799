"""Hostile and broken peers of the server: the fallback response for one that speaks AGI, the end for any other."""

import asyncio
import socket
import struct

import pytest

from router.agi.messages import Refused
from router.config.limits import ENVIRONMENT_MAX_BYTES
from tests.fastagi import environment, environment_lines, executed
from tests.unit.router.agi.serving import FORGED_END, SHORT_SECONDS, Served, ended, reset, serving


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"agi_calleridname": "x\nagi_extension: 02079460000"}, Refused.BAD_ORDER),
        ({"agi_calleridname": "x\nsomething"}, Refused.BAD_LINE),
        ({"agi_callerid": FORGED_END}, Refused.AFTER_ENVIRONMENT),
    ],
)
async def test_forged_lines_get_the_fallback_response(fields: dict[str, str], cause: Refused) -> None:
    async with serving() as served:
        call = await served.call([environment(fields)])
        assert call.variables["ROUTE_REASON"] == "error"
        assert call.variables["ROUTE_CONTEXT"] == "ringway-default"
        assert call.variables["ROUTE_STATUS"] == "OK"
        await served.until_idle()
        assert served.rejected() == {cause: 1}
        await served.expect({("error", "default"): 1})


async def test_an_environment_without_what_is_needed_gets_the_safe_answer() -> None:
    lines = [line for line in environment_lines() if not line.startswith(b"agi_dnid")]
    async with serving() as served:
        call = await served.call([b"".join(lines)])
        assert call.variables["ROUTE_REASON"] == "error"
        await served.until_idle()
        assert served.rejected() == {"missing-key": 1}


async def test_a_caller_cannot_choose_to_go_unanswered_by_sending_line_feeds_without_end() -> None:
    """A diverting number is as long as a SIP message lets it be, and Asterisk copies it whole."""
    feeds = "\n" * 60_000
    async with serving() as served:
        for fields in ({"agi_rdnis": f"x{feeds}"}, {"agi_rdnis": feeds.replace("\n", "\nagi_x: ")[:60_000]}):
            call = await served.call([environment(fields)])
            assert call.variables["ROUTE_REASON"] == "error"
        lines = environment_lines({"agi_callerid": FORGED_END, "agi_rdnis": feeds})
        reader, writer = await served.open(b"".join(lines[:9]))
        variables = dict(executed(await reader.readline()))
        writer.writelines([*lines[9:], b"200 result=0\n"])
        while command := await reader.readline():
            variables |= executed(command)
            writer.write(b"200 result=0\n")
        writer.close()
        assert variables["ROUTE_REASON"] == "error"
        await served.until_idle()


@pytest.mark.parametrize("script", ["route", "route?params"])
@pytest.mark.parametrize("did", ["02079460000", "02079469999"])
async def test_an_answer_to_forged_lines_is_revoked_when_the_real_ones_come_later(did: str, script: str) -> None:
    forged = f"1\nagi_callingpres: 0\nagi_dnid: 999\nagi_extension: {did}\n"
    lines = environment_lines({"agi_callerid": forged, "agi_network_script": script})
    async with serving() as served:
        reader, writer = await served.open(b"".join(lines[:9]))
        variables = dict(executed(await reader.readline()))
        guessed = {name for name, value in variables.items() if value}
        assert guessed
        for line in lines[9:]:
            writer.write(line)
        writer.write(b"200 result=0\n")
        while command := await reader.readline():
            variables |= executed(command)
            writer.write(b"200 result=0\n")
        writer.close()
        assert (variables["ROUTE_REASON"], variables["ROUTE_STATUS"]) == ("error", "OK")
        assert variables["ROUTE_CONTEXT"] == "ringway-default"
        left = {name for name in guessed if variables[name]}
        assert not {name for name in left if name.startswith("PARAM_")}, "nothing of the guess is left standing"
        assert not left & {"ROUTE_ID", "ROUTE_COMPANY", "ROUTE_NUMBER", "ROUTE_PARAMS", "ROUTE_DIGEST"}
        await served.until_idle()
        assert served.rejected() == {"forged": 1}


REPORT = ["1.1", "win-back", "07700900123", "02079460000", "NOANSWER", "19", "1", "1800000000250", "480"]


@pytest.mark.parametrize(
    ("script", "arguments", "emptied"),
    [("attempt", REPORT, {"ATTEMPT_STATUS"}), ("caller-id", ["win-back"], {"SHOW_NUMBER", "SHOW_STATUS"})],
)
async def test_each_verb_revokes_what_it_has_set_and_the_call_gets_a_destination(
    script: str, arguments: list[str], emptied: set[str]
) -> None:
    given = "".join(f"agi_arg_{place}: {value}\n" for place, value in enumerate(arguments, start=1))
    forged = f"1\nagi_callingpres: 0\nagi_dnid: 999\nagi_extension: s\n{given}"
    lines = environment_lines({"agi_callerid": forged, "agi_network_script": script})
    async with serving() as served:
        reader, writer = await served.open(b"".join(lines[:9]))
        variables = dict(executed(await reader.readline()))
        assert emptied <= set(variables)
        for line in lines[9:]:
            writer.write(line)
        writer.write(b"200 result=0\n")
        while command := await reader.readline():
            variables |= executed(command)
            writer.write(b"200 result=0\n")
        writer.close()
        assert {variables[name] for name in emptied} == {""}
        assert (variables["ROUTE_REASON"], variables["ROUTE_CONTEXT"]) == ("error", "ringway-default")
        await served.until_idle()
        assert served.rejected() == {"forged": 1}


@pytest.mark.parametrize(
    ("sent", "cause"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "not-agi"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500, "not-agi"),
        (b"\n\n", "not-agi"),
        (b"\0", "not-agi"),
        (b"agi_network: " + b"x" * 100_000, "too-long"),
        (b"agi_x: y\n" * 100_000, "too-long"),
        (environment()[:-1] + b"agi_new: " + b"x" * ENVIRONMENT_MAX_BYTES + b"\n\n", "too-long"),
    ],
)
async def test_a_peer_that_speaks_something_else_is_closed(sent: bytes, cause: str) -> None:
    async with serving() as served:
        reader, writer = await served.open(sent)
        assert await ended(reader, writer) == b""
        await served.until_idle()
        assert served.rejected() == {cause: 1}
        await served.expect({})
        assert (await served.dial("02079460000")).variables["ROUTE_CONTEXT"] == "flow-0"


@pytest.mark.parametrize("unit", [b"\n", b"HANGUP\n", b"x", b"agi_x: y\n", b"520-more\n"])
async def test_a_flood_in_place_of_a_reply_is_closed(unit: bytes) -> None:
    async with serving() as served:
        reader, writer = await served.open(environment())
        await reader.readline()
        writer.write(unit * (2_000_000 // len(unit)))
        await ended(reader, writer)
        await served.until_idle()
        assert served.rejected() == {"bad-reply": 1}


@pytest.mark.parametrize("sent", [b"a", b"agi_network: yes\n", environment()[:-1]])
@pytest.mark.parametrize("how", ["eof", "rst"])
async def test_a_peer_that_goes_before_its_block_is_whole_is_only_counted(sent: bytes, how: str) -> None:
    async with serving() as served:
        reader, writer = await served.open(sent)
        await served.until(lambda: served.count("agi_connections") == 1)
        if how == "rst":
            reset(writer)
        else:
            await ended_by_us(reader, writer)
        await served.until_idle()
        assert served.rejected() == {"eof": 1}
        assert served.records == []
        assert {entry["log_level"] for entry in served.log.entries} == {"info"}


async def ended_by_us(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write_eof()
    assert await ended(reader, writer) == b""


@pytest.mark.parametrize("how", ["eof", "rst"])
async def test_a_health_check_that_connects_and_goes_is_no_rejected_call_and_nothing_is_said(how: str) -> None:
    async with serving() as served:
        reader, writer = await served.open()
        await served.until(lambda: served.count("agi_connections") == 1)
        if how == "rst":
            reset(writer)
        else:
            await ended_by_us(reader, writer)
        await served.until_idle()
        assert (served.count("agi_empty_total"), served.rejected()) == (1, {})
        assert served.log.entries == []
        assert served.records == []


async def test_a_health_check_that_is_gone_before_it_is_accepted_is_counted_alike() -> None:
    async with serving() as served:
        for _ in range(5):
            with socket.create_connection(served.address) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await served.until(lambda: served.count("agi_empty_total") == 5)
        assert served.rejected() == {}
    assert served.log.entries == []


async def test_one_that_is_not_allowed_to_ask_is_rejected_whether_it_asks_or_not() -> None:
    async with serving(allow=("192.0.2.0/24",)) as served:
        for _ in range(3):
            reader, writer = await served.open()
            await ended(reader, writer)
        await served.until(lambda: served.rejected() == {"peer": 3})
        assert served.count("agi_empty_total") == 0
        assert [(line["peer"], line["times"]) for line in served.log.entries] == [("127.0.0.1", 1)]


# --- who it was -------------------------------------------------------------------------------------------------------


async def broken(served: Served, source: str, sent: bytes) -> None:
    """A peer at that address, which sends something broken and goes."""
    reader, writer = await asyncio.open_connection(*served.address, local_addr=(source, 0))
    writer.write(sent)
    writer.write_eof()
    await ended(reader, writer)


async def test_each_line_of_a_rejection_has_its_peer_and_the_same_one_is_said_once_with_a_count() -> None:
    async with serving() as served:
        for source in ("127.0.0.2", "127.0.0.3"):
            for _ in range(4):
                await broken(served, source, b"GET / HTTP/1.0\n\n")
            await broken(served, source, b"agi_network: yes\n")
        await served.until(lambda: served.rejected() == {"not-agi": 8, "eof": 2})
        await served.until_idle()
        first = [(line["cause"], line["peer"], line["times"]) for line in served.log.entries]
        assert sorted(first) == [
            ("eof", "127.0.0.2", 1),
            ("eof", "127.0.0.3", 1),
            ("not-agi", "127.0.0.2", 1),
            ("not-agi", "127.0.0.3", 1),
        ]
    last = [(line["cause"], line["peer"], line["times"]) for line in served.log.entries[len(first) :]]
    assert sorted(last) == [("not-agi", "127.0.0.2", 3), ("not-agi", "127.0.0.3", 3)]


async def test_every_cause_names_its_peer() -> None:
    async with serving(deadline_seconds=SHORT_SECONDS) as served:
        for sent in (b"agi_network: yes\n", b"x\n\n", environment({"agi_network_script": "fax"})):
            await broken(served, "127.0.0.2", sent)
        reader, writer = await served.open(environment())  # says nothing to its command
        await ended(reader, writer)
        await served.dial("raise")
        await served.until(lambda: sum(served.rejected().values()) == 5)
    peers = {line["cause"]: line["peer"] for line in served.log.entries if line["event"] == "agi_rejected"}
    assert peers == {
        "eof": "127.0.0.2",
        "not-agi": "127.0.0.2",
        "unknown-script": "127.0.0.2",
        "deadline": "127.0.0.1",
        "internal": "127.0.0.1",
    }
