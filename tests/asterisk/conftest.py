"""Fixtures for tests against a real Asterisk. Without one they skip, saying what to install; with CI=true they fail."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from typing import Protocol

import pytest

from tests.asterisk.parts import MissingPartError, Program, find_asterisk, find_sipp
from tests.asterisk.pbx import Asterisk
from tests.asterisk.pbx_conf import Flow


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
def _found() -> Program | str:
    """Return the Asterisk to test with, or what to install."""
    try:
        find_sipp()
        return find_asterisk()
    except MissingPartError as error:
        return str(error)


def pytest_runtest_setup() -> None:
    """Skip this folder's tests from one place, so that the summary has one line for all of them."""
    found = _found()
    if isinstance(found, str):
        if os.environ.get("CI") == "true":
            pytest.fail(found, pytrace=False)
        pytest.skip(found)


@pytest.fixture(scope="session")
def asterisk_program() -> Program:
    """The Asterisk 22 to start; SIPp is there too."""
    return find_asterisk()


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
