from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest
from faulty_store import DOWN, HANG, FaultyStore, in_turn
from patience import eventually
from prometheus_client.metrics import MetricWrapperBase

from mendloop.core.commands import Command
from mendloop.core.errors import (
    LeaseHeld,
    RevisionConflict,
    StoreFull,
    StoreUnavailable,
    TaskPaused,
    ValidationError,
)
from mendloop.core.names import HEAD
from mendloop.core.vocabulary import Status
from mendloop.service.collectors import TaskCounts
from mendloop.service.measured import MeasuredStore
from mendloop.service.metrics import Metrics
from mendloop.stores.sqlite import open_sqlite
from mendloop.weighing import Weight, weigh

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
        (RevisionConflict("another was quicker"), "refused"),
        (asyncio.CancelledError(), "cancelled"),
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


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FaultyStore]:
    """An empty store whose faults a test chooses."""
    store = FaultyStore(await open_sqlite(tmp_path / "state.db"))
    yield store
    await store.close()


def test_tasks_are_counted_by_status_and_by_iterations() -> None:
    """Each status has its count, a bucket holds all that stand at most there, and the sum is that of all."""
    metrics = Metrics()
    tasks = [(Status.COMPLETED, 1), (Status.COMPLETED, 3), (Status.IN_PROGRESS, 60)]
    metrics.registry.register(TaskCounts(lambda: tasks))

    def sample(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"mendloop_{name}", labels)

    statuses = {status: sample("tasks", status=status.value) for status in Status}
    assert dict.fromkeys(Status, 0) | {Status.COMPLETED: 2, Status.IN_PROGRESS: 1} == statuses
    buckets = {
        most: sample("task_iterations_bucket", le=most) for most in ("0", "1", "2", "3", "50")
    }
    assert {"0": 0, "1": 1, "2": 1, "3": 2, "50": 2} == buckets
    assert 3 == sample("task_iterations_bucket", le="+Inf")
    assert 64 == sample("task_iterations_gsum")


@pytest.mark.damages
async def test_documents_are_told_by_their_kind(store: FaultyStore) -> None:
    """Of each kind the largest, how many, and what they have in all."""
    for number, size_bytes in enumerate((10, 30)):
        await store.create(HEAD, f"task-{number}-state", b"x" * size_bytes)
    metrics = Metrics()
    metrics.documents.weights = await weigh(store)

    def sample(name: str, **labels: str) -> float:
        found = metrics.registry.get_sample_value(f"mendloop_{name}", {"kind": HEAD, **labels})
        assert found is not None
        return found

    weight = metrics.documents.weights[HEAD]
    assert weight.largest_bytes == sample("largest_document_bytes")
    assert weight.total_bytes == sample("document_bytes_gsum")
    assert weight.largest_bytes < weight.total_bytes
    assert 2 == sample("document_bytes_bucket", le="+Inf")


@pytest.mark.damages
async def test_a_request_to_the_store_is_told_by_how_it_ended(store: FaultyStore) -> None:
    """Answered, refused by what error, or given up by who asked: each by its name."""
    metrics = Metrics()
    measured = MeasuredStore(store, metrics, at_once=4)
    await measured.create(HEAD, "task-1-state", b"{}")
    store.choose = in_turn([DOWN, HANG])
    with pytest.raises(StoreUnavailable):
        await measured.create(HEAD, "task-2-state", b"{}")
    hanging = asyncio.create_task(measured.create(HEAD, "task-3-state", b"{}"))
    await eventually(lambda: store.calls["create head"] == 3)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging

    assert {"ok": 1.0, "StoreUnavailable": 1.0, "cancelled": 1.0} == {
        sample.labels["outcome"]: sample.value
        for family in metrics.store_seconds.collect()
        for sample in family.samples
        if sample.name.endswith("_count") and sample.labels["request"] == "create"
    }
