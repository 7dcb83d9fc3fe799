"""`ringway report-attempt` against a real router: what it reports is written down, and a callback goes by it."""

import contextlib
import pathlib
import sqlite3
from collections.abc import Iterator

import pytest

from tests.integration.refusals import refused
from tests.processes import Finished, Router, ringway, running_router

CAMPAIGN, SHOWN, SHOWN_E164 = "win-back", "02079460002", "+442079460002"


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    """With the demo data."""
    with running_router(tmp_path_factory.mktemp("router")) as running:
        yield running


def report(router: Router, subscriber: str, *words: str) -> Finished:
    return ringway("report-attempt", CAMPAIGN, subscriber, SHOWN, *words, config=router.config)


def call(router: Router, subscriber: str) -> dict[str, str]:
    variables: dict[str, str] = ringway("call", SHOWN, "--from", subscriber, "--json", config=router.config).json()
    return variables


def listed(router: Router, subscriber: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = ringway("attempts", "--subscriber", subscriber, "--json", config=router.config).json()
    return found


def test_a_missed_call_that_was_reported_is_listed_and_called_back_once(router: Router) -> None:
    subscriber = "07700900456"
    assert router.ask(SHOWN, subscriber)["ROUTE_REASON"] == "assigned"
    done = report(router, subscriber)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"the router at 127.0.0.1:{router.agi_port} acknowledged it as attempt report-")
    (attempt,) = listed(router, subscriber)
    assert attempt["id"] in done.out
    assert (attempt["campaign"], attempt["outcome"]) == (CAMPAIGN, "missed")
    assert (attempt["number"], attempt["subscriber"]) == (SHOWN_E164, "+447700900456")
    answers = [call(router, subscriber) for _ in range(2)]
    assert [each["ROUTE_REASON"] for each in answers] == ["callback-force-yes", "callback-used"]
    assert (answers[0]["ROUTE_KIND"], answers[0]["ROUTE_ID"]) == ("campaign", CAMPAIGN)


def test_each_outcome_is_judged_as_its_name_says(router: Router) -> None:
    judged = {
        "BUSY": ("07700900461", "missed", "callback-force-yes"),
        "CANCEL": ("07700900462", "missed", "callback-force-yes"),
        "ANSWER": ("07700900463", "answered", "assigned"),
        "CONGESTION": ("07700900464", "failed", "assigned"),
        "CHANUNAVAIL": ("07700900465", "failed", "assigned"),
    }
    names = {}
    for outcome, (subscriber, _, _) in judged.items():
        found = report(router, subscriber, "--outcome", outcome, "--json").json()
        assert found["status"] == "OK"
        names[found["id"]] = outcome
    attempts = ringway("attempts", "--json", config=router.config).json()
    outcomes = {names[each["id"]]: each["outcome"] for each in attempts if each["id"] in names}
    assert outcomes == {outcome: verdict for outcome, (_, verdict, _) in judged.items()}
    for subscriber, _, reason in judged.values():
        assert router.ask(SHOWN, subscriber)["ROUTE_REASON"] == reason


def test_an_attempt_that_the_router_ignores_is_taken_and_not_listed(router: Router) -> None:
    for campaign in ("nobodys", "spring-offer"):  # unknown, and inbound
        done = ringway("report-attempt", campaign, "07700900470", SHOWN, config=router.config)
        assert done.status == 0
        assert "one that it cannot use is logged as attempt_ignored" in done.out
        assert listed(router, "07700900470") == []
        assert router.wait_for("attempt_ignored", campaign=campaign)


def test_a_word_that_is_no_outcome_is_wrong_usage(router: Router) -> None:
    done = report(router, "07700900471", "--outcome", "RINGING")
    assert (done.status, done.out) == (2, "")
    assert "--outcome" in done.err
    assert "CHANUNAVAIL" in done.err


def test_a_router_that_cannot_write_it_down_now_wants_it_again(router: Router) -> None:
    subscriber = "07700900472"
    with contextlib.closing(sqlite3.connect(router.config.parent / "ringway-callbacks.db")) as holder:
        holder.execute("BEGIN IMMEDIATE")  # somebody with a shell, who keeps the router from writing
        refused(report(router, subscriber), "cannot write the attempt down now", "report it again in a moment")
    assert report(router, subscriber).status == 0
    assert [each["outcome"] for each in listed(router, subscriber)] == ["missed"]


def test_without_a_router_it_says_where_it_looked(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path, start=False) as router:
        refused(report(router, "07700900456"), f"127.0.0.1:{router.agi_port}", "is `ringway serve` running?")
