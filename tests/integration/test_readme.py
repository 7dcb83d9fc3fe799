"""The documents' commands, word by word, as a newcomer types them."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

from router.config.settings import load
from tests.ports import free_port

_ROOT = pathlib.Path(__file__).parents[2]
# Started in the background, or too long to be run inside a test of the test suite itself.
_LONG = {"make run", "make test", "make lint", "make bench"}


def _commands() -> list[str]:
    """Every command that the documents show, the README's first, but for those marked as the site's own."""
    pages = [_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md")), *sorted((_ROOT / "deploy").rglob("*.md"))]
    blocks = [
        block
        for page in [*pages, _ROOT / "ARCHITECTURE.md", _ROOT / "bench" / "README.md"]
        for marked, block in re.findall(r"(<!-- site: [^>]+ -->\n)?```sh\n(.*?)```", page.read_text(), re.DOTALL)
        if not marked
    ]
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture
def clone(tmp_path: pathlib.Path) -> pathlib.Path:
    """The tree as a newcomer has it, with the environment that is ready already."""
    environment = _ROOT / ".venv"
    parts = ["pyproject.toml", "requirements-dev.lock"]
    ready = environment / ".ready"
    made = ready.stat().st_mtime if ready.exists() else 0.0
    # `make` in the clone would make the environment anew, through the link, under the feet of these very tests.
    if environment.is_symlink() or any((_ROOT / part).stat().st_mtime > made for part in parts):
        pytest.fail("this test runs the environment of `make env`, in its own folder; run `make env` first")
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in names:
        source = _ROOT / name
        if source.is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, tmp_path / name)
    (tmp_path / ".venv").symlink_to(_ROOT / ".venv")
    return tmp_path


@pytest.fixture
def environment() -> dict[str, str]:
    """A clean environment, but for ports: another router may run on the usual ones."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RINGWAY_", "MAKE"))}
    return kept | {"RINGWAY_AGI__PORT": str(free_port()), "RINGWAY_METRICS__PORT": str(free_port())}


@pytest.fixture
def router(clone: pathlib.Path, environment: dict[str, str]) -> Iterator[str]:
    """`make run`, until it says that it is ready; gives what it said."""
    with subprocess.Popen(
        ["make", "run"],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        said = ""
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if "ready" in line:
                break
        yield said
        os.killpg(process.pid, signal.SIGTERM)
        process.stdout.read()
        process.wait(30)


def test_the_readme_has_the_two_commands() -> None:
    assert {"make run", "make test"} <= set(_commands())


def test_every_make_target_that_the_readme_names_exists(clone: pathlib.Path, environment: dict[str, str]) -> None:
    targets = set(re.findall(r"`?make ([a-z-]+)`?\n?", (_ROOT / "README.md").read_text())) & {
        "run",
        "test",
        "lint",
        "bench",
    }
    assert targets == {"run", "test", "lint", "bench"}
    for target in sorted(targets):
        subprocess.run(["make", "-n", target], cwd=clone, env=environment, check=True, capture_output=True)


def test_a_newcomer_starts_the_router_and_asks_it(
    clone: pathlib.Path, environment: dict[str, str], router: str
) -> None:
    assert f"127.0.0.1:{environment['RINGWAY_AGI__PORT']}" in router, router
    assert "ringway call" in router, "it says how to try it"
    said = ""
    for command in _commands():
        if command in _LONG:
            continue
        if setting := re.fullmatch(r"export (\w+)=(\S+)", command):  # for the rest of the newcomer's shell
            environment[setting[1]] = setting[2]
            continue
        done = subprocess.run(
            ["sh", "-ec", command], cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        said += done.stdout
    assert 'ROUTE_STATUS = "OK"' in said
    assert 'ROUTE_CONTEXT = "flow-main-menu"' in said
    assert "table_numbers" in said
    assert "\n1 attempt\n" in said
    assert "=> flow-closed,s,1" in said, "the Christmas update holds at that time"


def test_the_demo_data_has_no_problem(clone: pathlib.Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [".venv/bin/ringway", "check", "config/demo.toml"],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_default_configuration_is_what_the_code_does_without_one() -> None:
    assert load(_ROOT / "config" / "ringway.toml", {}) == load(None, {})
