"""What is deleted stays deleted, and of many who make a task one does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any

import fault_proxy as faults
import pytest
from crew import open_spec
from fault_proxy import FaultProxy
from patience import eventually
from states import entry

from controlplane import APIError, Cluster
from mendloop.core.errors import RevisionConflict, StateExists, StateNotFound
from mendloop.core.names import HEAD, head_name
from mendloop.manager import StateManager

AT_ONCE = 20
CREATORS = 16


class Heads:
    """Heads as somebody with kubectl sees, removes and makes them."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"

    async def get(self, task_id: str) -> Any:
        try:
            return await self._ask("GET", f"/{head_name(task_id)}")
        except APIError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None

    async def remove(self, task_id: str) -> None:
        await self._ask("DELETE", f"/{head_name(task_id)}")

    async def make(self, task_id: str) -> Any:
        return await self._ask("POST", "", {"metadata": {"name": head_name(task_id)}})

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        return await asyncio.to_thread(self._cluster.request, method, self._path + path, body)


@pytest.fixture
def heads(control_plane: Cluster, namespace: str) -> Heads:
    """The heads in the test's namespace."""
    return Heads(control_plane, namespace)


@pytest.mark.parametrize("is_made_again", [False, True], ids=["deleted", "made again"])
@pytest.mark.parametrize("is_under_way", [False, True], ids=["late", "under way"])
async def test_a_late_write_brings_nothing_back(
    proxy: FaultProxy,
    proxied: str,
    heads: Heads,
    scaled: Callable[[int, int], int],
    *,
    is_made_again: bool,
    is_under_way: bool,
) -> None:
    """A write that was decided on a head before its end changes nothing, whenever it arrives."""
    store = await open_spec(proxied)

    async def end(task_id: str) -> Any:
        await heads.remove(task_id)
        return await heads.make(task_id) if is_made_again else None

    for turn in range(scaled(200, AT_ONCE) // AT_ONCE):
        task_ids = [f"t{turn}-{number}" for number in range(AT_ONCE)]
        read = [await store.create(HEAD, head_name(task_id), b"1") for task_id in task_ids]
        writes = [store.replace(document, b"back") for document in read]
        async with AsyncExitStack() as held:
            if is_under_way:
                await held.enter_async_context(proxy.standstill())
                tasks = [asyncio.create_task(write) for write in writes]
                sent = proxy.count("patch") + AT_ONCE
                await eventually(lambda: proxy.count("patch") == sent)  # noqa: B023 - at once
                after = [await end(task_id) for task_id in task_ids]
            else:
                after = [await end(task_id) for task_id in task_ids]
                tasks = [asyncio.create_task(write) for write in writes]
        answers = await asyncio.gather(*tasks, return_exceptions=True)

        assert [RevisionConflict] * AT_ONCE == list(map(type, answers))
        assert after == [await heads.get(task_id) for task_id in task_ids]
    await store.close()


async def test_a_manager_that_wrote_last_brings_nothing_back(direct: str, heads: Heads) -> None:
    """What a manager remembers and its cache has seen is no reason to write a deleted task again."""
    store = await open_spec(direct)
    async with StateManager(store) as manager:
        await manager.increment_iteration("t")
        assert await manager.get_state("t") is not None
        await heads.remove("t")
        with pytest.raises(StateNotFound):
            await manager.append_feedback("t", entry())
        with pytest.raises(StateNotFound):
            await manager.pause("t", reason="lunch")
        assert await heads.get("t") is None
    await store.close()


@pytest.mark.parametrize("is_troubled", [False, True], ids=["quiet", "lost answers"])
async def test_of_sixteen_creators_one_wins(
    proxy: FaultProxy,
    proxied: str,
    scaled: Callable[[int, int], int],
    *,
    is_troubled: bool,
) -> None:
    """One is told that it made the task and all others that it is there, also when answers go missing."""
    if is_troubled:
        proxy.choose = faults.at_random(
            (*[faults.LOST_ANSWER, faults.RESET_AFTER_REQUEST] * 4, faults.STORED_BUT_TIMED_OUT),
            rate=0.2,
            seed=4,
        )
    async with AsyncExitStack() as opened:
        managers = []
        for number in range(CREATORS):
            store = await open_spec(proxied)
            opened.push_async_callback(store.close)
            managers.append(StateManager(store, by=f"p{number}"))
        for turn in range(scaled(200, 20)):
            creates = (manager.create_task(f"t{turn}") for manager in managers)
            told = await asyncio.gather(*creates, return_exceptions=True)

            assert [None] == [answer for answer in told if not isinstance(answer, StateExists)]
            winner = managers[told.index(None)]
            state = await winner.get_state(f"t{turn}")
            assert state is not None
            assert [told.index(None)] == [
                int(change.by[1:])
                async for commit in winner.commits(state)
                for change in commit.changes
            ]
