import asyncio
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.campaigns.callbacks import ClaimStatus
from router.store.sqlite.callbacks import SqliteCallbackStore, beside
from tests.unit.router.commands.conftest import Run


def test_every_step_and_the_decision_are_shown(demo: Run) -> None:
    done = demo("route", "02079460000", "--from", "02079461234", "--at", "2026-12-25T12:00:00Z")
    assert (done.status, done.err) == (0, "")
    steps = [line.split("  ")[0] for line in done.out.splitlines()]
    assert steps[:6] == ["caller", "dialled number", "number", "assignment", "assignment", "assignment"]
    assert "=> flow-closed,s,1  call-flow xmas, reason scheduled, at 2026-12-25T12:00:00Z, version 1" in done.out
    assert '   PARAM_MESSAGE = "vm-goodbye"' in done.out


def test_candidates_that_were_rejected_say_why(demo: Run) -> None:
    out = demo("route", "02079460000", "--at", "2026-12-25T12:00:00Z").out
    assert "rejected" in out
    assert "replaced by the update of 2026-12-24T17:00:00Z" in out
    assert "not due before 2027-01-02T09:00:00Z" in out


def test_json_has_the_whole_decision(demo: Run) -> None:
    found = demo("route", "02079460001", "--from", "+12025550143", "--at", "2026-07-01T12:00:00+02:00", "--json").json()
    steps = found.pop("steps")
    assert found == {
        "number": "+442079460001",
        "caller": "+12025550143",
        "at": "2026-07-01T10:00:00Z",
        "reason": "assigned",
        "kind": "call-flow",
        "id": "basic-queue",
        "company": "acme",
        "destination": {"context": "flow-queue", "exten": "s", "priority": 1},
        "parameters": {"QUEUE": "support", "MAX_WAIT_SECONDS": "300", "OVERFLOW_NUMBER": "+442079460000"},
        "version": 1,
    }
    assert [set(step) for step in steps] == [{"step", "outcome", "detail", "code", "arguments"}] * len(steps)


@pytest.mark.parametrize(
    ("at", "target"),
    [
        ("2026-12-24T16:59:59", "main-menu"),
        ("2026-12-24T17:00:00", "xmas"),
        ("2026-12-24T17:00:00+01:00", "main-menu"),
        ("2027-01-02T09:00:00", "main-menu"),
    ],
)
def test_a_time_without_an_offset_is_the_companys_own(demo: Run, at: str, target: str) -> None:
    assert demo("route", "02079460000", "--at", at, "--json").json()["id"] == target


def test_the_zone_is_that_of_the_numbers_owner(demo: Run) -> None:
    assert demo("route", "+12025550143", "--at", "2026-07-01T12:00:00", "--json").json()["at"] == "2026-07-01T16:00:00Z"


@pytest.mark.parametrize(
    ("did", "at", "text"),
    [
        ("02079460000", "soon", "not a date and time"),
        ("02079460000", "2026-03-29T01:30:00", "2026-03-29T00:30:00+00:00 or 2026-03-29T02:30:00+01:00"),
        ("02079469999", "2026-07-01T12:00:00", "no offset"),
        ("+447700900100", "2026-07-01T12:00:00", "no offset"),
    ],
)
def test_a_time_that_cannot_be_told_is_refused_with_the_hint(demo: Run, did: str, at: str, text: str) -> None:
    done = demo("route", did, "--at", at)
    assert done.status == 1
    assert done.out == ""
    assert done.err.startswith("ringway: --at: ")
    assert text in done.err
    assert done.err.count("\n") == 1


def test_a_truth_value_is_shown_as_data_files_have_it(demo: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "vip.toml").write_text(
        '[[call_flows]]\nid = "vip"\nname = "VIP"\ndestination = { context = "vip" }\n'
        'parameters = [{ name = "VIP", type = "boolean" }]\n'
        '[[numbers]]\nnumber = "02079460009"\ncompany = "acme"\ncall_flow = "vip"\nparameters = { VIP = true }\n'
    )
    assert demo("load", tmp_path / "vip.toml").status == 0
    out = demo("route", "02079460009").out
    assert 'call flow "vip" with VIP="true"' in out
    assert 'PARAM_VIP = "1"' in out


def test_another_region_reads_the_number_in_another_country(demo: Run) -> None:
    assert demo("route", "02025550143", "--region", "us", "--json").json()["number"] == "+12025550143"
    refused = demo("route", "02025550143", "--region", "USA")
    assert refused.status == 1
    assert '--region "USA" is not a country' in refused.err


@pytest.mark.parametrize(
    ("did", "reason"),
    [
        ("nobody", "bad-number"),
        ("02079469999", "unknown-number"),
        ("02079460003", "disabled"),
        ("02079460002", "assigned"),
        ("+447700900100", "no-destination"),
    ],
)
def test_any_number_gets_a_decision(demo: Run, did: str, reason: str) -> None:
    done = demo("route", did, "--json")
    assert done.status == 0
    assert done.json()["reason"] == reason


