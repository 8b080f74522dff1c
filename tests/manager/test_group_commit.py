"""Commands that wait for one task are written together, and each caller is on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from faulty_store import DOWN, FULL, LOST_ANSWER, Fault, FaultyStore, in_turn
from patience import eventually
from states import entry

from mendloop.core import commands
from mendloop.core.errors import (
    LeaseLost,
    OutcomeUnknown,
    StateError,
    StateExists,
    StateNotFound,
    StoreFull,
    ValidationError,
)
from mendloop.core.model import Ledger, RemediationState, Settings
from mendloop.manager import StateManager

Manage = Callable[..., StateManager]


class Held:
    """A write that is done, and whose answer a test holds back."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.fault = Fault(is_done=True, error=None, until=self.let_go)

    async def is_under_way(self, store: FaultyStore) -> None:
        await eventually(lambda: store.calls["replace head"] == 1)


async def stored(manager: StateManager) -> tuple[RemediationState, Ledger]:
    """The task as it is stored."""
    state = await manager.get_state("t")
    assert state is not None
    assert isinstance(state.mendloop, Ledger)
    return state, state.mendloop


async def test_64_increments_at_once_get_64_numbers_in_a_few_commits(
    store: FaultyStore, manager: StateManager
) -> None:
    """Those that wait while a write is under way share the next one."""
    await manager.create_task("t", settings=Settings(max_iterations=100))
    numbers = await asyncio.gather(*(manager.increment_iteration("t") for _ in range(64)))
    assert list(range(1, 65)) == sorted(numbers)
    _, ledger = await stored(manager)
    assert ledger.commit <= 4
    assert 64 + 1 == sum(len(commit.changes) for commit in ledger.commits)


async def test_one_operation_id_five_times_at_once_counts_once(manager: StateManager) -> None:
    """Repeats that wait together are recognised within their own fold."""
    await manager.create_task("t")
    five = (manager.increment_iteration("t", op_id="same") for _ in range(5))

    assert [1, 1, 1, 1, 1] == await asyncio.gather(*five)


async def test_more_than_fit_into_one_commit_are_all_written(manager: StateManager) -> None:
    """A thousand at once are a thousand numbers, and no commit holds more than 64."""
    await manager.create_task("t", settings=Settings(max_iterations=2000))
    numbers = await asyncio.gather(*(manager.increment_iteration("t") for _ in range(1000)))
    assert list(range(1, 1001)) == sorted(numbers)
    state, _ = await stored(manager)
    sizes = [len(commit.changes) async for commit in manager.commits(state)]
    assert max(sizes) <= 64
    assert 1001 == sum(sizes)


async def test_a_refused_command_fails_only_its_own_caller(manager: StateManager) -> None:
    """In one fold, the good are written and each bad one is told why."""
    await manager.create_task("t")
    told = await asyncio.gather(
        manager.increment_iteration("t"),
        manager.create_task("t"),
        manager.append_feedback("t", entry("c1", severity="Horrible")),
        manager.append_feedback("t", entry("c2", description=7)),
        manager.submit("t", commands.RecordFix(generation=9, tree="x")),
        manager.append_feedback("t", entry("c3", author="\ud800")),
        manager.increment_iteration("t"),
        return_exceptions=True,
    )
    assert (1, 2) == (told[0], told[6])
    assert [StateExists, ValidationError] == [type(told[1]), type(told[2])]
    assert isinstance(told[3], Exception)
    assert isinstance(told[4], LeaseLost)
    state, _ = await stored(manager)
    assert (2, ["c3"]) == (state.iteration, [e.pr_comment_id for e in state.feedback_history])


async def test_the_limit_splits_a_fold(manager: StateManager) -> None:
    """Of five at once with a limit of three, three are counted and two are refused."""
    await manager.create_task("t", settings=Settings(max_iterations=3))
    told = await asyncio.gather(
        *(manager.increment_iteration("t") for _ in range(5)), return_exceptions=True
    )
    assert [1, 2, 3] == sorted(n for n in told if isinstance(n, int))
    assert 2 == sum(type(error).__name__ == "MaxIterationsReached" for error in told)


@pytest.mark.parametrize("fault", [FULL, LOST_ANSWER])
async def test_each_caller_gets_an_error_of_its_own(
    store: FaultyStore, manage: Manage, fault: Fault
) -> None:
    """One failed write is told to each of its callers with its own operation id and traceback."""
    manager = manage(store, deadline_seconds=0.05)
    await manager.create_task("t")

    store.choose = lambda operation, _kind: fault if operation == "replace" else DOWN
    errors = await asyncio.gather(
        *(manager.increment_iteration("t", op_id=f"o{n}") for n in range(5)),
        return_exceptions=True,
    )
    assert 5 == len({id(error) for error in errors})
    assert {StoreFull if fault is FULL else OutcomeUnknown} == {type(error) for error in errors}
    assert [True] * 5 == [isinstance(error, Exception) and bool(str(error)) for error in errors]
    if fault is LOST_ANSWER:
        assert [f"o{n}" for n in range(5)] == [getattr(e, "op_id", "") for e in errors]


