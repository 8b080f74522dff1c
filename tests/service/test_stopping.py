from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hook_sender import CONFIG
from open_loop import comments, send_on_schedule
from served import Replica, Served, get_json, until_processed
from standing_still import proxied, standing_still

from mendloop.core.names import QUEUE
from mendloop.intake.github.deliveries import Delivery
from mendloop.manager import StateManager
from mendloop.service.queue import read_batch
from mendloop.stores.paging import documents
from mendloop.stores.port import Store

_PROMISED_SECONDS = 20.0
_AS_FIRST = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")
_AS_FIRST += (sys.executable, "-m", "mendloop")


async def _ended(replica: Replica) -> tuple[int, float]:
    """Wait until it has ended; its exit code, and how long that took."""
    begun_seconds = time.monotonic()
    code = await asyncio.to_thread(replica.process.wait, 60)
    return code, time.monotonic() - begun_seconds


async def _started(served: Served) -> Replica:
    config = served.folder / "serve.toml"
    config.write_text(CONFIG)
    replica = served.start("--config", str(config))
    await asyncio.to_thread(replica.wait_until_ready)
    return replica


async def test_what_was_acknowledged_outlives_the_end(
    served: Served, store: Store, scaled: Callable[[int, int], int]
) -> None:
    """SIGTERM under load: it ends with 0 in time, and each delivery that it took becomes a finding."""
    per_second = 100 if served.spec.startswith("sqlite:") else 30
    replica = await _started(served)
    hooks, ids = comments(per_second * scaled(10, 2))
    url = f"{replica.intake}/v1/github"
    sending = asyncio.create_task(
        send_on_schedule(url, hooks, served.secret, per_second=per_second)
    )
    await asyncio.sleep(scaled(5, 1))
    replica.signal(signal.SIGTERM)
    code, seconds = await _ended(replica)
    answers = await sending
    assert 0 == code
    assert seconds < _PROMISED_SECONDS
    assert answers.statuses.keys() <= {202, 503, 0}
    assert 0 < len(answers.taken) < len(hooks)
    await _started(served)
    await until_processed(store)
    taken = {ids[number] for number in answers.taken}
    assert taken <= await _findings(store) <= set(ids)


async def _findings(store: Store) -> set[str]:
    async with StateManager(store) as manager:
        tasks = (await manager.list_tasks()).tasks
        return {
            entry.pr_comment_id
            for task in tasks
            for entry in await manager.get_feedback_history(task.task_id)
        }


async def _queued(store: Store) -> set[str]:
    """The findings that queued deliveries will make."""
    batches = [read_batch(document) async for document in documents(store, QUEUE, limit=50)]
    return {
        msgspec.json.decode(item.content, type=Delivery).source_id
        for batch in batches
        if batch is not None
        for item in batch.items
    }


async def test_an_end_while_it_starts_leaves_nothing_behind(
    served: Served, scaled: Callable[[int, int], int]
) -> None:
    """SIGTERM at any moment of the start: it ends in time, and the next start leads at once."""
    moments = scaled(20, 3)
    for number in range(moments):
        replica = served.start()
        await asyncio.sleep(2.0 * number / moments)
        replica.signal(signal.SIGTERM)
        code, seconds = await _ended(replica)
        assert code in {0, -signal.SIGTERM}, replica.log_path.read_text()
        assert seconds < _PROMISED_SECONDS
    replica = served.start()
    await asyncio.to_thread(replica.wait_until_ready)
    async with asyncio.timeout(5):
        while not await asyncio.to_thread(replica.metric, "mendloop_leader"):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
    assert 0 == await asyncio.to_thread(replica.end)


@pytest.mark.parametrize("served", ["sqlite"], indirect=True)
async def test_the_first_process_of_a_container_ends_while_it_starts(
    served: Served, tmp_path: Path
) -> None:
    """SIGTERM in the middle of its imports ends a process that no signal ends by default."""
    begun = tmp_path / "begun"
    slow = f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(60)\n"
    (tmp_path / "aiohttp.py").write_text(slow)
    environment = {**served.environment, "PYTHONPATH": str(tmp_path)}
    replica = Replica("first", ["--store", served.spec], served.folder, environment, _AS_FIRST)
    served.replicas.append(replica)
    async with asyncio.timeout(30):
        while not begun.exists():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    outer = replica.process.pid
    child = int(Path(f"/proc/{outer}/task/{outer}/children").read_text())
    os.kill(child, signal.SIGTERM)
    code, seconds = await _ended(replica)
    assert 128 + signal.SIGTERM == code
    assert seconds < _PROMISED_SECONDS


async def test_a_store_that_does_not_answer_holds_up_no_end(
    served: Served, store: Store, request: pytest.FixtureRequest
) -> None:
    """
    SIGTERM while the store stands still: it says that it is stopping, and ends with 0 in time.

    What it had taken in is a finding, or still queued.
    """
    async with standing_still(served, request) as stand_still:
        replica = await _started(served)
        hooks, ids = comments(40)
        url = f"{replica.intake}/v1/github"
        answers = await send_on_schedule(url, hooks, served.secret, per_second=400)
        async with stand_still():
            replica.signal(signal.SIGTERM)
            await asyncio.sleep(0.5)
            told = await asyncio.to_thread(get_json, f"{replica.admin}/readyz")
            assert (503, "the service is stopping") == (told[0], told[1]["reason"])
            code, seconds = await _ended(replica)
        assert 0 == code
        assert seconds < _PROMISED_SECONDS
        assert len(hooks) == len(answers.taken)
        assert set(ids) == await _findings(store) | await _queued(store)


@pytest.mark.kubernetes
@pytest.mark.parametrize("served", ["configmap"], indirect=True)
async def test_an_api_server_that_is_away_holds_up_no_end(
    served: Served, store: Store, request: pytest.FixtureRequest
) -> None:
    """SIGTERM while nobody listens at the API server's: it ends with 0 in time, and nothing is lost."""
    async with proxied(served, request) as proxy:
        replica = await _started(served)
        hooks, ids = comments(40)
        url = f"{replica.intake}/v1/github"
        answers = await send_on_schedule(url, hooks, served.secret, per_second=400)
        async with proxy.outage():
            replica.signal(signal.SIGTERM)
            code, seconds = await _ended(replica)
        assert 0 == code
        assert seconds < _PROMISED_SECONDS
        taken = {ids[number] for number in answers.taken}
        assert taken <= await _findings(store) | await _queued(store)


async def test_a_second_signal_ends_it_at_once(
    served: Served, request: pytest.FixtureRequest
) -> None:
    """SIGTERM and then Ctrl-C while the store stands still: it does not wait any longer."""
    async with standing_still(served, request) as stand_still:
        replica = await _started(served)
        hooks, _ = comments(40)
        url = f"{replica.intake}/v1/github"
        await send_on_schedule(url, hooks, served.secret, per_second=400)
        async with stand_still():
            replica.signal(signal.SIGTERM)
            await asyncio.sleep(0.5)
            assert replica.process.poll() is None
            replica.signal(signal.SIGINT)
            code, seconds = await _ended(replica)
        assert 0 == code
        assert seconds < 6
