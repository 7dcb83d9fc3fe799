"""The orderly end of the server: who was let in is answered, who comes later is refused, and it ends in time."""

import asyncio
import errno
import os
import socket
import threading
from typing import NoReturn

import pytest

from router.agi import accounting
from router.config.limits import AGI_FIRST_READ_BYTES
from tests.fastagi import environment, executed
from tests.unit.router.agi.serving import PATIENCE_SECONDS, SHORT_SECONDS, ended, serving
from tests.unit.router.agi.wires import Exchange, in_a_loop


async def test_calls_in_flight_finish_and_new_ones_are_refused() -> None:
    async with serving() as served:
        reader, writer = await served.open(environment({"agi_extension": "02079460000"})[:300])
        await served.until(lambda: served.count("agi_connections") == 1)
        draining = asyncio.ensure_future(served.server.drain(PATIENCE_SECONDS))
        refused = False
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not refused:
                try:
                    _, other = await asyncio.open_connection(*served.address)
                except ConnectionRefusedError:
                    refused = True
                else:
                    other.close()
        assert not draining.done()
        writer.write(environment({"agi_extension": "02079460000"})[300:])
        assert dict(executed(await reader.readline()))["ROUTE_CONTEXT"] == "flow-0"
        assert not draining.done()
        writer.write(b"200 result=0\n")
        assert await ended(reader, writer) == b""
        assert await draining == 0


async def test_a_call_that_does_not_end_is_cut_off_when_the_drain_has_waited_long_enough() -> None:
    async with serving() as served:
        reader, writer = await served.open(b"agi_")
        await served.until(lambda: served.count("agi_connections") == 1)
        assert await served.server.drain(SHORT_SECONDS) == 1
        assert await ended(reader, writer) == b""
        await served.until_idle()
        assert served.rejected() == {"deadline": 1}


async def test_a_call_that_runs_into_its_deadline_during_the_drain_was_cut_off_too() -> None:
    async with serving(deadline_seconds=SHORT_SECONDS) as served:
        reader, writer = await served.open(b"agi_")
        await served.until(lambda: served.count("agi_connections") == 1)
        assert await served.server.drain(PATIENCE_SECONDS) == 1
        assert await ended(reader, writer) == b""
        assert served.rejected() == {"deadline": 1}


async def test_a_listening_socket_is_left_as_it_was_found() -> None:
    """One that systemd holds outlives the process, and an older router would wait for replies of a block's length."""
    async with serving() as served:
        with served.server._sockets[0].dup() as listener:
            found = listener.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)
            await served.server.drain(PATIENCE_SECONDS)
            left = listener.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)
    assert (found, left) == (AGI_FIRST_READ_BYTES, 1)


class Exhausted(socket.socket):
    """A listening socket of a process that may not open another file."""

    def accept(self) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def test_without_a_descriptor_for_who_waits_the_calls_in_flight_still_finish() -> None:
    block = environment({"agi_extension": "02079460000"})
    async with serving() as served:
        reader, writer = await served.open(block[:300])
        await served.until(lambda: served.count("agi_connections") == 1)
        with Exhausted(fileno=os.dup(served.server._sockets[0].fileno())) as listener:
            served.server._sockets = [listener]
            draining = asyncio.ensure_future(served.server.drain(PATIENCE_SECONDS))
            writer.write(block[300:])
            assert dict(executed(await reader.readline()))["ROUTE_CONTEXT"] == "flow-0"
            writer.write(b"200 result=0\n")
            assert await ended(reader, writer) == b""
            assert await draining == 0


async def test_draining_without_a_call_ends_at_once() -> None:
    async with serving() as served:
        assert await served.server.drain(PATIENCE_SECONDS) == 0


@in_a_loop
async def test_the_drain_waits_for_the_last_call() -> None:
    exchange = Exchange()
    first, last = exchange.line(), exchange.line()
    draining = asyncio.ensure_future(exchange.server.drain(PATIENCE_SECONDS))
    for line in (first, last):
        for _ in range(20):  # it would have had the time to end
            await asyncio.sleep(0)
        assert not draining.done()
        line.connection.connection_lost(None)
    assert await draining == 0


@in_a_loop
async def test_a_time_without_calls_before_the_drain_does_not_end_it() -> None:
    exchange = Exchange()
    exchange.line().connection.connection_lost(None)
    line = exchange.line()
    draining = asyncio.ensure_future(exchange.server.drain(PATIENCE_SECONDS))
    for _ in range(20):  # it would have had the time to end
        await asyncio.sleep(0)
    assert not draining.done()
    line.connection.connection_lost(None)
    assert await draining == 0


