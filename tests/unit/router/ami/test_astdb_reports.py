"""What is taken over from AstDB, with a session that gives what a test makes it give."""

import asyncio
import types
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from dialplan.campaigns.attempts import AttemptReport
from router.ami import astdb_reports as collected
from router.ami.astdb_reports import collect_astdb_reports
from router.ami.dial_tracker import Event
from router.ami.session import AmiError, AmiRefusedError
from router.config.limits import AMI_ASTDB_RETRY_SECONDS
from tests.unit.router.ami.peers import capturing

VALUE = "win-back|07700900123|02079460000|BUSY|17|0|1800000000250"


class Session:
    """Each asking takes the next of these: ids, and an error at the end of some."""

    def __init__(self, *replies: list[str | Exception]) -> None:
        self.replies = list(replies)
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.asked: list[dict[str, str]] = []

    async def entries(self, action: str, **fields: str) -> AsyncGenerator[Event, None]:
        self.asked.append({"Action": action, **fields})
        for each in self.replies.pop(0):
            if isinstance(each, Exception):
                raise each
            yield {"Key": f"/ringway-attempts/{each}", "Val": VALUE if each != "other" else "somebody else's"}


class Taken:
    """What was handed over and said, and how long it paused between two askings."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.pauses: list[float] = []
        self.log, self.lines = capturing()

    async def tell(self, report: AttemptReport) -> None:
        self.ids.append(report.id)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def over(self, session: Session) -> None:
        made: Any = session
        await collect_astdb_reports(made, self.tell, self.log)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Taken:
    made = Taken()
    monkeypatch.setattr(collected, "asyncio", types.SimpleNamespace(sleep=made.pause))
    return made


def refused(why: str) -> AmiRefusedError:
    return AmiRefusedError(f"DBGetTree was refused: {why}")


async def test_all_entries_are_handed_over_once(taken: Taken) -> None:
    session = Session(["1.1", "other", "dc/1-1.2"])
    await taken.over(session)
    assert taken.ids == ["1.1", "dc/1-1.2"]
    assert session.asked == [{"Action": "DBGetTree", "Family": "ringway-attempts"}]
    assert (taken.lines, taken.pauses) == ([], [])


async def test_where_nothing_waits_nothing_is_said(taken: Taken) -> None:
    await taken.over(Session([refused("Database entry not found")]))
    assert (taken.lines, taken.pauses) == ([], [])


@pytest.mark.parametrize(
    "error",
    [
        refused("Permission denied"),
        AmiError("DBGetTree: no reply within 5.0 s"),
        AmiError("DBGetTree: a list has more than 100000 entries"),
        AmiError("DBGetTree: its reply cannot be read: Database entry not found"),
    ],
)
async def test_what_could_not_be_had_is_said_once_and_asked_for_again(taken: Taken, error: AmiError) -> None:
    await taken.over(Session(["1", error], ["1", error], [error], ["1", "2"]))
    assert taken.ids == ["1", "1", "1", "2"]
    assert [(line["event"], line["why"]) for line in taken.lines] == [("ami_astdb_reports_failed", str(error))]
    assert taken.pauses == [AMI_ASTDB_RETRY_SECONDS] * 3


async def test_another_reason_is_said_too(taken: Taken) -> None:
    await taken.over(Session([AmiError("a")], [AmiError("b")], []))
    assert [line["why"] for line in taken.lines] == ["a", "b"]


async def test_a_session_that_ends_meanwhile_is_said_elsewhere(taken: Taken) -> None:
    session = Session([AmiError("DBGetTree: Asterisk closed the session")])
    taken_entries = session.entries

    async def ends(action: str, **fields: str) -> AsyncGenerator[Event, None]:
        session.ended.set_result("closed")
        async for each in taken_entries(action, **fields):
            yield each

    session.entries = ends  # type: ignore[method-assign]
    await taken.over(session)
    assert taken.lines == []
    assert len(session.asked) == 1
