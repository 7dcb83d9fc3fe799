"""Fixtures for tests against a real Asterisk, each with the newest and, as a long test, with the oldest version.

Without SIPp or Asterisk 22 they skip, saying what to install; with CI=true they fail. Asterisk 16 may be missing.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Protocol

import pytest

from tests.asterisk.exchange import Exchange
from tests.asterisk.parts import NEWEST, OLDEST, MissingPartError, Program, find_asterisk, find_sipp
from tests.asterisk.pbx import Asterisk
from tests.asterisk.pbx_conf import Flow
from tests.asterisk.site import FLOWS, Ground, make_stores
from tests.asterisk.traffic import Waits


class StartAsterisk(Protocol):
    """Starts one Asterisk that lives until the module's tests are over; see `Asterisk` for the arguments."""

    def __call__(
        self,
        *,
        flows: Sequence[Flow] = (),
        variables: Mapping[str, str] | None = None,
        extra: str = "",
        files: Mapping[str, str] | None = None,
        examples: bool = False,
    ) -> Asterisk: ...


@cache
def _found(version: int) -> Program | str:
    """Return the Asterisk to test with, or what to install."""
    try:
        find_sipp()
        return find_asterisk(version)
    except MissingPartError as error:
        return str(error)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip this folder's tests from one place, so that the summary has one line for all of a version."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    version = parameters.get("asterisk_program", NEWEST)
    found = _found(version)
    if isinstance(found, str):
        if version == NEWEST and os.environ.get("CI") == "true":
            pytest.fail(found, pytrace=False)
        pytest.skip(found)


@pytest.fixture(
    scope="session", params=[NEWEST, pytest.param(OLDEST, marks=pytest.mark.long)], ids="asterisk-{}".format
)
def asterisk_program(request: pytest.FixtureRequest) -> Program:
    """The Asterisk to start; SIPp is there too."""
    return find_asterisk(request.param)


@pytest.fixture(scope="module")
def start_asterisk(asterisk_program: Program) -> Iterator[StartAsterisk]:
    """Return a function that starts an Asterisk for this module."""
    with ExitStack() as running:

        def start(
            *,
            flows: Sequence[Flow] = (),
            variables: Mapping[str, str] | None = None,
            extra: str = "",
            files: Mapping[str, str] | None = None,
            examples: bool = False,
        ) -> Asterisk:
            asterisk = Asterisk(
                asterisk_program, flows=flows, variables=variables, extra=extra, files=files, examples=examples
            )
            return running.enter_context(asterisk)

        yield start


@pytest.fixture
def exchange(started: Exchange) -> Iterator[Exchange]:
    """The module's own `started` exchange, made ready for a test; what the test leaves behind is a failure."""
    started.begin()
    yield started
    started.end()


@pytest.fixture(scope="session")
def waits() -> Iterator[Waits]:
    """What calls waited in each scenario; the table is printed at the end (`pytest -s`, or -rA)."""
    noted = Waits()
    yield noted
    print(f"\n{noted.table()}")  # noqa: T201 - it is there to be read


@pytest.fixture(scope="session")
def loaded_stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the stores that `ground` copies."""
    folder = tmp_path_factory.mktemp("stores")
    make_stores(folder)
    return folder


@pytest.fixture(scope="module")
def disturbed_asterisk(start_asterisk: StartAsterisk) -> Asterisk:
    """The Asterisk of `ground`."""
    return start_asterisk(flows=FLOWS)


@pytest.fixture
def ground(disturbed_asterisk: Asterisk, loaded_stores: Path, tmp_path: Path) -> Ground:
    """Where sites are put up whose routers a test disturbs."""
    return Ground(disturbed_asterisk, loaded_stores, tmp_path)
