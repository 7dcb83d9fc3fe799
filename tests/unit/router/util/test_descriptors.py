"""Open files: when there can be no more, and the standard ones."""

import subprocess
import sys

import pytest

from router.util import descriptors

PATIENCE_SECONDS = 60.0


def in_python(code: str, shell: str = "") -> str:
    command = ["sh", "-c", f'exec "$0" -c "$1" {shell}', sys.executable, code]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True).stdout


def test_there_are_some_left_as_a_rule() -> None:
    assert not descriptors.are_used_up()


def test_that_none_is_left_is_noticed() -> None:
    code = """
import resource
from router.util.descriptors import are_used_up
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
print(are_used_up())
"""
    assert in_python(code) == "True\n"


@pytest.mark.parametrize("closed", ["", "<&-", "2>&-", "<&- 2>&-"])
def test_the_standard_ones_are_open_afterwards_and_no_other_has_their_number(closed: str) -> None:
    code = """
import os
from router.util.descriptors import keep_standard
keep_standard()
for each in (0, 1, 2):
    os.fstat(each)
print(os.open(os.devnull, os.O_RDONLY) > 2)
"""
    assert in_python(code, closed) == "True\n"
