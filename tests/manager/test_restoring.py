"""What was set aside can take the place of the state again, and nothing that came since is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from cleanups import documents
from faulty_store import CONFLICT, FaultyStore, in_turn
from states import entry

from mendloop.core.commands import BeginRemoval
from mendloop.core.diagnosis import SymptomKind
from mendloop.core.errors import (
    LeaseHeld,
    ReadOnlyState,
    StateDeleted,
    StateError,
    StateNotFound,
    ValidationError,
)
from mendloop.core.names import CHUNK, HEAD, QUARANTINE, head_name
from mendloop.core.quarantine import Copy, copy_name
from mendloop.core.text import redact_secrets
from mendloop.core.vocabulary import Status
from mendloop.lease import RunLease
from mendloop.manager import StateManager
from mendloop.quarantine import Quarantine
from mendloop.runners.identity import this_process
from mendloop.stores.port import Document, Store

Manage = Callable[..., StateManager]


async def head_of(store: Store, task_id: str = "t") -> Document:
    head = await store.get(HEAD, head_name(task_id))
    assert head is not None
    return head


async def put(store: Store, body: bytes, task_id: str = "t") -> None:
    """Have other hands write a head."""
    await store.replace(await head_of(store, task_id), body)


async def set_aside(store: Store, manager: StateManager, task_id: str = "t") -> str:
    """Copy the head as it is; returns the name of the copy."""
    quarantine = Quarantine(store, clock=manager.clock, redact=redact_secrets)
    return await quarantine.set_aside(task_id, await head_of(store, task_id), reason="by a test")


async def work(manager: StateManager, first: int, last: int, *, task_id: str = "t") -> None:
    """Add findings of these numbers, twenty an iteration."""
    for at in range(first, last, 20):
        await manager.increment_iteration(task_id, max_iterations=1000)
        names = range(at, min(at + 20, last))
        await manager.append_feedback(task_id, *(entry(f"c{n}") for n in names))


async def names_of(manager: StateManager) -> list[str]:
    return [found.pr_comment_id for found in await manager.get_feedback_history("t")]


def numbered(count: int) -> list[str]:
    return [f"c{n}" for n in range(count)]


async def commits_of(manager: StateManager) -> list[int]:
    state = await manager.require_state("t")
    return [commit.number async for commit in manager.commits(state)]


@pytest.mark.parametrize("copied_at", [0, 5, 40, 400])
async def test_a_copy_counts_again_and_what_came_since_stays(
    copied_at: int, store: FaultyStore, manager: StateManager
) -> None:
    """Status and settings are the copy's; every finding and commit is there once, in order."""
    await work(manager, 0, copied_at)
    await manager.increment_iteration("t", max_iterations=1000)
    name = await set_aside(store, manager)
    await work(manager, copied_at, copied_at + 300)
    await manager.stop("t", reason="too early")
    before = await manager.require_state("t")
    replaced = (await head_of(store)).body

    recovery = await manager.restore_from("t", name)

    after = await manager.require_state("t")
    assert (True, ()) == (recovery.is_changed, recovery.lost)
    assert numbered(copied_at + 300) == await names_of(manager)
    assert (Status.IN_PROGRESS, before.iteration) == (after.status, after.iteration)
    assert before.ledger.commit + 1 == after.ledger.commit
    assert list(range(1, after.ledger.commit + 1)) == await commits_of(manager)
    assert before.ledger.lease.generation < after.ledger.lease.generation
    assert copied_at + 300 == after.open_total
    assert () == (await manager.validate_state("t")).symptoms
    kept = [document.body for document in (await store.list(QUARANTINE)).documents]
    assert replaced in kept
    assert before.iteration + 1 == await manager.increment_iteration("t")


async def test_a_restore_can_be_taken_back(store: FaultyStore, manager: StateManager) -> None:
    """What a restore replaced is a copy as well."""
    await work(manager, 0, 50)
    name = await set_aside(store, manager)
    await work(manager, 50, 100)
    await manager.stop("t", reason="done")
    [replaced] = (await manager.restore_from("t", name)).quarantined
    await work(manager, 100, 110)

    await manager.restore_from("t", replaced)

    state = await manager.require_state("t")
    assert (Status.FAILED, "done") == (state.status, state.ledger.stop_detail)
    assert numbered(110) == await names_of(manager)