def test_a_number_that_leads_nowhere_goes_to_its_companys_default_flow(demo: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "night.toml").write_text(
        '[[companies]]\nid = "initech"\nname = "Initech"\nregion = "GB"\ndefault_flow = "night"\n'
        '[[call_flows]]\nid = "night"\ncompany = "initech"\nname = "Night"\ndestination = { context = "night" }\n'
        '[[numbers]]\nnumber = "02079460009"\ncompany = "initech"\n'
    )
    assert demo("load", tmp_path / "night.toml").status == 0
    found = demo("route", "02079460009", "--json").json()
    assert (found["reason"], found["kind"], found["id"]) == ("no-destination", "default", "night")
    assert found["destination"]["context"] == "night"
    assert told(found, "default") == [("taken", 'default flow "night" of company "initech": night,s,1')]


def test_asking_changes_nothing(demo: Run, tmp_path: pathlib.Path) -> None:
    before = (tmp_path / "ringway.db").read_bytes()
    demo("route", "02079460000")
    assert (tmp_path / "ringway.db").read_bytes() == before


# --- callbacks ------------------------------------------------------------------------------------------------------

SHOWN, ANNA = "+442079460002", "+447700900123"  # the number that the demo's win-back campaign shows
BACK = ["02079460002", "--from", "07700900123", "--at", "2026-07-01T12:00:00Z", "--json"]
AT = 1_782_907_200.0  # the same moment
SINCE = {"win-back": 0.0}


def attempt(name: str, minutes: float, outcome: Outcome = Outcome.MISSED, campaign: str = "win-back") -> Attempt:
    """One that ended so many minutes before."""
    return Attempt(name, campaign, SHOWN, ANNA, AT - minutes * 60, outcome)


def with_callback_store(folder: pathlib.Path, use: Callable[[SqliteCallbackStore], Any]) -> Any:
    """What a router that runs on the same data does meanwhile."""

    async def run() -> Any:
        store = beside(folder / "ringway.db")
        await store.open()
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(run())


def told(found: dict[str, Any], step: str) -> list[tuple[str, str]]:
    return [(each["outcome"], each["detail"]) for each in found["steps"] if each["step"] == step]


def test_a_callback_goes_to_the_campaign_and_every_attempt_says_why_or_why_not(
    demo: Run, tmp_path: pathlib.Path
) -> None:
    heard = [
        attempt("new", 10),
        attempt("old", 20),
        attempt("failed", 30, Outcome.FAILED),
        attempt("gone", 40, campaign="nobodys"),
        attempt("theirs", 50, campaign="survey"),
        attempt("expired", 60 * 24 * 8),
    ]
    with_callback_store(tmp_path, lambda store: store.record(heard))
    found = demo("route", *BACK).json()
    assert (found["reason"], found["kind"], found["id"]) == ("callback-force-yes", "campaign", "win-back")
    assert found["destination"]["context"] == "campaign-win-back"
    assert [outcome for outcome, _ in told(found, "callback rule")] == ["force-yes"]
    assert [(outcome, detail.partition("Z, ")[2]) for outcome, detail in told(found, "attempt")] == [
        ("gives the entitlement", "new"),
        ("rejected", "old: a newer attempt replaces it"),
        ("rejected", "failed: it never reached the subscriber"),
        ("rejected", 'gone: campaign "nobodys" is not stored'),
        ("rejected", 'theirs: campaign "survey" is of company "globex", and the number is not'),
        ("rejected", 'expired: the callback window of campaign "win-back" is over'),
    ]
    assert told(found, "callback") == [("taken", 'campaign "win-back": campaign-win-back,s,1')]


def test_an_answer_ends_the_entitlement_of_what_came_before(demo: Run, tmp_path: pathlib.Path) -> None:
    heard = [attempt("answered", 10, Outcome.ANSWERED), attempt("missed", 20)]
    with_callback_store(tmp_path, lambda store: store.record(heard))
    found = demo("route", *BACK).json()
    assert (found["reason"], found["id"]) == ("assigned", "spring-offer")
    assert [detail.rpartition(": ")[2] for _, detail in told(found, "attempt")] == [
        "it was answered",
        "a later attempt was answered",
    ]
    assert [outcome for outcome, _ in told(found, "callback")] == ["no entitlement"]


def test_asking_consumes_no_entitlement(demo: Run, tmp_path: pathlib.Path) -> None:
    with_callback_store(tmp_path, lambda store: store.record([attempt("new", 10)]))
    for _ in range(2):
        assert demo("route", *BACK).json()["reason"] == "callback-force-yes"
    before = AT - 5 * 60
    claim = with_callback_store(tmp_path, lambda store: store.claim(SHOWN, ANNA, "call-1", before, SINCE))
    assert claim.status is ClaimStatus.GRANTED
    found = demo("route", *BACK).json()
    assert (found["reason"], found["id"]) == ("callback-used", "spring-offer")
    assert "it has been called back since" in told(found, "attempt")[0][1]
    assert [outcome for outcome, _ in told(found, "callback")] == ["rejected"]
    assert told(found, "consumed by") == [("another call", 'call "call-1", which began 2026-07-01T11:55:00Z')]


