"""Every metric of the router, once. The names are public: dashboards and alerts stand on them.

Labels take values from closed sets only: nothing that a caller or an admin chooses becomes a label.
"""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from dialplan.campaigns.attempts import Outcome
from dialplan.routing.steps import REASONS
from dialplan.routing.target import Kind
from router.observe.durations import DurationHistogram

# From what an idle machine needs (about 0.2 ms, most of it waiting for Asterisk's small writes) to the deadline.
_DECISION_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


# What may become of a callback: the reason without its first word, or that the store could not say.
CALLBACK_OUTCOMES = ("campaign", "force-yes", "not-accepted", "used", "no-destination", "store-down")

# Why a word about an attempt was not taken: it is no attempt, it could not be written down, too many wait already.
DROP_CAUSES = ("ignored", "not-recorded", "queue-full")

# Why what a store has is not taken up, see `router.store.api.Unfit`.
UNFIT_CAUSES = ("incomplete", "evicts")


# What a manager session lets the router hear, see `router.ami.hearing`.
HEARING = ("variables", "hangups", "dials", "calls")


class Metrics:
    """The metrics of one router, in a registry of their own, so that tests may have several."""

    def __init__(self) -> None:
        # A `…_created` beside every counter is nothing that anybody asked for, and half of the page.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._decisions = Counter(
            "ringway_decisions", "Calls decided, by the step that decided", ("reason", "kind"), registry=self.registry
        )
        self.decision_seconds = DurationHistogram(
            "ringway_decision_seconds",
            "From the accepted connection to the command written",
            buckets=_DECISION_BUCKETS,
            registry=self.registry,
        )
        self.agi_seconds = DurationHistogram(
            "ringway_agi_seconds",
            "From the accepted connection to the command written, by the AGI verb",
            ("verb",),
            buckets=_DECISION_BUCKETS,
            registry=self.registry,
        )
        self.agi_connections = Gauge("ringway_agi_connections", "FastAGI connections open now", registry=self.registry)
        self.agi_rejected = Counter(
            "ringway_agi_rejected", "FastAGI connections without an ordinary answer", ("cause",), registry=self.registry
        )
        self.agi_empty = Counter(
            "ringway_agi_empty",
            "FastAGI connections whose peer went without having sent anything, as health checks do",
            registry=self.registry,
        )
        self.log_dropped = Counter(
            "ringway_log_lines_dropped",
            "Log lines lost because writing them failed or took too long",
            registry=self.registry,
        )
        self.ready = Gauge(
            "ringway_ready",
            "Whether the router is ready for calls (1) or not (0); /ready says why not",
            registry=self.registry,
        )
        self.table_numbers = Gauge("ringway_table_numbers", "Numbers in the table", registry=self.registry)
        self.table_version = Gauge("ringway_table_version", "The table's version", registry=self.registry)
        self.table_digest = Gauge(
            "ringway_table_digest",
            "A number that routers whose tables hold the same have in common",
            registry=self.registry,
        )
        self.table_age_seconds = Gauge(
            "ringway_table_age_seconds",
            "Since the table was known to be in step with the store",
            registry=self.registry,
        )
        self.table_full_reads = Counter(
            "ringway_table_full_reads",
            "Times that the full table was read and compared, at the start or since its changes had a gap",
            registry=self.registry,
        )
        self.store_up = Gauge(
            "ringway_store_up",
            "Whether the store answered last time (1) or not (0)",
            ("store",),
            registry=self.registry,
        )
        self.store_unfit = Gauge(
            "ringway_store_unfit",
            "Whether what the store has is not taken up (1): a part of it is missing, or it may throw rows away",
            ("cause",),
            registry=self.registry,
        )
        self.rows_left_out = Gauge(
            "ringway_table_rows_left_out",
            "Stored rows that are not in the table, since this version cannot read them",
            registry=self.registry,
        )
        self.rows_read_in_part = Gauge(
            "ringway_table_rows_read_in_part",
            "Rows of the table of which this version does not know all fields",
            registry=self.registry,
        )
        self.attempts = Counter(
            "ringway_attempts", "Outbound attempts, each counted once", ("outcome",), registry=self.registry
        )
        self.attempts_dropped = Counter(
            "ringway_attempts_dropped",
            "Words about attempts that were not taken; a source tells again of what was not recorded",
            ("cause",),
            registry=self.registry,
        )
        self.attempts_pending = Gauge(
            "ringway_attempts_pending",
            "Attempts on this machine's disk that the shared store has not taken yet",
            registry=self.registry,
        )
        self.attempts_full_reads = Counter(
            "ringway_attempts_full_reads",
            "Times that all attempts were read, at the start or since what the store told of them had a gap",
            registry=self.registry,
        )
        self.callbacks = Counter(
            "ringway_callbacks",
            "Callbacks of a missed attempt, by what became of them",
            ("outcome",),
            registry=self.registry,
        )
        self.ami_connected = Gauge(
            "ringway_ami_connected",
            "Whether the manager session is up (1) or not (0)",
            ("asterisk",),
            registry=self.registry,
        )
        self.ami_hearing = Gauge(
            "ringway_ami_hearing",
            "Whether what makes a manager session of use comes (1), is missing (0), or was not seen yet (-1)",
            ("asterisk", "what"),
            registry=self.registry,
        )
        # There from the start, at 0: a rate of what never happened is 0, and not unknown.
        for outcome in Outcome:
            self.attempts.labels(outcome)
        for cause in DROP_CAUSES:
            self.attempts_dropped.labels(cause)
        for unfit in UNFIT_CAUSES:
            self.store_unfit.labels(unfit)
        for became in CALLBACK_OUTCOMES:
            self.callbacks.labels(became)
        # Bound beforehand: looking a child up costs more than counting.
        self.decided = {(reason, kind): self._decisions.labels(reason, kind) for reason in REASONS for kind in Kind}
        self.in_step_at(time.monotonic)

    def in_step_at(self, moment: Callable[[], float]) -> None:
        """Say how to find the moment (monotonic seconds) at which table and store were last known to be in step."""
        self.table_age_seconds.set_function(lambda: max(0.0, time.monotonic() - moment()))
