"""What is known of tasks from watching them, without a service around it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from clocks import SteppedClock
from faulty_store import FaultyStore
from patience import eventually
from states import entry, holder

from mendloop.core.commands import AcquireLease, ReleaseLease, RenewLease
from mendloop.core.errors import StoreUnavailable
from mendloop.core.names import HEAD, head_name
from mendloop.manager import StateManager
from mendloop.service.tasks import TaskWatch
from mendloop.stores.port import Document
from mendloop.stores.sqlite import open_sqlite

_TTL_SECONDS = 30.0
_MORE_THAN_A_PAGE = 101


class _AwayStore(FaultyStore):
    """Lists nothing while `is_away`."""

    is_away = False

    async def before(self, operation: str, kind: str) -> None:
        if self.is_away and (operation, kind) == ("list", HEAD):
            raise StoreUnavailable("away")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[_AwayStore]:
    """An empty store."""
    store = _AwayStore(await open_sqlite(tmp_path / "state.db"))
    yield store
    await store.close()


@pytest.fixture
async def manager(store: _AwayStore) -> AsyncIterator[StateManager]:
    """A manager of it."""
    async with StateManager(store) as manager:
        yield manager


class _Looks(TaskWatch):
    """A watch that a test begins, ends and begins again."""

    def __init__(self, manager: StateManager) -> None:
        self.repairs: list[str] = []
        self.clock = SteppedClock()
        super().__init__(manager, self.clock, self.repairs.append)

    @property
    def count(self) -> int:
        return len(list(self.counts()))

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch, from when all tasks have been seen."""
        running = asyncio.create_task(self.run())
        await eventually(lambda: self.is_synced)
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def _head(store: _AwayStore, task_id: str) -> Document:
    head = await store.get(HEAD, head_name(task_id))
    assert head is not None
    return head


async def test_what_went_while_nobody_watched_is_not_counted_on(
    store: _AwayStore, manager: StateManager
) -> None:
    """Neither a task nor one that could not be read; whoever watches again sees the others, all of them."""
    looks = _Looks(manager)
    for number in range(_MORE_THAN_A_PAGE):
        await manager.create_task(f"t{number}")
    await manager.create_task("unreadable")
    damaged = await _head(store, "unreadable")
    await store.replace(damaged, damaged.body + b"}")
    async with looks.watching():
        assert (_MORE_THAN_A_PAGE, {"unreadable"}) == (looks.count, looks.unreadable)
    assert not looks.is_synced
    for task_id in ("unreadable", "t7"):
        await store.delete(await _head(store, task_id))
    async with looks.watching():
        assert (_MORE_THAN_A_PAGE - 1, set()) == (looks.count, looks.unreadable)


async def test_a_store_that_is_away_is_told_until_it_is_back(
    store: _AwayStore, manager: StateManager
) -> None:
    """Why nothing is seen, and nothing of it once all is seen again."""
    looks = _Looks(manager)
    store.is_away = True
    running = asyncio.create_task(looks.run())
    await eventually(lambda: looks.trouble != "")
    assert not looks.is_synced
    store.is_away = False
    await eventually(lambda: looks.is_synced)
    assert "" == looks.trouble
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_repair_is_told_once_however_often_its_task_is_seen(
    store: _AwayStore, manager: StateManager
) -> None:
    """Of what was repaired before the first look nothing is told; of a task made anew what comes to it."""
    await manager.create_task("t")
    damaged = await _head(store, "t")
    await store.replace(damaged, damaged.body + b"}")
    await manager.recover_state("t")
    looks = _Looks(manager)
    async with looks.watching():
        await manager.increment_iteration("t")
    assert [] == looks.repairs
    async with looks.watching():
        sound = await _head(store, "t")
        await store.replace(sound, sound.body + b"}")
        await eventually(lambda: looks.unreadable == {"t"})
        await manager.recover_state("t")
        await eventually(lambda: looks.repairs != [])
        for _ in range(3):
            await manager.increment_iteration("t")
    async with looks.watching():
        await manager.increment_iteration("t")
        await eventually(lambda: [5] == [iteration for _, iteration in looks.counts()])
    assert ["repair"] == looks.repairs


async def test_a_lease_is_abandoned_once_nobody_was_seen_to_renew_it_for_its_time(
    manager: StateManager,
) -> None:
    """Changes of the task renew it not; whoever renews it has the whole time again, and who gave it back none."""
    looks = _Looks(manager)
    await manager.create_task("t")
    acquire = AcquireLease(holder=holder(), ttl_seconds=_TTL_SECONDS, boottime_seconds=1.0)
    await manager.submit("t", acquire)
    async with looks.watching():
        looks.clock.pass_seconds(_TTL_SECONDS)
        assert [] == list(looks.abandoned())
        await manager.append_feedback("t", entry())
        await manager.create_task("later")
        await eventually(lambda: 2 == looks.count)
        looks.clock.pass_seconds(1)
        assert [("t", (1, 0))] == list(looks.abandoned())
        await manager.submit("t", RenewLease(generation=1, boottime_seconds=2.0))
        await eventually(lambda: [] == list(looks.abandoned()))
        looks.clock.pass_seconds(_TTL_SECONDS + 1)
        assert [("t", (1, 1))] == list(looks.abandoned())
        await manager.submit("t", ReleaseLease(generation=1))
        await eventually(lambda: [] == list(looks.abandoned()))
        looks.clock.pass_seconds(10 * _TTL_SECONDS)
        assert [] == list(looks.abandoned())


async def test_what_waits_for_a_person_is_not_stuck(manager: StateManager) -> None:
    """A task in progress that did not change for long is, unless it is paused."""
    looks = _Looks(manager)
    for task_id in ("busy", "paused", "new"):
        await manager.create_task(task_id)
    for task_id in ("busy", "paused"):
        await manager.increment_iteration(task_id)
    await manager.pause("paused", reason="a person looks at it")
    async with looks.watching():
        changed_at = (await manager.require_state("busy")).last_update
        looks.clock.pass_seconds((changed_at - looks.clock.now()).total_seconds())
        assert 0 == looks.stuck(60)
        looks.clock.pass_seconds(61)
        assert 1 == looks.stuck(60)
