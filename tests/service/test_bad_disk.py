"""A SQLite file that takes nothing more, or that is none."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from github_payloads import review
from hook_sender import CONFIG, deliver, hook
from rot import rot, rows
from served import Replica, Served, get_json, is_processed, until_processed

from mendloop.clock import SystemClock
from mendloop.core.names import HEAD, QUARANTINE, QUEUE
from mendloop.manager import StateManager
from mendloop.service.queue import DeliveryQueue
from mendloop.stores.port import Store

pytestmark = pytest.mark.parametrize("served", ["sqlite"], indirect=True)

_STORE_FAILED = 13


def _limit_files(replica: Replica, limit_bytes: int) -> None:
    """Let no file of *replica* grow beyond so much: for SQLite the disk is full."""
    _, hard = resource.prlimit(replica.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(replica.process.pid, resource.RLIMIT_FSIZE, (limit_bytes, hard))


async def _probe(replica: Replica, path: str) -> tuple[int, str]:
    status, told = await asyncio.to_thread(get_json, f"{replica.admin}/{path}")
    return status, str(told["reason"])


async def test_a_full_disk_is_told_and_recovered_from(served: Served, store: Store) -> None:
    """
    While there is no room each delivery is answered 503 and the service is not ready, and says why.

    Once there is room again it is ready by itself, and what it acknowledged is there.
    """
    (served.folder / "serve.toml").write_text(CONFIG)
    replica = served.start("--config", str(served.folder / "serve.toml"))
    await asyncio.to_thread(replica.wait_until_ready)
    file = Path(served.spec.removeprefix("sqlite:"))
    taken: list[int] = []
    async with aiohttp.ClientSession() as session:

        async def send(number: int) -> int:
            one = hook("pull_request_review", review(id=number, body="Change this. " * 2000))
            status, _ = await deliver(session, replica, one, served.secret)
            if status == 202:
                taken.append(number)
            return status

        assert 202 == await send(0)
        log = file.with_name(f"{file.name}-wal")
        _limit_files(replica, max(file.stat().st_size, log.stat().st_size) + 100_000)
        number = 1
        while await send(number) == 202:
            number += 1
            assert number < 1000
        assert 503 == await send(number + 1)
        status, reason = await _probe(replica, "readyz")
        assert 503 == status
        assert "room" in reason
        assert 200 == (await _probe(replica, "healthz"))[0]
        await asyncio.sleep(6)
        assert 503 == (await _probe(replica, "readyz"))[0]
        _limit_files(replica, resource.RLIM_INFINITY)
        async with asyncio.timeout(15):
            while (await _probe(replica, "readyz"))[0] != 200:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.1)
        assert 202 == await send(number + 2)
    await until_processed(store)
    async with StateManager(store) as manager:
        found = {entry.pr_comment_id for entry in await manager.get_feedback_history("42")}
    assert {f"github:9:review:{number}" for number in taken} <= found
    assert 0 == await asyncio.to_thread(replica.end)


@pytest.mark.damages
async def test_a_damaged_row_stops_no_other_task(served: Served, store: Store) -> None:
    """
    With a damaged state and a damaged document in its queue the service is ready and goes on.

    It counts both, keeps a copy of the queued one, and what came for the damaged task waits: a
    repair beside the service lets it through.
    """
    async with StateManager(store) as manager:
        for task_id in ("1", "2", "3"):
            await manager.create_task(task_id)
    await DeliveryQueue(store, store, clock=SystemClock()).put("feedback", b"{}")
    file = Path(served.spec.removeprefix("sqlite:"))
    rot(file, HEAD, "a byte of the body", key="task-2-state")
    queued = rot(file, QUEUE, "a byte of the body")
    raw = rows(file)[QUEUE, queued][-1]
    replica = served.start()
    await asyncio.to_thread(replica.wait_until_ready)
    finding = {"severity": "High", "issue_type": "Bug", "description": "an empty name answers 500"}
    for task_id in ("2", "1"):
        post = {"task_id": task_id, "findings": [finding]}
        assert 202 == (await asyncio.to_thread(served.post, replica, post))[0]

    async with StateManager(store) as manager, asyncio.timeout(20):
        while not await manager.get_feedback_history("1"):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
    metric = partial(replica.metric, door="unknown", outcome="damaged")
    async with asyncio.timeout(20):
        while await asyncio.to_thread(metric, "mendloop_processed_items_total") < 1:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
    copies = {name[1]: row for name, row in rows(file).items() if name[0] == QUARANTINE}
    assert raw in {row[-1] for key, row in copies.items() if key.startswith("no-task-")}
    assert (QUEUE, queued) not in rows(file)
    assert 1 == await asyncio.to_thread(replica.metric, "mendloop_unreadable_tasks")
    assert not await is_processed(store)
    assert 200 == (await _probe(replica, "readyz"))[0]
    _mendloop(served, "doctor", "2", "--repair")
    await until_processed(store)
    async with StateManager(store) as manager:
        assert 1 == len(await manager.get_feedback_history("2"))
    async with asyncio.timeout(20):
        while await asyncio.to_thread(replica.metric, "mendloop_unreadable_tasks"):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
    assert 0 == await asyncio.to_thread(replica.end)


def _mendloop(served: Served, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mendloop", *arguments],
        cwd=served.folder,
        env={**served.environment, "MENDLOOP_STORE": served.spec},
        check=False,
    )
    assert 0 == done.returncode


@pytest.mark.damages
@pytest.mark.parametrize(
    "content", [b"no store at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096]
)
async def test_a_file_that_is_no_store_ends_the_start(served: Served, content: bytes) -> None:
    """It ends at once, with the code of a store that failed and the name of the file, and leaves it."""
    file = Path(served.spec.removeprefix("sqlite:"))
    file.write_bytes(content)
    replica = served.start()
    assert _STORE_FAILED == await asyncio.to_thread(replica.process.wait, 30)
    assert str(file) in replica.log_path.read_text()
    assert "Traceback" not in replica.log_path.read_text()
    assert content == file.read_bytes()


async def test_a_file_that_was_replaced_wants_a_restart(served: Served) -> None:
    """The service is neither ready nor alive, and says what happened: no probe brings it back."""
    replica = served.start()
    await asyncio.to_thread(replica.wait_until_ready)
    assert (200, "") == await _probe(replica, "healthz")
    file = Path(served.spec.removeprefix("sqlite:"))
    file.rename(file.with_name("elsewhere.db"))
    async with asyncio.timeout(30):
        while (await _probe(replica, "healthz"))[0] == 200:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.2)
    status, reason = await _probe(replica, "healthz")
    assert (503, True) == (status, "was removed or replaced" in reason)
    assert (503, reason) == await _probe(replica, "readyz")
