"""Answers that a store has a part in: they come later, whatever becomes of their calls meanwhile."""

import asyncio
from collections.abc import Awaitable

import pytest

from router.agi.messages import AgiRequest
from router.agi.usual import UsualCall
from router.agi.verbs.verb import Response
from tests.fastagi import environment, environment_lines, executed
from tests.unit.router.agi.serving import PATIENCE_SECONDS, SHORT_SECONDS, Served, ended, reset, serving

CALL = {"agi_extension": "02079460000"}
CALLBACK = {"agi_extension": "02079460000", "agi_callerid": "07700900123"}
ANSWERED = {("assigned", "call-flow"): 1}


class Store:
    """What the handler of a server asks for calls that have a caller, once it is put in front of it."""

    def __init__(self, served: Served) -> None:
        self.asked = 0
        self.told = 0
        self.speak = asyncio.Event()
        self.error: Exception | None = None
        self._real = served.server.verbs
        self.names = self._real.names
        self._served = served
        self._usual = served.server.answer_usual
        served.server.verbs = self
        served.server.answer_usual = self.answer_usual

    def answer_usual(self, block: bytes) -> UsualCall | None:
        return None if f"agi_callerid: {CALLBACK['agi_callerid']}\n".encode() in block else self._usual(block)

    def answer(self, request: AgiRequest, now: float) -> Response | Awaitable[Response]:
        found = self._real.answer(request, now)
        if request.caller_id != CALLBACK["agi_callerid"]:
            return found
        assert isinstance(found, Response)
        return self._later(found)

    def fallback_response(self, revoked: Response | None = None) -> Response:
        return self._real.fallback_response(revoked)

    def failed_response(self, request: AgiRequest) -> Response:
        return self._real.failed_response(request)

    async def _later(self, found: Response) -> Response:
        self.asked += 1
        await self.speak.wait()
        self.told += 1
        if self.error is not None:
            raise self.error
        return found

    async def until_asked(self, calls: int = 1) -> None:
        await self._served.until(lambda: self.asked == calls)


async def waiting(served: Served) -> tuple[Store, asyncio.StreamReader, asyncio.StreamWriter]:
    """A callback for which the store is asked, and has not spoken."""
    store = Store(served)
    reader, writer = await served.open(environment(CALLBACK))
    await store.until_asked()
    return store, reader, writer


def sent(reader: asyncio.StreamReader) -> bytes:
    """What has come so far."""
    return bytes(reader._buffer)  # type: ignore[attr-defined]


async def test_the_answer_comes_when_the_store_has_spoken() -> None:
    async with serving() as served:
        store, reader, writer = await waiting(served)
        assert sent(reader) == b""
        assert served.decided() == {}
        store.speak.set()
        said = dict(executed(await reader.readline()))
        assert (said["ROUTE_CONTEXT"], said["ROUTE_CALLER"]) == ("flow-0", "+447700900123")
        writer.write(b"200 result=0\n")
        assert await ended(reader, writer) == b""
        await served.expect(ANSWERED)
        assert [record.caller for record in await served.recorded(1)] == ["+447700900123"]
        assert served.rejected() == {}
        assert served.server._waiting == set()


async def test_other_calls_go_on_meanwhile() -> None:
    async with serving() as served:
        store, reader, writer = await waiting(served)
        for _ in range(20):
            call = await served.call(environment_lines(CALL | {"agi_callerid": "unknown"}))
            assert call.variables["ROUTE_CONTEXT"] == "flow-0"
        assert sent(reader) == b""
        store.speak.set()
        assert dict(executed(await reader.readline()))["ROUTE_CONTEXT"] == "flow-0"
        writer.write(b"200 result=0\n")
        assert await ended(reader, writer) == b""
        assert served.rejected() == {}


async def test_many_wait_side_by_side() -> None:
    async with serving() as served:
        store = Store(served)
        calls = [asyncio.ensure_future(served.call(environment_lines(CALLBACK))) for _ in range(50)]
        await store.until_asked(50)
        assert len(served.server._waiting) == 50
        store.speak.set()
        assert [call.variables["ROUTE_CONTEXT"] for call in await asyncio.gather(*calls)] == ["flow-0"] * 50
        assert served.server._waiting == set()


@pytest.mark.parametrize("how", ["eof", "rst"])
async def test_a_peer_that_goes_while_it_waits_is_counted_once_and_decided_for_nobody(how: str) -> None:
    async with serving() as served:
        store, _, writer = await waiting(served)
        if how == "rst":
            reset(writer)
        else:
            writer.close()
        await served.until_idle()
        assert len(served.server._waiting) == 1  # what it claims is written down all the same
        store.speak.set()
        await served.until(lambda: served.server._waiting == set())
        assert served.rejected() == {"eof": 1}
        assert (served.decided(), served.records) == ({}, [])
        assert [entry["log_level"] for entry in served.log.entries] == ["info"]


