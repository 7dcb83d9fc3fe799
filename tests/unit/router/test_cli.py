import argparse
import io
import pathlib
import re
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from router import app, cli
from router.commands import attempts, data, live, report_attempt, route
from router.config.settings import SettingsError
from router.store.api import StoreError

COMMANDS = ["serve", "check", "load", "dump", "route", "attempts", "call", "report-attempt", "status", "doctor"]


def parsed(*words: str) -> argparse.Namespace:
    return cli._parser().parse_args(words)


@pytest.mark.parametrize("words", [["-h"], *([command, "-h"] for command in COMMANDS)], ids=" ".join)
def test_help_is_everywhere(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 0
    assert "usage: ringway" in capsys.readouterr().out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["-h"])
    out = capsys.readouterr().out
    assert [name for name in COMMANDS if not re.search(rf"^ +{name} ", out, re.MULTILINE)] == []


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"ringway \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_a_tree_that_was_not_installed_works_and_says_why_it_knows_no_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(cli, "version", version)
    assert parsed("dump").command is data.dump
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("ringway: not installed")


def test_closed_outputs_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(app, "serve", lambda _: print("to nobody"))  # noqa: T201 - that is the point
    assert cli.main(["serve"]) == 0
    sys.stdout.close()
    sys.stderr.close()


def test_output_is_utf_8_whatever_the_terminal_has(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(app, "serve", lambda _: print("Цюрих"))  # noqa: T201 - that is the point
    assert cli.main(["serve"]) == 0
    assert out.buffer.getvalue() == "Цюрих\n".encode()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["sever"],
        ["check"],
        ["load"],
        ["route"],
        ["call"],
        ["report-attempt", "win-back", "020"],
        ["report-attempt", "win-back", "021", "020", "--outcome", "RINGING"],
        ["dump", "--xml"],
        ["serve", "--json"],
        ["status", "now"],
        ["doctor", "now"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2_and_says_how(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert "usage: ringway" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["serve"], cli.serve),
        (["check", "a", "b"], data.check),
        (["load", "-"], data.load),
        (["dump"], data.dump),
        (["route", "020"], route.route),
        (["attempts"], attempts.attempts),
        (["call", "020"], live.call),
        (["report-attempt", "win-back", "021", "020"], report_attempt.report_attempt),
        (["status"], live.status),
        (["doctor"], cli.doctor),
    ],
)
def test_each_word_leads_to_its_command(words: list[str], command: object) -> None:
    assert parsed(*words).command is command


def test_options_reach_the_command() -> None:
    loading = parsed("load", "a", "b", "--replace", "--as-company", "acme", "-c", "x.toml", "--json")
    assert (loading.files, loading.replace, loading.as_company) == (["a", "b"], True, "acme")
    assert (loading.config, loading.json) == ("x.toml", True)
    assert (loading.yes, parsed("load", "a", "--replace", "--yes").yes) == (False, True)
    routing = parsed("route", "020", "--from", "021", "--at", "now", "--region", "US")
    assert (routing.did, routing.caller, routing.at, routing.region) == ("020", "021", "now", "US")
    assert parsed("call", "020", "--agi", "h:1").agi == "h:1"
    reporting = parsed("report-attempt", "win-back", "021", "020", "--agi", "h:1", "-c", "x.toml", "--json")
    assert (reporting.campaign, reporting.subscriber, reporting.number) == ("win-back", "021", "020")
    assert (reporting.outcome, reporting.agi, reporting.config, reporting.json) == ("NOANSWER", "h:1", "x.toml", True)
    assert parsed("report-attempt", "win-back", "021", "020", "--outcome", "busy").outcome == "BUSY"


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "serve"])
def test_whatever_prints_data_prints_json_when_asked(command: str) -> None:
    words = {"check": ["f"], "load": ["f"], "route": ["d"], "call": ["d"], "report-attempt": ["c", "s", "n"]}.get(
        command, []
    )
    assert parsed(command, *words, "--json").json


@pytest.mark.parametrize(
    "error", [SettingsError("a: b"), StoreError("a: b"), route.Refused("a: b"), live.Unreachable("a: b")]
)
def test_a_failure_is_one_line_and_status_1(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(app, "serve", fail)
    assert cli.main(["serve"]) == 1
    assert capsys.readouterr() == ("", "ringway: a: b\n")


def test_an_interrupt_is_status_1_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "serve", interrupt)
    assert cli.main(["serve"]) == 1
    assert capsys.readouterr() == ("", "ringway: interrupted\n")


def test_a_served_router_ends_with_status_0(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "site.toml").write_text("[agi]\nport = 4600\n")
    served: list[int] = []
    monkeypatch.setattr(app, "serve", lambda settings: served.append(settings.agi.port))
    assert cli.main(["serve", "-c", str(tmp_path / "site.toml")]) == 0
    assert served == [4600]
