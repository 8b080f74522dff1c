"""A repair keeps a copy before it writes, writes over nobody, and takes nothing that is another task's."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from cleanups import documents
from faulty_store import FULL, FaultyStore
from states import entry

from mendloop.core.diagnosis import SymptomKind
from mendloop.core.errors import StoreFull
from mendloop.core.names import CHUNK, HEAD, QUARANTINE, head_name
from mendloop.manager import StateManager
from mendloop.stores.port import Document, Store

Manage = Callable[..., StateManager]

FINDINGS = 150


async def filled(manager: StateManager) -> None:
    """Make a task with findings in the head and beside it."""
    for first in range(0, FINDINGS, 15):
        await manager.increment_iteration("t", max_iterations=1000)
        await manager.append_feedback("t", *(entry(f"c{n}") for n in range(first, first + 15)))


async def head_of(store: Store) -> Document:
    """The stored head."""
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    return head


async def spoil(store: Store, kind: str) -> None:
    """Cut the head off, or a sealed document, which a repair removes."""
    document = await head_of(store) if kind == HEAD else (await store.list(CHUNK)).documents[0]
    await store.delete(document)
    await store.create(
        document.kind,
        document.key,
        document.body[: len(document.body) // 2],
        fields=document.fields,
        labels=document.labels,
    )


@pytest.mark.parametrize("kind", [HEAD, CHUNK])
async def test_without_room_for_a_copy_nothing_is_repaired(
    kind: str, store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """What is damaged stays as it is, and so does all else; with room again the repair goes through."""
    await filled(manager)
    await spoil(store, kind)
    before = await documents(store)
    damaged = next(d for d in (await store.list(kind)).documents)
    full = FaultyStore(
        store, lambda what, of: FULL if (what, of) == ("create", QUARANTINE) else None
    )
    with pytest.raises(StoreFull):
        await manage(full).recover_state("t")
    assert before == await documents(store)

    await manage(store).recover_state("t")

    kept = {document.body for document in (await store.list(QUARANTINE)).documents}
    assert damaged.body in kept
    assert (await manage(store).validate_state("t")).is_sound


class _MendedMeanwhile(FaultyStore):
    """Somebody puts the head right while the copy of the damaged one is written."""

    def __init__(self, store: Store, good: Document) -> None:
        super().__init__(store)
        self.good: Document | None = good

    async def before(self, operation: str, kind: str) -> None:
        if operation == "create" and self.good is not None:
            good, self.good = self.good, None
            found = await self._store.get(HEAD, good.key)
            if found is None:
                await self._store.create(HEAD, good.key, good.body, fields=good.fields)
            else:
                await self._store.replace(found, good.body, fields=good.fields)


@pytest.mark.parametrize("is_gone", [False, True])
async def test_a_repair_writes_over_nobody(
    store: FaultyStore, manager: StateManager, manage: Manage, *, is_gone: bool
) -> None:
    """Who puts the head right, or back, between examination and repair has the last word."""
    await filled(manager)
    good = await head_of(store)
    if is_gone:
        await store.delete(good)
    else:
        await store.replace(good, good.body[:-9])

    recovery = await manage(_MendedMeanwhile(store, good)).recover_state("t")

    assert not recovery.is_changed
    assert good.body == (await head_of(store)).body
    history = await manage(store).get_feedback_history("t")
    assert [f"c{n}" for n in range(FINDINGS)] == [found.pr_comment_id for found in history]


async def test_a_repair_leaves_the_history_of_an_earlier_task(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """Its head may come back: its documents stay as they are, and none of its findings comes in."""
    await filled(manager)
    old = await head_of(store)
    await store.delete(old)
    earlier = await documents(store, CHUNK)
    other = manage(store)
    await other.create_task("t")
    await other.append_feedback("t", *(entry(f"own{n}") for n in range(60)))
    await store.replace(await head_of(store), (await head_of(store)).body[:-9])

    await manage(store).recover_state("t")

    assert set(earlier) <= set(await documents(store, CHUNK))
    history = await manage(store).get_feedback_history("t")
    assert [f"own{n}" for n in range(60)] == [found.pr_comment_id for found in history]


@pytest.mark.damages
async def test_a_head_that_points_at_other_bytes_is_noticed(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """A document is there by that name, and sound by itself: it is not the one that the head means."""
    await filled(manager)
    head = await head_of(store)
    state = json.loads(head.body)
    tail = state["mendloop"]["findings"]["tail"]
    tail["digest"] = tail["digest"][:-1] + ("0" if tail["digest"][-1] != "0" else "1")
    await store.replace(head, json.dumps(state).encode())

    diagnosis = await manage(store).validate_state("t")

    assert {SymptomKind.BROKEN_CHUNK} == {symptom.kind for symptom in diagnosis.symptoms}


@pytest.mark.parametrize("damage", ["none", "cut", "gone"])
async def test_a_history_that_has_lost_its_labels_is_found_by_its_names(
    damage: str, store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """A head that is whole points at it; else a repair looks for it, and the next cleanup takes none of it."""
    await filled(manager)
    await manager.compress_feedback_history("t")
    await manager.close()
    head = await head_of(store)
    for chunk in (await store.list(CHUNK)).documents:
        await store.delete(chunk)
        await store.create(CHUNK, chunk.key, chunk.body)
    if damage == "cut":
        await store.replace(head, head.body[: len(head.body) // 3])
    elif damage == "gone":
        await store.delete(head)
    [diagnosis] = [found async for found in manage(store).validate_all()]
    assert ("t", damage == "none") == (diagnosis.task_id, diagnosis.symptoms == ())
    await manage(store).recover_state("t")
    await manage(store).cleanup_old_states()

    names = [found.pr_comment_id for found in await manage(store).get_feedback_history("t")]
    assert names == [f"c{n}" for n in range(FINDINGS) if f"c{n}" in names]
    assert len(names) > FINDINGS - 20
    assert () == (await manage(store).validate_state("t")).symptoms
