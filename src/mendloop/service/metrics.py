"""What the service counts, for Prometheus; docs/metrics.md describes each."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from mendloop import __version__
from mendloop.core.vocabulary import Status

__all__ = ["Metrics", "TaskCounts"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ITERATIONS = (0, 1, 2, 3, 5, 8, 10, 20, 50)


class TaskCounts(Collector):
    """Tasks by status and by iterations, counted when they are asked for."""

    def __init__(self, tasks: Callable[[], Iterable[tuple[Status, int]]]) -> None:
        """Ask *tasks* for the status and the iteration of each task."""
        self._tasks = tasks

    def collect(self) -> Iterator[GaugeMetricFamily | GaugeHistogramMetricFamily]:
        """Count."""
        counts = dict.fromkeys(Status, 0)
        buckets = dict.fromkeys(_ITERATIONS, 0)
        total = iterations = 0
        for status, iteration in self._tasks():
            counts[status] += 1
            total += 1
            iterations += iteration
            for most in _ITERATIONS:
                buckets[most] += iteration <= most
        by_status = GaugeMetricFamily("mendloop_tasks", "Tasks by status.", labels=["status"])
        for status, count in counts.items():
            by_status.add_metric([status.value], count)
        yield by_status
        spent = GaugeHistogramMetricFamily(
            "mendloop_task_iterations", "Iterations that the tasks stand at."
        )
        cumulative = [(str(most), count) for most, count in buckets.items()]
        spent.add_metric([], [*cumulative, ("+Inf", total)], iterations)
        yield spent


class Metrics:
    """
    All metrics of one service; a `mendloop.telemetry.Telemetry` of its manager.

    Each attribute is one metric. None has a task's id for a label: there may be any number of them.
    """

    def __init__(self) -> None:
        """Begin at zero, in a registry of their own."""
        self.registry = registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"mendloop_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"mendloop_{name}", text, labels, registry=registry)

        def seconds(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(
                f"mendloop_{name}_seconds", text, labels, buckets=_SECONDS, registry=registry
            )

        gauge("build_info", "The version that runs.", "version", "python").labels(
            __version__, platform.python_version()
        ).set(1)
        self.operations = counter(
            "operations", "Operations on tasks, by name and outcome.", "operation", "outcome"
        )
        self.operation_seconds = seconds(
            "operation_duration", "How long operations on tasks took.", "operation"
        )
        self.conflicts = counter("conflicts", "Writes refused since another was quicker.")
        self.retries = counter(
            "retries", "Writes that the store failed, and that were tried again."
        )
        self.store_seconds = seconds(
            "store_request_duration", "How long requests to the store took.", "request", "outcome"
        )
        self.throttled = counter("store_throttled", "Requests that the store put off.")
        self.deliveries = counter(
            "deliveries", "What came to the doors, by what was answered.", "door", "outcome"
        )
        self.delivery_seconds = seconds(
            "delivery_duration", "How long a delivery waited for its answer.", "door"
        )
        self.processed = counter(
            "processed_items", "Queued items, by what became of them.", "door", "outcome"
        )
        self.queue_items = gauge("queue_items", "Items that are stored and not processed yet.")
        self.queue_age = gauge(
            "queue_oldest_age_seconds", "How long the oldest queued item has waited."
        )
        self.cleaned = counter("cleanup_tasks", "What cleanups did with tasks.", "what")
        self.cleanup_success = gauge(
            "cleanup_last_success_timestamp_seconds", "When a cleanup last ended without a failure."
        )
        self.reclaimed = counter("reclaimed_leases", "Leases taken from runs that were gone.")
        self.recoveries = counter(
            "recoveries", "Repairs of damaged tasks, by what was wrong.", "kind"
        )
        self.stored_bytes = gauge("stored_bytes", "Bytes that are stored, by kind.", "kind")
        self.largest_bytes = gauge(
            "largest_document_bytes", "Bytes of the largest document, by kind.", "kind"
        )
        self.stuck = gauge(
            "stuck_tasks", "Tasks in progress in which nothing has happened for long."
        )
        self.unreadable = gauge("unreadable_tasks", "Tasks whose state cannot be read.")
        self.leader = gauge("leader", "1 where this replica leads, else 0.")
        self.has_leader = gauge("has_leader", "1 where this replica sees that one leads, else 0.")

    def operation(self, name: str, outcome: str, seconds: float) -> None:
        """See `mendloop.telemetry.Telemetry.operation`."""
        self.operations.labels(name, outcome).inc()
        self.operation_seconds.labels(name).observe(seconds)

    def conflict(self) -> None:
        """See `mendloop.telemetry.Telemetry.conflict`."""
        self.conflicts.inc()

    def retry(self) -> None:
        """See `mendloop.telemetry.Telemetry.retry`."""
        self.retries.inc()

    def exposition(self) -> bytes:
        """All of them, in the text format of Prometheus."""
        return generate_latest(self.registry)
