import errno
import io
import json
import os
import pathlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from dialplan.dataset.changes import ChangeSet, Stored, prepare
from dialplan.dataset.later import Held
from dialplan.dataset.problems import Place, problem
from dialplan.dataset.reader import RawRow
from dialplan.kinds.registry import RowKind
from dialplan.wording import Code
from router.commands import data, running
from router.management import check, dump, load
from router.management import data_files as files
from router.store.work import Work
from tests.processes import DEMO_DATA
from tests.unit.router.commands.conftest import Run

BAD = """
[[companies]]
id = "acme"
name = "Acme"
region = "XX"
[[numbers]]
number = "+442079460000"
company = "acme"
callback_rule = "always"
"""
TINY = '[[companies]]\nid = "acme"\nname = "Acme"\nregion = "GB"\n'


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def rows(run: Run) -> Any:
    """What is stored, by kind."""
    dumped = run("dump", "--json").json()
    del dumped["end"]
    return dumped


def test_check_says_what_it_found_and_makes_no_store(run: Run, tmp_path: pathlib.Path) -> None:
    before = sorted(tmp_path.iterdir())
    done = run("check", DEMO_DATA)
    assert (done.status, done.err) == (0, "")
    assert done.out == "no problems: 2 companies, 4 call flows, 3 campaigns, 6 numbers\n"
    assert sorted(tmp_path.iterdir()) == before


def test_check_prints_json(run: Run) -> None:
    found = run("check", DEMO_DATA, "--json").json()
    assert found == {
        "problems": [],
        "warnings": [],
        "rows": {"companies": 2, "call_flows": 4, "campaigns": 3, "numbers": 6},
    }


def test_check_refuses_with_every_problem(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, BAD)
    done = run("check", "-")
    assert done.status == 1
    assert done.out == ""
    first, second, last = done.err.splitlines()
    assert first == (
        'standard input: companies[1] "acme": region: "XX" is not a country; use its ISO 3166 code, such as GB'
    )
    assert second.startswith('standard input: numbers[1] "+442079460000": callback_rule: "always" is not')
    assert last == "ringway: 2 problems; nothing was changed"


def test_what_could_not_be_checked_yet_is_said_at_the_end(run: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "numbers.csv").write_text("number,company\n02079460000,acme\n")
    (tmp_path / "companies.toml").write_text("[[companies]\n")
    done = run("check", tmp_path / "companies.toml", tmp_path / "numbers.csv")
    assert len(done.err.splitlines()) == 2
    assert done.err.endswith("ringway: 1 problem; nothing was changed; more may show once it is corrected\n")


def test_one_is_counted_as_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, TINY)
    assert run("check", "-").out == "no problems: 1 company, 0 call flows, 0 campaigns, 0 numbers\n"


def test_one_problem_is_not_called_problems(run: Run, tmp_path: pathlib.Path) -> None:
    done = run("check", tmp_path / "no.toml")
    assert done.err.splitlines()[-1] == "ringway: 1 problem; nothing was changed"


def test_refused_json_has_each_part_by_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, BAD)
    done = run("check", "-", "--json")
    assert done.status == 1
    assert [set(each) for each in done.json()["problems"]] == [
        {"file", "entry", "field", "code", "arguments", "text", "hint"}
    ] * 2


def test_load_says_how_much_changed_and_the_version(run: Run) -> None:
    assert run("load", DEMO_DATA).out == "15 rows changed, version 1\n"
    assert run("load", DEMO_DATA).out == "nothing to change, version 1\n"
    assert run("load", DEMO_DATA, "--json").json() == {"version": 1, "changed": 0, "warnings": []}


def test_load_takes_all_files_together_or_none(run: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "companies.toml").write_text(TINY)
    (tmp_path / "numbers.csv").write_text("number,company\n02079460000,acme\n02079460001,nobody\n")
    assert run("load", tmp_path / "companies.toml", tmp_path / "numbers.csv").status == 1
    assert rows(run) == {}
    (tmp_path / "numbers.csv").write_text("number,company\n02079460000,acme\n")
    assert run("load", tmp_path / "numbers.csv", tmp_path / "companies.toml").out == "2 rows changed, version 1\n"


