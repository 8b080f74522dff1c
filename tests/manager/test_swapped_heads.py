"""Heads that stand under each other's name: each task gets its own back, and nothing of the other's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from faulty_store import FaultyStore
from states import entry

from mendloop.core.errors import DeserializationError
from mendloop.core.evidence import members_of
from mendloop.core.names import CHUNK, HEAD, QUARANTINE, head_name
from mendloop.core.vocabulary import Life
from mendloop.lease import RunLease
from mendloop.manager import StateManager
from mendloop.runners.identity import this_process
from mendloop.stores.port import Document, Store

Manage = Callable[..., StateManager]

SMALL, LARGE = 3, 200


async def filled(manager: StateManager, task_id: str, count: int) -> None:
    """Make a task with so many findings, of which the first is dismissed."""
    for first in range(0, count, 10):
        await manager.increment_iteration(task_id, max_iterations=1000)
        names = range(first, min(first + 10, count))
        await manager.append_feedback(task_id, *(entry(f"{task_id}-{n}") for n in names))
    await manager.judge(task_id, Life.DISMISSED, f"{task_id}-0", reason="noise")


async def head_of(store: Store, task_id: str) -> Document:
    """The stored head."""
    head = await store.get(HEAD, head_name(task_id))
    assert head is not None
    return head


async def swap(store: Store, *, with_fields: bool) -> None:
    """Have two heads change places, with or without what stands beside them."""
    a, b = await head_of(store, "a"), await head_of(store, "b")
    for to, given in ((a, b), (b, a)):
        await store.replace(to, given.body, fields=given.fields if with_fields else None)


async def findings(manager: StateManager, task_id: str) -> dict[str, bool]:
    """Whether each finding of the task is open, in order."""
    history = await manager.get_feedback_history(task_id)
    return {found.pr_comment_id: not found.resolved for found in history}


def numbered(task_id: str, count: int) -> dict[str, bool]:
    """The same as it is to be."""
    return {f"{task_id}-{n}": n > 0 for n in range(count)}


@pytest.mark.parametrize("with_fields", [True, False])
@pytest.mark.parametrize("counts", [(SMALL, SMALL), (SMALL, LARGE), (LARGE, LARGE)])
async def test_swapped_heads_are_brought_back_whole(
    counts: tuple[int, int], place: Store, manage: Manage, *, with_fields: bool
) -> None:
    """Whichever is repaired first: all findings, lives and numbers are back, and nothing is lost."""
    sizes = dict(zip("ab", counts, strict=True))
    for task_id, count in sizes.items():
        await filled(manage(place), task_id, count)
    before = {task_id: await manage(place).require_state(task_id) for task_id in sizes}
    bodies = {(await head_of(place, task_id)).body for task_id in sizes}
    await swap(place, with_fields=with_fields)
    with pytest.raises(DeserializationError, match="mendloop doctor a --repair"):
        await manage(place).increment_iteration("a")

    foreseen = [await manage(place).recover_state(task_id, is_dry_run=True) for task_id in sizes]
    repaired = [await manage(place).recover_state(task_id) for task_id in sizes]

    assert [(), (), (), ()] == [recovery.lost for recovery in (*foreseen, *repaired)]
    assert bodies <= {document.body for document in (await place.list(QUARANTINE)).documents}
    for task_id, count in sizes.items():
        assert () == (await manage(place).validate_state(task_id)).symptoms
        assert numbered(task_id, count) == await findings(manage(place), task_id)
        state = await manage(place).require_state(task_id)
        was = before[task_id]
        assert (was.ledger.incarnation, was.ledger.commit + 1) == (
            state.ledger.incarnation,
            state.ledger.commit,
        )
        assert state.ledger.lease.generation > was.ledger.lease.generation
        assert was.iteration + 1 == await manage(place).increment_iteration(task_id)


async def test_a_head_that_another_one_was_put_over_is_taken_for_deleted(
    place: Store, manage: Manage
) -> None:
    """It is nowhere else: all that is sealed of the task is back, and nothing of the other one's."""
    await filled(manage(place), "a", LARGE)
    await filled(manage(place), "b", LARGE)
    other = await head_of(place, "a")
    await place.replace(await head_of(place, "b"), other.body)
    sealed = await sealed_of(place, "b")

    recovery = await manage(place).recover_state("b")

    assert recovery.lost
    assert other.body in {document.body for document in (await place.list(QUARANTINE)).documents}
    assert () == (await manage(place).validate_state("b")).symptoms
    there = await findings(manage(place), "b")
    assert sealed
    assert sealed <= there.keys() <= numbered("b", LARGE).keys()
    assert LARGE // 10 + 1 == await manage(place).increment_iteration("b", max_iterations=1000)
    assert numbered("a", LARGE) == await findings(manage(place), "a")


async def sealed_of(store: Store, task_id: str) -> set[str]:
    """The findings of a task that are in its sealed documents."""
    chunks = (await store.list(CHUNK, labels={"task-id": task_id})).documents
    members = [member for chunk in chunks for member in members_of(task_id, chunk.body)]
    return {
        f"{task_id}-{row.number}"
        for member in members
        if member.header.part == "findings"
        for row in member.rows
    }


async def test_an_older_copy_is_told_as_such(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """Swapped and repaired long ago: what a task had since is not said to be there."""
    for task_id in ("a", "b"):
        await filled(manager, task_id, SMALL)
    await swap(store, with_fields=True)
    for task_id in ("a", "b"):
        await manage(store).recover_state(task_id)
    await manage(store).append_feedback("b", entry("b-late"))
    other = await head_of(store, "a")
    await store.replace(await head_of(store, "b"), other.body)

    recovery = await manage(store).recover_state("b")

    [line] = recovery.lost
    assert "what came since the copy" in line
    assert numbered("b", SMALL) == await findings(manage(store), "b")
    assert () == (await manage(store).validate_state("b")).symptoms


async def test_a_run_from_before_the_swap_writes_no_more(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """A repair raises the generation, as where other hands put a head back."""
    for task_id in ("a", "b"):
        await filled(manager, task_id, SMALL)
    lease = await RunLease.acquire(manager, "a", this_process("ann@host", "token"))
    await swap(store, with_fields=True)

    for task_id in ("a", "b"):
        await manage(store).recover_state(task_id)

    after = (await manage(store).require_state("a")).ledger.lease
    assert lease.generation < after.generation
    assert after.holder is None
