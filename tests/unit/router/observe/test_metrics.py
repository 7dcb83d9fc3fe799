"""The metrics page: the public names and no others, in the form that Prometheus asks for."""

import re
import time

import prometheus_client
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from dialplan.routing.decide import Kind
from dialplan.routing.steps import REASONS
from router.config.limits import DEADLINE_MAX_MS
from router.observe.metrics import Metrics

# The public names without those of links that this version does not have.
PUBLIC = {
    "ringway_decisions_total": {"reason", "kind"},
    "ringway_decision_seconds": set(),
    "ringway_agi_seconds": set(),  # by verb, once there is one
    "ringway_agi_connections": set(),
    "ringway_agi_rejected_total": {"cause"},
    "ringway_table_numbers": set(),
    "ringway_table_version": set(),
    "ringway_table_age_seconds": set(),
    "ringway_store_up": {"store"},
    "ringway_ami_connected": set(),  # by asterisk, once there is one
    "ringway_attempts_total": {"outcome"},
    "ringway_callbacks_total": {"outcome"},
}
# Added to it: lines lost, attempts that are not taken, and what tells whether routers are in step.
ADDED: dict[str, set[str]] = {
    "ringway_log_lines_dropped_total": set(),
    "ringway_attempts_dropped_total": {"cause"},
    "ringway_attempts_full_reads_total": set(),
    "ringway_agi_empty_total": set(),
    "ringway_ami_hearing": set(),  # by asterisk and what, once there is one
    "ringway_attempts_pending": set(),
    "ringway_store_unfit": {"cause"},
    "ringway_ready": set(),
    "ringway_table_digest": set(),
    "ringway_table_full_reads_total": set(),
    "ringway_table_rows_left_out": set(),
    "ringway_table_rows_read_in_part": set(),
}


def page(metrics: Metrics) -> str:
    metrics.store_up.labels("sqlite").set(1)
    metrics.agi_rejected.labels("eof").inc()
    return prometheus_client.generate_latest(metrics.registry).decode()


def families(metrics: Metrics) -> list[Metric]:
    return [each for each in text_string_to_metric_families(page(metrics)) if each.name.startswith("ringway_")]


def full_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def test_the_names_and_labels_are_the_public_ones() -> None:
    found = {
        full_name(family): {label for sample in family.samples for label in sample.labels} - {"le"}
        for family in families(Metrics())
    }
    assert found == PUBLIC | ADDED


def test_nothing_stands_on_the_page_twice_or_beside_its_own_name() -> None:
    text = page(Metrics())
    typed = re.findall(r"(?m)^# TYPE (\S+)", text)
    assert len(typed) == len(set(typed))
    assert "_created" not in text
    samples = re.findall(r"(?m)^([a-z][^ ]*) ", text)
    assert len(samples) == len(set(samples))


@pytest.mark.parametrize("family", families(Metrics()), ids=lambda family: family.name)
def test_each_metric_is_well_made(family: Metric) -> None:
    """What `promtool check metrics` asks for."""
    name = full_name(family)
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name), "snake case"
    assert family.documentation.strip()
    assert not family.documentation.endswith(".")
    assert family.type in ("counter", "gauge", "histogram")
    assert (family.type == "counter") == name.endswith("_total")
    assert not re.search(r"_(count|sum|bucket|info|counter|gauge|histogram)$", name)
    units = r"_(ms|milliseconds|microseconds|us|minutes|hours|days|kb|kib|mb|bits|percent)(_|$)"
    assert not re.search(units, name), "base units: seconds, bytes, ratio"
    for sample in family.samples:
        for label in sample.labels:
            assert re.fullmatch(r"[a-z][a-z0-9_]*", label)


def test_the_labels_of_a_decision_come_from_closed_sets_and_are_there_from_the_start() -> None:
    (decisions,) = [family for family in families(Metrics()) if family.name == "ringway_decisions"]
    labels = {(sample.labels["reason"], sample.labels["kind"]) for sample in decisions.samples}
    assert labels == {(str(reason), str(kind)) for reason in REASONS for kind in Kind}
    assert {sample.value for sample in decisions.samples} == {0.0}


def test_a_decision_is_counted_under_its_own_labels() -> None:
    metrics = Metrics()
    metrics.decided["assigned", Kind.CALL_FLOW].inc()
    value = metrics.registry.get_sample_value
    assert value("ringway_decisions_total", {"reason": "assigned", "kind": "call-flow"}) == 1
    assert value("ringway_decisions_total", {"reason": "assigned", "kind": "default"}) == 0


def test_the_histogram_tells_a_quick_decision_from_a_slow_one() -> None:
    (seconds,) = [family for family in families(Metrics()) if family.name == "ringway_decision_seconds"]
    bounds = [float(sample.labels["le"]) for sample in seconds.samples if sample.name.endswith("_bucket")]
    assert bounds == sorted(set(bounds))
    assert bounds[0] <= 0.0002
    assert 1.0 in bounds  # the usual deadline
    assert bounds[-2] <= DEADLINE_MAX_MS / 1000
    assert bounds[-1] == float("inf")


def test_the_tables_age_is_counted_from_the_moment_that_it_was_in_step() -> None:
    metrics = Metrics()

    def age() -> float:
        value = metrics.registry.get_sample_value("ringway_table_age_seconds")
        assert value is not None
        return value

    assert age() == pytest.approx(0, abs=60)
    moment = time.monotonic() - 3600
    metrics.in_step_at(lambda: moment)
    assert 3600 <= age() < 3700
    metrics.in_step_at(lambda: time.monotonic() + 10)
    assert age() == 0


def test_two_routers_of_one_process_do_not_share_their_metrics() -> None:
    one, two = Metrics(), Metrics()
    one.table_numbers.set(5)
    assert two.registry.get_sample_value("ringway_table_numbers") == 0


def test_the_process_tells_of_itself() -> None:
    text = page(Metrics())
    for name in ("process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total", "python_info"):
        assert re.search(rf"(?m)^{name}[ {{]", text), name