async def test_a_peer_that_goes_before_its_claim_fails_is_counted_once_as_gone() -> None:
    async with serving() as served:
        store, _, writer = await waiting(served)
        writer.close()
        await served.until_idle()
        store.error = ZeroDivisionError("a defect")
        store.speak.set()
        await served.until(lambda: served.server._waiting == set())
        assert served.rejected() == {"eof": 1}
        assert served.decided() == {}


async def test_the_deadline_cuts_off_who_waits_and_nothing_comes_afterwards() -> None:
    async with serving(deadline_seconds=SHORT_SECONDS) as served:
        store, reader, writer = await waiting(served)
        assert await ended(reader, writer) == b""
        assert served.rejected() == {"deadline": 1}
        store.speak.set()
        await served.until(lambda: served.server._waiting == set())
        assert store.told == 1
        assert served.rejected() == {"deadline": 1}
        assert (served.decided(), served.records) == ({}, [])


async def test_a_claim_that_fails_gives_the_safe_answer() -> None:
    async with serving() as served:
        store = Store(served)
        store.error = ZeroDivisionError("a defect")
        store.speak.set()
        call = await served.call(environment_lines(CALLBACK))
        said = call.variables
        assert (said["ROUTE_CONTEXT"], said["ROUTE_REASON"], said["ROUTE_STATUS"]) == ("ringway-default", "error", "OK")
        await served.until_idle()
        assert served.rejected() == {"internal": 1}
        await served.expect({("error", "default"): 1})
        failed = [entry for entry in served.log.entries if entry["event"] == "decision_failed"]
        assert [(entry["unique_id"], bool(entry["exc_info"])) for entry in failed] == [("1795316003.7", True)]
        assert served.server._waiting == set()


async def test_a_hangup_while_it_waits_changes_nothing_for_the_answer() -> None:
    async with serving() as served:
        store, reader, writer = await waiting(served)
        writer.write(b"HANGUP\n")
        await writer.drain()
        store.speak.set()
        assert dict(executed(await reader.readline()))["ROUTE_CONTEXT"] == "flow-0"
        writer.write(b"200 result=0\n")
        assert await ended(reader, writer) == b""
        assert served.rejected() == {}


async def test_lines_that_nobody_asked_for_while_it_waits_give_the_fallback_response_alone() -> None:
    async with serving() as served:
        store, reader, writer = await waiting(served)
        writer.write(b"agi_extension: 999\n")
        await served.until(
            lambda: all(
                each._careful is not None and each._careful.session.forged for each in served.server.connections
            )
        )
        store.speak.set()
        said = dict(executed(await reader.readline()))
        assert (said["ROUTE_CONTEXT"], said["ROUTE_REASON"], said["ROUTE_STATUS"]) == ("ringway-default", "error", "OK")
        assert await ended(reader, writer) == b""
        assert served.rejected() == {"forged": 1}
        await served.expect({("error", "default"): 1})


async def test_the_drain_waits_for_who_waits() -> None:
    async with serving() as served:
        store, reader, writer = await waiting(served)
        draining = asyncio.ensure_future(served.server.drain(PATIENCE_SECONDS))
        await served.until(lambda: served.server._draining)
        store.speak.set()
        assert dict(executed(await reader.readline()))["ROUTE_CONTEXT"] == "flow-0"
        assert not draining.done()
        writer.write(b"200 result=0\n")
        assert await ended(reader, writer) == b""
        assert await draining == 0
        assert served.decided() == ANSWERED


async def test_the_drain_lets_the_claim_of_a_peer_that_has_gone_be_written_down() -> None:
    async with serving() as served:
        store, _, writer = await waiting(served)
        writer.close()
        await served.until_idle()
        draining = asyncio.ensure_future(served.server.drain(PATIENCE_SECONDS))
        await served.until(lambda: served.server._draining)
        for _ in range(20):  # it would have had the time to end
            await asyncio.sleep(0)
        assert not draining.done()
        store.speak.set()
        assert await draining == 0
        assert store.told == 1


async def test_the_drain_waits_no_longer_than_it_may() -> None:
    async with serving() as served:
        store, reader, writer = await waiting(served)
        assert await served.server.drain(SHORT_SECONDS) == 1
        assert await ended(reader, writer) == b""
        assert store.told == 0
        assert served.rejected() == {"deadline": 1}
        store.speak.set()
        await served.until(lambda: served.server._waiting == set())
        assert served.rejected() == {"deadline": 1}
