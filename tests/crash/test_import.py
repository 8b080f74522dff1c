"""An import that is killed anywhere is gone on with, and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from porter import Porter, documents, kinds

from mendloop.core.names import CHUNK, HEAD, QUARANTINE, head_name
from mendloop.manager import StateManager
from mendloop.stores.sqlite import open_sqlite

POINTS = [
    f"{point}:{count}"
    for point in ("chunk-written", "head-decided", "import-told", "head-written")
    for count in (1, 2, 4)
]


def _import(folder: Path, *options: str, crash_at: str = "") -> int:
    kept = {name: v for name, v in os.environ.items() if not name.startswith("MENDLOOP_")}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mendloop", "import", str(folder / "bundle")),
            *("--store", f"sqlite:{folder / 'there.db'}", *options),
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
    assert -signal.SIGKILL == _import(tmp_path, crash_at=point)
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


@pytest.mark.parametrize("point", ["head-decided", "head-set-aside", "import-told", "head-written"])
async def test_a_killed_replacement_keeps_what_was_damaged(tmp_path: Path, point: str) -> None:
    """The damaged state is in the store until its copy is, and the same import again ends it."""
    porter = Porter()
    there = await open_sqlite(tmp_path / "there.db")
    await porter.fill(there, 1)
    (tmp_path / "bundle").write_bytes(await porter.export(there))
    sound = await there.get(HEAD, head_name("job-0"))
    assert sound is not None
    broken = sound.body[:-1]
    await there.replace(sound, broken, fields=sound.fields, labels=sound.labels)

    assert -signal.SIGKILL == _import(tmp_path, "--replace-damaged", crash_at=point)

    killed = await there.get(HEAD, head_name("job-0"))
    assert killed is not None
    async with StateManager(there) as manager:
        copies = await manager.list_copies("job-0")
        assert (point != "head-written") == (broken == killed.body)
        assert (point != "head-decided") == (len(copies) == 1)
        assert 0 == _import(tmp_path, "--replace-damaged")
        [copy] = await manager.list_copies("job-0")
        kept = await there.get(QUARANTINE, copy.name.removeprefix(f"{QUARANTINE}."))
        assert 12 == len(await manager.get_feedback_history("job-0"))
    await there.close()
    assert kept is not None
    assert broken == kept.body
