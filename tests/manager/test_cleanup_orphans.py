"""Chunks that no head points at go, and no other: whoever is paused, whatever becomes of the head; on both stores."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cleanups import DAY_SECONDS, documents, end_task
from clocks import SteppedClock
from faulty_store import CONFLICT, FULL, Fault, FaultyStore, in_turn
from logbooks import logbook_of
from patience import eventually
from states import entry, state

from mendloop.cleanup import CleanupTerms
from mendloop.core.codec import encode_state
from mendloop.core.errors import StateNotFound, StoreFull
from mendloop.core.model import FeedbackEntry, Settings
from mendloop.core.names import CHUNK, HEAD, QUARANTINE, head_name
from mendloop.core.sealed import Sealed
from mendloop.core.sealing import Seal, Sealer
from mendloop.core.shelf import Row, Shelf
from mendloop.core.vocabulary import Status
from mendloop.manager import StateManager
from mendloop.removal import remove_chunks, remove_document
from mendloop.stores.port import Store

Manage = Callable[..., StateManager]

_DRY = CleanupTerms(is_dry_run=True)


@pytest.fixture
def store(place: Store) -> FaultyStore:
    """The test's store, of each kind."""
    return FaultyStore(place)


async def fill(manager: StateManager, first: int, count: int = 60) -> None:
    """Add findings, so many that some leave the head."""
    await manager.append_feedback("t", *map(finding, range(first, first + count)))


def finding(number: int) -> FeedbackEntry:
    return entry(f"c{number}", description=f"finding {number} " * 20)


async def names(manager: StateManager) -> list[str]:
    return [found.pr_comment_id for found in await manager.get_feedback_history("t")]


