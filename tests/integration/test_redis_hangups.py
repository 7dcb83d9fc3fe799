"""Callers who hang up while their call waits for Redis: ten thousand of them leave a router as it was."""

import asyncio
import pathlib
import random

import pytest

from router.config.limits import REDIS_CONNECTIONS_MAX
from tests.fastagi import environment
from tests.processes import Router, running_router, wait_until
from tests.redis_server import running_redis
from tests.samples import ACME, ACME_CAMPAIGN, ACME_NUMBER

DATA = ACME + ACME_CAMPAIGN + ACME_NUMBER
OUR = "+442079460000"
CALLS, AT_ONCE, SUBSCRIBERS = 10_000, 20, 200
MEGABYTE = 1024 * 1024


def request(place: int, kind: str) -> bytes:
    """One call's environment: a callback, a report of an attempt, or the question for a caller ID."""
    who = f"+4477009{place % SUBSCRIBERS:05}"
    fields = {"agi_network_script": kind, "agi_uniqueid": f"1800000000.{place}", "agi_callerid": who}
    attempt = [f"a{place % SUBSCRIBERS}", "win-back", who, OUR, "BUSY", "17", "0", "1700000000000"]
    arguments = {"route": [OUR, who], "attempt": attempt, "caller-id": ["win-back", who]}[kind]
    return environment(fields, arguments)


async def hang_up(router: Router, data: bytes, draw: random.Random) -> None:
    """Ask, and be gone after so many turns of the event loop, whatever has come by then."""
    _, writer = await asyncio.open_connection("127.0.0.1", router.agi_port)
    writer.write(data)
    for _ in range(draw.randrange(25)):
        await asyncio.sleep(0)
    writer.transport.abort()


@pytest.mark.long
async def test_ten_thousand_who_hang_up_leave_nothing_behind(tmp_path: pathlib.Path) -> None:
    draw = random.Random(7)
    with running_redis() as redis:
        settings = {"store": {"url": redis.url, "snapshot": str(tmp_path / "snapshot.db")}}
        with running_router(tmp_path, data=DATA, settings=settings) as router:

            async def some(count: int) -> dict[str, float]:
                """Place so many; what the router holds when the last is over."""
                kinds = ("route", "route", "route", "attempt", "caller-id")
                for place in range(0, count, AT_ONCE):
                    calls = (request(place + each, draw.choice(kinds)) for each in range(AT_ONCE))
                    await asyncio.gather(*(hang_up(router, call, draw) for call in calls))
                await asyncio.to_thread(
                    wait_until, lambda: router.metrics()["ringway_agi_connections"] == 0, "the last call is over"
                )
                return router.metrics()

            before = await some(CALLS // 5)
            after = await some(CALLS - CALLS // 5)
            assert after["process_open_fds"] <= before["process_open_fds"] + REDIS_CONNECTIONS_MAX
            grown = after["process_resident_memory_bytes"] - before["process_resident_memory_bytes"]
            assert grown < 8 * MEGABYTE, f"{grown / MEGABYTE:.1f} MB more"
            connections = [each for each in redis.client().client_list() if each["name"] == "ringway"]
            # Of the data set's and the attempts' links, and the two that wait for changes.
            assert len(connections) <= 2 * REDIS_CONNECTIONS_MAX + 2
            assert after['ringway_agi_rejected_total{cause="internal"}'] == 0
            answer = router.ask("02079460000", "+447700900000", "later.1")
            assert answer["ROUTE_STATUS"] == "OK"
