"""The log of what no record of a task tells: who removed it, and who imported it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from cleanups import DAY_SECONDS, documents, end_task
from clocks import SteppedClock
from faulty_store import DOWN, Fault, FaultyStore
from porter import Porter
from states import entry

from mendloop.cleanup import CleanupTerms
from mendloop.core.errors import RevisionConflict
from mendloop.core.logbook import Actor, Entry
from mendloop.core.model import Settings
from mendloop.core.names import AUDIT, CHUNK, HEAD
from mendloop.core.text import redact_secrets
from mendloop.logbook import Logbook
from mendloop.manager import StateManager
from mendloop.stores.port import Store
from mendloop.stores.sqlite import open_sqlite

Manage = Callable[..., StateManager]

AT_ONCE = CleanupTerms(retention_seconds=0, grace_seconds=0)


async def logged(manager: StateManager, task_id: str = "") -> list[Entry]:
    """All entries, read two a page."""
    found: list[Entry] = []
    cursor: str | None = None
    while True:
        page = await manager.read_log(task_id, limit=2, cursor=cursor)
        found += page.entries
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("findings", [0, 100])
async def test_a_removal_says_who_when_why_and_where_the_records_ended(
    place: Store, manage: Manage, findings: int
) -> None:
    """One entry a task, with the end of its chain, whether it had a history or not."""
    manager = manage(place)
    await end_task(manager, "t", findings=findings)
    await manager.delete("t", reason="a duplicate")
    before = await manager.verify_records("t")
    await manager.acting_for("bob", door="service").cleanup_old_states(AT_ONCE)
    [told] = await logged(manager)

    assert await manager.get_state("t") is None
    assert ("remove", "t", "bob", "cleanup") == (told.do, told.task_id, told.by, told.door)
    assert "deleted by ann: a duplicate" == told.why
    assert told.deleted_at is not None
    assert told.deleted_at <= told.at
    # What has a history says first, in its own records, that its removal begins.
    begun = 1 if findings else 0
    assert (before.records + begun, before.chained + begun) == (told.from_commit, told.chained)
    assert begun == (before.head != told.head)
    assert 0 == told.to_commit


async def test_cleanups_at_once_leave_one_entry_a_task(place: Store, manage: Manage) -> None:
    """Whoever is quicker, each removal is told once."""
    manager = manage(place)
    for number in range(6):
        await end_task(manager, f"t{number}", findings=50 * (number % 2))
        await manager.delete(f"t{number}", reason="x")
    await asyncio.gather(*(manage(place).cleanup_old_states(AT_ONCE) for _ in range(3)))
    await manager.cleanup_old_states(AT_ONCE)

    assert [f"t{number}" for number in range(6)] == [told.task_id for told in await logged(manager)]
    assert () == (await manager.list_tasks()).tasks


class _Reviving(FaultyStore):
    """A store in which somebody restores the task as soon as its removal is written down."""

    def __init__(self, store: Store, revive: Callable[[], Awaitable[None]]) -> None:
        super().__init__(store)
        self._revive = revive

    async def after(self, operation: str, kind: str, answer: Any) -> None:
        if (operation, kind) == ("create", AUDIT):
            await self._revive()


async def test_a_task_that_was_revived_meanwhile_is_not_told_as_removed(
    place: Store, manage: Manage
) -> None:
    """The entry was written before; it is taken back, and the task is as it was."""
    manager = manage(place)
    await end_task(manager, "t")
    await manager.delete("t", reason="x")
    reviving = _Reviving(place, lambda: manager.restore("t"))
    report = await manage(reviving).cleanup_old_states(AT_ONCE)

    assert [] == report.removed
    assert (await manager.require_state("t")).ledger.deleted is None
    assert [] == await logged(manager)


async def test_the_log_has_a_retention_of_its_own(place: Store, manage: Manage) -> None:
    """An entry goes a year after it was made, unless it has the label hold."""
    clock = SteppedClock()
    manager = manage(place, clock=clock)
    for task_id in ("t", "u"):
        await end_task(manager, task_id)
        await manager.delete(task_id, reason="x")
    await manager.cleanup_old_states(AT_ONCE)
    [kept] = [d for d in (await place.list(AUDIT)).documents if d.labels["task-id"] == "u"]
    await place.replace(kept, kept.body, labels={"hold": "evidence"})
    clock.pass_seconds(364 * DAY_SECONDS)
    early = await manager.cleanup_old_states()
    clock.pass_seconds(2 * DAY_SECONDS)
    late = await manager.cleanup_old_states()

    assert (0, 1) == (early.logged, late.logged)
    assert ["u"] == [told.task_id for told in await logged(manager)]


async def test_a_damaged_entry_is_told(place: Store, manage: Manage) -> None:
    """It is listed with what is known of it, and hides no other."""
    manager = manage(place)
    for task_id in ("t", "u"):
        await end_task(manager, task_id)
        await manager.delete(task_id, reason="x")
        await manager.cleanup_old_states(AT_ONCE)
    document = (await place.list(AUDIT, labels={"task-id": "t"})).documents[0]
    await place.replace(document, b'{"do":')

    assert [("unreadable", "t"), ("remove", "u")] == [
        (told.do, told.task_id) for told in await logged(manager)
    ]
    assert ["u"] == [told.task_id for told in await logged(manager, "u")]


@pytest.mark.parametrize("findings", [0, 100])
async def test_nothing_goes_that_could_not_be_told(
    place: Store, manage: Manage, findings: int
) -> None:
    """Where the log does not take the entry, the task stays with its history until it does."""
    store = FaultyStore(place)
    manager = manage(store)
    await end_task(manager, "t", findings=findings)
    await manager.delete("t", reason="a duplicate")
    chunks = await documents(place, CHUNK)
    store.choose = lambda operation, kind: DOWN if (operation, kind) == ("create", AUDIT) else None
    report = await manager.cleanup_old_states(AT_ONCE)

    assert (["t"], []) == ([failure.task_id for failure in report.failures], report.removed)
    assert await manager.get_state("t") is not None
    kept = {key for _, key, _ in await documents(place, CHUNK)}
    assert {key for _, key, _ in chunks} <= kept
    store.choose = lambda _operation, _kind: None
    assert ["t"] == (await manager.cleanup_old_states(AT_ONCE)).removed
    assert ["t"] == [told.task_id for told in await logged(manager)]


async def test_a_task_that_others_removed_meanwhile_stays_told(
    place: Store, manage: Manage
) -> None:
    """Where it is gone by other hands the moment before, the log says where its records ended all the same."""
    store = FaultyStore(place)
    manager = manage(store)
    await end_task(manager, "t")
    await manager.delete("t", reason="a duplicate")
    gone = Fault(is_done=True, error=lambda: RevisionConflict("it is gone"))
    store.choose = lambda operation, kind: gone if (operation, kind) == ("delete", HEAD) else None
    report = await manager.cleanup_old_states(AT_ONCE)

    assert [] == report.failures
    assert await manager.get_state("t") is None
    assert [("remove", "t")] == [(told.do, told.task_id) for told in await logged(manager)]


async def test_an_import_is_told_once_and_only_where_something_came(
    place: Store, manage: Manage, tmp_path: Any
) -> None:
    """Created and brought up to date: from which commit to which; what is there already leaves nothing."""
    source = await open_sqlite(tmp_path / "source.db")
    porter = Porter()
    async with StateManager(source, by="ann") as manager:
        await manager.create_task("t", settings=Settings(max_iterations=99))
        first = await porter.export(source)
        await manager.append_feedback("t", entry())
        second = await porter.export(source)
        verdict = await manager.verify_records("t")
    await source.close()
    await asyncio.gather(*(porter.import_(place, first) for _ in range(3)))
    for bundle in (first, second, second):
        await porter.import_(place, bundle)
    told = await logged(manage(place))
    arrived = await manage(place).verify_records("t")

    assert [("import", "ann", "import", 0, 1), ("import", "ann", "import", 1, 2)] == [
        (one.do, one.by, one.door, one.from_commit, one.to_commit) for one in told
    ]
    assert (verdict.head, 2) == (told[1].head, told[1].chained)
    assert ["", True] == [told[0].revision, bool(told[1].revision)]
    assert verdict == arrived


async def test_cleanups_record_their_own_door(place: Store, manage: Manage) -> None:
    """What a cleanup deletes says so, and who ran it, whoever the manager acts for."""
    manager = manage(place, door="cli")
    await end_task(manager, "t")
    await manager.acting_for("bob", door="service").cleanup_old_states(
        CleanupTerms(retention_seconds=0)
    )
    last = (await manager.require_state("t")).ledger.commits[-1].changes[-1]

    assert ("delete", "bob", "cleanup") == (last.do, last.by, last.door)


def test_the_name_of_who_removes_has_no_secret(place: Store) -> None:
    """Whatever an account is called, no token is kept in the log."""
    actor = Actor("ann ghp_" + "a1B2" * 9, "cleanup")
    logbook = Logbook(place, actor=actor, clock=SteppedClock(), redact=redact_secrets)

    assert Actor("ann [redacted: github token]", "cleanup") == logbook.actor


async def test_an_entry_is_one_line_and_one_that_is_taken_back_another(
    place: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Who goes on with a removal tells it no second time; who keeps lines learns that it was not done."""
    caplog.set_level("INFO", "mendloop.audit")
    clock = SteppedClock()
    logbook = Logbook(place, actor=Actor("ann", "cleanup"), clock=clock, redact=redact_secrets)
    told = Entry(do="remove", task_id="t", at=clock.now(), by="ann", door="cleanup", op_id="0" * 16)
    written = await logbook.write(told)
    assert await logbook.write(told) is None
    await logbook.withdraw(written)

    lines = [vars(line)["do"] for line in caplog.records if line.name == "mendloop.audit"]
    assert ["remove", "not_remove"] == lines
    assert () == (await logbook.page("", limit=1, cursor=None)).entries
