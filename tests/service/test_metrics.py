from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.metrics import MetricWrapperBase

from mendloop.core.commands import Command
from mendloop.core.errors import LeaseHeld, StoreFull, TaskPaused, ValidationError
from mendloop.core.vocabulary import Status
from mendloop.service.collectors import TaskCounts
from mendloop.service.metrics import Metrics
from mendloop.weighing import Weight

_DOCS = Path(__file__).parents[2] / "docs"
_ROW = re.compile(r"\| `(mendloop_\w+)` \| (\w+) \|([^|]*)\|")


def _documented() -> set[tuple[str, str, tuple[str, ...]]]:
    rows = _ROW.findall((_DOCS / "metrics.md").read_text())
    return {(name, kind, tuple(re.findall(r"\w+", labels))) for name, kind, labels in rows}


def _registered() -> set[tuple[str, str, tuple[str, ...]]]:
    metrics = Metrics()
    metrics.documents.weights = {"head": Weight()}
    metrics.registry.register(TaskCounts(lambda: [(Status.COMPLETED, 1)]))
    found = set()
    for collector in metrics.registry._collector_to_names:
        for family in collector.collect():
            labels = (
                collector._labelnames
                if isinstance(collector, MetricWrapperBase)
                else tuple(name for name in family.samples[0].labels if name != "le")
            )
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found.add((name, family.type, tuple(labels)))
    return found


def test_each_metric_is_documented_as_it_is() -> None:
    """The table of docs/metrics.md has the names, types and labels that there are, and no other."""
    assert _registered() == _documented()


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (TaskPaused(), "refused"),
        (LeaseHeld("held", holder="ann", since=""), "refused"),
        (ValidationError(), "refused"),
        (StoreFull(), "failed"),
        (OSError(), "failed"),
    ],
)
def test_an_operation_that_is_refused_has_not_failed(
    error: BaseException | None, outcome: str
) -> None:
    """What cannot be is refused, what is broken has failed: an alert looks at the latter alone."""
    metrics = Metrics()
    metrics.operation("Pause", error, 0.1)

    counted = {
        sample.labels["outcome"]: sample.value
        for family in metrics.operations.collect()
        for sample in family.samples
        if sample.labels["operation"] == "Pause"
    }
    assert {"ok": 0.0, "refused": 0.0, "failed": 0.0, "cancelled": 0.0} | {outcome: 1.0} == counted


def test_what_an_alert_looks_at_begins_at_zero() -> None:
    """Each operation can be seen to fail the first time, since its counter is there before."""
    text = Metrics().exposition().decode()

    for command in get_args(Command):
        sample = f'mendloop_operations_total{{operation="{command.__name__}",outcome="failed"}} 0.0'
        assert sample in text
    for sample in (
        'mendloop_cleanup_tasks_total{what="failed"} 0.0',
        'mendloop_deliveries_total{door="github",outcome="unstored"} 0.0',
        'mendloop_recoveries_total{kind="repair"} 0.0',
        "mendloop_store_throttled_total 0.0",
    ):
        assert sample in text
