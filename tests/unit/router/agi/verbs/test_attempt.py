"""The answers to `agi://…/attempt`: what the dialplan reports of an outbound call that is over."""

import pytest

from dialplan.campaigns.attempts import AttemptReport, Outcome
from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.routing.table import RoutingTable
from router.agi.verbs.verb import Response
from tests.fastagi import executed
from tests.unit.router.agi.asking import NOW, OUR, FakeCallbacks, awaited, request, with_callbacks

REPORT = ["1.1", "win-back", "07700900123", OUR, "NOANSWER", "19", "1", "1800000000250", "480"]


@pytest.mark.parametrize(("taken", "status"), [(True, "OK"), (False, "LATER")])
async def test_the_report_of_an_attempt_is_acknowledged_when_it_is_written(taken: bool, status: str) -> None:
    callbacks = FakeCallbacks(Claim(ClaimStatus.NONE), taken=taken)
    answer, said = await awaited(request(REPORT, network_script="attempt"), with_callbacks(callbacks, RoutingTable()))
    assert (said, answer.decision) == ({"ATTEMPT_STATUS": status}, None)
    assert callbacks.seen == [AttemptReport("1.1", "win-back", OUR, "07700900123", 1_800_000_000.25, Outcome.MISSED)]


@pytest.mark.parametrize(
    "arguments", [[], REPORT[:-2], [*REPORT, "x"], ["", *REPORT[1:]], [*REPORT[:-2], "now", "480"]]
)
def test_a_report_that_cannot_be_read_is_refused_at_once(arguments: list[str]) -> None:
    callbacks = FakeCallbacks(Claim(ClaimStatus.NONE))
    answer = with_callbacks(callbacks, RoutingTable()).answer(request(arguments, network_script="attempt"), NOW)
    assert isinstance(answer, Response)
    assert executed(answer.commands[0]) == [("ATTEMPT_STATUS", "REFUSED")]
    assert (answer.decision, callbacks.seen) == (None, [])


def test_when_it_is_revoked_what_the_dialplan_trusts_is_emptied() -> None:
    """Else a report that was forged into another one would be deleted where it waits."""
    handler = with_callbacks(FakeCallbacks(Claim(ClaimStatus.NONE)), RoutingTable())
    given = handler.answer(request([], network_script="attempt"), NOW)
    assert isinstance(given, Response)
    assert executed(handler.fallback_response(given).commands[0]) == [("ATTEMPT_STATUS", "")]
