"""Getting a task in ConfigMaps back after kubectl had its way with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from configmaps import Others
from msgspec.structs import replace
from states import entry

from controlplane import ControlPlane
from mendloop.cleanup import CleanupTerms
from mendloop.core.codec import encode_state
from mendloop.core.diagnosis import Gravity, SymptomKind
from mendloop.core.errors import StateNotFound
from mendloop.core.model import RemediationState
from mendloop.kube.access import load_access
from mendloop.manager import StateManager
from mendloop.stores.configmap import ConfigMapStore, open_configmaps

FINDINGS = 300


@pytest.fixture
async def store(direct: str) -> AsyncIterator[ConfigMapStore]:
    """A store with the rights that `deploy` gives, straight at the API server."""
    store = open_configmaps(await load_access(kubeconfig=direct.partition(":")[2]))
    yield store
    await store.close()


@pytest.fixture
async def manager(store: ConfigMapStore) -> AsyncIterator[StateManager]:
    """A manager with one task, whose findings are in the head and in sealed documents."""
    async with StateManager(store) as manager:
        await manager.create_task("t")
        for first in range(0, FINDINGS, 30):
            await manager.increment_iteration("t")
            await manager.append_feedback("t", *(entry(f"c{n}") for n in range(first, first + 30)))
        yield manager


async def names(manager: StateManager) -> list[str]:
    """The findings, in order."""
    return [found.pr_comment_id for found in await manager.get_feedback_history("t")]


async def test_a_deleted_head_is_brought_back_whole(
    store: ConfigMapStore, manager: StateManager, others: Others
) -> None:
    """Soon after `kubectl delete` the server still knows all of it, and nothing is lost."""
    before = await manager.require_state("t")
    others.kubectl("delete", "configmap", "task-t-state")
    async with StateManager(store) as other:
        [symptom] = (await other.validate_state("t")).symptoms
        assert (SymptomKind.NO_HEAD, Gravity.REPAIRABLE) == (symptom.kind, symptom.gravity)
        recovery = await other.recover_state("t")
        assert (True, ()) == (recovery.is_changed, recovery.lost)
        assert () == (await other.validate_state("t")).symptoms
        after = await other.require_state("t")
        assert [f"c{n}" for n in range(FINDINGS)] == await names(other)
        assert before.iteration == after.iteration
        assert before.feedback_history == after.feedback_history
        assert before.ledger.settings == after.ledger.settings
        assert before.ledger.commit + 1 == after.ledger.commit
        commits = [commit.number async for commit in other.commits(after)]
        assert list(range(1, after.ledger.commit + 1)) == commits


async def small_task(manager: StateManager, task_id: str) -> RemediationState:
    """Make a task that has nothing but its head; returns its state."""
    await manager.create_task(task_id)
    await manager.increment_iteration(task_id)
    await manager.append_feedback(task_id, entry("c0"), entry("c1"))
    return await manager.require_state(task_id)


async def check_comes_back(store: ConfigMapStore, before: RemediationState) -> None:
    """Examine and repair a task whose head was deleted; nothing is lost of it."""
    async with StateManager(store) as other:
        diagnosis = await other.validate_state(before.task_id)
        assert [(SymptomKind.NO_HEAD, Gravity.REPAIRABLE)] == [
            (symptom.kind, symptom.gravity) for symptom in diagnosis.symptoms
        ]
        recovery = await other.recover_state(before.task_id)
        assert (True, ()) == (recovery.is_changed, recovery.lost)
        assert () == (await other.validate_state(before.task_id)).symptoms
        after = await other.require_state(before.task_id)
        commits = before.ledger.commits
        assert before.ledger == replace(
            after.ledger,
            commits=after.ledger.commits[: len(commits)],
            commit=len(commits),
            chain=before.ledger.chain,
        )
        assert before.metadata.items() <= after.metadata.items()
        assert before == replace(
            after,
            last_update=before.last_update,
            metadata=before.metadata,
            mendloop=before.ledger,
        )


@pytest.mark.parametrize("company", [0, 3])
async def test_a_deleted_head_comes_back_without_a_history(
    company: int, store: ConfigMapStore, others: Others
) -> None:
    """Of a task that had nothing sealed the server knows the head, alone or among others."""
    async with StateManager(store) as manager:
        for number in range(company):
            await small_task(manager, f"other-{number}")
        before = await small_task(manager, "t")
    others.kubectl("delete", "configmap", "task-t-state")
    await check_comes_back(store, before)


async def test_a_deleted_head_comes_back_after_the_server_began_anew(
    own_control_plane: ControlPlane, tmp_path: Path
) -> None:
    """What no watch tells again any more is still listed, as long as etcd has it."""
    plane = own_control_plane
    namespace = await asyncio.to_thread(plane.namespace)
    config = plane.kubeconfig(tmp_path / "own", namespace=namespace)
    store = open_configmaps(await load_access(kubeconfig=str(config)))
    async with StateManager(store) as manager:
        before = await small_task(manager, "t")
        for number in range(5):
            await small_task(manager, f"other-{number}")
    others = Others(plane, namespace)
    others.kubectl("delete", "configmap", "task-t-state")
    for number in range(5):
        others.create(f"later-{number}")
    await asyncio.to_thread(plane.apiserver.kill)
    await asyncio.to_thread(plane.apiserver.start)
    await check_comes_back(store, before)
    await store.close()


async def test_a_task_that_a_cleanup_removed_does_not_come_back(
    store: ConfigMapStore, others: Others
) -> None:
    """Nor does one that never was: nothing is stored of it."""
    async with StateManager(store) as manager:
        await small_task(manager, "t")
        await manager.stop("t", reason="over")
        await manager.delete("t", reason="done")
        await manager.cleanup_old_states(CleanupTerms(grace_seconds=0))
        for task_id in ("t", "never"):
            with pytest.raises(StateNotFound):
                await manager.recover_state(task_id)
    assert "" == others.kubectl("get", "configmap", "-l", "app=remediation-state", "-o", "name")


async def test_a_head_that_was_deleted_and_begun_anew_is_left(
    store: ConfigMapStore, manager: StateManager, others: Others
) -> None:
    """A new task of the same name is sound; what is left of the earlier one is only noted."""
    others.kubectl("delete", "configmap", "task-t-state")
    async with StateManager(store) as other:
        await other.create_task("t")
        diagnosis = await other.validate_state("t")
        assert diagnosis.is_sound
        assert {SymptomKind.ORPHAN} == {symptom.kind for symptom in diagnosis.symptoms}
        assert not (await other.recover_state("t")).is_changed


@pytest.mark.parametrize(
    "data",
    [
        {"state.json": ""},
        {"state.json": None},
        {"iteration": None},
        {"task_id": None, "last_update": None, "iteration": None},
        {"iteration": "2", "last_update": "yesterday"},
        {"state.json": '{"iteration": 4, "iteration": 3}'},
    ],
    ids=range(6),
)
async def test_data_that_kubectl_damaged_is_put_right(
    data: dict[str, Any], store: ConfigMapStore, manager: StateManager, others: Others
) -> None:
    """The counter stands, nothing sealed is lost, and the object is laid out as it has to be."""
    others.merge("task-t-state", data=data)
    async with StateManager(store) as other:
        assert not (await other.validate_state("t")).is_sound
        recovery = await other.recover_state("t")
        assert recovery.is_changed
        assert () == (await other.validate_state("t")).symptoms
        state = await other.require_state("t")
        stored = others.read("task-t-state")["data"]
        assert json.loads(stored["state.json"]) == json.loads(encode_state(state))
        assert ("t", str(state.iteration)) == (stored["task_id"], stored["iteration"])
        assert len(await names(other)) > FINDINGS - 60
        if "iteration" not in data:
            assert FINDINGS // 30 == state.iteration


async def test_history_that_kubectl_deleted_is_named_and_gone_on_without(
    store: ConfigMapStore, manager: StateManager, others: Others
) -> None:
    """The rows of one lost document are named, and every other one is read back."""
    await manager.compress_feedback_history("t")
    state = await manager.require_state("t")
    [chunk] = state.ledger.findings.chunks
    listed = others.kubectl("get", "configmap", "-l", "part=findings", "-o", "name").split()
    others.kubectl("delete", *listed)
    async with StateManager(store) as other:
        recovery = await other.recover_state("t")
        kept = {entry.pr_comment_id for entry in state.feedback_history}
        assert kept == set(await names(other))
        assert f"findings {chunk.first}" in recovery.lost[0]
        assert () == (await other.validate_state("t")).symptoms
