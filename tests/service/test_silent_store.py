"""A store that takes connections and answers nothing, as an overloaded API server may."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp
import pytest
from hook_sender import CONFIG, deliver
from open_loop import comments
from served import Served, until_processed
from standing_still import standing_still

from mendloop.manager import StateManager
from mendloop.stores.port import Store

_GITHUB_WAITS = aiohttp.ClientTimeout(total=10)


async def _findings(store: Store) -> Counter[str]:
    """The findings that there are, and how often each."""
    async with StateManager(store) as manager:
        tasks = (await manager.list_tasks()).tasks
        return Counter(
            [
                entry.pr_comment_id
                for task in tasks
                for entry in await manager.get_feedback_history(task.task_id)
            ]
        )


@pytest.mark.kubernetes
@pytest.mark.parametrize("served", ["configmap"], indirect=True)
async def test_a_delivery_is_answered_before_its_sender_gives_up(
    served: Served, store: Store, request: pytest.FixtureRequest
) -> None:
    """
    While the store stands still each delivery is answered 503 in time, and the log says why.

    What was being written may be stored all the same, and what waited behind it is not; sent again,
    each is one finding.
    """
    config = served.folder / "serve.toml"
    config.write_text(CONFIG)
    hooks, ids = comments(3)
    async with (
        standing_still(served, request) as stand_still,
        aiohttp.ClientSession(timeout=_GITHUB_WAITS) as session,
    ):
        replica = served.start("--config", str(config))
        await asyncio.to_thread(replica.wait_until_ready)
        async with stand_still():
            first = asyncio.create_task(deliver(session, replica, hooks[0], served.secret))
            await asyncio.sleep(0.3)
            behind = [deliver(session, replica, one, served.secret) for one in hooks[1:]]
            answers = await asyncio.gather(first, *behind)
        told = {"result": "unstored", "reason": "it could not be stored: send it again"}
        assert [(503, told)] * 3 == answers
        why = "a delivery to /v1/github could not be stored: no answer came within 8 s"
        assert [why] * 3 == [event["event"] for event in replica.log() if why in event["event"]]
        async with asyncio.timeout(20):
            while not await _findings(store):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.1)
        await until_processed(store)
        assert {ids[0]: 1} == await _findings(store)
        for one in hooks:
            assert 202 == (await deliver(session, replica, one, served.secret))[0]
        await until_processed(store)
    assert dict.fromkeys(ids, 1) == await _findings(store)
