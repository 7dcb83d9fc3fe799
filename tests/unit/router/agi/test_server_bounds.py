"""The bounds of the server: the deadline of a call, who may connect, and how many at a time."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Awaitable, Callable, Iterator

import pytest

from router.agi import server as server_module
from tests.fastagi import Call, environment, environment_lines, executed
from tests.unit.router.agi.serving import (
    FORGED_END,
    PATIENCE_SECONDS,
    SHORT_SECONDS,
    Served,
    ended,
    reset,
    routes,
    serving,
)
from tests.unit.router.agi.wires import Exchange, Line, in_a_loop

# --- the deadline -------------------------------------------------------------------------------------------------


async def nothing(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Say nothing."""


async def half_a_block(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(environment()[:200])


async def crlf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(environment().replace(b"\n", b"\r\n"))


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte at a time, for ever: each of them is news, and none of them is progress."""
    writer.write(b"agi_")
    await _again_and_again(writer, b"x")


async def no_reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(environment())
    await reader.readline()


async def no_end_of_reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await no_reply(reader, writer)
    writer.write(b"520-Usage\nmore\n")


async def hangups_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await no_reply(reader, writer)
    await _again_and_again(writer, b"HANGUP\n")


async def _again_and_again(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write until the other side has ended the connection; the pause is only there to leave it some time."""
    with contextlib.suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0.005)


Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize("peer", [nothing, half_a_block, crlf, drip, no_reply, no_end_of_reply, hangups_only])
async def test_a_peer_that_does_not_come_to_an_end_is_cut_off_at_the_deadline(peer: Peer) -> None:
    async with serving(deadline_seconds=SHORT_SECONDS) as served:
        reader, writer = await served.open()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await peer(reader, writer)
        await ended(reader, writer)
        await served.until_idle()
        assert served.rejected() == {"deadline": 1}


async def test_a_deadline_is_each_calls_own() -> None:
    """Peers that come one after the other go one after the other, and those that finish are not touched."""
    async with serving(deadline_seconds=SHORT_SECONDS * 4) as served:
        order: list[int] = []

        async def stall(index: int) -> None:
            await asyncio.sleep(index * SHORT_SECONDS / 2)
            reader, writer = await served.open(b"agi_")
            await ended(reader, writer)
            order.append(index)

        stalled = [asyncio.ensure_future(stall(index)) for index in range(5)]
        while not all(each.done() for each in stalled):
            assert (await served.dial("02079460000")).variables["ROUTE_CONTEXT"] == "flow-0"
        await asyncio.gather(*stalled)
        assert order == sorted(order)
        await served.until_idle()
        assert served.rejected() == {"deadline": 5}


async def test_who_is_within_the_deadline_is_left_alone_when_another_is_cut_off() -> None:
    block = environment({"agi_extension": "02079460000"})
    async with serving() as served:
        late, on_time = [await served.open(block[:300]) for _ in range(2)]
        await served.until(lambda: served.count("agi_connections") == 2)
        next(iter(served.server.connections)).accepted_at -= PATIENCE_SECONDS
        served.server._expire()
        assert await ended(*late) == b""
        assert served.rejected() == {"deadline": 1}
        reader, writer = on_time
        writer.write(block[300:])
        assert dict(executed(await reader.readline()))["ROUTE_CONTEXT"] == "flow-0"
        writer.close()


async def test_the_deadline_still_works_after_a_time_without_calls() -> None:
    async with serving(deadline_seconds=SHORT_SECONDS) as served:
        for cut in (1, 2):
            reader, writer = await served.open()
            await ended(reader, writer)
            await served.until_idle()
            assert served.rejected() == {"deadline": cut}


@in_a_loop
async def test_one_timer_keeps_the_deadlines_of_all_calls() -> None:
    exchange = Exchange()
    exchange.line()
    timer = exchange.server._timer
    exchange.line()
    assert exchange.server._timer is timer is not None


# --- who may connect, and how many --------------------------------------------------------------------------------


async def _asked_from(served: Served, source: str, at: int = 0) -> Call:
    host, port = served.addresses[at]
    reader, writer = await asyncio.open_connection(host, port, local_addr=(source, 0))
    call = Call(reader, writer)
    with contextlib.suppress(ConnectionError):
        await call.run([environment({"agi_extension": "02079460000"})])
    writer.close()
    return call


@pytest.mark.parametrize(
    ("allow", "answered"),
    [
        (("127.0.0.0/8",), True),
        (("127.0.0.2/32",), True),
        (("192.0.2.0/24", "127.0.0.0/30"), True),
        (("127.0.0.1/32",), False),
        (("192.0.2.0/24", "::/0"), False),
        (("::1/128",), False),
        ((), False),
    ],
)
async def test_only_peers_of_the_allowed_networks_are_answered(allow: tuple[str, ...], answered: bool) -> None:
    async with serving(allow=allow) as served:
        for _ in range(2):  # looked up, and remembered
            call = await _asked_from(served, "127.0.0.2")
            assert len(call.commands) == answered
        await served.until(lambda: answered or served.rejected() == {"peer": 2})
        if not answered:
            assert all("127.0.0.2" in entry["peer"] for entry in served.log.entries)


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")
class TestIPv6:
    @pytest.mark.parametrize(
        ("allow", "answered"),
        [(("::1/128",), True), (("::/64",), True), (("2001:db8::/32",), False), (("127.0.0.0/8", "0.0.0.0/0"), False)],
    )
    async def test_only_peers_of_the_allowed_networks_are_answered(
        self, allow: tuple[str, ...], answered: bool
    ) -> None:
        async with serving(hosts=["::1"], allow=allow) as served:
            call = await _asked_from(served, "::1")
            assert len(call.commands) == answered
            await served.until(lambda: answered or served.rejected() == {"peer": 1})

    @pytest.mark.parametrize(
        ("allow", "answered"), [(("127.0.0.0/8",), True), (("192.0.2.0/24", "::1/128"), False), (("::/0",), False)]
    )
    async def test_an_ipv4_peer_of_a_dual_socket_is_judged_as_ipv4(
        self, allow: tuple[str, ...], answered: bool
    ) -> None:
        async with serving(hosts=["::"], allow=allow) as served:
            served.addresses = [("127.0.0.1", served.addresses[0][1])]
            call = await _asked_from(served, "127.0.0.1")
            assert len(call.commands) == answered
            await served.until(lambda: answered or served.rejected() == {"peer": 1})

    async def test_several_sockets_are_served_at_once(self) -> None:
        async with serving(hosts=["127.0.0.1", "::1"]) as served:
            for at, source in enumerate(["127.0.0.1", "::1"]):
                assert (await _asked_from(served, source, at)).variables["ROUTE_CONTEXT"] == "flow-0"


