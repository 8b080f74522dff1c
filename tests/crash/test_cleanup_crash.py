"""A cleanup that is killed anywhere is finished by the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cleanups import documents, end_task, told
from faulty_store import FaultyStore
from states import entry

from mendloop.core.errors import StoreFull
from mendloop.core.names import CHUNK, HEAD, head_name
from mendloop.crashpoints import CLEANUP_CRASH_POINTS
from mendloop.manager import StateManager
from mendloop.stores.sqlite import open_sqlite

_SHORT = ("--retention", "0.001", "--grace", "0.001")


def clean_up(path: Path, *, crash_at: str = "") -> int:
    """Run `mendloop cleanup` in a process group of its own; returns how it ended."""
    time.sleep(0.01)
    extra = {"MENDLOOP_CRASH_AT": crash_at} if crash_at else {}
    return subprocess.run(
        [sys.executable, "-m", "mendloop", "cleanup", *_SHORT, "--store", f"sqlite:{path}"],
        env=os.environ | {"XDG_STATE_HOME": str(path.parent)} | extra,
        capture_output=True,
        timeout=60,
        start_new_session=True,
        check=False,
    ).returncode


async def prepare(path: Path) -> dict[str, object]:
    """One task to be deleted, one to be removed, and a task in progress with an orphan."""
    store = await open_sqlite(path)
    async with StateManager(store) as manager:
        await end_task(manager, "over", findings=100)
        await end_task(manager, "gone", findings=100)
        await manager.delete("gone", reason="x")
        await manager.increment_iteration("going")
        findings = [entry(f"c{n}", description="long " * 100) for n in range(100)]
        await manager.append_feedback("going", *findings[:50])
        full = FaultyStore(store, _is_full)
        async with StateManager(full) as other:
            with pytest.raises(StoreFull):
                await other.append_feedback("going", *findings[50:])
        expected = {task: await told(manager, task) for task in ("over", "going")}
    await store.close()
    return expected


def _is_full(operation: str, kind: str) -> object:
    from faulty_store import FULL

    return FULL if (operation, kind) == ("replace", HEAD) else None


@pytest.mark.parametrize("point", CLEANUP_CRASH_POINTS)
async def test_a_killed_cleanup_is_finished_by_the_next(point: str, tmp_path: Path) -> None:
    """SIGKILL at each point: nothing else is lost, and two more cleanups leave nothing behind."""
    path = tmp_path / "state.db"
    expected = await prepare(path)

    assert -signal.SIGKILL == clean_up(path, crash_at=point)

    store = await open_sqlite(path)
    async with StateManager(store) as manager:
        assert expected["going"] == await told(manager, "going")
        if (await manager.require_state("over")).ledger.deleted is not None:
            await manager.restore("over")
        assert expected["over"] == await told(manager, "over")
        await manager.hold("over", reason="to be compared")
        assert 0 == clean_up(path)
        assert 0 == clean_up(path)
        assert [head_name("going"), head_name("over")] == [
            key for _, key, _ in await documents(store, HEAD)
        ]
        assert not [key for _, key, _ in await documents(store, CHUNK) if "task-gone-" in key]
        assert expected["going"] == await told(manager, "going")
        assert 0 == (await manager.cleanup_old_states()).orphans
    await store.close()
