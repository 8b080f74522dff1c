"""Damaged rows that are no task's state: a repair that is cut short anywhere is done by the next one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from faulty_store import DOWN, LOST_ANSWER, Fault, FaultyStore
from rot import rot, rows

from mendloop.clock import SystemClock
from mendloop.core.errors import StateNotFound, StoreUnavailable
from mendloop.core.logbook import UNREADABLE, Actor, import_entry
from mendloop.core.names import AUDIT, HEADLESS, QUARANTINE, QUEUE
from mendloop.core.quarantine import MADE_AT
from mendloop.core.text import no_redaction
from mendloop.logbook import Logbook
from mendloop.manager import StateManager
from mendloop.stores.sqlite import open_sqlite

KINDS = (QUARANTINE, HEADLESS, QUEUE, AUDIT)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the store."""
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[FaultyStore]:
    """A store with one row of each kind, and an entry of the log."""
    store = FaultyStore(await open_sqlite(path))
    own = {"task-id": "t"}
    await store.create(QUARANTINE, "task-t-quarantine-0123456789abcdef", b"{}", labels=own)
    await store.create(HEADLESS, "task-t-state", b"", fields={"made_at": "2026"}, labels=own)
    await store.create(QUEUE, "1-a-1", b"[]")
    clock, actor = SystemClock(), Actor("ann", "import")
    token = "0123456789abcdef"  # noqa: S105 - names an entry
    entry = import_entry("t", b"{}", None, revision="", actor=actor, now=clock.now(), token=token)
    await Logbook(store, actor=actor, clock=clock, redact=no_redaction).write(entry)
    yield store
    await store.close()


@pytest.mark.parametrize("fault", [DOWN, LOST_ANSWER])
@pytest.mark.parametrize("step", ["create", "write"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_repair_that_is_cut_short_is_done_by_the_next_one(
    kind: str, step: str, fault: Fault, store: FaultyStore, path: Path
) -> None:
    """There is one copy of the row in the end, it is never gone without one, and no other is touched."""
    key = rot(path, kind, "the digest")
    before = rows(path)
    operations = {"create"} if step == "create" else {"replace", "delete"}
    async with StateManager(store) as manager:
        (diagnosis,) = [found async for found in manager.validate_rows()]
        store.choose = lambda operation, _kind: fault if operation in operations else None
        with pytest.raises(StoreUnavailable):
            await manager.mend_row(diagnosis.task_id)
        store.choose = lambda _operation, _kind: None
        is_kept = any(name[0] == QUARANTINE for name in rows(path).keys() - before.keys())
        assert is_kept or rows(path) == before
        if [found async for found in manager.validate_rows()]:
            await manager.mend_row(diagnosis.task_id)
        assert [] == [found async for found in manager.validate_rows()]

    after = rows(path)
    assert f"{kind}.{key}" == diagnosis.task_id
    (copy,) = after.keys() - before.keys()
    assert before[kind, key][-1] == after[copy][-1]
    gone = before.items() - after.items()
    assert {(kind, key)} == {name for name, _ in gone}


async def test_the_log_tells_of_an_entry_that_was_damaged(store: FaultyStore, path: Path) -> None:
    """Before a repair that it cannot be read; after it where its copy is."""
    rot(path, AUDIT, "the digest")
    async with StateManager(store) as manager:
        (before,) = (await manager.read_log()).entries
        (diagnosis,) = [found async for found in manager.validate_rows()]
        recovery = await manager.mend_row(diagnosis.task_id)
        (after,) = (await manager.read_log("t")).entries
        (kept,) = (await store.list(AUDIT)).documents

    assert datetime.fromisoformat(kept.fields[MADE_AT]) > before.at
    assert (UNREADABLE, "t") == (before.do, before.task_id)
    assert (UNREADABLE, "t") == (after.do, after.task_id)
    assert after.why == f"{before.why}; a copy is kept as {recovery.quarantined[0]}"


async def test_a_sound_row_is_not_mended(store: FaultyStore, path: Path) -> None:
    """Nothing is changed, and what is no such row is refused."""
    async with StateManager(store) as manager:
        await manager.create_task("t")
        before = rows(path)
        assert not (await manager.mend_row("queue.1-a-1")).is_changed
        for name in ("queue.2-a-1", "head.task-t-state", "note.1", ""):
            with pytest.raises(StateNotFound):
                await manager.mend_row(name)

    assert before == rows(path)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_repair_tells_what_is_lost_and_whose_the_copy_is(
    kind: str, store: FaultyStore, path: Path
) -> None:
    """Beforehand as afterwards; of what only says that a state is missing nothing is lost."""
    rot(path, kind, "the digest")
    async with StateManager(store) as manager:
        (diagnosis,) = [found async for found in manager.validate_rows()]
        before = rows(path)
        foreseen = await manager.mend_row(diagnosis.task_id, is_dry_run=True)
        assert before == rows(path)
        recovery = await manager.mend_row(diagnosis.task_id)
        copies = (await store.list(QUARANTINE)).documents

    assert (foreseen.is_changed, foreseen.quarantined) == (False, ())
    assert (foreseen.repaired, foreseen.lost) == (recovery.repaired, recovery.lost)
    assert (kind == HEADLESS) == (recovery.lost == ())
    (copy,) = [one for one in copies if one.key.endswith(recovery.quarantined[0].split("-")[-1])]
    assert ("" if kind == QUEUE else "t") == copy.labels.get("task-id", "")
