"""A process that is killed while it seals findings has lost none, and doubled none."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mendloop.manager import StateManager
from mendloop.stores.sqlite import open_sqlite

COMPACTOR = Path(__file__).with_name("compactor.py")
COUNT = 130
_LAST_MET = {"chunk-written": 15, "chunk-removed": 10, "head-decided": 120, "head-written": 120}
"""So often each point is met at least."""


def work(path: Path, *, crash_at: str = "") -> tuple[int, int]:
    """Let a process bring the findings; returns its exit code and how many it told to be there."""
    environment = os.environ | ({"MENDLOOP_CRASH_AT": crash_at} if crash_at else {})
    done = subprocess.run(
        [sys.executable, str(COMPACTOR), str(path), str(COUNT)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        start_new_session=True,
    )
    return done.returncode, len(done.stdout.split())


async def names(path: Path) -> list[str]:
    """The findings that are there, in order."""
    store = await open_sqlite(path)
    async with StateManager(store) as manager:
        found = [entry.pr_comment_id for entry in await manager.get_feedback_history("t")]
    await store.close()
    return found


@pytest.mark.parametrize("point", _LAST_MET)
async def test_killed_between_chunk_and_head_nothing_is_lost(
    point: str, tmp_path: Path, scaled: Callable[[int, int], int]
) -> None:
    """At any time at each point: all that was told is there once, and the next process goes on."""
    path = tmp_path / "state.db"
    for seed in range(scaled(20, 3)):
        place = random.Random(f"{point} {seed}").randint(1, _LAST_MET[point])
        code, told = work(path, crash_at=f"{point}:{place}")
        assert -signal.SIGKILL == code
        there = await names(path)
        assert [f"c{number}" for number in range(len(there))] == there
        assert told <= len(there) <= told + 1
        assert (0, COUNT) == work(path)
        assert [f"c{number}" for number in range(COUNT)] == await names(path)
        for file in tmp_path.iterdir():
            file.unlink()
