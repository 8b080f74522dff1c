"""A ConfigMap that was deleted and is held by a finalizer takes no write: it would be lost with it."""

from __future__ import annotations

import pytest
from configmaps import HEAD, OpenStore, Others, read_head
from patience import eventually

from mendloop.core.errors import BeingDeleted, DocumentExists, RevisionConflict
from mendloop.manager import StateManager
from mendloop.stores.configmap import ConfigMapStore


def delete_held(others: Others, name: str = HEAD[1]) -> None:
    """Delete an object, which a finalizer then holds."""
    others.merge(name, metadata={"finalizers": ["example.com/hold"]})
    others.kubectl("delete", "configmap", name, "--wait=false")


def let_go(others: Others, name: str = HEAD[1]) -> None:
    others.merge(name, metadata={"finalizers": None})


async def test_what_is_being_deleted_is_read_and_not_written(
    store: ConfigMapStore, others: Others
) -> None:
    """A write says that it would be lost, and by which finalizers, and leaves the object alone."""
    made = await store.create(*HEAD, b"1")
    delete_held(others)
    with pytest.raises(RevisionConflict):
        await store.replace(made, b"2")
    read = await read_head(store)
    with pytest.raises(BeingDeleted, match=r"task-7-state was deleted at .*example\.com/hold"):
        await store.replace(read, b"2")
    with pytest.raises(DocumentExists):
        await store.create(*HEAD, b"2")

    assert (b"1", True) == (read.body, "was deleted" in read.obstacle)
    assert read == await read_head(store)
    assert (read,) == (await store.list("head")).documents


@pytest.mark.parametrize("is_watching", [False, True])
async def test_a_task_that_is_being_deleted_refuses_until_it_is_gone(
    open_store: OpenStore, others: Others, *, is_watching: bool
) -> None:
    """Every view still shows the task and why it takes no write; once it is gone it can begin anew."""
    store = await open_store(is_watching=is_watching)
    async with StateManager(store, by="ann") as manager:
        for number in (1, 2):
            assert number == await manager.increment_iteration("7")
        delete_held(others)
        for _ in range(2):
            with pytest.raises(BeingDeleted):
                await manager.increment_iteration("7")
        seen = await manager.look_at("7")
        [listed] = (await manager.list_tasks()).tasks
        let_go(others)
        assert 1 == await manager.increment_iteration("7")
        again = await manager.look_at("7")

    assert seen.state is not None
    assert 2 == seen.state.iteration
    assert "example.com/hold" in seen.obstacle
    assert seen == listed
    assert "" == again.obstacle


async def test_what_was_seen_of_an_object_that_is_gone_refuses_nothing(
    open_store: OpenStore, others: Others
) -> None:
    """Where a watch stands still at a deletion that is over by now, the write looks again."""
    store = await open_store(is_watching=True)
    await store.create(*HEAD, b"1")
    store.peek(*HEAD)
    await eventually(lambda: store.peek(*HEAD) is not None)
    delete_held(others)
    await eventually(lambda: getattr(store.peek(*HEAD), "obstacle", "") != "")
    seen = store.peek(*HEAD)
    let_go(others)
    assert seen is not None
    with pytest.raises(RevisionConflict):
        await store.replace(seen, b"2")
    assert b"2" == (await store.create(*HEAD, b"2")).body


async def test_a_chunk_that_is_being_deleted_is_not_relied_on(
    store: ConfigMapStore, others: Others
) -> None:
    """Who makes a chunk anew takes one that is there for kept: one on its way out is named instead."""
    chunk = ("chunk", "task-7-history-abc-0000000001-def")
    await store.create(*chunk, b"1")
    with pytest.raises(DocumentExists):
        await store.create(*chunk, b"1")
    delete_held(others, chunk[1])
    with pytest.raises(BeingDeleted, match="history-abc"):
        await store.create(*chunk, b"1")
    let_go(others, chunk[1])

    assert b"1" == (await store.create(*chunk, b"1")).body
