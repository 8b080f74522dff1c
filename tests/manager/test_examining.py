"""Examining all tasks of a store: a healthy one says nothing, in little time and memory; on both stores."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable

import pytest
from faulty_store import FaultyStore
from states import entry, state

from mendloop.core.codec import encode_state
from mendloop.core.names import CHUNK, HEAD, head_name
from mendloop.exporting import Exporter
from mendloop.manager import StateManager
from mendloop.stores.port import Store

Manage = Callable[..., StateManager]


async def test_sound_tasks_have_no_symptoms(
    place: Store, manage: Manage, scaled: Callable[[int, int], int]
) -> None:
    """A store of 1,000 tasks, with and without a history, is examined page by page, with nothing to say."""
    manager, count = manage(place, deadline_seconds=30.0), scaled(1000, 100)

    async def make(number: int) -> None:
        await manager.create_task(f"t{number}")
        findings = (entry(f"c{n}", description="long " * 30) for n in range(number % 80))
        await manager.append_feedback(f"t{number}", *findings)

    for first in range(0, count, 20):
        await asyncio.gather(*map(make, range(first, first + 20)))
    began = time.monotonic()
    diagnoses = [diagnosis async for diagnosis in manage(place).validate_all()]

    print(f"{count} tasks examined in {time.monotonic() - began:.1f} s")  # noqa: T201 - a figure
    assert count == len(diagnoses)
    assert [] == [diagnosis for diagnosis in diagnoses if diagnosis.symptoms]


@pytest.mark.parametrize("label", ["A_B", "a..b"])
async def test_a_label_that_names_no_task_hides_no_other(
    place: Store, manage: Manage, label: str
) -> None:
    """Somebody labelled what lies among the histories with what is no task id: all tasks are looked at."""
    manager = manage(place)
    await place.create(CHUNK, "notes-history-of-ann", b"x", labels={"task-id": label})
    for task_id in ("a", "b"):
        await manager.create_task(task_id)

    assert ["a", "b"] == [diagnosis.task_id async for diagnosis in manager.validate_all()]
    assert ["a", "b"] == [verdict.task_id async for verdict in manager.verify_all_records()]
    assert [] == (await manager.cleanup_old_states()).failures
    assert ["a", "b"] == await Exporter(place).all_tasks()


class _MovingStore(FaultyStore):
    """A writer seals anew what the head pointed at, after that was read and before its chunks are."""

    writer: StateManager | None = None

    async def before(self, operation: str, kind: str) -> None:
        if (operation, kind) == ("list", CHUNK) and self.writer is not None:
            writer, self.writer = self.writer, None
            await writer.compress_feedback_history("t")
            await writer.close()


async def test_a_task_that_moves_while_it_is_examined_is_sound(
    place: Store, manage: Manage
) -> None:
    """What is told is of one moment: a chunk that went with an older head is not missed."""
    writer = manage(place)
    await writer.create_task("t")
    for first in range(0, 120, 40):
        await writer.append_feedback("t", *(entry(f"c{n}") for n in range(first, first + 40)))
    assert (await writer.require_state("t")).ledger.findings.tail is not None
    moving = _MovingStore(place)
    moving.writer = writer
    diagnosis = await manage(moving).validate_state("t")

    assert moving.writer is None
    assert () == diagnosis.symptoms


_EXAMINED = """
import asyncio, sys
from crew import open_spec
from memory import peak_mebibytes
from mendloop.exporting import Exporter
from mendloop.manager import StateManager
async def main():
    store = await open_spec(sys.argv[1])
    async with StateManager(store) as manager:
        before = int(peak_mebibytes())
        found = [diagnosis async for diagnosis in manager.validate_all()]
    await store.close()
    print(len(found), int(peak_mebibytes()) - before)
asyncio.run(main())
"""


async def test_many_full_heads_take_little_memory(place: Store, place_spec: str) -> None:
    """Below 64 MB over the empty process, where each task has all the bytes that a ConfigMap has room for."""
    entries = tuple(entry(f"c{n}", description="long " * 50) for n in range(2500))
    for number in range(24):
        full = encode_state(state(f"t{number}", iteration=1, feedback_history=entries))
        assert 900_000 < len(full) < 1_048_000
        await place.create(HEAD, head_name(f"t{number}"), full)
    measuring = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _EXAMINED, place_spec),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    told, _ = await measuring.communicate()
    found, mebibytes = map(int, told.split())
    assert 24 == found
    print(f"{mebibytes} MiB over the empty process")  # noqa: T201 - a figure
    assert mebibytes < 64
