"""Which verb answers, and whose answer it is where a verb has failed or its request was forged."""

import pytest

from dialplan.campaigns.callbacks import Claim, ClaimStatus
from dialplan.routing.table import RoutingTable
from router.agi.verbs.dispatcher import Dispatcher
from router.agi.verbs.verb import Response
from tests.fastagi import executed
from tests.unit.router.agi.asking import NOW, FakeCallbacks, request, with_callbacks


@pytest.fixture
def handler() -> Dispatcher:
    return with_callbacks(FakeCallbacks(Claim(ClaimStatus.NONE)), RoutingTable())


def test_each_verb_is_named(handler: Dispatcher) -> None:
    assert sorted(handler.names) == ["attempt", "caller-id", "route"]


@pytest.mark.parametrize(("verb", "decides"), [("route", True), ("caller-id", False), ("attempt", False)])
def test_a_verb_that_has_failed_is_timed_and_only_that_of_a_call_has_decided_one(
    handler: Dispatcher, verb: str, decides: bool
) -> None:
    failed = handler.failed_response(request([], network_script=verb))
    assert failed.verb is not None
    assert failed.verb.name == verb
    assert dict(executed(failed.commands[-1]))["ROUTE_REASON"] == "error"
    assert (failed.decision is not None) is decides


def test_what_is_revoked_is_still_its_verbs(handler: Dispatcher) -> None:
    given = handler.answer(request(["nobodys"], network_script="caller-id"), NOW)
    assert isinstance(given, Response)
    fallback = handler.fallback_response(given)
    assert fallback.verb is given.verb
    assert fallback.commands[-1:] == handler.fallback_response().commands


def test_an_answer_that_was_no_verbs_has_nothing_to_revoke(handler: Dispatcher) -> None:
    plain = handler.fallback_response()
    assert plain.verb is None
    assert handler.fallback_response(plain) == plain
