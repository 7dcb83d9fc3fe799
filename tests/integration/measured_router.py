"""A router whose event loop is measured, and that does at once what would take it an hour.

`python measured_router.py SOCKET ringway serve -c FILE` is that `ringway serve`. Whoever connects to SOCKET, a Unix
one, sends a command as a line, and gets a line of JSON when it is done:

- `lags`: what was noted since the last `lags`, see `Lags`;
- `purge DAYS`: attempts are purged as if it were so many days later, and as many had passed;
- `read-attempts`: null; all attempts are read again, and the log says `attempts_read` when those before are let go.

The log says besides `table_read` when a reading of the data set is over and the table before is let go, and
`image_left` when nothing is left of the writing of a table's image.
"""

import asyncio
import json
import sys
import time
from collections.abc import Coroutine
from typing import Any
from unittest import mock

import uvloop

from router import app, cli
from router.callbacks import service
from router.callbacks.follower import Follower
from router.callbacks.service import CallbackService
from router.store.local import snapshot
from router.store.local.table_image import TableImage
from router.store.table_sync import TableSync

TICK_SECONDS = 0.001
NOTED_SECONDS = 0.002
DAY_SECONDS = 86_400.0

_services: list["_Callbacks"] = []  # the one of this router


class Lags:
    """A tick each millisecond. A late one is noted: its moment (time.monotonic()), how late it was, and the CPU time
    that all threads of this process have used since the tick before; seconds.

    Both have to be long: what another process takes from the core is not ours, and every thread counts, since one in a
    long call of C holds the interpreter.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._noted: list[tuple[float, float, float]] = []
        self._due, self._used = time.monotonic(), time.process_time()
        self._tick()

    def _tick(self) -> None:
        now, used = time.monotonic(), time.process_time()
        late, worked = now - self._due, used - self._used
        if min(late, worked) > NOTED_SECONDS:
            self._noted.append((now, late, worked))
        self._due, self._used = now + TICK_SECONDS, used
        self._loop.call_later(TICK_SECONDS, self._tick)

    def taken(self) -> list[tuple[float, float, float]]:
        """What was noted since the last time."""
        taken, self._noted = self._noted, []
        return taken


class _Callbacks(CallbackService):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        _services.append(self)

    def read_attempts(self) -> None:
        self._follower.read_all()


class _Follower(Follower):
    async def _catch_up(self, seconds: float) -> None:
        before = self.index
        await super()._catch_up(seconds)
        if self.index is not before:
            self._log.info("attempts_read", pairs=len(self.index))


class _TableSync(TableSync):
    async def _read(self) -> None:
        await super()._read()
        self._log.info("table_read", version=self.table.version)


class _TableImage(TableImage):
    async def _write(self) -> None:
        await super()._write()
        self._log.info("image_left", version=self._at[0] if self._at is not None else None)


async def _obeyed(command: list[str], lags: Lags) -> Any:
    match command:
        case ["lags"]:
            return lags.taken()
        case ["purge", days]:
            seconds = float(days) * DAY_SECONDS
            return await _services[0].purge(time.time() + seconds, seconds)
        case ["read-attempts"]:
            return _services[0].read_attempts()
    raise ValueError(command)


async def _measured(serving: Coroutine[Any, Any, None], path: str) -> None:
    lags = Lags()

    async def obey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        done = await _obeyed((await reader.readline()).decode().split(), lags)
        writer.write(json.dumps(done).encode() + b"\n")
        writer.close()

    commands = await asyncio.start_unix_server(obey, path)
    try:
        await serving
    finally:
        commands.close()


def main(path: str, words: list[str]) -> int:
    """Be the router that the words name, with commands by the socket at `path`."""
    run = uvloop.run
    with (
        mock.patch.object(uvloop, "run", lambda serving: run(_measured(serving, path))),
        mock.patch.object(app, "CallbackService", _Callbacks),
        mock.patch.object(app, "TableSync", _TableSync),
        mock.patch.object(service, "Follower", _Follower),
        mock.patch.object(snapshot, "TableImage", _TableImage),
    ):
        return cli.main(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[3:]))