def test_load_leans_on_what_is_stored_and_check_does_not(demo: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "more.csv").write_text("number,company,call_flow\n02079460009,acme,xmas\n")
    assert demo("check", tmp_path / "more.csv").status == 1
    assert demo("load", tmp_path / "more.csv").out == "1 row changed, version 2\n"


def test_replace_leaves_what_the_files_say_and_nothing_else(demo: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    assert demo("load", tmp_path / "tiny.toml", "--replace", "--yes").status == 0
    assert rows(demo) == {"companies": [{"id": "acme", "name": "Acme", "region": "GB"}]}


# --- a part that would be taken for the whole -----------------------------------------------------------------------


def without_numbers(run: Run, count: int) -> Any:
    """The demo data without so many of its numbers; one is named by a campaign, and has to stay."""
    left = rows(run)
    left["numbers"].sort(key=lambda each: each["number"] != "+442079460002")
    del left["numbers"][-count:]
    return left


@pytest.mark.parametrize("nothing", ["", "\n \n", "# all in comments\n", "{}", "numbers = []\n", "number,company\n"])
def test_replace_by_an_empty_input_is_refused(demo: Run, monkeypatch: pytest.MonkeyPatch, nothing: str) -> None:
    before = demo("dump").out
    piped(monkeypatch, nothing)
    done = demo("load", "-", "--replace", "--yes")
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines()[0] == (
        "standard input: there is nothing in it, and --replace removes what is not given; see where its rows are, or "
        "leave it out"
    )
    assert demo("dump").out == before


def test_replace_by_an_empty_input_among_others_is_refused_too(demo: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty.toml").write_text("")
    done = demo("load", DEMO_DATA, tmp_path / "empty.toml", "--replace")
    assert done.status == 1
    assert "empty.toml: there is nothing in it, and --replace removes" in done.err


def test_replace_by_the_dump_of_a_store_with_nothing_in_it_is_refused(
    demo: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(monkeypatch, "".join(files.write(iter(()), as_json=False)))
    assert "there is nothing in it" in demo("load", "-", "--replace", "--yes").err


def test_replace_by_csv_alone_is_refused_and_with_the_rest_of_the_set_not(
    demo: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    pools = "number,kind\n+442079460000,pool\n"
    (tmp_path / "a.csv").write_text(pools)
    before = demo("dump").out
    done = demo("load", tmp_path / "a.csv", "--replace", "--yes")
    assert done.status == 1
    assert "a.csv: CSV has numbers alone, and --replace removes what is not given; name the files with the" in done.err
    piped(monkeypatch, pools)
    assert "standard input: CSV has numbers alone" in demo("load", "-", "--replace", "--yes").err
    assert demo("dump").out == before
    (tmp_path / "tiny.toml").write_text(TINY)
    assert demo("load", tmp_path / "a.csv", tmp_path / "tiny.toml", "--replace", "--yes").status == 0
    assert set(rows(demo)) == {"companies", "numbers"}


def test_replace_says_first_how_many_rows_of_each_kind_go(demo: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    left = without_numbers(demo, 3)
    piped(monkeypatch, json.dumps(left))
    done = demo("load", "-", "--replace")
    assert done == (0, "3 rows changed, version 2\n", "--replace removes 3 of 6 numbers\n")
    piped(monkeypatch, json.dumps(left))
    assert demo("load", "-", "--replace").err == ""


def test_where_more_than_half_of_a_kind_goes_it_has_to_be_said_that_this_is_meant(
    demo: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = without_numbers(demo, 4)
    for form in ([], ["--json"]):
        piped(monkeypatch, json.dumps(left))
        done = demo("load", "-", "--replace", *form)
        assert (done.status, done.out) == (1, "")
        assert done.err.splitlines() == [
            "--replace removes 4 of 6 numbers",
            "ringway: 4 of 6 numbers would go; nothing was changed; add --yes if that is meant",
        ]
    assert len(rows(demo)["numbers"]) == 6
    piped(monkeypatch, json.dumps(left))
    assert demo("load", "-", "--replace", "--yes").out == "4 rows changed, version 2\n"


def test_a_dump_that_was_cut_off_anywhere_replaces_nothing(demo: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also between two rows, where the rest is whole TOML."""
    for form in ([], ["--json"]):
        dumped = demo("dump", *form).out
        lines = dumped.splitlines(keepends=True)
        for count in range(len(lines)):
            piped(monkeypatch, "".join(lines[:count]))
            assert demo("load", "-", "--replace", "--yes").status == 1, lines[count - 1]
        piped(monkeypatch, dumped.rstrip()[:-1])
        assert demo("load", "-", "--replace", "--yes").status == 1
        assert demo("dump", *form).out == dumped


def test_a_dump_that_was_cut_off_is_not_taken_without_replace_either(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be on its way into an empty store."""
    run("load", DEMO_DATA)
    cut = run("dump").out.rpartition("[[numbers]]")[0]
    for command in ("check", "load"):
        piped(monkeypatch, cut)
        done = run(command, "-")
        assert (done.status, done.out) == (1, "")
        assert done.err.splitlines()[0] == (
            "standard input: it is a dump whose end is missing; dump it again; where it is your own by now, delete the "
            "line that calls it a dump"
        )


def test_a_store_that_is_not_there_is_said_and_not_made(run: Run) -> None:
    for _ in range(2):
        done = run("dump")
        assert (done.status, done.out) == (1, "")
        assert "there is none; load data into it first" in done.err
        assert "or name the store that you have, with -c FILE or RINGWAY_STORE__URL" in done.err


def test_a_dump_of_nothing_has_no_rows_and_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, "")
    run("load", "-")
    assert run("dump").out.splitlines()[1:] == ["# End of the dump: 0 companies, 0 call_flows, 0 campaigns, 0 numbers."]
    assert run("dump", "--json").json() == {"end": {"companies": 0, "call_flows": 0, "campaigns": 0, "numbers": 0}}


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_dump_loads_as_no_change(demo: Run, monkeypatch: pytest.MonkeyPatch, form: list[str]) -> None:
    piped(monkeypatch, demo("dump", *form).out)
    assert demo("load", "-", "--replace").out == "nothing to change, version 1\n"


def test_an_admins_load_is_held_to_what_an_admin_may_do(demo: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, '[[numbers]]\nnumber = "+442079460001"\ncompany = "acme"\ncity = "London"\ncall_flow = "xmas"\n')
    done = demo("load", "-", "--as-company", "acme")
    assert done.status == 1
    assert 'call flow "basic-queue" is locked' in done.err


# --- warnings -------------------------------------------------------------------------------------------------------


DOUBTFUL = problem(
    Place("a.toml", 'numbers[1] "+442079460000"'),
    "call_flow",
    Code("takes-no-calls", "it takes no calls", "name another one")(),
)
DOUBTFUL_LINE = 'warning: a.toml: numbers[1] "+442079460000": call_flow: it takes no calls; name another one\n'


@pytest.mark.parametrize(("command", "module"), [("check", check), ("load", load)])
def test_warnings_are_told_and_change_nothing_else(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str, module: Any
) -> None:
    def warn(rows: list[RawRow], stored: Stored, **options: Any) -> ChangeSet:
        return ChangeSet(prepare(rows, stored, **options).rows, (DOUBTFUL,))

    monkeypatch.setattr(module, "prepare", warn)
    done = run(command, DEMO_DATA)
    assert (done.status, done.err) == (0, DOUBTFUL_LINE)
    assert done.out in (
        "15 rows changed, version 1\n",
        "no problems: 2 companies, 4 call flows, 3 campaigns, 6 numbers\n",
    )
    done = run(command, DEMO_DATA, "--json")
    assert (done.status, done.err) == (0, DOUBTFUL_LINE)
    assert done.json()["warnings"] == [
        {
            "file": "a.toml",
            "entry": 'numbers[1] "+442079460000"',
            "field": "call_flow",
            "code": "takes-no-calls",
            "arguments": {},
            "text": "it takes no calls",
            "hint": "name another one",
        }
    ]


# --- Ctrl-C, and an output that takes nothing -----------------------------------------------------------------------


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_while_files_are_read_changes_nothing_and_says_so(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_files(*_: object, **__: object) -> None:
        interrupt()
        raise AssertionError

    monkeypatch.setattr(files, "read_files", read_files)
    assert run("load", DEMO_DATA) == (1, "", "ringway: interrupted; nothing was changed\n")


def test_an_interrupt_during_the_check_changes_nothing_and_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(_: object, stored: Stored, **__: object) -> ChangeSet:
        interrupt()
        while True:
            stored.get(RowKind.NUMBER, "+442079460000")

    with monkeypatch.context() as patched:
        patched.setattr(load, "prepare", endless)
        assert run("load", DEMO_DATA) == (1, "", "ringway: interrupted; nothing was changed\n")
    assert run("load", DEMO_DATA).out == "15 rows changed, version 1\n"


def test_an_interrupt_that_comes_too_late_is_a_load_that_is_done(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Work.commit

    def commit_and_interrupt(work: Work) -> None:
        commit(work)
        interrupt()

    monkeypatch.setattr(Work, "commit", commit_and_interrupt)
    assert run("load", DEMO_DATA) == (0, "15 rows changed, version 1\n", "")
    assert run("load", DEMO_DATA) == (0, "nothing to change, version 1\n", "")


def test_ctrl_c_is_python_s_own_again_afterwards(demo: Run) -> None:
    demo("dump")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_an_interrupted_dump_is_told(demo: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(stored: Stored) -> Iterator[tuple[str, Held]]:
        interrupt()
        while True:
            yield from ((RowKind.NUMBER, row) for row in stored.rows(RowKind.NUMBER))

    monkeypatch.setattr(dump, "all_rows", endless)
    done = demo("dump")
    assert (done.status, done.err) == (1, "ringway: interrupted\n")


def test_a_load_whose_output_takes_nothing_says_on_the_other_that_it_is_done(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def fileno(self) -> int:
            return spare

    spare = os.open(tmp_path / "spare", os.O_CREAT | os.O_WRONLY)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Full())
        done = run("load", DEMO_DATA)
    os.close(spare)
    first, second = done.err.splitlines()
    assert (done.status, first) == (1, "15 rows changed, version 1")
    assert second == "ringway: cannot print: No space left on device; nothing is wrong with the store"


def test_a_dump_is_printed_when_the_store_is_let_go_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads it may be a pager that stays open, and a shared store lets nobody write while it is looked at."""
    run("load", DEMO_DATA)
    events: list[str] = []
    using = running.with_store

    def with_store(*arguments: Any, **named: Any) -> Any:
        using(*arguments, **named)
        events.append("let go")

    printed = io.StringIO()
    printed.write = lambda text: events.append(text) or len(text)  # type: ignore[method-assign, func-returns-value]
    monkeypatch.setattr(data, "with_store", with_store)
    monkeypatch.setattr(sys, "stdout", printed)
    run("dump")
    assert events[0] == "let go"
    assert "\n[[companies]]\n" in "".join(events[1:])


# --- characters of others -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_file_with_a_hostile_name_is_told_on_one_plain_line(
    run: Run, tmp_path: pathlib.Path, form: list[str]
) -> None:
    done = run("check", tmp_path / os.fsdecode(b"a\n\xff\x1b[2J.toml"), *form)
    assert done.status == 1
    assert r"a\n\udcff\x1b[2J.toml: No such file" in done.err or form
    assert len(done.err.splitlines()) == (1 if form else 2)
    assert not form or done.json()["problems"][0]["file"].endswith(r"a\n\udcff\x1b[2J.toml")


def test_a_closed_standard_input_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    done = run("check", "-")
    assert done.status == 1
    assert done.err.splitlines()[0] == "standard input: it is closed; hand the data over, or name a file"


def test_a_dump_without_a_place_to_wait_in_says_so(
    demo: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    class Full(io.StringIO):
        def seek(self, *_: int) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    said = f"ringway: the dump cannot be kept in {tmp_path / 'none'} until it is printed: "
    hint = "; name a folder with room for it in TMPDIR\n"
    assert demo("dump") == (1, "", f"{said}No such file or directory{hint}")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *_, **__: Full())
    assert demo("dump") == (1, "", f"{said}No space left on device{hint}")
