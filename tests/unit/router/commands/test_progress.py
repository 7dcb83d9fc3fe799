"""The bar of long work, at a terminal and elsewhere."""

import io
import sys

import pytest

from router.commands import progress


class Terminal(io.StringIO):
    """Somebody looks at it."""

    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    return made


def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, numbers = at_a_terminal(monkeypatch), range(1_000)
    followed = progress.bar("checking numbers", numbers, 1_000)
    assert list(followed) == list(numbers)
    assert followed is not numbers
    assert not terminal.getvalue()


def test_long_work_says_what_it_is_and_how_far_and_is_wiped_off(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_a_terminal(monkeypatch)
    monkeypatch.setattr(progress, "_SILENT_SECONDS", 0)
    assert list(progress.bar("checking numbers", range(1_000), 1_000)) == list(range(1_000))
    shown = terminal.getvalue()
    assert "checking numbers:   0% |" in shown
    assert " of 1000, " in shown
    assert not shown.rpartition("\r")[0].rpartition("\r")[2].strip()


def test_who_is_no_terminal_gets_the_things_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert progress.bar("checking numbers", "abc", 3) == "abc"
    monkeypatch.setattr(sys, "stderr", None)
    assert progress.bar("checking numbers", "abc", 3) == "abc"
