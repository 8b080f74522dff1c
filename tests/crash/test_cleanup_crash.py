"""A cleanup that is killed anywhere is finished by the next one; on both stores."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from cleanups import clean_up, documents, end_task, open_place, told
from faulty_store import FULL, Fault, FaultyStore
from states import entry

from mendloop.core.errors import StoreFull
from mendloop.core.names import HEAD, HEADLESS, head_name
from mendloop.crashpoints import CLEANUP_CRASH_POINTS
from mendloop.manager import StateManager
from mendloop.stores.port import Store


async def prepare(store: Store) -> dict[str, object]:
    """One task to be deleted, two to be removed, and a task in progress with an orphan."""
    async with StateManager(store) as manager:
        await end_task(manager, "over", findings=100)
        await end_task(manager, "gone", findings=100)
        await manager.delete("gone", reason="x")
        await lose_long_ago(store, manager)
        await manager.increment_iteration("going")
        findings = [entry(f"c{n}", description="long " * 100) for n in range(100)]
        await manager.append_feedback("going", *findings[:50])
        full = FaultyStore(store, _is_full)
        async with StateManager(full) as other:
            with pytest.raises(StoreFull):
                await other.append_feedback("going", *findings[50:])
        return {task: await told(manager, task) for task in ("over", "going")}


async def lose_long_ago(store: Store, manager: StateManager) -> None:
    """Leave only the history of a task, as an earlier cleanup has found it."""
    await end_task(manager, "lost", findings=100)
    head = await store.get(HEAD, head_name("lost"))
    assert head is not None
    await store.delete(head)
    since = {"made_at": "2026-01-01T00:00:00Z"}
    await store.create(HEADLESS, head_name("lost"), b"", fields=since, labels={"task-id": "lost"})


def _is_full(operation: str, kind: str) -> Fault | None:
    return FULL if (operation, kind) == ("replace", HEAD) else None


@pytest.mark.parametrize("point", CLEANUP_CRASH_POINTS)
async def test_a_killed_cleanup_is_finished_by_the_next(
    point: str, place: tuple[str, ...], tmp_path: Path
) -> None:
    """SIGKILL at each point: nothing else is lost, and two more cleanups leave nothing behind."""
    store = await open_place(place)
    expected = await prepare(store)

    assert -signal.SIGKILL == await asyncio.to_thread(clean_up, place, tmp_path, crash_at=point)

    async with StateManager(store) as manager:
        assert expected["going"] == await told(manager, "going")
        if (await manager.require_state("over")).ledger.deleted is not None:
            await manager.restore("over")
        assert expected["over"] == await told(manager, "over")
        await manager.hold("over", reason="to be compared")
        for _ in range(2):
            assert 0 == await asyncio.to_thread(clean_up, place, tmp_path)
        assert [head_name("going"), head_name("over")] == [
            key for _, key, _ in await documents(store, HEAD)
        ]
        left = [key for _, key, _ in await documents(store)]
        assert [] == [key for key in left if "task-gone-" in key or "task-lost-" in key]
        assert expected["going"] == await told(manager, "going")
        assert 0 == (await manager.cleanup_old_states()).orphans
        log = await manager.read_log()
        assert ["gone", "lost"] == sorted(told_of.task_id for told_of in log.entries)
        flaws = [verdict.flaws async for verdict in manager.verify_all_records()]
        assert [(), ()] == flaws
    await store.close()
