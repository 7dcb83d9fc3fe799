"""What commands print when what they were given, or were told, is no text."""

import json
import pathlib
import socket

import pytest

from router.commands.output import print_json
from tests.unit.router.agi.test_client import saying, server
from tests.unit.router.commands.conftest import Run

NO_TEXT = "\udcff"  # how Python has the byte \xff of a command line
TAKEN = b'EXEC MSet "ATTEMPT_STATUS=OK"\n'


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize("place", range(3))
def test_a_report_that_was_taken_is_said_to_be_taken_whatever_bytes_it_has(
    run: Run, form: list[str], place: int
) -> None:
    what = ["win-back", "07700900456", "02079460002"]
    what[place] += NO_TEXT
    with server(saying(TAKEN)) as port:
        done = run("report-attempt", *what, "--agi", f"127.0.0.1:{port}", *form)
    assert (done.status, done.err) == (0, "")
    assert not form or list(done.json().values())[2 + place] == what[place].replace(NO_TEXT, r"\udcff")


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    "words",
    [
        ["route", NO_TEXT],
        ["route", "020", "--from", NO_TEXT],
        ["route", "020", "--at", NO_TEXT],
        ["route", "020", "--region", NO_TEXT],
        ["attempts", "--number", NO_TEXT],
        ["attempts", "--subscriber", NO_TEXT],
        ["check", NO_TEXT],
        ["load", NO_TEXT],
        ["load", "--as-company", NO_TEXT, "-"],
        ["call", NO_TEXT, "--agi", "127.0.0.1:1"],
        ["call", "020", "--agi", f"{NO_TEXT}:1"],
        ["call", "020", "--agi", NO_TEXT],
        ["report-attempt", NO_TEXT, NO_TEXT, NO_TEXT, "--agi", f"{NO_TEXT}:1"],
    ],
)
def test_no_command_fails_over_bytes_that_are_no_text(demo: Run, words: list[str], form: list[str]) -> None:
    done = demo(*words, *form)
    assert done.status in (0, 1)
    done.out.encode()
    if form and done.out:
        done.json()


def test_a_call_with_such_bytes_is_shown(run: Run) -> None:
    with server(saying(b'EXEC MSet "X=\xff\xed\xa0\x80,ROUTE_STATUS=OK"\n')) as port:
        done = run("call", NO_TEXT, "--agi", f"127.0.0.1:{port}", "--json")
    assert done.json()["ROUTE_STATUS"] == "OK"


def test_a_file_with_such_bytes_in_its_name_has_its_warnings_and_problems_said(
    demo: Run, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / f"a{NO_TEXT}.toml"
    file.write_text('[[numbers]]\nnumber = "x"\n')
    done = demo("load", file, "--json")
    assert done.status == 1
    assert done.json()["problems"]


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ({"a": NO_TEXT}, '{\n  "a": "\\\\udcff"\n}\n'),
        ({NO_TEXT: [f"é{NO_TEXT}", 1, None, {"b": True}]}, None),
        ({"a": "é\u2028\x00"}, '{\n  "a": "é\\u2028\\u0000"\n}\n'),
    ],
)
def test_json_is_whole_whatever_its_texts_hold(
    value: object, printed: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    print_json(value)
    out = capsys.readouterr().out
    assert printed is None or out == printed
    assert "\\\\udcff" in out or printed


def test_the_address_in_a_message_is_printable(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = run("call", "020", "--agi", f"a\x1b[2J:{listening.getsockname()[1]}")
    assert done.status == 1
    assert done.err.rstrip("\n").isprintable()


def test_nothing_that_a_terminal_obeys_is_printed_and_json_reads_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"a\x9b2J": ["\x1b[2J\x07\x7f", "\u202e\u2028\ufeff\U000e0001", "café \U0001f600"]}
    print_json(value)
    printed = capsys.readouterr().out
    assert all(line.isprintable() for line in printed.split("\n"))
    assert json.loads(printed) == value
    assert "café \U0001f600" in printed
