"""The shipped alerts and dashboard: Prometheus's own checks, and no metric that the router does not have."""

import json
import pathlib
import re
import subprocess

from router.observe.metrics import Metrics
from tests.tools import needed

_CONFIG = pathlib.Path(__file__).parents[2] / "config"
_RULES = _CONFIG / "prometheus"


def _known() -> set[str]:
    """The names of all samples that a router may show."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    return {
        family.name + suffix for family in Metrics().registry.collect() for suffix in suffixes.get(family.type, ("",))
    }


def _used(text: str) -> set[str]:
    return set(re.findall(r"\b(?:ringway|process)_[a-z_]+", text)) - {"ringway_"}


def test_the_alerts_are_sound() -> None:
    subprocess.run(
        [needed("promtool"), "check", "rules", "ringway.rules.yml"], cwd=_RULES, check=True, capture_output=True
    )


def test_the_alerts_fire_when_they_have_to_and_not_otherwise() -> None:
    done = subprocess.run(
        [needed("promtool"), "test", "rules", "ringway.rules.test.yml"],
        cwd=_RULES,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_ask_only_for_metrics_that_exist() -> None:
    expressions = [
        line.split(":", 1)[1]
        for line in (_RULES / "ringway.rules.yml").read_text().splitlines()
        if line.strip().startswith("expr:")
    ]
    assert len(expressions) >= 8
    assert _used("".join(expressions)) <= _known()


def test_the_dashboard_asks_only_for_metrics_that_exist() -> None:
    dashboard = json.loads((_CONFIG / "grafana" / "ringway.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) >= 10
    assert _used("".join(expressions)) <= _known()
