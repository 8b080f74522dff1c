"""What the service counts, for Prometheus; docs/metrics.md describes each."""

from __future__ import annotations

import asyncio
import platform
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from mendloop import __version__
from mendloop.core.commands import Command
from mendloop.core.errors import (
    RevisionConflict,
    StateExists,
    StateNotFound,
    TransitionRefused,
    ValidationError,
)
from mendloop.service.collectors import DocumentSizes

__all__ = ["DOORS", "RECOVERIES", "Metrics"]

_REFUSALS = (ValidationError, StateNotFound, StateExists, TransitionRefused, RevisionConflict)
"""What the caller asked for cannot be, and everything works as it should; any other error is a failure."""

DOORS = ("feedback", "github")
RECOVERIES = ("lease", "outside", "repair", "restore")

_OUTCOMES = ("ok", "refused", "failed", "cancelled")
_CLEANED = ("found", "soft_deleted", "removed", "failed")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """
    All metrics of one service; a `mendloop.telemetry.Telemetry` of its manager.

    Each attribute is one metric. None has a task's id for a label: there may be any number of them.
    What an alert looks at is there from the start, at zero: a counter that comes into being with its
    first event has no increase to show.
    """

    def __init__(self) -> None:
        """Begin at zero, in a registry of their own."""
        # They double the counters, and nobody asks for them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._gauge("build_info", "The version that runs.", "version", "python").labels(
            __version__, platform.python_version()
        ).set(1)
        self._make_of_operations()
        self._make_of_intake()
        self._make_of_housekeeping()
        self.ready = self._gauge("ready", "1 where this replica can take something in, else 0.")
        self.leader = self._gauge("leader", "1 where this replica leads, else 0.")
        self.has_leader = self._gauge(
            "has_leader", "1 where this replica sees that one leads, else 0."
        )
        self.stuck = self._gauge(
            "stuck_tasks", "Tasks in progress in which nothing has happened for long."
        )
        self.unreadable = self._gauge("unreadable_tasks", "Tasks whose state cannot be read.")

    def operation(self, name: str, error: BaseException | None, seconds: float) -> None:
        """See `mendloop.telemetry.Telemetry.operation`."""
        self.operations.labels(name, _outcome(error)).inc()
        self.operation_seconds.labels(name).observe(seconds)
        if error is not None:
            self.errors.labels(type(error).__name__).inc()

    def conflict(self) -> None:
        """See `mendloop.telemetry.Telemetry.conflict`."""
        self.conflicts.inc()

    def retry(self) -> None:
        """See `mendloop.telemetry.Telemetry.retry`."""
        self.retries.inc()

    def throttled(self) -> None:
        """See `mendloop.telemetry.Telemetry.throttled`."""
        self.store_throttled.inc()

    def recovered(self, kind: str) -> None:
        """Count what was made right, one of `RECOVERIES`."""
        self.recoveries.labels(kind).inc()

    def exposition(self) -> bytes:
        """All of them, in the text format of Prometheus."""
        return generate_latest(self.registry)

    def _make_of_operations(self) -> None:
        self.operations = self._counter(
            "operations", "Operations on tasks, by name and outcome.", "operation", "outcome"
        )
        for command in get_args(Command):
            for outcome in _OUTCOMES:
                self.operations.labels(command.__name__, outcome)
        self.operation_seconds = self._seconds(
            "operation_duration", "How long operations on tasks took.", "operation"
        )
        self.errors = self._counter(
            "operation_errors", "Operations that were refused or failed, by error.", "error"
        )
        self.conflicts = self._counter("conflicts", "Writes refused since another was quicker.")
        self.retries = self._counter(
            "retries", "Writes that the store failed, and that were tried again."
        )
        self.store_seconds = self._seconds(
            "store_request_duration", "How long requests to the store took.", "request", "outcome"
        )
        self.store_throttled = self._counter(
            "store_throttled", "Requests that the API server put off."
        )
        self.recoveries = self._counter(
            "recoveries", "What was made right in tasks, by what it was.", "kind"
        )
        for kind in RECOVERIES:
            self.recoveries.labels(kind)

    def _make_of_intake(self) -> None:
        self.deliveries = self._counter(
            "deliveries", "What came to the doors, by what was answered.", "door", "outcome"
        )
        self.delivery_seconds = self._seconds(
            "delivery_duration", "How long a delivery waited for its answer.", "door"
        )
        self.processed = self._counter(
            "processed_items", "Queued items, by what became of them.", "door", "outcome"
        )
        for door in DOORS:
            self.deliveries.labels(door, "unstored")
        self.queue_items = self._gauge(
            "queue_items", "Items that are stored and not processed yet."
        )
        self.queue_age = self._gauge(
            "queue_oldest_age_seconds", "How long the oldest queued item has waited."
        )

    def _make_of_housekeeping(self) -> None:
        self.cleaned = self._counter("cleanup_tasks", "What cleanups did with tasks.", "what")
        for what in _CLEANED:
            self.cleaned.labels(what)
        self.cleanup_success = self._gauge(
            "cleanup_last_success_timestamp_seconds", "When a cleanup last ended without a failure."
        )
        self.cleanup_due = self._gauge(
            "cleanup_due_timestamp_seconds", "When the next such cleanup is late."
        )
        self.cleanup_failing = self._gauge(
            "cleanup_consecutive_failures", "Cleanups in a row that did not end without a failure."
        )
        self.documents = DocumentSizes()
        self.registry.register(self.documents)
        self.document_limit = self._gauge(
            "document_limit_bytes", "Bytes that a document can have at most."
        )
        self.store_used = self._gauge("store_used_bytes", "Bytes that the whole store takes.")
        self.store_limit = self._gauge(
            "store_limit_bytes", "Bytes that the whole store can take at most."
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"mendloop_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"mendloop_{name}", text, labels, registry=self.registry)

    def _seconds(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(
            f"mendloop_{name}_seconds", text, labels, buckets=_SECONDS, registry=self.registry
        )


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return "refused" if isinstance(error, _REFUSALS) else "failed"