def test_the_call_that_is_named_is_the_one_that_consumed_this_entitlement(demo: Run, tmp_path: pathlib.Path) -> None:
    """Neither one of an older entitlement nor one that got nothing; and a caller's bytes do nothing to a terminal."""
    hostile = "\x1b[2J:{ringway}\n1"

    async def heard(store: SqliteCallbackStore) -> None:
        async def ring(call: str, minutes: float) -> None:
            await store.claim(SHOWN, ANNA, call, AT - minutes * 60, SINCE)

        await store.record([attempt("old", 50)])
        await ring("older", 45)
        await ring("in vain", 40)
        await store.record([attempt("new", 30)])
        await ring(hostile, 20)
        await ring("later", 10)

    with_callback_store(tmp_path, heard)
    out = demo("route", *BACK[:-1]).out
    (line,) = [line for line in out.splitlines() if line.startswith("consumed by")]
    assert line.endswith("which began 2026-07-01T11:40:00Z")
    assert "\x1b" not in out
    assert "ringway" in line


def test_the_bytes_of_an_attempts_name_do_nothing_to_a_terminal(demo: Run, tmp_path: pathlib.Path) -> None:
    with_callback_store(tmp_path, lambda store: store.record([attempt("\x1b[2J\nnew", 10)]))
    out = demo("route", *BACK[:-1]).out
    (line,) = [line for line in out.splitlines() if line.startswith("attempt")]
    assert "\x1b" not in out
    assert line.endswith("new")


def test_a_call_of_an_earlier_moment_is_decided_by_what_was_known_then(demo: Run, tmp_path: pathlib.Path) -> None:
    """Neither what was called back since, nor what was answered or missed since, has a part in it."""
    heard = [attempt("then", 10), attempt("answered", -20, Outcome.ANSWERED), attempt("since", -30)]
    with_callback_store(tmp_path, lambda store: store.record(heard))
    with_callback_store(tmp_path, lambda store: store.claim(SHOWN, ANNA, "call-1", AT + 10 * 60, SINCE))

    def at(moment: str) -> tuple[str, list[tuple[str, str]]]:
        found = demo("route", *BACK[:-2], moment, "--json").json()
        return found["reason"], [(each, detail.partition("Z, ")[2]) for each, detail in told(found, "attempt")]

    assert at("2026-07-01T11:40:00Z") == ("assigned", [])
    assert at("2026-07-01T12:00:00Z") == ("callback-force-yes", [("gives the entitlement", "then")])
    assert at("2026-07-01T12:15:00Z") == ("callback-used", [("rejected", "then: it has been called back since")])
    assert at("2026-07-01T12:25:00Z") == (
        "assigned",
        [("rejected", "answered: it was answered"), ("rejected", "then: a later attempt was answered")],
    )
    assert at("2026-07-01T12:35:00Z")[0] == "callback-force-yes"


def test_a_number_that_forces_no_is_told_without_a_look_at_the_attempts(
    demo: Run, run: Run, tmp_path: pathlib.Path
) -> None:
    data = tmp_path / "changed.toml"
    data.write_text(
        '[[numbers]]\nnumber = "02079460002"\ncompany = "acme"\ncallback_rule = "force-no"\n'
        'inbound_campaign = "spring-offer"\n'
    )
    assert run("load", data).status == 0
    with_callback_store(tmp_path, lambda store: store.record([attempt("new", 10)]))
    found = demo("route", *BACK).json()
    assert (found["reason"], found["id"]) == ("assigned", "spring-offer")
    assert [outcome for outcome, _ in told(found, "callback rule")] == ["force-no"]
    assert (told(found, "attempt"), told(found, "callback")) == ([], [])


def test_where_no_router_has_run_nobody_is_entitled_and_no_store_is_made(demo: Run, tmp_path: pathlib.Path) -> None:
    found = demo("route", *BACK).json()
    assert (found["reason"], told(found, "attempt")) == ("assigned", [])
    assert [outcome for outcome, _ in told(found, "callback")] == ["no entitlement"]
    assert not list(tmp_path.glob("*callbacks*"))


def test_a_withheld_caller_has_no_entitlement_and_nothing_is_said_of_one(demo: Run, tmp_path: pathlib.Path) -> None:
    with_callback_store(tmp_path, lambda store: store.record([attempt("new", 10)]))
    found = demo("route", "02079460002", "--at", "2026-07-01T12:00:00Z", "--json").json()
    assert (found["reason"], told(found, "callback rule")) == ("assigned", [])
