import pytest

from dialplan.campaigns.attempts import Attempt, Outcome
from dialplan.campaigns.callbacks import (
    CLOCKS_APART_SECONDS,
    Claim,
    ClaimStatus,
    History,
    claim_of,
    consumed_until,
    earliest,
    entitling_fault,
)
from dialplan.wording import Message
from tests.samples import campaign, company, flow, number
from tests.tables import table_of

HOUR = 3600.0
NOW = 1_000_000.0
TABLE = table_of(
    company(identified=True),
    company("globex", identified=True),
    flow("menu", company="acme"),
    campaign("win-back", direction="outbound", accept_incoming=True),
    campaign("quiet", direction="outbound", accept_incoming=False),
    campaign("short", direction="outbound", accept_incoming=True, callback_window_hours=1),
    campaign("over", direction="outbound", accept_incoming=True, active=False),
    campaign("offer"),
    campaign("theirs", company="globex", direction="outbound", accept_incoming=True),
    number("02079460000", call_flow="menu"),
    number("02079460001", call_flow="menu", callback_rule="force-yes"),
    number("02079460002", call_flow="menu", callback_rule="force-no"),
    number("02079460003"),
    number("02079460004", call_flow="menu", status="disabled", callback_rule="force-yes"),
    number("+442079460005", kind="pool", company=None),
)
OURS, POOLED = "acme", None


def attempt(name: str = "a", campaign: str = "win-back", age: float = 60.0, outcome: str = "missed") -> Attempt:
    return Attempt(name, campaign, "+442079460000", "+447700900123", NOW - age, Outcome(outcome))


def given(*attempts: Attempt, used_at: float | None = None) -> Claim:
    since = earliest({each.campaign for each in attempts}, TABLE.campaigns, OURS, NOW)
    return claim_of(History(attempts, used_at), since, began=NOW)


def test_a_missed_attempt_gives_the_entitlement() -> None:
    assert given(attempt()) == Claim(ClaimStatus.GRANTED, attempt())


@pytest.mark.parametrize(
    "attempts",
    [
        (),
        (attempt(outcome="answered"),),
        (attempt(outcome="failed"),),
        (attempt(campaign="over"),),
        (attempt(campaign="nobodys"),),
        (attempt(campaign="offer"),),  # an inbound one
        (attempt(campaign="theirs"),),  # of the company that had the number before
        (attempt(campaign="short", age=HOUR + 1),),
        (attempt("old", age=120), attempt("new", age=60, outcome="answered")),
        (attempt("missed"), attempt("answered", outcome="answered")),  # which of the two was last is not known
    ],
)
def test_no_entitlement(attempts: tuple[Attempt, ...]) -> None:
    assert given(*attempts) == Claim(ClaimStatus.NONE)


def test_the_window_counts_to_the_last_second() -> None:
    last = attempt(campaign="short", age=HOUR)
    assert given(last) == Claim(ClaimStatus.GRANTED, last)


def test_a_reserved_number_has_campaigns_of_its_own_company_and_the_pool_those_of_all() -> None:
    names = ["win-back", "theirs", "offer", "over", "nobodys"]
    assert set(earliest(names, TABLE.campaigns, OURS, NOW)) == {"win-back"}
    assert set(earliest(names, TABLE.campaigns, POOLED, NOW)) == {"win-back", "theirs"}


def test_the_newest_attempt_wins() -> None:
    old, new = attempt("old", age=120), attempt("new", campaign="quiet", age=60)
    assert given(old, new) == given(new, old) == Claim(ClaimStatus.GRANTED, new)


def test_a_newer_attempt_that_gives_nothing_leaves_the_older_one() -> None:
    old = attempt("old", age=2 * HOUR)
    for newer in (
        attempt("new", outcome="failed"),
        attempt("new", campaign="over"),
        attempt("new", campaign="short", age=HOUR + 1),
    ):
        assert given(old, newer) == Claim(ClaimStatus.GRANTED, old)


def test_an_attempt_after_the_answered_one_gives_a_new_entitlement() -> None:
    new = attempt("new", age=10)
    assert given(attempt("old", age=60, outcome="answered"), new) == Claim(ClaimStatus.GRANTED, new)


def test_a_used_entitlement_is_told_apart_from_none() -> None:
    assert given(attempt(), used_at=NOW) == Claim(ClaimStatus.CONSUMED, attempt())
    assert given(attempt(), used_at=NOW - 100) == Claim(ClaimStatus.GRANTED, attempt())
    assert given(attempt(campaign="over"), used_at=NOW) == Claim(ClaimStatus.NONE)


def test_a_callback_consumes_all_older_attempts() -> None:
    older, newer = attempt("older", campaign="quiet", age=90), attempt("newer", age=60)
    assert given(older, newer, used_at=NOW - 60) == Claim(ClaimStatus.CONSUMED, newer)


