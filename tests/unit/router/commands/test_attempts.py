import asyncio
import pathlib
import sqlite3

import pytest

from dialplan.campaigns.attempts import Attempt, Outcome
from router.store.sqlite.callbacks import beside
from tests.unit.router.commands.conftest import Run

OUR, ALSO_OURS = "+442079460000", "+442079460002"
ANNA, BORIS = "+447700900123", "+447700900456"
HEARD = [
    Attempt("1.1", "win-back", OUR, ANNA, 1_800_000_000.25, Outcome.MISSED),
    Attempt("1.2", "win-back", OUR, BORIS, 1_800_000_060.0, Outcome.ANSWERED),
    Attempt("1.3", "survey", ALSO_OURS, ANNA, 1_800_000_120.0, Outcome.FAILED),
]


def record(folder: pathlib.Path, *attempts: Attempt) -> None:
    """What a router would have written down."""

    async def write() -> None:
        store = beside(folder / "ringway.db")
        await store.open()
        await store.record(attempts)
        await store.close()

    asyncio.run(write())


@pytest.fixture
def heard(run: Run, tmp_path: pathlib.Path) -> Run:
    """Runs commands where a router has heard of three attempts."""
    record(tmp_path, *HEARD)
    return run


def ids(run: Run, *words: str) -> list[str]:
    return [each["id"] for each in run("attempts", *words, "--json").json()]


def test_attempts_are_listed_the_newest_first(heard: Run) -> None:
    done = heard("attempts")
    assert (done.status, done.err) == (0, "")
    assert [line.split() for line in done.out.splitlines()] == [
        ["2027-01-15T08:02:00.000Z", "failed", ALSO_OURS, ANNA, "survey", "1.3"],
        ["2027-01-15T08:01:00.000Z", "answered", OUR, BORIS, "win-back", "1.2"],
        ["2027-01-15T08:00:00.250Z", "missed", OUR, ANNA, "win-back", "1.1"],
        ["3", "attempts"],
    ]


def test_one_is_not_called_several(run: Run, tmp_path: pathlib.Path) -> None:
    record(tmp_path, HEARD[0])
    assert run("attempts").out.endswith("\n1 attempt\n")


def test_the_bytes_of_a_name_do_nothing_to_a_terminal(run: Run, tmp_path: pathlib.Path) -> None:
    record(tmp_path, Attempt("\x1b[2J\n1.1", "win-back", OUR, ANNA, 1_800_000_000.0, Outcome.MISSED))
    done = run("attempts")
    assert "\x1b" not in done.out
    assert len(done.out.splitlines()) == 2


def test_json_has_every_field(heard: Run) -> None:
    assert heard("attempts", "--json").json()[-1] == {
        "at": "2027-01-15T08:00:00.250Z",
        "outcome": "missed",
        "campaign": "win-back",
        "number": OUR,
        "subscriber": ANNA,
        "id": "1.1",
    }


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--number", OUR], ["1.2", "1.1"]),
        (["--number", "020 7946 0002"], ["1.3"]),  # national, as the configuration's region has it
        (["--number", "442079460002"], ["1.3"]),
        (["--subscriber", "07700 900123"], ["1.3", "1.1"]),
        (["--number", OUR, "--subscriber", ANNA], ["1.1"]),
        (["--number", ALSO_OURS, "--subscriber", BORIS], []),
        (["--campaign", "win-back", "--subscriber", ANNA], ["1.1"]),
        (["--campaign", "survey"], ["1.3"]),
    ],
)
def test_a_number_a_subscriber_and_a_campaign_narrow_the_list(heard: Run, words: list[str], found: list[str]) -> None:
    assert ids(heard, *words) == found


def test_nothing_found_is_no_failure(heard: Run) -> None:
    done = heard("attempts", "--number", "02079460999")
    assert (done.status, done.out, done.err) == (0, "0 attempts that showed +442079460999\n", "")


def test_the_list_says_how_the_numbers_were_read(heard: Run) -> None:
    out = heard("attempts", "--number", "020 7946 0000", "--subscriber", "07700900123").out
    assert out.splitlines()[-1] == f"1 attempt that showed {OUR} to {ANNA}"
    assert heard("attempts", "--subscriber", "07700900456").out.splitlines()[-1] == f"1 attempt to {BORIS}"
    assert heard("attempts", "--campaign", "none").out == '0 attempts of campaign "none"\n'


def test_no_more_are_listed_than_wanted(heard: Run) -> None:
    assert ids(heard, "--limit", "2") == ["1.3", "1.2"]
    assert ids(heard, "--limit", "1", "--subscriber", BORIS) == ["1.2"]
    assert ids(heard, "--limit", "9") == ["1.3", "1.2", "1.1"]


def test_a_hundred_are_listed_where_nobody_says_how_many(run: Run, tmp_path: pathlib.Path) -> None:
    record(tmp_path, *(Attempt(f"{place}", "c", OUR, ANNA, float(place), Outcome.MISSED) for place in range(103)))
    assert ids(run) == [str(place) for place in range(102, 2, -1)]


@pytest.mark.parametrize("limit", ["0", "-1", "many", "1.5", "9" * 30])
def test_a_limit_that_is_no_count_is_wrong_usage(heard: Run, capsys: pytest.CaptureFixture[str], limit: str) -> None:
    with pytest.raises(SystemExit) as left:
        heard("attempts", "--limit", limit)
    assert left.value.code == 2
    assert "--limit" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--number", "--subscriber"])
def test_a_number_that_cannot_be_read_is_refused_by_its_option(heard: Run, option: str) -> None:
    done = heard("attempts", option, "front\ndesk")
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert done.err.startswith(rf'ringway: {option} "front\ndesk": ')


def test_where_no_router_has_run_it_says_so_and_makes_no_store(run: Run, tmp_path: pathlib.Path) -> None:
    done = run("attempts")
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    path = tmp_path / "ringway-callbacks.db"
    assert f"store {path}: there is none; no router has watched a campaign's calls here yet" in done.err
    assert "name the store that the router has, with -c FILE or RINGWAY_STORE__URL" in done.err
    assert not path.exists()


def test_a_file_that_a_router_has_not_made_its_own_yet_is_left_as_it_is(run: Run, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ringway-callbacks.db"
    path.touch()
    done = run("attempts")
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert "its schema is missing; a router makes it when it starts" in done.err
    assert path.stat().st_size == 0


def test_a_store_that_is_damaged_is_one_line(run: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "ringway-callbacks.db").write_bytes(b"no database" * 500)
    done = run("attempts")
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert "the file is damaged" in done.err


def test_somebody_who_is_writing_holds_up_no_list(heard: Run, tmp_path: pathlib.Path) -> None:
    other = sqlite3.connect(tmp_path / "ringway-callbacks.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert ids(heard) == ["1.3", "1.2", "1.1"]
    finally:
        other.execute("ROLLBACK")
        other.close()
