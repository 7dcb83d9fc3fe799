"""A store of attempts that is behind a proxy, and the place on this machine for when it is away."""

import pathlib
import uuid
from collections.abc import Callable
from typing import Any

from dialplan.campaigns.attempts import Attempt
from router.store.api import AttemptPlace
from router.store.local.outbox import OutboxCallbackStore
from router.store.redis.address import Options, parse
from router.store.redis.callbacks import RedisCallbackStore
from router.store.sqlite.callbacks import SqliteCallbackStore
from tests.fault_proxy import FaultProxy
from tests.redis_server import RedisServer
from tests.unit.router.store.logs import Log


class Here(SqliteCallbackStore):
    """The place on this machine, and what a test does when somebody has looked what waits in it."""

    looked: Callable[[], None] | None = None

    async def attempts(
        self,
        number: str | None,
        subscriber: str | None,
        limit: int,
        *,
        campaign: str | None = None,
        after: AttemptPlace | None = None,
    ) -> list[Attempt]:
        found = await super().attempts(number, subscriber, limit, campaign=campaign, after=after)
        if self.looked is not None:
            self.looked()
        return found


class Parts:
    """A kept store behind a proxy, the same Redis by a straight way, and the place here."""

    def __init__(self, server: RedisServer, proxy: FaultProxy, folder: pathlib.Path) -> None:
        options = Options(prefix=uuid.uuid4().hex)
        self.proxy = proxy
        self.path = folder / "calls.db"
        self.log = Log()
        self.redis = RedisCallbackStore(parse(server.url), options)
        self._options = options
        self.here = Here(self.path)
        self.store = self._kept()

    def _kept(self) -> OutboxCallbackStore:
        far = RedisCallbackStore(parse(f"redis://127.0.0.1:{self.proxy.port}/0"), self._options)
        log: Any = self.log
        return OutboxCallbackStore(far, self.here, log)

    async def restarted(self) -> None:
        """The router ended, and is there again."""
        await self.store.close()
        self.here = Here(self.path)
        self.store = self._kept()
        await self.store.open()

    def away(self) -> None:
        self.proxy.refuse()
        self.proxy.cut()

    def back(self) -> None:
        self.proxy.accept()