async def test_what_a_writer_left_behind_is_gone_after_two_cleanups(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """A chunk whose head was never written goes, also of a task in progress; the history stays."""
    await manager.create_task("t", settings=Settings(max_iterations=100))
    await manager.increment_iteration("t")
    await fill(manager, 0)
    before = await documents(store, CHUNK)
    with pytest.raises(StoreFull):
        await fill(manage(FaultyStore(store, in_turn([FULL]))), 60)
    assert len(before) < len(await documents(store, CHUNK))
    reports = [await manager.cleanup_old_states() for _ in range(2)]

    assert 0 < reports[0].orphans
    assert before == await documents(store, CHUNK)
    assert [f"c{n}" for n in range(60)] == await names(manager)


async def test_a_writer_that_is_paused_before_its_head_loses_nothing(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """Two cleanups between its chunk and its head: it is refused, decides again, and all is there."""
    await manager.create_task("t")
    await fill(manager, 0)
    gate = asyncio.Event()
    paused = FaultyStore(store, in_turn([Fault(is_done=False, error=None, until=gate)]))
    writing = asyncio.create_task(fill(manage(paused), 60))
    await eventually(lambda: paused.calls["replace head"] > 0)
    orphans = [(await manager.cleanup_old_states()).orphans for _ in range(2)]
    gate.set()
    await writing

    assert orphans[0] > 0
    assert 0 == orphans[1]
    assert [f"c{n}" for n in range(120)] == await names(manage(store))
    await manager.cleanup_old_states()
    assert [f"c{n}" for n in range(120)] == await names(manage(store))


@pytest.mark.damages
async def test_nothing_is_swept_where_the_head_may_be_wrong(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """Not without a head, nor for a damaged one, one by a writer of the specification, or an old copy."""
    await manager.create_task("t")
    await fill(manager, 0)
    old = await store.get(HEAD, head_name("t"))
    for first in range(60, 300, 60):
        await fill(manager, first)
    await manager.close()  # what it points at no more is gone then
    head = await store.get(HEAD, head_name("t"))
    assert old is not None
    assert head is not None
    chunks = await documents(store, CHUNK)
    spoilt = {
        "damaged": b"{",
        "v1": encode_state(state("t", status=Status.IN_PROGRESS)),
        "old": old.body,
        "newer": head.body.replace(b'"min_writer":', b'"min_writer":9'),
    }
    for name, body in spoilt.items():
        head = await store.replace(head, body)
        report = await manage(store).cleanup_old_states()
        assert (0, []) == (report.orphans, report.failures), name
        assert chunks == await documents(store, CHUNK), name
    await store.delete(head)

    assert 0 == (await manage(store).cleanup_old_states()).orphans
    assert chunks == await documents(store, CHUNK)


@pytest.mark.parametrize(("ahead", "is_swept"), [(0, True), (1, True), (2, False)])
async def test_what_a_loser_left_is_told_from_what_an_old_head_does_not_know(
    ahead: int, store: FaultyStore, manager: StateManager, *, is_swept: bool
) -> None:
    """A lost race seals under the next number at most: what has a higher one is not swept."""
    await manager.create_task("t")
    await fill(manager, 0)
    ledger = (await manager.require_state("t")).ledger
    seal = Seal("t", ledger.incarnation, ledger.commit + ahead, "another")
    sealer = Sealer("findings", Sealed(), Shelf(Sealed(), {}), seal)
    sealer.put_away([Row(0, ("c0",), msgspec.Raw(b"{}"))])
    [left] = sealer.documents
    before = await documents(store, CHUNK)
    await store.create(CHUNK, left.key, left.body, labels=left.labels)
    report = await manager.cleanup_old_states()

    assert int(is_swept) == report.orphans
    assert is_swept == (await documents(store, CHUNK) == before)


async def test_nothing_is_swept_for_a_head_that_misses_a_chunk(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """A copy of the head from one commit before was put back: what is left over is all that is left."""
    await manager.create_task("t")
    await fill(manager, 0)
    old = await store.get(HEAD, head_name("t"))
    await manager.compress_feedback_history("t")
    await manager.close()
    head = await store.get(HEAD, head_name("t"))
    assert old is not None
    assert head is not None
    await store.replace(head, old.body)
    chunks = await documents(store, CHUNK)

    assert 0 == (await manage(store).cleanup_old_states()).orphans
    assert chunks == await documents(store, CHUNK)
    await manage(store).recover_state("t")
    assert [f"c{n}" for n in range(60)] == await names(manage(store))


async def test_nothing_is_swept_by_a_dry_run_or_under_a_head_that_moves(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """The one only counts, the other leaves all to the next cleanup, which takes it."""
    await manager.create_task("t")
    await fill(manager, 0)
    before = await documents(store, CHUNK)
    with pytest.raises(StoreFull):
        await fill(manage(FaultyStore(store, in_turn([FULL]))), 60)
    left = await documents(store)
    report = await manager.cleanup_old_states(_DRY)
    assert 0 < report.orphans
    assert left == await documents(store)
    moving = manage(FaultyStore(store, in_turn([CONFLICT])))
    assert 0 == (await moving.cleanup_old_states()).orphans
    assert left == await documents(store)

    assert report.orphans == (await moving.cleanup_old_states()).orphans
    assert before == await documents(store, CHUNK)


@pytest.mark.damages
async def test_a_dry_run_notes_nothing_of_a_history_without_its_state(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """It names the task, and does not begin the time that the history is kept."""
    await manager.create_task("t")
    await fill(manager, 0)
    await lose_head(store)
    left = await documents(store)

    assert ["t"] == (await manage(store).cleanup_old_states(_DRY)).headless
    assert left == await documents(store)


@pytest.mark.parametrize("label", [{}, {"task-id": "u"}], ids=["stripped", "of another task"])
@pytest.mark.damages
async def test_whose_a_chunk_is_stands_in_its_name(
    label: dict[str, str], store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """Other hands changed the labels: what is left over goes, what counts stays, whoever else goes."""
    clock = SteppedClock()
    keeper = manage(store, clock=clock)
    await end_task(keeper, "u", findings=100)
    await keeper.delete("u", reason="x")
    await manager.create_task("t")
    await fill(manager, 0)
    before = {key for _, key, _ in await documents(store, CHUNK) if "task-t-" in key}
    with pytest.raises(StoreFull):
        await fill(manage(FaultyStore(store, in_turn([FULL]))), 60)
    for chunk in (await store.list(CHUNK)).documents:
        if "task-t-" in chunk.key:
            await store.delete(chunk)
            await store.create(CHUNK, chunk.key, chunk.body, labels=label)
    clock.pass_seconds(2 * DAY_SECONDS)
    report = await keeper.cleanup_old_states()

    assert (["u"], []) == (report.removed, report.failures)
    assert 0 < report.orphans
    assert before == {key for _, key, _ in await documents(store, CHUNK)}
    assert [f"c{n}" for n in range(60)] == await names(manage(store))


async def test_chunks_stay_with_a_task_that_can_be_restored(
    store: FaultyStore, manager: StateManager
) -> None:
    """A removal that finds the deletion taken back, or not final any more, removes nothing."""
    await manager.create_task("t")
    await fill(manager, 0)
    chunks = list((await store.list(CHUNK)).documents)
    await manager.delete("t", reason="x")

    assert await remove_chunks(store, logbook_of(store, "cleanup"), "t", chunks) is None
    assert [chunk.key for chunk in chunks] == [key for _, key, _ in await documents(store, CHUNK)]
    await manager.restore("t")
    assert await remove_chunks(store, logbook_of(store, "cleanup"), "t", chunks) is None
    assert [f"c{n}" for n in range(60)] == await names(manager)


async def test_chunks_of_an_earlier_task_of_that_name_stay_with_it(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """A head that was lost may come back; they go when the task goes."""
    clock = SteppedClock()
    await manager.create_task("t")
    await fill(manager, 0)
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    await store.delete(head)
    chunks = await documents(store, CHUNK)
    keeper = manage(store, clock=clock)
    await end_task(keeper, "t")
    assert 0 == (await keeper.cleanup_old_states()).orphans
    assert chunks == await documents(store, CHUNK)
    await keeper.delete("t", reason="x")
    clock.pass_seconds(2 * DAY_SECONDS)

    assert ["t"] == (await keeper.cleanup_old_states()).removed
    assert [] == await documents(store)


async def lose_head(store: Store) -> None:
    """As `kubectl delete` does."""
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    await store.delete(head)


async def test_a_history_without_its_state_waits_to_be_brought_back(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """Cleanups name it and leave it for a month, which begins anew where it is lost again; then it goes."""
    clock = SteppedClock()
    keeper = manage(store, clock=clock)
    await manager.create_task("t")
    await fill(manager, 0)
    await lose_head(store)
    for days in (29.9, 20.0):
        assert ["t"] == (await keeper.cleanup_old_states()).headless
        clock.pass_seconds(days * DAY_SECONDS)
        report = await keeper.cleanup_old_states()
        assert (["t"], [], []) == (report.headless, report.removed, report.failures)
        await manage(store).recover_state("t")
        assert 40 < len(await names(manage(store)))
        await lose_head(store)
    assert ["t"] == (await keeper.cleanup_old_states()).headless
    clock.pass_seconds(30.1 * DAY_SECONDS)
    left = await documents(store)
    assert ["t"] == (await keeper.cleanup_old_states(_DRY)).headless
    assert left == await documents(store)

    assert ["t"] == (await keeper.cleanup_old_states()).removed
    assert [] == await documents(store)
    await manage(store).create_task("t")
    assert [] == await names(manage(store))


async def test_what_a_writer_leaves_behind_after_its_task_is_gone_goes_too(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """A chunk that comes once its task was removed is found by the next cleanups."""
    clock = SteppedClock()
    keeper = manage(store, clock=clock)
    await manager.create_task("t")
    gate = asyncio.Event()
    late = Fault(is_done=False, error=None, until=gate)
    paused = FaultyStore(store, in_turn([late], kind=CHUNK))
    writing = asyncio.create_task(fill(manage(paused), 0))
    await eventually(lambda: paused.calls["create chunk"] > 0)
    await keeper.delete("t", reason="x")
    clock.pass_seconds(2 * DAY_SECONDS)
    assert ["t"] == (await keeper.cleanup_old_states()).removed
    gate.set()
    with pytest.raises(StateNotFound):
        await writing
    assert 1 == len(await documents(store))
    assert ["t"] == (await keeper.cleanup_old_states()).headless
    clock.pass_seconds(31 * DAY_SECONDS)

    assert ["t"] == (await keeper.cleanup_old_states()).removed
    assert [] == await documents(store)


class _BegunAnewStore(FaultyStore):
    """Somebody makes the task anew, just after its head was looked for and not found."""

    async def after(self, operation: str, kind: str, answer: Any) -> None:
        if (operation, kind, answer) == ("get", HEAD, None):
            async with StateManager(self._store) as other:
                await other.create_task("t")


async def test_who_makes_a_task_anew_has_it_whatever_is_removed(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """A cleanup that was about to remove the history of an earlier task leaves the new one as it is."""
    clock = SteppedClock()
    await manager.create_task("t")
    await fill(manager, 0)
    await lose_head(store)
    await manage(store, clock=clock).cleanup_old_states()
    clock.pass_seconds(31 * DAY_SECONDS)
    report = await manage(_BegunAnewStore(store), clock=clock).cleanup_old_states()

    assert ([], [], []) == (report.removed, report.failures, report.headless)
    assert 1 == await manage(store).increment_iteration("t")
    assert 1 < len(await documents(store))


async def test_nothing_of_a_removed_task_is_left_in_the_file(
    open_store: Callable[[], Awaitable[Store]], manage: Manage, path: Path
) -> None:
    """Not in the database and not in SQLite's log, also while the store stays open."""
    clock = SteppedClock()
    store = await open_store()
    keeper = manage(store, clock=clock)
    await keeper.create_task("t")
    description = "marker-in-plain-text"
    await keeper.append_feedback("t", entry(description=description))
    await store.create(QUARANTINE, "task-t-quarantine-1", b"marker-in-a-copy")
    await keeper.delete("t", reason="what the log keeps")
    wal = path.with_name(path.name + "-wal")
    assert description.encode() in path.read_bytes() + wal.read_bytes()
    await keeper.cleanup_old_states()
    clock.pass_seconds(40 * DAY_SECONDS)
    report = await keeper.cleanup_old_states()

    assert (["t"], 1, []) == (report.removed, report.quarantined, report.failures)
    assert b"marker" not in path.read_bytes()
    assert b"marker" not in wal.read_bytes()


async def test_a_hold_survives_a_whole_state(manager: StateManager) -> None:
    """Who writes a whole state neither ends a hold nor makes one."""
    await manager.create_task("t")
    await manager.hold("t", reason="evidence")
    read = await manager.require_state("t")
    free = msgspec.structs.replace(read, mendloop=msgspec.structs.replace(read.ledger, hold=None))
    await manager.create_or_update_state(free)

    assert (await manager.require_state("t")).ledger.hold == read.ledger.hold


async def test_what_nobody_writes_any_more_goes_though_somebody_has_labelled_it(
    place: Store,
) -> None:
    """A label that came after the listing keeps it no more; what is gone already is no failure."""
    listed = await place.create(QUARANTINE, "task-t-quarantine-1", b"x")
    await place.replace(listed, b"x", labels={"team": "one"})
    for _ in range(2):
        await remove_document(place, listed)
        assert await place.get(QUARANTINE, "task-t-quarantine-1") is None
