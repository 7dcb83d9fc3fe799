"""What a connection makes of its end, and of what comes in what piece."""

import socket

import pytest

from router.agi import server as server_module
from tests.fastagi import environment
from tests.unit.router.agi.serving import serving
from tests.unit.router.agi.wires import Exchange, in_a_loop

BLOCK = environment({"agi_extension": "02079460000"})
USUAL = b"200 result=0\n"


@pytest.mark.parametrize("block", [BLOCK, environment({"agi_callingpres": "32"})], ids=["short", "long"])
@in_a_loop
async def test_what_comes_behind_the_end_of_a_call_is_nobodys(block: bytes) -> None:
    exchange = Exchange()
    line = exchange.line(block, USUAL)
    line.connection.data_received(b"x\n\n")
    line.connection.connection_lost(None)
    assert exchange.log.entries == []
    assert exchange.count("decision_seconds_count") == 1


@in_a_loop
async def test_one_that_is_turned_away_is_counted_once() -> None:
    exchange = Exchange(allow=())
    line = exchange.line()
    line.connection.data_received(BLOCK)
    line.connection.abort("deadline")
    line.connection.connection_lost(None)
    assert exchange.rejected() == ["peer"]
    assert exchange.count("agi_empty_total") == 0
    assert line.wire.commands == []


async def test_one_that_has_gone_without_a_word_is_not_looked_at_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "AGI_SILENT_SECONDS", 1_000.0)
    async with serving() as served:
        _, writer = await served.open()
        await served.until(lambda: served.count("agi_connections") == 1)
        writer.close()
        await served.until_idle()
        served.server._look()
        assert served.count("agi_empty_total") == 1


async def test_behind_the_first_bytes_each_byte_of_a_call_counts() -> None:
    async with serving() as served:
        _, writer = await served.open(b"agi_")
        await served.until(lambda: any(not each.is_silent for each in served.server.connections))
        (connection,) = served.server.connections
        theirs = connection.transport.get_extra_info("socket")
        assert theirs.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
        writer.close()
