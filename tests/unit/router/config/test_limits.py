import ast
import pathlib

import pytest

from router.config import limits

ROOT = pathlib.Path(__file__).resolve().parents[4]
LINES = {
    node.targets[0].id: line
    for node, line in (
        (node, pathlib.Path(limits.__file__).read_text().splitlines()[node.lineno - 1])
        for node in ast.parse(pathlib.Path(limits.__file__).read_text()).body
        if isinstance(node, ast.Assign)
    )
    if isinstance(node.targets[0], ast.Name)
}


@pytest.mark.parametrize("name", sorted(LINES))
def test_every_bound_says_its_reason_and_is_a_positive_number(name: str) -> None:
    assert len(LINES[name].partition("  # ")[2]) > 10
    assert getattr(limits, name) > 0


@pytest.mark.parametrize("name", sorted(LINES))
def test_every_bound_bounds_something(name: str) -> None:
    code = [path.read_text() for path in (ROOT / "router").rglob("*.py") if path.name != "limits.py"]
    assert any(name in text for text in code)


def test_a_committed_change_has_time_for_some_looks_within_the_promised_200_ms() -> None:
    assert limits.STORE_POLL_SECONDS * 3 < 0.2