def test_clocks_may_differ_by_some_seconds_and_the_attempt_is_called_back_all_the_same() -> None:
    just, after = attempt(age=-CLOCKS_APART_SECONDS), attempt(age=-CLOCKS_APART_SECONDS - 0.001)
    assert given(just) == Claim(ClaimStatus.GRANTED, just)
    assert given(after) == Claim(ClaimStatus.NONE)
    older = attempt("older")
    assert given(older, after) == Claim(ClaimStatus.GRANTED, older)


def test_an_answer_after_the_call_had_begun_ends_no_entitlement() -> None:
    """He hears the campaign on another line while he rings it back."""
    missed = attempt("missed", age=60)
    later = attempt("later", age=-CLOCKS_APART_SECONDS - 0.001, outcome="answered")
    assert given(missed, later) == Claim(ClaimStatus.GRANTED, missed)
    assert given(missed, attempt("at once", age=-CLOCKS_APART_SECONDS, outcome="answered")) == Claim(ClaimStatus.NONE)


def test_the_words_that_stores_keep_stay_what_they_are() -> None:
    """Else a router would not read what it wrote before it was upgraded."""
    assert {each.name: each.value for each in ClaimStatus} == {"GRANTED": "right", "CONSUMED": "used", "NONE": "none"}
    assert [str(each) for each in Outcome] == ["missed", "answered", "failed"]


@pytest.mark.parametrize(
    ("claim", "until"),
    [
        (Claim(ClaimStatus.GRANTED, attempt(age=60)), NOW),
        (Claim(ClaimStatus.GRANTED, attempt(age=-3)), NOW + 3),  # by a clock that is ahead
        (Claim(ClaimStatus.CONSUMED, attempt(age=60)), None),
        (Claim(ClaimStatus.NONE), None),
    ],
)
def test_an_entitlement_that_was_given_consumes_what_ended_before_the_call_or_gave_it(
    claim: Claim, until: float | None
) -> None:
    assert consumed_until(claim, NOW) == until


class Words:
    """Takes down what a trace is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.lines: list[tuple[str, str]] = []

    def step(self, name: str, outcome: str, details: Message) -> None:
        assert name == "attempt"
        why = details.arguments.get("why", "")
        assert (outcome == "rejected") is (why != "")
        self.told.append((str(details.arguments["attempt"]), why.text if isinstance(why, Message) else ""))
        self.lines.append((outcome, details.text))


def test_the_trace_says_of_each_attempt_why_it_does_not_count() -> None:
    history = History(
        (
            attempt("a", age=10, outcome="failed"),
            attempt("b", age=20, campaign="over"),
            attempt("c", age=30),
            attempt("d", age=40, campaign="quiet"),
            attempt("e", age=50, outcome="answered"),
            attempt("f", age=60),
            attempt("g", age=HOUR + 1, campaign="short"),
            attempt("y", age=-10, outcome="failed"),
            attempt("z", age=-10),
        )
    )
    words = Words()
    since = earliest(TABLE.campaigns, TABLE.campaigns, OURS, NOW)
    claim_of(history, since, words, began=NOW, left_out=lambda name: entitling_fault(name, TABLE.campaigns, OURS))
    assert words.told == [
        ("z", "it ended after this call had begun"),
        ("y", "it never reached the subscriber"),
        ("a", "it never reached the subscriber"),
        ("b", 'campaign "over" is not active'),
        ("c", ""),
        ("d", "a newer attempt replaces it"),
        ("e", "it was answered"),
        ("f", "a later attempt was answered"),
        ("g", 'the callback window of campaign "short" is over'),
    ]


def test_a_line_of_the_trace_has_all_that_an_attempt_was() -> None:
    """Of a campaign of which nobody can say more than that it gives nothing, it says that it is not stored."""
    words = Words()
    missed, strange = attempt("1.1", age=60), attempt("1.2", age=10, campaign="nobodys")
    claim_of(History((missed, strange)), earliest(["win-back"], TABLE.campaigns, OURS, NOW), words)
    assert words.lines == [
        ("rejected", 'missed, campaign "nobodys", 1970-01-12T13:46:30Z, 1.2: campaign "nobodys" is not stored'),
        ("gives the entitlement", 'missed, campaign "win-back", 1970-01-12T13:45:40Z, 1.1'),
    ]


@pytest.mark.parametrize(
    ("name", "owner", "why"),
    [
        ("win-back", OURS, None),
        ("theirs", POOLED, None),
        ("over", OURS, 'campaign "over" is not active'),
        ("over", POOLED, 'campaign "over" is not active'),
        ("offer", OURS, 'campaign "offer" is inbound, and calls nobody'),
        ("offer", POOLED, 'campaign "offer" is inbound, and calls nobody'),
        ("theirs", OURS, 'campaign "theirs" is of company "globex", and the number is not'),
        ("nobodys", POOLED, 'campaign "nobodys" is not stored'),
    ],
)
def test_why_a_campaign_entitles_nobody_is_said_by_what_it_is(name: str, owner: str | None, why: str | None) -> None:
    fault = entitling_fault(name, TABLE.campaigns, owner)
    assert (fault.text if fault is not None else None) == why
    assert (name in earliest([name], TABLE.campaigns, owner, NOW)) is (why is None)
