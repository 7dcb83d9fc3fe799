import types

import pytest

from router.config.limits import LOG_REPEAT_SECONDS
from router.util import rate_limited_log as seldom
from router.util.rate_limited_log import RateLimitedLog
from tests.unit.router.ami.peers import capturing


def test_it_is_said_at_once_and_then_seldom_with_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(seldom, "time", types.SimpleNamespace(monotonic=lambda: now))
    log, said = capturing()
    happens = RateLimitedLog(log.warning, "odd")
    for _ in range(100):
        happens(why="x")
    assert said == [{"event": "odd", "times": 1, "why": "x", "log_level": "warning"}]
    now += LOG_REPEAT_SECONDS
    happens(why="y")
    assert [(line["times"], line["why"]) for line in said] == [(1, "x"), (101, "y")]
    assert happens.count == 101


def test_a_traceback_may_go_with_it() -> None:
    log, said = capturing()
    fails = RateLimitedLog(log.exception, "failed")
    fails()
    assert said[0]["exc_info"] is True
