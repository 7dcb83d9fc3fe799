"""The router, with a task that sees how long its event loop keeps others waiting, and does what a socket asks for.

python -m tests.integration.lag_probe SOCKET RINGWAY serve ...: RINGWAY, the router's own script, is not run.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from dialplan.campaigns.caller_ids import candidates
from dialplan.routing.target import ToFlowWithValues
from router import app, cli
from tests.fastagi import environment

_TICK_SECONDS = 0.001


class Lag:
    """The longest time by which a timer of the event loop came too late, and the longest garbage collection."""

    def __init__(self) -> None:
        self.worst = self.worst_collection = 0.0
        self._began = 0.0
        gc.callbacks.append(self._collecting)

    def _collecting(self, phase: str, _: object) -> None:
        now = time.monotonic()
        if phase == "start":
            self._began = now
        else:
            self.worst_collection = max(self.worst_collection, now - self._began)

    async def watch(self) -> None:
        """For ever."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(_TICK_SECONDS)
            self.worst = max(self.worst, time.monotonic() - began - _TICK_SECONDS)


async def nothing(router: Any) -> None:
    """What a quiet moment costs."""
    del router
    await asyncio.sleep(2)


async def purge(router: Any) -> None:
    """What comes every hour."""
    await router._callbacks.purge(time.time())


async def read_attempts(router: Any) -> None:
    """Read all of the attempts again."""
    follower = router._callbacks._follower
    before = id(follower.index)  # held, it would not be let go of piece by piece
    follower.read_all()
    while id(follower.index) == before:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)
    await asyncio.sleep(1)  # what was replaced is let go


async def read_rows(router: Any) -> None:
    """Read all of the data set again."""
    store = router._store
    wait, router._sync._version = store.wait, None

    async def at_once(*_: object) -> bool:
        store.wait = wait
        return True

    store.wait = at_once
    await next_table(router)


async def next_table(router: Any) -> None:
    """Wait for a changed table."""
    before = id(router._sync.table)  # held, it would not be let go of piece by piece
    while id(router._sync.table) == before:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)
    await asyncio.sleep(1)


async def call_all(router: Any) -> None:
    """Answer a call to each number with values of its own: far more than are kept prepared."""
    table = router._sync.table
    for shard in table.shards:
        for number, entry in shard.items():
            if isinstance(entry.base, ToFlowWithValues):
                call = {"agi_extension": number, "agi_network_script": "route?params"}
                assert router._agi.answer_usual(environment(call)) is not None
                await asyncio.sleep(0)


async def show_pool(router: Any) -> None:
    """Ask what outbound calls show, over and over."""
    for _ in range(1_000):
        candidates("bench-callbacks", router._sync.table)
        await asyncio.sleep(0)


DOES: dict[str, Callable[[Any], Awaitable[None]]] = {
    each.__name__: each for each in (nothing, purge, read_attempts, read_rows, next_table, call_all, show_pool)
}


def main(socket: str, _: str, *words: str) -> int:
    """Run the router; a line on the socket names what is done.

    It gets back the worst lag meanwhile, and the longest garbage collection, in ms.
    """
    run = app._Router.run

    async def watched(router: Any) -> bool:
        lag = Lag()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                lag.worst = lag.worst_collection = 0.0
                try:
                    await DOES[line.decode().strip()](router)
                except Exception as error:  # noqa: BLE001 - the test shows it
                    writer.write(f"{error!r}\n".encode())
                    continue
                writer.write(f"{lag.worst * 1000:.1f} {lag.worst_collection * 1000:.1f}\n".encode())

        watching = asyncio.create_task(lag.watch())
        server = await asyncio.start_unix_server(serve, socket)
        try:
            return await run(router)
        finally:
            watching.cancel()
            server.close()

    app._Router.run = watched  # type: ignore[assignment, method-assign]
    sys.argv[0] = "ringway"
    return cli.main(words)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
