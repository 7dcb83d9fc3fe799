import asyncio
import types

import pytest

from router.config.limits import LOG_REPEAT_SECONDS, LOG_REPEATED_MAX
from router.util import rate_limited_log as seldom
from router.util.rate_limited_log import RateLimitedLog, RepeatsLog
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


async def test_of_many_things_each_is_said_at_once_and_what_follows_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seldom, "LOG_REPEAT_SECONDS", 0.02)
    log, said = capturing()
    happens = RepeatsLog("odd")
    for place in range(100):
        happens("a", log.warning, place=place)
    happens("b", log.info, place=7)
    assert [(line["times"], line["place"], line["log_level"]) for line in said] == [(1, 0, "warning"), (1, 7, "info")]
    async with asyncio.timeout(30):
        while len(said) < 3:  # noqa: ASYNC110 - a line is no event
            await asyncio.sleep(0.001)
        assert (said[2]["times"], said[2]["place"]) == (99, 99)
        while happens._known:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
    happens("a", log.warning, place=0)
    assert [line["times"] for line in said] == [1, 1, 99, 1]
    happens.flush()


async def test_what_was_not_said_yet_is_said_at_the_end() -> None:
    log, said = capturing()
    happens = RepeatsLog("odd")
    for _ in range(3):
        happens("a", log.warning)
    happens("b", log.warning)
    happens.flush()
    happens.flush()
    assert [line["times"] for line in said] == [1, 1, 2]


async def test_no_more_things_are_remembered_than_fit_and_none_goes_uncounted() -> None:
    log, said = capturing()
    happens = RepeatsLog("odd")
    for place in range(3 * LOG_REPEATED_MAX):
        for _ in range(2):
            happens(place, log.warning)
        assert len(happens._known) <= LOG_REPEATED_MAX
    happens.flush()
    assert sum(line["times"] for line in said) == 6 * LOG_REPEATED_MAX
