"""The Role that we ship is enough, and all of it is needed; what is missing is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from pathlib import Path

import pytest
from crew import open_spec
from rights import VERBS, grant
from states import entry

from controlplane import Cluster
from mendloop.core.errors import NotPermitted
from mendloop.core.names import HEAD, head_name
from mendloop.manager import StateManager
from mendloop.stores.port import Store

Use = Callable[[StateManager, Store, StateManager], Awaitable[object]]


async def make(manager: StateManager, _store: Store, _owner: StateManager) -> None:
    await manager.create_task("new")


async def read(manager: StateManager, _store: Store, _owner: StateManager) -> None:
    assert await manager.get_current_iteration("t") == 1


async def write(manager: StateManager, _store: Store, _owner: StateManager) -> None:
    await manager.append_feedback("t", entry())


async def list_all(manager: StateManager, _store: Store, _owner: StateManager) -> None:
    assert [task.task_id for task in (await manager.list_tasks()).tasks] == ["t"]


async def watch(manager: StateManager, _store: Store, owner: StateManager) -> None:
    async with aclosing(manager.watch_tasks()) as tasks:
        assert (await anext(tasks)).task_id == "t"
        await owner.append_feedback("t", entry("seen"))
        assert (await anext(tasks)).task_id == "t"


async def remove(_manager: StateManager, store: Store, _owner: StateManager) -> None:
    document = await store.get(HEAD, head_name("t"))
    assert document is not None
    await store.delete(document)


USES: dict[str, Use] = {
    "get": read,
    "list": list_all,
    "watch": watch,
    "create": make,
    "patch": write,
    "delete": remove,
}


@pytest.fixture
async def owner(
    control_plane: Cluster, namespace: str, tmp_path: Path
) -> AsyncIterator[StateManager]:
    """Somebody who may do everything, and has made a task."""
    config = control_plane.kubeconfig(tmp_path / "owner", namespace=namespace)
    store = await open_spec(f"configmap:{config}")
    async with StateManager(store) as manager:
        await manager.increment_iteration("t")
        yield manager
    await store.close()


async def use(spec: str, uses: Iterable[Use], owner: StateManager) -> list[NotPermitted]:
    """Do things with a store, one after another; returns what was refused."""
    refused = []
    store = await open_spec(spec)
    async with StateManager(store) as manager:
        for each in uses:
            try:
                await each(manager, store, owner)
            except NotPermitted as error:
                refused.append(error)
    await store.close()
    return refused


async def test_the_shipped_role_is_enough(direct: str, owner: StateManager) -> None:
    """A ServiceAccount with it makes, reads, writes, lists, watches and removes tasks."""
    assert [] == await use(direct, USES.values(), owner)
    assert set(USES) == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
async def test_a_missing_verb_is_named(
    control_plane: Cluster, namespace: str, owner: StateManager, tmp_path: Path, verb: str
) -> None:
    """Without any one verb of it what needs that verb is refused, and the error names it."""
    token = grant(control_plane, namespace, without=verb)
    config = control_plane.kubeconfig(tmp_path / "less", token=token, namespace=namespace)

    (error,) = await use(f"configmap:{config}", [USES[verb]], owner)

    assert (verb, "configmaps", namespace) == (error.verb, error.resource, error.namespace)
    for word in (verb, "configmaps", namespace):
        assert word in str(error)
