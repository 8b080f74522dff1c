"""Every commit can be read back in order, and what is missing or damaged is named."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

import msgspec
import pytest
from drive import report
from faulty_store import FULL, LOST_ANSWER, Fault, FaultyStore, in_turn
from states import entry, holder

from mendloop.core import commands
from mendloop.core.codec import digest
from mendloop.core.commits import CHANGES_KEPT, COMMITS_KEPT, SEAL_BATCH
from mendloop.core.errors import HistoryDamaged, StateError, StoreFull
from mendloop.core.model import Commit, Ledger, RemediationState, Settings
from mendloop.core.sealed import SealedChunk
from mendloop.core.sealing import sealed_key
from mendloop.core.vocabulary import StepKind
from mendloop.manager import StateManager
from mendloop.stores.port import Document

Manage = Callable[..., StateManager]
_FULL = COMMITS_KEPT + SEAL_BATCH
"""With so many commits in the head the next one seals a chunk."""
_MANY = Settings(max_iterations=100_000)


async def stored(manager: StateManager) -> tuple[RemediationState, Ledger]:
    """The task as it is stored."""
    state = await manager.get_state("t")
    assert state is not None
    assert isinstance(state.mendloop, Ledger)
    return state, state.mendloop


async def commits(manager: StateManager, *, after: int = 0) -> list[Commit]:
    """All commits of the task."""
    state, _ = await stored(manager)
    return [commit async for commit in manager.commits(state, after=after)]


async def counted(manager: StateManager, count: int) -> None:
    """Make the task, with so many iterations."""
    await manager.create_task("t", settings=_MANY)
    for number in range(1, count + 1):
        assert number == await manager.increment_iteration("t", op_id=f"op{number}")


async def test_commits_come_in_order_across_chunks(
    manager: StateManager, manage: Manage, store: FaultyStore, scaled: Callable[[int, int], int]
) -> None:
    """Each number once, with its result, whether it is in the head or in a chunk."""
    count = scaled(3000, 700)
    await counted(manager, count)
    _, ledger = await stored(manager)
    assert ledger.log.chunks
    for reader in (manager, manage(store)):
        told = await commits(reader)
        assert list(range(1, count + 2)) == [commit.number for commit in told]
        results = [change.result for commit in told for change in commit.changes]
        assert [{}, *({"iteration": n} for n in range(1, count + 1))] == results
        assert list(range(41, count + 2)) == [c.number for c in await commits(reader, after=40)]
        assert [] == await commits(reader, after=count + 1)


async def test_the_head_stays_small(manager: StateManager) -> None:
    """The head remembers the last commits and not all of them."""
    await counted(manager, 900)
    _, ledger = await stored(manager)
    assert COMMITS_KEPT <= len(ledger.commits) <= _FULL
    assert 1 == len(ledger.log.chunks)
    assert 1 == ledger.log.chunks[0].first
    assert ledger.log.tail is not None
    assert ledger.log.chunks[0].last + 1 == ledger.log.tail.first
    assert ledger.log.tail.last + 1 == ledger.commits[0].number


async def test_each_commit_names_the_content_that_it_left(manager: StateManager) -> None:
    """Numbers rise by one, and the digest of the last commit is that of the stored state."""
    steps: list[Callable[[], object]] = [
        lambda: manager.create_task("t", settings=Settings(budget_seconds=60, max_iterations=9)),
        lambda: manager.increment_iteration("t"),
        lambda: manager.append_feedback("t", entry("c1"), entry("c2")),
        lambda: manager.pause("t", reason="r"),
        lambda: manager.resume("t", max_iterations=20),
        lambda: manager.submit(
            "t", commands.AcquireLease(holder=holder(), ttl_seconds=30, boottime_seconds=1)
        ),
        lambda: manager.submit(
            "t", commands.BeginStep(generation=1, kind=StepKind.REVIEW, tree="x")
        ),
        lambda: manager.submit("t", commands.RecordReview(generation=1, reports=(report("a"),))),
        lambda: manager.stop("t", reason="r"),
    ]
    number = 0
    for step in steps:
        await step()  # type: ignore[misc]
        state, ledger = await stored(manager)
        last = ledger.commits[-1]
        assert digest(state) == last.digest
        assert last.number == ledger.commit == number + 1
        number = ledger.commit


async def test_changes_tell_who_did_what_by_which_door(store: FaultyStore, manage: Manage) -> None:
    """A commit keeps the caller, the door and the operation id."""
    manager = manage(store, by="bea", door="webhook")
    await manager.increment_iteration("t", op_id="delivery-7")
    [commit] = await commits(manager)
    [change] = commit.changes
    assert ("increment", "bea", "webhook", "delivery-7") == (
        change.do,
        change.by,
        change.door,
        change.op_id,
    )
    assert {"iteration": 1, "limit": 10} == change.facts


async def chunk_of(store: FaultyStore, ledger: Ledger) -> tuple[SealedChunk, Document]:
    """The sealed chunk of the oldest commits, as it is stored."""
    [ref] = ledger.log.chunks
    document = await store.get("chunk", sealed_key("t", ledger.incarnation, ref))
    assert document is not None
    return ref, document


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "other"])
@pytest.mark.damages
async def test_a_missing_or_damaged_chunk_is_named(
    store: FaultyStore, manager: StateManager, manage: Manage, damage: str
) -> None:
    """Reading history over it fails with its commits; the task itself goes on."""
    await counted(manager, 700)
    _, ledger = await stored(manager)
    ref, document = await chunk_of(store, ledger)
    tail = await store.get("chunk", sealed_key("t", ledger.incarnation, ledger.log.tail))
    assert tail is not None
    await store.delete(document)
    if damage != "missing":
        body = {
            "cut": document.body[:-1],
            "flipped": bytes([document.body[0] ^ 1]) + document.body[1:],
            "other": tail.body,
        }[damage]
        await store.create("chunk", document.key, body, labels=document.labels)
    reader = manage(store)
    with pytest.raises(HistoryDamaged, match=document.key) as caught:
        await commits(reader)
    assert ("t", ref.first, ref.last) == (
        caught.value.task_id,
        caught.value.first,
        caught.value.last,
    )
    assert ledger.commit - ref.last == len(await commits(reader, after=ref.last))
    assert 701 == await reader.increment_iteration("t")


@pytest.mark.damages
async def test_an_old_id_is_not_guessed_at_over_a_damaged_chunk(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """Where the chunk that may hold an operation cannot be read, it is not done again."""
    await counted(manager, 700)
    _, ledger = await stored(manager)
    await store.delete((await chunk_of(store, ledger))[1])
    with pytest.raises(HistoryDamaged):
        await manage(store).increment_iteration("t", op_id="op3")
    assert 700 == await manager.get_current_iteration("t")


@pytest.mark.damages
async def test_a_new_id_needs_no_damaged_chunk(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """An operation that no index knows, or that the head answers, is not refused for the damage."""
    await counted(manager, 700)
    _, ledger = await stored(manager)
    await store.delete((await chunk_of(store, ledger))[1])
    assert 700 == await manage(store).increment_iteration("t", op_id="op700")
    assert 701 == await manage(store).increment_iteration("t", op_id="new")


@pytest.mark.parametrize("fault", [FULL, LOST_ANSWER])
async def test_a_chunk_without_its_head_does_no_harm(
    store: FaultyStore, manager: StateManager, manage: Manage, fault: Fault
) -> None:
    """A crash between chunk and head leaves an orphan; the next write succeeds and nothing is lost."""
    await counted(manager, _FULL - 1)
    _, ledger = await stored(manager)
    assert ledger.log.tail is None
    store.choose = in_turn([fault], kind="head")
    try:
        await manager.increment_iteration("t", op_id="next")
    except StoreFull:
        assert 1 == len((await store.list("chunk")).documents)
        assert _FULL - 1 == await manager.get_current_iteration("t")
    other = manage(store)
    assert _FULL == await other.increment_iteration("t", op_id="next")
    assert _FULL + 1 == await other.increment_iteration("t", op_id="after")
    assert list(range(1, _FULL + 3)) == [commit.number for commit in await commits(other)]


async def test_another_writer_after_a_crash_makes_its_own_chunk(
    store: FaultyStore, manage: Manage
) -> None:
    """An orphan of one decision is never taken for the chunk of another."""
    one, other = manage(store), manage(store)
    await counted(one, _FULL - 2)
    store.choose = in_turn([None, FULL], kind="head")
    await one.increment_iteration("t")
    with pytest.raises(StoreFull):
        await one.increment_iteration("t")
    await other.append_feedback("t", *(entry(f"c{n}") for n in range(9)))
    assert _FULL == await other.increment_iteration("t")
    for document in (await store.list("chunk")).documents:
        assert hashlib.sha256(document.body).hexdigest()[:16] == document.key[-16:]
    assert list(range(1, _FULL + 3)) == [commit.number for commit in await commits(one)]


async def test_a_broken_chunk_write_leaves_the_head_as_it_was(
    store: FaultyStore, manager: StateManager
) -> None:
    """The head never points at a chunk that is not there."""
    await counted(manager, _FULL - 1)
    store.choose = in_turn([FULL], kind="chunk")
    with pytest.raises(StateError):
        await manager.increment_iteration("t")
    assert _FULL - 1 == await manager.get_current_iteration("t")
    store.choose = in_turn([LOST_ANSWER], kind="chunk")
    assert _FULL == await manager.increment_iteration("t")
    assert _FULL + 1 == len(await commits(manager))


async def test_a_task_made_anew_does_not_read_the_old_ones_history(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """Chunks of a task that was deleted are not the history of its namesake."""
    await counted(manager, 150)
    document = await store.get("head", "task-t-state")
    assert document is not None
    await store.delete(document)
    other = manage(store)
    await counted(other, 150)
    assert list(range(1, 152)) == [commit.number for commit in await commits(other)]
    assert 2 == len({d.labels["incarnation"] for d in (await store.list("chunk")).documents})


async def test_folds_of_many_changes_are_sealed_within_the_budget(manager: StateManager) -> None:
    """However much is folded, the head holds a bounded number of changes, and all are in the history."""
    await manager.create_task("t", settings=_MANY)
    for _ in range(20):
        await asyncio.gather(*(manager.increment_iteration("t") for _ in range(64)))
        _, ledger = await stored(manager)
        assert sum(len(commit.changes) for commit in ledger.commits) <= CHANGES_KEPT
        assert len(msgspec.json.encode(ledger.commits)) <= 300 * CHANGES_KEPT
    numbers = [
        change.result["iteration"]
        for commit in await commits(manager, after=1)
        for change in commit.changes
    ]
    assert list(range(1, 1281)) == sorted(numbers)
