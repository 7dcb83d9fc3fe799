import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from router.observe.durations import DurationHistogram

BUCKETS = (0.001, 0.005, 0.1, 2.5)


@given(st.lists(st.sampled_from([0.0, *BUCKETS, 0.0010001, 3.0]) | st.floats(0, 100)))
def test_it_shows_what_the_librarys_own_histogram_shows(seconds: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = DurationHistogram("ringway_seconds", "How long it took", ("verb",), buckets=BUCKETS, registry=ours)
    library = Histogram("ringway_seconds", "How long it took", ("verb",), buckets=BUCKETS, registry=theirs)
    for verb in ("route", "attempt"):
        add, observe = mine.of(verb).add, library.labels(verb).observe
        add(seconds[:1])
        add(seconds[1:])
        for each in seconds:
            observe(each)
    shown = generate_latest(theirs).decode()
    kept = [line for line in shown.splitlines() if "_created" not in line]  # the router shows none of these
    assert generate_latest(ours).decode().splitlines() == kept


def test_without_labels_it_is_shown_before_anything_was_measured() -> None:
    registry = CollectorRegistry()
    DurationHistogram("ringway_seconds", "How long it took", buckets=BUCKETS, registry=registry)
    assert registry.get_sample_value("ringway_seconds_count") == 0
    assert registry.get_sample_value("ringway_seconds_bucket", {"le": "+Inf"}) == 0


def test_a_name_can_be_taken_only_once() -> None:
    registry = CollectorRegistry()
    DurationHistogram("ringway_seconds", "How long it took", buckets=BUCKETS, registry=registry)
    with pytest.raises(ValueError, match="ringway_seconds"):
        Histogram("ringway_seconds", "How long it took", registry=registry)


def test_a_series_needs_a_value_for_each_label() -> None:
    metric = DurationHistogram("ringway_seconds", "How", ("verb",), buckets=BUCKETS, registry=CollectorRegistry())
    with pytest.raises(ValueError, match="verb"):
        metric.of()
