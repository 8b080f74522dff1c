"""An import that is killed anywhere is gone on with, and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from porter import Porter, documents, kinds

from mendloop.core.names import CHUNK, HEAD
from mendloop.manager import StateManager
from mendloop.stores.sqlite import open_sqlite

POINTS = [
    f"{point}:{count}"
    for point in ("chunk-written", "head-decided", "import-told", "head-written")
    for count in (1, 2, 4)
]


def _import(folder: Path, crash_at: str = "") -> int:
    kept = {name: v for name, v in os.environ.items() if not name.startswith("MENDLOOP_")}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mendloop", "import", str(folder / "bundle")),
            *("--store", f"sqlite:{folder / 'there.db'}"),
        ],
        env=kept | {"XDG_STATE_HOME": str(folder), "MENDLOOP_CRASH_AT": crash_at},
        capture_output=True,
        timeout=60,
        start_new_session=True,
        check=False,
    )
    return done.returncode


@pytest.mark.parametrize("point", POINTS)
async def test_a_killed_import_is_gone_on_with(tmp_path: Path, point: str) -> None:
    """What is there after the kill is whole, and the same import again brings the rest."""
    porter = Porter()
    here = await open_sqlite(tmp_path / "here.db")
    await porter.fill(here, 6)
    bundle = await porter.export(here)
    await here.close()
    (tmp_path / "bundle").write_bytes(bundle)
    assert -signal.SIGKILL == _import(tmp_path, point)
    there = await open_sqlite(tmp_path / "there.db")
    async with StateManager(there) as manager:
        killed = kinds(await porter.export(there))
        for task_id, kind in killed:
            if kind == HEAD:
                assert 12 == len(await manager.get_feedback_history(task_id))
        left = [kind for _, kind in killed]
        assert left.count(HEAD) < 6
        assert CHUNK in left
        assert 0 == _import(tmp_path)
        again = await porter.export(there)
        log = [told.task_id for told in (await manager.read_log()).entries]
        flaws = [verdict.flaws async for verdict in manager.verify_all_records()]
    await there.close()

    assert documents(bundle) == documents(again)
    # An entry is written before its task: that of the killed import stands beside that of the next.
    assert {f"job-{number}" for number in range(6)} == set(log)
    assert (7 if point.startswith("import-told") else 6) == len(log)
    assert [()] * 6 == flaws