@in_a_loop
async def test_a_link_local_peer_is_judged_by_its_address_whatever_its_interface() -> None:
    exchange = Exchange(allow=("fe80::1/128",))
    assert [Line(exchange.server, host).wire.closed for host in ("fe80::1%eth0", "fe80::2%eth0")] == [False, True]


@in_a_loop
async def test_a_peer_whose_address_cannot_be_read_is_turned_away() -> None:
    assert Line(Exchange(allow=("0.0.0.0/0", "::/0")).server, "somewhere").wire.closed


@pytest.mark.parametrize(("peer", "said"), [("", ""), (None, ""), ("/run/asterisk", "/run/asterisk")])
@in_a_loop
async def test_a_peer_without_a_port_is_warned_of_by_what_it_has(peer: str | None, said: str) -> None:
    exchange = Exchange()
    exchange.server.reject("peer", peer)
    assert [(entry["log_level"], entry["peer"]) for entry in exchange.log.entries] == [("warning", said)]


@in_a_loop
async def test_what_is_remembered_of_peers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "PEER_CACHE_MAX", 2)
    exchange = Exchange()
    for host in ("127.0.0.2", "127.0.0.3", "192.0.2.1", "127.0.0.2", "192.0.2.2"):
        assert Line(exchange.server, host).wire.closed is host.startswith("192.")
        assert len(exchange.server._peers) <= 2


async def test_an_address_at_which_somebody_else_listens_by_now_is_an_error_at_the_start() -> None:
    """uvloop itself would say nothing, and no call would ever come."""
    with socket.socket() as theirs, socket.socket() as ours:
        for each in (theirs, ours):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        theirs.bind(("127.0.0.1", 0))
        ours.bind(theirs.getsockname())
        theirs.listen()
        with pytest.raises(OSError, match="Address already in use"):
            await Exchange().server.start([ours])


async def test_connections_over_the_cap_are_turned_away_and_those_within_it_go_on() -> None:
    async with serving(max_connections=3) as served:
        held = [await served.open(b"agi_") for _ in range(3)]
        await served.until(lambda: served.count("agi_connections") == 3)
        reader, writer = await served.open()
        assert await ended(reader, writer) == b""
        assert served.rejected() == {"capacity": 1}
        held[0][1].close()
        await served.until(lambda: served.count("agi_connections") == 2)
        assert (await served.dial("02079460000")).variables["ROUTE_CONTEXT"] == "flow-0"
        for _, each in held:
            each.close()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Both ends of every connection are this process's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096) if hard > 0 else 4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_five_hundred_calls_at_once_with_hostile_ones_among_them_are_answered_rightly(
    many_descriptors: None,
) -> None:
    honest, hostile = 446, 54
    arrived = 0
    everybody = asyncio.Event()

    async with serving(table=routes(honest)) as served:

        async def call(index: int) -> Call:
            nonlocal arrived
            reader, writer = await served.open(b"agi_network: yes\n")
            arrived += 1
            if arrived == honest + hostile:
                everybody.set()
            await everybody.wait()
            lines = environment_lines({"agi_extension": f"0207946{index:04}", "agi_uniqueid": f"honest.{index}"})
            made = Call(reader, writer)
            await made.run(lines[1:])
            writer.close()
            return made

        async def offend(index: int) -> None:
            nonlocal arrived
            reader, writer = await served.open()
            arrived += 1
            if arrived == honest + hostile:
                everybody.set()
            await everybody.wait()
            match index % 6:
                case 0:
                    reset(writer)
                    return
                case 1:
                    writer.write(b"GET / HTTP/1.0\r\n\r\n")
                case 2:
                    writer.write(environment({"agi_callerid": FORGED_END}))
                case 3:
                    writer.write(b"agi_x: " + b"y" * 100_000)
                case 4:
                    writer.write(environment({"agi_extension": "raise"}))
                case 5:
                    writer.write(environment() + b"\n" * 1000)
            await reader.read(1)
            writer.close()

        async with asyncio.timeout(PATIENCE_SECONDS):
            results = await asyncio.gather(*map(call, range(honest)), *map(offend, range(hostile)))
        for index, made in enumerate(results[:honest]):
            assert made is not None
            assert made.variables["ROUTE_CONTEXT"] == f"flow-{index}"
            assert made.variables["ROUTE_NUMBER"] == f"+44207946{index:04}"
        await served.until_idle()
        await served.until(lambda: served.decided().get(("assigned", "call-flow")) == honest)
        recorded = {record.unique_id for record in served.records if record.reason == "assigned"}
        assert recorded == {f"honest.{index}" for index in range(honest)}
        rejected = served.rejected()
        assert rejected["not-agi"] == rejected["too-long"] == rejected["internal"] == hostile // 6
        assert served.count("agi_connections") == 0