async def test_what_a_store_should_not_raise_is_told_to_each_caller(
    store: FaultyStore, manager: StateManager
) -> None:
    """A defect of a store reaches every caller as a StateError that names its cause."""
    await manager.create_task("t")
    broken = Fault(is_done=False, error=lambda: ZeroDivisionError("oops"))
    store.choose = lambda operation, _kind: broken if operation == "replace" else None
    errors = await asyncio.gather(
        *(manager.increment_iteration("t") for _ in range(3)), return_exceptions=True
    )
    assert [StateError] * 3 == [type(error) for error in errors]
    assert {"ZeroDivisionError('oops')"} == {str(error) for error in errors}
    assert {ZeroDivisionError} == {type(e.__cause__) for e in errors if isinstance(e, Exception)}


async def test_a_cancelled_caller_cancels_neither_the_write_nor_the_others(
    store: FaultyStore, manager: StateManager
) -> None:
    """What is on its way is written, and everyone else gets an answer."""
    await manager.create_task("t")
    held = Held()
    store.choose = in_turn([held.fault])
    callers = [asyncio.create_task(manager.increment_iteration("t")) for _ in range(4)]
    await held.is_under_way(store)
    callers += [asyncio.create_task(manager.increment_iteration("t")) for _ in range(4)]
    await asyncio.sleep(0)
    for number in (0, 5):
        callers[number].cancel()
    held.let_go.set()
    told = await asyncio.gather(*callers, return_exceptions=True)
    numbers = [n for n in told if isinstance(n, int)]
    assert 6 == len(set(numbers))
    assert 2 == sum(isinstance(error, asyncio.CancelledError) for error in told)
    assert 8 == await manager.get_current_iteration("t")


async def test_closing_waits_for_what_is_on_its_way(
    store: FaultyStore, manager: StateManager
) -> None:
    """After close every caller has its answer, those that were still queued too."""
    await manager.create_task("t")
    held = Held()
    store.choose = in_turn([held.fault])
    callers = [asyncio.create_task(manager.increment_iteration("t")) for _ in range(3)]
    await held.is_under_way(store)
    callers.append(asyncio.create_task(manager.increment_iteration("t")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(manager.close())
    await asyncio.sleep(0)
    held.let_go.set()
    await closing
    assert [True] * 4 == [caller.done() for caller in callers]
    assert [1, 2, 3, 4] == sorted(await asyncio.gather(*callers))


async def test_a_cancelled_close_cancels_no_write(
    store: FaultyStore, manager: StateManager
) -> None:
    """Who loses patience with close loses nothing else."""
    await manager.create_task("t")
    held = Held()
    store.choose = in_turn([held.fault])
    caller = asyncio.create_task(manager.increment_iteration("t"))
    await held.is_under_way(store)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(manager.close(), 0.005)
    held.let_go.set()
    assert 1 == await caller


async def test_an_ending_event_loop_leaves_no_caller_waiting(
    store: FaultyStore, manager: StateManager
) -> None:
    """Where the writer itself is cancelled, those in the queue are cancelled with it."""
    await manager.create_task("t")
    held = Held()
    store.choose = in_turn([held.fault])
    callers = [asyncio.create_task(manager.increment_iteration("t"))]
    await held.is_under_way(store)
    callers.append(asyncio.create_task(manager.increment_iteration("t")))
    await asyncio.sleep(0)
    [drain] = manager._committer._drains.values()
    drain.cancel()
    told = await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), 5)
    assert [asyncio.CancelledError] * 2 == [type(error) for error in told]


async def test_tasks_do_not_wait_for_each_other(store: FaultyStore, manager: StateManager) -> None:
    """A write of one task under way does not hold up another task's."""
    held = Held()
    store.choose = in_turn([held.fault])
    order: list[str] = []

    async def create(task_id: str) -> None:
        await manager.create_task(task_id)
        order.append(task_id)
        held.let_go.set()

    await asyncio.gather(create("slow"), create("quick"))
    assert ["quick", "slow"] == order


async def test_nothing_is_kept_for_tasks_that_rest(manager: StateManager) -> None:
    """After many tasks, errors included, no queue is left and few writes are remembered."""
    for number in range(200):
        await manager.increment_iteration(f"t{number}")
        with pytest.raises(StateNotFound):
            await manager.pause(f"nowhere{number}", reason="r")
    assert ({}, {}) == (manager._committer._queues, manager._committer._drains)
    assert len(manager._committer._own_writes) <= 128


async def test_16_creators_one_wins(
    open_store: Callable[[], Any], manage: Manage, scaled: Callable[[int, int], int]
) -> None:
    """Behind a barrier, on four handles: one is told it made the task, 15 are told it exists."""
    managers = [manage(await open_store(), by=f"user{n}") for n in range(4)]
    for turn in range(scaled(200, 20)):
        barrier = asyncio.Barrier(16)

        async def create(number: int, turn: int = turn, barrier: Any = barrier) -> str:
            await barrier.wait()
            try:
                await managers[number % 4].create_task(f"t{turn}")
            except StateExists:
                return "exists"
            return "made"

        told = await asyncio.gather(*(create(number) for number in range(16)))
        assert {"made": 1, "exists": 15} == {word: told.count(word) for word in set(told)}


async def test_that_nothing_is_to_be_done_rests_on_what_is_stored_now(
    store: FaultyStore, manage: Manage
) -> None:
    """Who wrote last before somebody else takes no decision from memory that needs no write."""
    one, other = manage(store), manage(store)
    await one.create_task("t")
    await one.pause("t", reason="lunch")
    await other.resume("t")
    await one.pause("t", reason="dinner")
    pause = (await other.require_state("t")).ledger.pause

    assert pause is not None
    assert "dinner" == pause.reason
