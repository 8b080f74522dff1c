"""That each metric has the value of what happened, and not only its name."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest
from cleanups import end_task
from clocks import BehindClock
from faulty_store import CONFLICT, DOWN, FaultyStore, in_turn
from served import Replica, Served, until_processed

import mendloop
from mendloop.core.errors import MaxIterationsReached
from mendloop.core.model import Settings
from mendloop.core.names import HEAD, head_name
from mendloop.manager import StateManager
from mendloop.service.measured import MeasuredStore
from mendloop.service.metrics import Metrics
from mendloop.stores.port import Store
from mendloop.stores.sqlite import open_sqlite

_FINDING = {"severity": "High", "issue_type": "Bug", "description": "an empty name answers 500"}
_TWO_HOURS_SECONDS = 7200.0


def _start(served: Served, config: str = "") -> Replica:
    file = served.folder / "serve.toml"
    file.write_text(config)
    return served.start("--config", str(file))


def _post(served: Served, replica: Replica, task_id: str, comment_id: str) -> int:
    finding = _FINDING | {"comment_id": comment_id}
    return served.post(replica, {"task_id": task_id, "findings": [finding]})[0]


async def _until(replica: Replica, wanted: float, name: str, **labels: str) -> None:
    """Wait until a metric has the value."""
    told = -1.0
    try:
        async with asyncio.timeout(30):
            while told != wanted:
                told = await asyncio.to_thread(replica.metric, f"mendloop_{name}", **labels)
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"{name} {labels} is {told}, and not {wanted}")


async def test_what_comes_in_is_counted_at_each_place(served: Served, store: Store) -> None:
    """Answers, processed items, operations and requests to the store, each with how it ended and how long."""
    replica = _start(served)
    await asyncio.to_thread(replica.wait_until_ready)
    statuses = [await asyncio.to_thread(_post, served, replica, "42", f"c{n}") for n in range(3)]
    refused = await asyncio.to_thread(_post, served, replica, "A b", "c4")
    await until_processed(store)
    metric = partial(asyncio.to_thread, replica.metric)

    assert ([202] * 3, 422) == (statuses, refused)
    assert 3 == await metric("mendloop_deliveries_total", door="feedback", outcome="queued")
    assert 1 == await metric("mendloop_deliveries_total", door="feedback", outcome="invalid")
    assert 4 == await metric("mendloop_delivery_duration_seconds_count", door="feedback")
    assert 3 == await metric("mendloop_processed_items_total", door="feedback", outcome="done")
    for operation in ("Create", "AppendFeedback"):
        ended = await metric("mendloop_operations_total", operation=operation)
        timed = await metric("mendloop_operation_duration_seconds_count", operation=operation)
        assert ended == timed >= 1
        spent_seconds = await metric("mendloop_operation_duration_seconds_sum", operation=operation)
        assert 0 < spent_seconds < 60
    refusals = await metric("mendloop_operations_total", outcome="refused")
    assert 1 <= refusals == await metric("mendloop_operation_errors_total")
    requests = "mendloop_store_request_duration_seconds"
    for request in ("create", "replace", "list"):
        assert 1 <= await metric(f"{requests}_count", request=request, outcome="ok")
        assert 0 < await metric(f"{requests}_sum", request=request, outcome="ok")
    assert 1 == await metric("mendloop_build_info", version=mendloop.__version__)
    assert 1 == await metric("mendloop_ready")


async def test_tasks_are_counted_by_status_and_iteration(served: Served, store: Store) -> None:
    """Each task that there is, in the status and at the iteration that it stands at, as it changes."""
    replica = _start(served, '[tasks]\nstuck_after = "1s"\n')
    await asyncio.to_thread(replica.wait_until_ready)
    async with StateManager(store) as manager:
        await manager.create_task("new")
        for number in range(3):
            await manager.create_task(f"busy-{number}", settings=Settings(max_iterations=2))
            await manager.increment_iteration(f"busy-{number}")
        await manager.increment_iteration("busy-0")
        with pytest.raises(MaxIterationsReached):
            await manager.increment_iteration("busy-0")
        await manager.stop("busy-1", reason="over")
    for status, count in (
        ("Initialized", 1),
        ("InProgress", 1),
        ("MaxIterationsReached", 1),
        ("Failed", 1),
        ("Completed", 0),
    ):
        await _until(replica, count, "tasks", status=status)
    await _until(replica, 4, "task_iterations_gcount")
    await _until(replica, 4, "task_iterations_gsum")
    for most, count in (("0", 1), ("1", 3), ("2", 4), ("+Inf", 4)):
        await _until(replica, count, "task_iterations_bucket", le=most)
    await _until(replica, 1, "stuck_tasks")


async def test_what_waits_is_counted_and_its_age_grows(served: Served, store: Store) -> None:
    """What cannot be taken to its task is counted as queued, with how long, until it can be."""
    replica = _start(served)
    await asyncio.to_thread(replica.wait_until_ready)
    async with StateManager(store) as manager:
        await manager.create_task("42")
        head = await store.get(HEAD, head_name("42"))
        assert head is not None
        await store.replace(head, head.body + b"}")
        posted_at = time.time()
        for number in range(2):
            assert 202 == await asyncio.to_thread(_post, served, replica, "42", f"c{number}")
        await _until(replica, 2, "queue_items")
        age_seconds = await asyncio.to_thread(replica.metric, "mendloop_queue_oldest_age_seconds")
        assert 0 < age_seconds < time.time() - posted_at + 1
        assert (
            await asyncio.to_thread(replica.metric, "mendloop_queue_oldest_age_seconds")
            > age_seconds
        )
        await manager.recover_state("42")
        await _until(replica, 0, "queue_items")
        await _until(replica, 0, "queue_oldest_age_seconds")
        assert 2 == (await manager.require_state("42")).findings_total


async def test_a_cleanup_tells_what_it_did(served: Served, store: Store) -> None:
    """Tasks that it looked at, hid and removed, and the bytes of states and histories that are left."""
    past = StateManager(store, clock=BehindClock(_TWO_HOURS_SECONDS))
    for number in range(5):
        await end_task(past, f"old-{number}", findings=100 if number == 0 else 0)
    for number in range(3):
        await past.delete(f"old-{number + 2}", reason="was past retention")
    await past.close()
    config = '[github]\nmax_age = "1h"\n[store]\nweigh_interval = "1s"\n'
    config += '[cleanup]\ninterval = "2s"\nretention = "1h"\ngrace = "1h"\n'
    replica = _start(served, config)
    await asyncio.to_thread(replica.wait_until_ready)
    await _until(replica, 2, "cleanup_tasks_total", what="soft_deleted")
    await _until(replica, 3, "cleanup_tasks_total", what="removed")
    await _until(replica, 2, "document_bytes_gcount", kind="head")
    metric = partial(asyncio.to_thread, replica.metric)
    assert 5 <= await metric("mendloop_cleanup_tasks_total", what="found")
    assert 0 == await metric("mendloop_cleanup_tasks_total", what="failed")
    assert 0 == await metric("mendloop_cleanup_consecutive_failures")
    assert 0 < await metric("mendloop_document_bytes_gcount", kind="chunk")
    for kind in ("head", "chunk"):
        total_bytes = await metric("mendloop_document_bytes_gsum", kind=kind)
        assert 0 < await metric("mendloop_largest_document_bytes", kind=kind) <= total_bytes
    assert await metric("mendloop_document_bytes_gsum") <= await metric("mendloop_store_used_bytes")


async def test_conflicts_and_retries_are_counted(tmp_path: Path) -> None:
    """A write that another was quicker than is a conflict, one that the store failed is a retry; so is its request."""
    file = await open_sqlite(tmp_path / "state.db")
    store, metrics = FaultyStore(file), Metrics()
    measured = MeasuredStore(store, metrics, at_once=4)
    async with StateManager(measured, telemetry=metrics) as manager:
        await manager.create_task("42")
        store.choose = in_turn([CONFLICT, CONFLICT, DOWN])
        await manager.increment_iteration("42")
    await file.close()
    counted = {
        name: metrics.registry.get_sample_value(f"mendloop_{name}_total")
        for name in ("conflicts", "retries")
    }
    assert {"conflicts": 2.0, "retries": 1.0} == counted
    for outcome, count in (("RevisionConflict", 2), ("StoreUnavailable", 1), ("ok", 1)):
        told = {"request": "replace", "outcome": outcome}
        name = "mendloop_store_request_duration_seconds_count"
        assert count == metrics.registry.get_sample_value(name, told), outcome