async def test_a_damaged_copy_is_salvaged(store: FaultyStore, manager: StateManager) -> None:
    """What can be read of it counts, what cannot is told, and the counter does not fall."""
    await work(manager, 0, 100)
    whole = (await head_of(store)).body
    await put(store, whole[: len(whole) * 2 // 3])
    await manager.recover_state("t")
    [copy] = await manager.list_copies("t")
    before = await manager.require_state("t")

    recovery = await manager.restore_from("t", copy.name)

    after = await manager.require_state("t")
    assert recovery.lost
    assert (before.iteration, before.ledger.commit + 1) == (after.iteration, after.ledger.commit)
    assert set(await names_of(manager)) >= set(numbered(90))
    assert () == (await manager.validate_state("t")).symptoms


async def test_a_head_that_is_gone_is_made_again(store: FaultyStore, manager: StateManager) -> None:
    """The copy and all that was sealed since come back; what was in the lost head alone is named."""
    await work(manager, 0, 100)
    name = await set_aside(store, manager)
    await work(manager, 100, 400)
    await manager.compress_feedback_history("t")
    await work(manager, 400, 410)
    state = await manager.require_state("t")
    await store.delete(await head_of(store))

    recovery = await manager.restore_from("t", name)

    after = await manager.require_state("t")
    there = await names_of(manager)
    missing = [name for name in numbered(400) if name not in there]
    assert len(there) == len(set(there))
    assert after.ledger.lease.generation > state.ledger.lease.generation
    assert "what stood in the head alone, if anything came since the copy was made" in recovery.lost
    assert len(missing) < 60
    assert () == (await manager.validate_state("t")).symptoms


async def test_what_another_program_wrote_can_be_restored(
    store: FaultyStore, manager: StateManager
) -> None:
    """It has nothing of ours: what is kept of the task goes on as it is now."""
    await work(manager, 0, 100)
    await manager.pause("t", reason="lunch")
    written = json.loads((await head_of(store)).body)
    del written["mendloop"]
    written["feedback_history"] = [
        {n: v for n, v in found.items() if n != "mendloop"} for found in written["feedback_history"]
    ]
    written["error_messages"] = ["by another program"]
    await put(store, json.dumps(written).encode())
    await manager.recover_state("t")
    [copy] = await manager.list_copies("t")
    await manager.pause("t", reason="dinner")
    before, findings = await manager.require_state("t"), await names_of(manager)

    recovery = await manager.restore_from("t", copy.name)

    after = await manager.require_state("t")
    assert ("by another program",) == after.error_messages
    assert before.ledger.settings == after.ledger.settings
    assert before.ledger.pause == after.ledger.pause
    assert not any("findings" in line for line in recovery.lost)
    assert findings == await names_of(manager)
    assert sorted(numbered(100)) == sorted(findings)
    assert () == (await manager.validate_state("t")).symptoms


async def test_twice_is_once(store: FaultyStore, manager: StateManager) -> None:
    """Asked again, a restore that is done changes nothing."""
    await work(manager, 0, 30)
    name = await set_aside(store, manager)
    await work(manager, 30, 60)
    await manager.restore_from("t", name)
    before = await documents(store)

    again = await manager.restore_from("t", name)

    assert (False, ()) == (again.is_changed, again.lost)
    assert before == await documents(store)


async def _missing(store: Store, manager: StateManager) -> str:
    return "quarantine.task-t-quarantine-0123456789abcdef"


async def _of_another(store: Store, manager: StateManager) -> str:
    await manager.increment_iteration("other")
    return await set_aside(store, manager, "other")


async def _no_copy(store: Store, manager: StateManager) -> str:
    return head_name("t")


async def _of_a_chunk(store: Store, manager: StateManager) -> str:
    quarantine = Quarantine(store, clock=manager.clock, redact=redact_secrets)
    chunk = (await store.list(CHUNK)).documents[0]
    return await quarantine.set_aside("t", chunk, reason="by a test")


async def _empty(store: Store, manager: StateManager) -> str:
    whole = (await head_of(store)).body
    await put(store, b"")
    name = await set_aside(store, manager)
    await put(store, whole)
    return name


async def _newer(store: Store, manager: StateManager) -> str:
    whole = (await head_of(store)).body
    await put(store, whole.replace(b'"version":"v1"', b'"version":"v2"'))
    name = await set_aside(store, manager)
    await put(store, whole)
    return name


@pytest.mark.parametrize(
    ("prepare", "kind", "told"),
    [
        (_missing, StateNotFound, "--list"),
        (_of_another, ValidationError, "no name of a copy of task t"),
        (_no_copy, ValidationError, "no name of a copy of task t"),
        (_of_a_chunk, ValidationError, "sealed history"),
        (_empty, ValidationError, "empty state"),
        (_newer, ReadOnlyState, "format 'v2'"),
    ],
)
async def test_what_cannot_be_restored_is_refused_and_changes_nothing(
    prepare: Callable[[Store, StateManager], Awaitable[str]],
    kind: type[StateError],
    told: str,
    store: FaultyStore,
    manager: StateManager,
) -> None:
    """The error says what is wrong, and every document is as it was."""
    await work(manager, 0, 100)
    name = await prepare(store, manager)
    before = await documents(store)
    with pytest.raises(kind, match=told):
        await manager.restore_from("t", name)
    assert before == await documents(store)


async def test_a_copy_of_an_earlier_task_of_the_same_id_is_refused(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """It is said which is which, and the task that is there stays as it is."""
    await work(manager, 0, 100)
    name = await set_aside(store, manager)
    await store.delete(await head_of(store))
    other = manage(store)
    await other.create_task("t")
    await other.increment_iteration("t")
    before = await documents(store)
    with pytest.raises(ValidationError, match="another task that had the id t"):
        await other.restore_from("t", name)
    assert before == await documents(store)


async def test_a_run_under_way_is_not_replaced(store: FaultyStore, manager: StateManager) -> None:
    """The restore names who runs the task; once the run is stopped it goes through, held by nobody."""
    await work(manager, 0, 10)
    lease = await RunLease.acquire(manager, "t", this_process("ann@host", "token"))
    name = await set_aside(store, manager)
    with pytest.raises(LeaseHeld, match="ann@host"):
        await manager.restore_from("t", name)
    await manager.stop("t", reason="to restore it")

    await manager.restore_from("t", name)

    state = await manager.require_state("t")
    assert state.ledger.lease.holder is None
    assert lease.generation < state.ledger.lease.generation


async def test_a_deleted_task_comes_back_from_a_copy(
    store: FaultyStore, manager: StateManager
) -> None:
    """It is deleted no more, until its removal has begun: then it is refused."""
    await work(manager, 0, 10)
    await manager.stop("t", reason="over")
    name = await set_aside(store, manager)
    await manager.delete("t", reason="a mistake")
    await manager.restore_from("t", name)
    assert (await manager.require_state("t")).ledger.deleted is None

    await manager.delete("t", reason="this time for good")
    await manager.submit("t", BeginRemoval(deleted_until=manager.clock.now()))
    with pytest.raises(StateDeleted, match="cannot be restored"):
        await manager.restore_from("t", name)


async def test_writers_meanwhile_lose_nothing(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """Others who write while a task is restored get numbers of their own, and their findings stay."""
    await work(manager, 0, 40)
    name = await set_aside(store, manager)
    await work(manager, 40, 80)
    before = await manager.get_current_iteration("t")
    store.choose = in_turn([CONFLICT, None, CONFLICT])
    writers = [manage(store) for _ in range(3)]

    async def write(writer: StateManager, number: int) -> list[int]:
        got = []
        for n in range(5):
            got.append(await writer.increment_iteration("t"))
            await writer.append_feedback("t", entry(f"w{number}-{n}"))
        return got

    results = await asyncio.gather(
        manage(store).restore_from("t", name), *(write(w, i) for i, w in enumerate(writers))
    )

    numbers = sorted(n for got in results[1:] for n in got)
    assert list(range(before + 1, before + 16)) == numbers
    there = await names_of(manager)
    assert len(there) == len(set(there)) == 95
    assert () == (await manager.validate_state("t")).symptoms


async def test_the_copies_of_a_task_are_listed(store: FaultyStore, manager: StateManager) -> None:
    """Name, of what, when, why and how many bytes; those of other tasks are not among them."""
    await work(manager, 0, 10)
    await manager.increment_iteration("t-quarantine")
    await set_aside(store, manager, "t-quarantine")
    whole = (await head_of(store)).body
    await put(store, whole[:-1])
    await manager.recover_state("t")

    [copy] = await manager.list_copies("t")

    [document] = (await store.list(QUARANTINE, labels={"task-id": "t"})).documents
    assert copy_name(document.key) == copy.name
    assert (head_name("t"), len(whole) - 1) == (copy.of, copy.size_bytes)
    assert copy.made_at is not None
    assert "not a state" in copy.reason
    assert (b"", {}) == (copy.body, copy.fields)
    assert () == await manager.list_copies("nobody")


async def test_what_is_set_aside_twice_is_one_copy(
    store: FaultyStore, manager: StateManager
) -> None:
    """Whoever goes on with a repair after a crash finds the copy of the first try, under its name."""
    await work(manager, 0, 10)
    first, again = [await set_aside(store, manager) for _ in range(2)]

    assert first == again
    assert [first] == [copy.name for copy in await manager.list_copies("t")]


async def test_a_copy_of_an_empty_head_holds_what_stood_beside_it(
    store: FaultyStore, manager: StateManager
) -> None:
    """Two heads without a state are two copies where other things stand beside them."""
    await work(manager, 0, 40)
    kept: list[Copy] = []
    quarantine = Quarantine(store, clock=manager.clock, redact=redact_secrets)
    for iteration in ("2", "9"):
        head = await head_of(store)
        await store.replace(head, b"", fields={"iteration": iteration, "owner": "ann"})
        recovery = await manager.recover_state("t")
        kept.append(await quarantine.find("t", recovery.quarantined[0]))
    assert [b"", b""] == [copy.body for copy in kept]
    assert ["2", "9"] == [copy.fields["iteration"] for copy in kept]
    assert {"task_id", "iteration", "last_update", "owner"} == set(kept[0].fields)
    assert 9 == (await manager.require_state("t")).iteration


@pytest.mark.parametrize("cut", [1, 200])
async def test_a_deleted_task_that_is_damaged_is_repaired_and_stays_deleted(
    cut: int, store: FaultyStore, manager: StateManager
) -> None:
    """The repair says so in the history, the grace goes on, and a restore brings the task back."""
    await work(manager, 0, 100)
    await manager.stop("t", reason="over")
    await manager.delete("t", reason="old")
    deleted = (await manager.require_state("t")).ledger.deleted
    whole = (await head_of(store)).body
    await put(store, whole[:-cut])
    assert not (await manager.validate_state("t")).is_sound

    assert (await manager.recover_state("t")).is_changed

    state = await manager.require_state("t")
    assert deleted == state.ledger.deleted
    assert () == (await manager.validate_state("t")).symptoms
    await manager.restore("t")
    assert numbered(100) == await names_of(manager)


async def test_a_task_whose_removal_was_cut_short_is_no_damage(
    store: FaultyStore, manager: StateManager
) -> None:
    """What is gone of its history is not asked for any more: the next cleanup takes the rest."""
    await work(manager, 0, 400)
    await manager.stop("t", reason="over")
    await manager.delete("t", reason="old")
    await manager.submit("t", BeginRemoval(deleted_until=manager.clock.now()))
    await store.delete((await store.list(CHUNK)).documents[0])

    diagnosis = await manager.validate_state("t")

    assert diagnosis.is_sound
    assert [SymptomKind.LEAVING] == [symptom.kind for symptom in diagnosis.symptoms]
    assert not (await manager.recover_state("t")).is_changed
