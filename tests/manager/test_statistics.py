"""Statistics of a store, on both stores: every task is counted, deleted or named as unread."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from drive import report
from states import NOW, entry, holder, state

from mendloop.core import commands
from mendloop.core.codec import encode_state
from mendloop.core.decide import Finish, StartIteration, Take, decide
from mendloop.core.lives import life_of
from mendloop.core.model import Settings
from mendloop.core.names import CHUNK, HEAD, QUARANTINE, head_name
from mendloop.core.sealing import pointers_of, sealed_key
from mendloop.core.vocabulary import Life, Severity, StepKind
from mendloop.manager import StateManager
from mendloop.stores.paging import documents
from mendloop.stores.port import Store

Manage = Callable[..., StateManager]
_OLD, _NEW = "a" * 40, "b" * 40


async def run_to_completion(manager: StateManager, task_id: str, iterations: int) -> None:
    """Run a task as a loop does: a fault more with each review, until the last one is clean."""
    await manager.create_task(task_id, settings=Settings(max_iterations=90, no_progress_rounds=90))
    taken = await manager.submit(
        task_id, commands.AcquireLease(holder=holder(), ttl_seconds=30, boottime_seconds=1)
    )
    generation = int(taken["generation"])
    while True:
        state = await manager.require_state(task_id)
        step = decide(state, now=manager.clock.now())
        if isinstance(step, StartIteration):
            await manager.submit(task_id, commands.Increment(generation=generation))
            continue
        if isinstance(step, Finish):
            end = commands.Finish(generation=generation, reason=step.reason, detail=step.detail)
            await manager.submit(task_id, end)
            return
        assert isinstance(step, Take)
        tree = f"tree {state.ledger.commit}"
        begin = commands.BeginStep(generation=generation, kind=step.kind, tree=tree)
        await manager.submit(task_id, begin)
        done: commands.Command
        if step.kind is StepKind.FIX:
            done = commands.RecordFix(generation=generation, tree=f"{tree} fixed")
        else:
            found = report(*(["fault"] if state.iteration < iterations else []))
            done = commands.RecordReview(generation=generation, reports=(found,), tree=tree)
        await manager.submit(task_id, done)


async def with_every_life(manager: StateManager, task_id: str, findings: int) -> None:
    """Make a task with many findings, most of them sealed, that have had every life."""
    await manager.create_task(task_id)
    await manager.record_tip(task_id, _OLD, at=NOW)
    made = [
        entry(f"c{n}", severity=list(Severity)[n % 4], description=f"{n} " * 60)
        for n in range(findings)
    ]
    await manager.append_feedback(task_id, *made, commit=_OLD)
    for life, names in (
        (Life.VERIFIED, ("c0", "c1", "c2")),
        (Life.DISMISSED, ("c3", "c4")),
        (Life.DEFERRED, ("c5",)),
        (Life.REOPENED, ("c2",)),
    ):
        await manager.judge(task_id, life, *names, reason="r")
    await manager.record_tip(task_id, _NEW, at=NOW + timedelta(days=1))
    await manager.append_feedback(task_id, entry("late"), commit=_OLD)
    await manager.compress_feedback_history(task_id)


async def test_all_tasks_of_a_store_are_counted(place: Store, manage: Manage) -> None:
    """Statuses, reasons, iterations, findings of all lives and the bytes are those that a recount gives."""
    manager = manage(place)
    await run_to_completion(manager, "one", 1)
    await run_to_completion(manager, "three", 3)
    await with_every_life(manager, "many", 120)
    await manager.create_task("fresh")
    for name in ("ended", "gone"):
        await manager.increment_iteration(name)
        await manager.append_feedback(name, entry("c1"))
        await manager.stop(name, reason="r")
    await manager.delete("gone", reason="r")
    ended_by_others = encode_state(state("theirs", status="Failed", iteration=2))
    await place.create(HEAD, head_name("theirs"), ended_by_others)
    told = await manage(place).statistics()

    tasks = ("one", "three", "many", "fresh", "ended", "theirs")
    findings = [f for name in tasks for f in await manager.get_feedback_history(name)]
    counts = Counter((str(f.severity), str(life_of(f))) for f in findings)
    assert (6, 1, ()) == (told.tasks, told.deleted, told.unread)
    assert {"Initialized": 2, "InProgress": 0, "Completed": 2, "Failed": 2} | {
        "MaxIterationsReached": 0
    } == told.statuses
    assert Counter(completed=2, terminated=1, unknown=1) == Counter(told.stop_reasons)
    assert 0.5 == told.success_rate
    completion = told.iterations_to_completion
    assert (2, 2.0, 1, 3, 3) == (
        completion.count,
        completion.mean,
        completion.median,
        completion.p90,
        completion.largest,
    )
    assert 4 == told.iteration_seconds.count
    assert {life: {s: n for s, n in by.items() if n} for life, by in told.findings.items()} == {
        severity: {life: n for (s, life), n in counts.items() if s == severity}
        for severity in told.findings
    }
    assert {"open", "verified", "reopened", "dismissed", "deferred", "outdated"} <= {
        life for _, life in counts
    }
    sizes = {
        kind: sum(
            [
                len(d.body) + sum(len(v.encode()) for v in d.fields.values())
                async for d in documents(place, kind, limit=100)
            ]
        )
        for kind in (HEAD, CHUNK, QUARANTINE)
    }
    assert sizes[CHUNK] > 0
    assert (
        sizes | {"headless": 0, "queue": 0, "audit": 0, "total": sum(sizes.values())}
        == told.stored_bytes
    )


@pytest.mark.parametrize("damage", ["cut", "newer", "chunk"])
@pytest.mark.damages
async def test_what_cannot_be_read_is_named_and_stops_nothing(
    place: Store, manage: Manage, damage: str
) -> None:
    """A damaged state, one of a newer version, or a lost part of a history: unread, and no figure has it."""
    manager = manage(place)
    await with_every_life(manager, "b", 60)
    await manager.create_task("a")
    await manager.create_task("c")
    head = await place.get(HEAD, head_name("b"))
    assert head is not None
    if damage == "cut":
        await place.replace(head, head.body[:-9])
    elif damage == "newer":
        await place.replace(head, head.body.replace(b'"version":"v1"', b'"version":"v2"'))
    else:
        ledger = (await manager.require_state("b")).ledger
        lost = sealed_key("b", ledger.incarnation, pointers_of(ledger.findings)[0])
        chunk = await place.get(CHUNK, lost)
        assert chunk is not None
        await place.delete(chunk)
    told = await manage(place).statistics()

    assert (2, 0, ["b"]) == (told.tasks, told.deleted, [unread.task_id for unread in told.unread])
    assert {"cut": "truncated", "newer": "v2", "chunk": lost if damage == "chunk" else ""}[
        damage
    ] in told.unread[0].why
    assert {0} == {count for by_life in told.findings.values() for count in by_life.values()}
    assert 2 == told.statuses["Initialized"]


_MEASURED = """
import asyncio, sys, time
from crew import open_spec
from memory import peak_mebibytes
from mendloop.manager import StateManager
async def main():
    store = await open_spec(sys.argv[1])
    async with StateManager(store) as manager:
        before, began = int(peak_mebibytes()), time.monotonic()
        told = await manager.statistics()
    print(told.tasks, int(peak_mebibytes()) - before, time.monotonic() - began)
    await store.close()
asyncio.run(main())
"""


async def test_many_tasks_take_little_memory(
    place: Store, place_spec: str, manage: Manage, scaled: Callable[[int, int], int]
) -> None:
    """10,000 tasks, and one with a history of 20,000 findings, are counted in less than 64 MB."""
    count, findings = scaled(10_000, 500), scaled(20_000, 1_000)
    manager = manage(place, deadline_seconds=60.0)
    for first in range(0, count, 50):
        await asyncio.gather(*(manager.create_task(f"t{n}") for n in range(first, first + 50)))
    for first in range(0, findings, 200):
        some = (entry(f"c{n}", description=f"{n} " * 60) for n in range(first, first + 200))
        await manager.append_feedback("t0", *some)
    measuring = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _MEASURED, place_spec),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    told, _ = await measuring.communicate()
    tasks, mebibytes, seconds = map(float, told.split())

    print(f"{count} tasks in {seconds:.1f} s and {mebibytes:.0f} MiB over the empty process")  # noqa: T201 - a figure
    assert count == tasks
    assert mebibytes < 64
