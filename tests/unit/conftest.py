"""What tests of several parts share."""

from collections.abc import Iterator

import pytest

from tests.redis_server import RedisServer, running_redis


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis for all tests of this process: each has a prefix of its own in it."""
    with running_redis(appendfsync="no") as server:  # what outlives a SIGKILL is shown elsewhere
        yield server
