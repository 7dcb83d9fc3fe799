"""A histogram of durations that many calls a second go through.

prometheus_client's own takes a lock twice and looks at each bucket in turn, for every call. Here all is done by the
event loop, and the bucket is found by halving.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Durations:
    """How many durations fell into each bucket, and their sum in seconds. For one thread alone."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, seconds: Sequence[float]) -> None:
        """Count durations, each into the first bucket that reaches so far."""
        bounds, counts = self._bounds, self.counts
        for each in seconds:
            counts[bisect_left(bounds, each)] += 1
            self.total += each


class DurationHistogram(Collector):
    """The metric `name`, with the upper ends of its buckets in seconds, lowest first."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._bounds = tuple(buckets)
        self._ends = [*map(floatToGoString, self._bounds), "+Inf"]
        self._series: dict[tuple[str, ...], Durations] = {}
        if not labels:
            self.of()
        registry.register(self)

    def of(self, *values: str) -> Durations:
        """The durations under these label values, one for each label."""
        if len(values) != len(self._labels):
            raise ValueError(f"{self._name} has the labels {', '.join(self._labels) or 'none'}; {values!r} were given")
        return self._series.setdefault(values, Durations(self._bounds))

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """The metric without a value, by which a registry sees that its name is free."""
        yield HistogramMetricFamily(self._name, self._documentation, labels=self._labels)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """All there is to show."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, durations in self._series.items():
            so_far, buckets = 0, []
            for end, count in zip(self._ends, durations.counts, strict=True):
                so_far += count
                buckets.append((end, float(so_far)))
            family.add_metric(values, buckets, durations.total)
        yield family
