"""What every command keeps to, and `ringway route`: exit statuses, configuration, one clear line."""

import pathlib
import subprocess
import sys

import pytest

from tests.integration.refusals import refused
from tests.processes import (
    DEMO_DATA,
    REPOSITORY,
    RINGWAY,
    clean_environment,
    load,
    ringway,
    running_router,
    write_config,
)

# --- route ----------------------------------------------------------------------------------------------------------


def test_route_explains_itself_with_the_candidates_it_turned_down(demo: pathlib.Path) -> None:
    done = ringway("route", "020 7946 0000", "--from", "anonymous", "--at", "2026-12-24T17:00:00", config=demo)
    assert (done.status, done.err) == (0, "")
    assert 'call flow "main-menu"' in done.out
    assert "rejected" in done.out
    assert "not due before 2027-01-02T09:00:00Z" in done.out
    decision = "=> flow-closed,s,1  call-flow xmas, reason scheduled, at 2026-12-24T17:00:00Z, version 1"
    assert decision in done.out.splitlines()
    earlier = ringway("route", "02079460000", "--at", "2026-12-24T16:59:59", "--json", config=demo).json()
    assert (earlier["id"], earlier["reason"]) == ("main-menu", "assigned")
    assert [step["step"] for step in earlier["steps"]].count("assignment") == 3


def test_route_agrees_with_a_running_router(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path) as router:
        for did in ("02079460001", "02079460002", "02079460003"):
            offline = ringway("route", did, "--json", config=router.config).json()
            answer = router.ask(did)
            assert answer["ROUTE_REASON"] == offline["reason"]
            assert answer["ROUTE_CONTEXT"] == offline["destination"]["context"]
            assert (answer["ROUTE_KIND"], answer["ROUTE_ID"]) == (offline["kind"], offline["id"])
            assert {name.removeprefix("PARAM_"): value for name, value in answer.items() if "PARAM_" in name} == (
                offline["parameters"]
            )
        shown = ringway("call", "02079460001", "--agi", f"127.0.0.1:{router.agi_port}", "--json", config=router.config)
        assert shown.json()["ROUTE_ID"] == "basic-queue"
        state = ringway("status", "--json", config=router.config).json()
        assert (state["table_version"], state["table_numbers"], state["store"]) == (1, 6, "sqlite, up")


# --- exit statuses and configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["sever"], ["load"], ["route"], ["load", "-", "--as-company"]], ids=" ".join)
def test_wrong_usage_is_status_2(words: list[str]) -> None:
    done = ringway(*words)
    assert (done.status, done.out) == (2, "")
    assert "usage: ringway" in done.err


@pytest.mark.parametrize(
    ("section", "parts"),
    [
        ({"agi": {"prot": 1}}, ["ringway.toml", "[agi] prot", "no such setting"]),
        ({"agi": {"port": "4573"}}, ["ringway.toml", "[agi] port", "a whole number"]),
        ({"store": {"url": "mysql://x"}}, ["[store] url", "redis"]),
        ({"store": {"url": "sqlite:///"}}, ["names no file"]),
        ({"store": {"url": "sqlite:///proc/no/ringway.db"}}, ["/proc/no/ringway.db", "see that the folder is there"]),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_line(
    tmp_path: pathlib.Path, section: dict[str, dict[str, object]], parts: list[str]
) -> None:
    refused(ringway("load", "-", config=write_config(tmp_path, section)), *parts)


@pytest.mark.parametrize("command", [["serve"], ["load", "-"], ["status"]])
def test_every_configured_command_names_a_bad_variable(config: pathlib.Path, command: list[str]) -> None:
    done = ringway(*command, config=config, environment={"RINGWAY_AGI__PORT": "many"})
    refused(done, "RINGWAY_AGI__PORT", '"many"', "[agi] port")


def test_a_missing_configuration_is_named(tmp_path: pathlib.Path) -> None:
    refused(ringway("serve", config=tmp_path / "no.toml"), "no.toml: No such file or directory", "-c FILE")


def test_a_port_in_use_is_named(tmp_path: pathlib.Path) -> None:
    with running_router(tmp_path) as router:
        done = ringway("serve", config=write_config(tmp_path, agi_port=router.agi_port))
        refused(done, f"127.0.0.1:{router.agi_port}", "RINGWAY_AGI__PORT")
        done = ringway("serve", config=write_config(tmp_path, metrics_port=router.metrics_port))
        refused(done, f"127.0.0.1:{router.metrics_port}", "RINGWAY_METRICS__PORT")


def test_a_damaged_store_is_named(config: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "ringway.db").write_bytes(b"not a database at all" * 1000)
    for command in (["dump"], ["serve"], ["load", str(DEMO_DATA)]):
        refused(ringway(*command, config=config), str(tmp_path / "ringway.db"), "damaged")


def test_the_module_is_the_command(config: pathlib.Path) -> None:
    load(config, "")
    command: list[str | pathlib.Path] = [sys.executable, "-m", "router", "dump", "-c", config]
    done = subprocess.run(command, capture_output=True, env=clean_environment(), check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[-1].startswith(b"# End of the dump: 0 companies")


def test_a_tree_without_its_libraries_says_how_to_get_them() -> None:
    command = [sys.executable, "-S", "-m", "router", "dump"]
    done = subprocess.run(command, capture_output=True, env=clean_environment(), check=False, cwd=REPOSITORY)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)
    assert b"is missing; prepare the tree with make env" in done.stderr


def test_a_tree_that_was_not_installed_works_all_the_same(config: pathlib.Path) -> None:
    """Its libraries are there, and nobody knows a package `ringway`."""
    load(config, DEMO_DATA)
    alone = (
        "import importlib.metadata as metadata, runpy, sys\n"
        "def version(name): raise metadata.PackageNotFoundError(name)\n"
        "metadata.version = version\n"
        "runpy.run_module('router', run_name='__main__')\n"
    )
    for words, status in ((["dump", "-c", str(config)], 0), (["--version"], 1)):
        command = [sys.executable, "-c", alone, *words]
        done = subprocess.run(command, capture_output=True, env=clean_environment(), check=False, cwd=REPOSITORY)
        assert done.returncode == status
        assert b"Traceback" not in done.stderr
        assert done.stderr.count(b"\n") == status


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_whoever_closes_the_standard_streams_gets_no_traceback(config: pathlib.Path, closed: str) -> None:
    command: list[str | pathlib.Path] = [
        "sh",
        "-c",
        f'exec "$0" load "$1" -c "$2" {closed}',
        RINGWAY,
        DEMO_DATA,
        config,
    ]
    done = subprocess.run(command, capture_output=True, env=clean_environment(), check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert ringway("load", DEMO_DATA, config=config).out == "nothing to change, version 1\n"