async def test_a_call_that_was_cut_off_before_the_drain_is_not_one_of_those_that_it_has_cut_off() -> None:
    async with serving(deadline_seconds=SHORT_SECONDS) as served:
        await ended(*await served.open(b"agi_"))
        await served.until_idle()
        assert await served.server.drain(PATIENCE_SECONDS) == 0
        assert served.rejected() == {"deadline": 1}


async def test_what_was_answered_just_before_the_end_is_still_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "ACCOUNT_SECONDS", 1_000.0)
    async with serving() as served:
        await served.dial("02079460000")
        await served.server.drain(PATIENCE_SECONDS)
        assert len(served.written) == 1


async def test_nothing_is_left_to_be_done_at_a_deadline_after_the_drain() -> None:
    async with serving() as served:
        await served.dial("02079460000")
        await served.server.drain(PATIENCE_SECONDS)
        timer = served.server._timer
    assert timer is not None
    assert timer.cancelled()


# Python's own loop loses a connection between its accept and its transport when a server closes; uvloop does not.
@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize("turns", range(6))
async def test_who_was_connected_when_the_socket_closed_is_answered(turns: int) -> None:
    """Queued in the kernel or just accepted: whatever stage a connection has reached, it counts as accepted."""
    block = environment({"agi_extension": "02079460000"})
    answers: list[bytes] = []

    def talk(sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as lines:
            sock.settimeout(PATIENCE_SECONDS)
            answers.append(lines.readline())
            sock.sendall(b"200 result=0\n")
            lines.read()

    async with serving() as served:
        connected = [socket.create_connection(served.address) for _ in range(20)]
        for each in connected:
            each.sendall(block)
        threads = [threading.Thread(target=talk, args=(each,)) for each in connected]
        for thread in threads:
            thread.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        assert await served.server.drain(PATIENCE_SECONDS) == 0
        for thread in threads:
            await asyncio.to_thread(thread.join, PATIENCE_SECONDS)
        assert [dict(executed(answer))["ROUTE_CONTEXT"] for answer in answers] == ["flow-0"] * 20


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_who_was_accepted_in_the_turn_in_which_the_end_was_told_is_answered() -> None:
    """uvloop accepts in one turn and tells of it in the next; the signal may stand between the two."""
    told, teller = socket.socketpair()
    loop = asyncio.get_running_loop()
    answered = threading.Event()

    def talk(sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as lines:
            sock.settimeout(PATIENCE_SECONDS)
            if lines.readline().startswith(b"EXEC MSet"):
                answered.set()
            sock.sendall(b"200 result=0\n")
            lines.read()

    with told, teller:
        async with serving() as served:
            drained: asyncio.Future[bool] = loop.create_future()

            async def drain() -> None:
                await served.server.drain(PATIENCE_SECONDS)
                drained.set_result(answered.is_set())

            def on_told() -> None:
                loop.remove_reader(told)
                tasks.append(loop.create_task(drain()))

            tasks: list[asyncio.Task[None]] = []
            loop.add_reader(told, on_told)
            await asyncio.sleep(0)
            teller.sendall(b"x")  # both are there before the loop looks again, this one first
            sock = socket.create_connection(served.address)
            sock.sendall(environment({"agi_extension": "02079460000"}))
            thread = threading.Thread(target=talk, args=(sock,))
            thread.start()
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await drained
            await asyncio.to_thread(thread.join, PATIENCE_SECONDS)
            await tasks[0]


async def test_a_peer_that_is_turned_away_meanwhile_does_not_end_the_wait_for_who_is_let_in() -> None:
    block = environment({"agi_extension": "02079460000"})
    connected: list[socket.socket] = []

    async with serving(allow=("127.0.0.1/32",)) as served:

        def connect() -> None:
            for source in ("127.0.0.2", "127.0.0.1"):
                each = socket.create_connection(served.address, source_address=(source, 0))
                connected.append(each)

        # One behind the other in the same turn: both peers are in the kernel's queue when the drain begins.
        asyncio.get_running_loop().call_soon(connect)
        draining = asyncio.ensure_future(served.server.drain(PATIENCE_SECONDS))
        await served.until(lambda: draining.done() or len(served.server.connections) == 1)
        _stranger, call = connected
        call.sendall(block)
        call.setblocking(False)
        answer = await asyncio.get_running_loop().sock_recv(call, 65536)  # empty if the drain did not wait
        assert dict(executed(answer))["ROUTE_CONTEXT"] == "flow-0"
        call.sendall(b"200 result=0\n")
        assert await draining == 0
        assert served.decided() == {("assigned", "call-flow"): 1}
        assert served.rejected() == {"peer": 1}
        for each in connected:
            each.close()
