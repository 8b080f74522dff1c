"""A run of a task that was removed does nothing to the one that was made anew under its name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from cleanups import DAY_SECONDS
from clocks import SteppedClock
from drive import report
from states import holder

from mendloop.core import commands
from mendloop.core.errors import LeaseLost
from mendloop.core.model import Settings
from mendloop.core.names import HEAD, head_name
from mendloop.core.run import Child
from mendloop.core.vocabulary import StepKind, StopReason
from mendloop.lease import RunLease
from mendloop.manager import StateManager
from mendloop.stores.port import Store

Manage = Callable[..., StateManager]
Remove = Callable[[Store, StateManager, SteppedClock], Awaitable[None]]
CHILD = Child(boot_id="b", pid_namespace="n", pid=1, start_ticks=1, token="t")  # noqa: S106 - names a run


async def by_hand(store: Store, _manager: StateManager, _clock: SteppedClock) -> None:
    """Remove the head alone, as kubectl or a database tool does."""
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    await store.delete(head)


async def by_cleanup(store: Store, manager: StateManager, clock: SteppedClock) -> None:
    """Stop and delete the task, and have it removed after its grace."""
    await manager.stop("t", reason="enough")
    await manager.delete("t", reason="over")
    clock.pass_seconds(30 * DAY_SECONDS)
    assert ["t"] == (await manager.cleanup_old_states()).removed
    assert await store.get(HEAD, head_name("t")) is None


@pytest.fixture
def clock() -> SteppedClock:
    """A clock that the test moves."""
    return SteppedClock()


@pytest.fixture
def manager(place: Store, clock: SteppedClock, manage: Manage) -> StateManager:
    """A manager on each kind of store."""
    return manage(place, clock=clock)


async def remade(manager: StateManager, removal: Awaitable[None]) -> tuple[RunLease, RunLease]:
    """Have a run hold a task, the task removed and made anew, and another run hold that."""
    await manager.create_task("t")
    stale = await RunLease.acquire(manager, "t", holder("stale"))
    await removal
    await manager.create_task("t")
    present = await RunLease.acquire(manager, "t", holder("present"))
    assert stale.generation == present.generation
    await present.start_iteration()
    await present.begin_step(StepKind.REVIEW)
    return stale, present


@pytest.mark.parametrize("remove", [by_hand, by_cleanup])
async def test_a_stale_run_writes_nothing_into_the_task_made_anew(
    place: Store, manager: StateManager, clock: SteppedClock, remove: Remove
) -> None:
    """Its generation is given out there too, and all that it hands in is refused all the same."""
    stale, present = await remade(manager, remove(place, manager, clock))
    before = await place.get(HEAD, head_name("t"))
    for write in (
        stale.start_iteration,
        lambda: stale.begin_step(StepKind.REVIEW),
        lambda: stale.record_review((report("a"),)),
        lambda: stale.record_fix(problem=""),
        lambda: stale.record_child(CHILD),
        lambda: stale.configure(Settings(max_iterations=99)),
        lambda: stale.finish(StopReason.TERMINATED, ""),
    ):
        with pytest.raises(LeaseLost):
            await write()
    assert before == await place.get(HEAD, head_name("t"))
    assert 1 == (await present.record_review((report("a"),)))["open"]


@pytest.mark.parametrize("remove", [by_hand, by_cleanup])
async def test_a_stale_run_neither_renews_nor_releases_the_task_made_anew(
    place: Store, manager: StateManager, clock: SteppedClock, remove: Remove
) -> None:
    """It ends once its heart beats; the lease stays with the run that has it, as it was."""
    stale, _ = await remade(manager, remove(place, manager, clock))
    before = await place.get(HEAD, head_name("t"))
    async with stale.held():
        pass
    with pytest.raises(LeaseLost):
        async with stale.held():
            await asyncio.Event().wait()
    assert before == await place.get(HEAD, head_name("t"))


async def test_an_operation_of_the_holder_is_told_again_after_the_lease_is_gone(
    manager: StateManager,
) -> None:
    """What was written with an operation id is answered as before, whoever holds the task by then."""
    await manager.create_task("t")
    lease = await RunLease.acquire(manager, "t", holder("present"))
    step = commands.Increment(generation=lease.generation)
    first = await manager.submit("t", step, op_id="once", run="present")
    await manager.stop("t", reason="enough")
    assert first == await manager.submit("t", step, op_id="once", run="present")
