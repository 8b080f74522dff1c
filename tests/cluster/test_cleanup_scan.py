"""Cleanups of many tasks on a real server: paged, quick, and in bounded memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable

import msgspec
from cleanups import documents
from crew import open_spec
from states import entry

from controlplane import Cluster
from mendloop.cleanup import CleanupTerms
from mendloop.manager import StateManager

_SCAN = """
import asyncio, json, sys, time
from crew import open_spec
from memory import peak_mebibytes
from mendloop.cleanup import CleanupTerms
from mendloop.manager import StateManager

async def main():
    store = await open_spec(sys.argv[1])
    async with StateManager(store) as manager:
        began = time.monotonic()
        report = await manager.cleanup_old_states(CleanupTerms())
        seconds = time.monotonic() - began
    await store.close()
    told = {"scanned": report.scanned, "seconds": seconds, "mebibytes": peak_mebibytes()}
    print(json.dumps(told))

sys.path[:0] = sys.argv[2:]
asyncio.run(main())
"""


class _Scan(msgspec.Struct):
    scanned: int
    seconds: float
    mebibytes: float


async def make_tasks(manager: StateManager, count: int) -> None:
    """Make tasks that nobody runs; one in fifty has a history that has left its head."""
    for first in range(0, count, 50):
        await asyncio.gather(*(manager.create_task(f"t{n}") for n in range(first, first + 50)))
        findings = (entry(f"c{n}", description="long " * 50) for n in range(60))
        await manager.append_feedback(f"t{first}", *findings)


async def test_a_scan_of_many_tasks_is_quick_and_small(
    control_plane: Cluster, direct: str, scaled: Callable[[int, int], int]
) -> None:
    """10,000 tasks are looked at in 10 s and 150 MB; a tenth of them in a tenth of the time, and more."""
    count = scaled(10_000, 1_000)
    store = await open_spec(direct)
    async with StateManager(store) as manager:
        await make_tasks(manager, count)
    await store.close()
    began = time.monotonic()
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _SCAN.replace("sys.path[:0] = sys.argv[2:]\n", ""), direct],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    scan = msgspec.json.decode(done.stdout, type=_Scan)

    print(f"{scan} of {time.monotonic() - began:.1f} s with the start of the process")  # noqa: T201 - a figure
    assert count == scan.scanned
    assert 10 >= scan.seconds
    assert 150 >= scan.mebibytes


async def test_many_tasks_are_removed_in_a_minute(
    control_plane: Cluster, direct: str, scaled: Callable[[int, int], int]
) -> None:
    """10,000 tasks that are past the grace go in 60 s with all that belongs to them, none of them by half."""
    count = scaled(10_000, 1_000)
    store = await open_spec(direct)
    async with StateManager(store) as manager:
        await make_tasks(manager, count)
        terms = CleanupTerms(retention_seconds=0, grace_seconds=0)
        began = time.monotonic()
        assert count == len((await manager.cleanup_old_states(terms)).deleted)
        deleted = time.monotonic()
        report = await manager.cleanup_old_states(terms)
        seconds = time.monotonic() - deleted
        assert [] == await documents(store)
    await store.close()

    print(f"{count} deleted in {deleted - began:.1f} s, and removed in {seconds:.1f} s")  # noqa: T201 - a figure
    assert (count, []) == (len(report.removed), report.failures)
    assert 60 >= seconds
