"""Metrics that are distributions of what there is, made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from mendloop.core.vocabulary import Status
from mendloop.weighing import SIZES, Weight

__all__ = ["DocumentSizes", "TaskCounts"]

_ITERATIONS = (0, 1, 2, 3, 5, 8, 10, 20, 50)


class TaskCounts(Collector):
    """Tasks by status and by iterations."""

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


class DocumentSizes(Collector):
    """
    Documents by their size.

    Attributes:
        weights: Of each kind, as they were last weighed; empty where this replica does not weigh.
    """

    def __init__(self) -> None:
        """Know of no document."""
        self.weights: Mapping[str, Weight] = {}

    def collect(self) -> Iterator[GaugeMetricFamily | GaugeHistogramMetricFamily]:
        """Tell what was weighed."""
        sizes = GaugeHistogramMetricFamily(
            "mendloop_document_bytes", "Sizes of the stored documents, by kind.", labels=["kind"]
        )
        largest = GaugeMetricFamily(
            "mendloop_largest_document_bytes",
            "Bytes of the largest document, by kind.",
            labels=["kind"],
        )
        for kind, weight in self.weights.items():
            cumulative = [(str(most), weight.at_most[most]) for most in SIZES]
            sizes.add_metric([kind], [*cumulative, ("+Inf", weight.count)], weight.total_bytes)
            largest.add_metric([kind], weight.largest_bytes)
        yield sizes
        yield largest
