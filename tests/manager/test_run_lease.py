"""One run at a time: taken over when dead, refused when alive, lost when stopped."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
from clocks import SteppedClock
from drive import report
from faulty_store import DOWN, FULL, LOST_ANSWER, SILENT, Fault, FaultyStore
from states import holder

from mendloop.clock import boottime_seconds
from mendloop.core import commands
from mendloop.core.errors import LeaseHeld, LeaseLost, StateNotFound
from mendloop.core.model import Ledger, Settings
from mendloop.core.run import Child, Holder
from mendloop.core.vocabulary import StepKind, StopReason
from mendloop.lease import RunLease
from mendloop.manager import StateManager
from mendloop.runners.identity import (
    identify_child,
    start_ticks,
    this_process,
)

Manage = Callable[..., StateManager]
ME = this_process("ann@here", "me")
_TTL_SECONDS = 30.0


@pytest.fixture
def clock() -> SteppedClock:
    """The contender's clock."""
    return SteppedClock()


@pytest.fixture
async def manager(store: FaultyStore, manage: Manage, clock: SteppedClock) -> StateManager:
    """A manager whose time the test sets, with a task in it."""
    made = manage(store, clock=clock)
    await made.create_task("t")
    return made


async def ledger_of(manager: StateManager) -> Ledger:
    """Our part of the task as it is stored."""
    state = await manager.get_state("t")
    assert state is not None
    assert isinstance(state.mendloop, Ledger)
    return state.mendloop


async def give(manager: StateManager, who: Holder, *, boottime: float | None = None) -> None:
    """Put the lease into somebody's hands."""
    command = commands.AcquireLease(
        holder=who,
        ttl_seconds=_TTL_SECONDS,
        boottime_seconds=boottime_seconds() if boottime is None else boottime,
    )
    await manager.submit("t", command)


async def test_a_living_holder_is_named_and_not_disturbed(
    manager: StateManager, clock: SteppedClock
) -> None:
    """A second run on this host is refused at once, with who and since when."""
    await give(manager, ME)
    with pytest.raises(LeaseHeld, match=f"ann@here, pid {ME.pid}") as caught:
        await RunLease.acquire(manager, "t", this_process("bea@here", "other"))
    assert caught.value.since.startswith("2026-01-01T00:00:00")
    assert [] == clock.slept_seconds


async def test_a_dead_holder_is_taken_over_at_once(
    manager: StateManager, clock: SteppedClock
) -> None:
    """A process of this host that is gone holds nothing, and its child is handed on."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE
    )
    child = identify_child(process.pid, "gone")
    gone = Holder(
        name="bea",
        token="gone",  # noqa: S106 - names a run
        boot_id=child.boot_id,
        pid_namespace=child.pid_namespace,
        pid=child.pid,
        start_ticks=child.start_ticks,
    )
    await give(manager, gone)
    await manager.submit("t", commands.RecordChild(generation=1, child=child))
    with pytest.raises(LeaseHeld):
        await RunLease.acquire(manager, "t", ME)
    await process.communicate(b"\n")
    lease = await RunLease.acquire(manager, "t", ME)
    assert (2, child) == (lease.generation, lease.left_child)
    assert [] == clock.slept_seconds


async def test_a_reused_process_number_is_not_the_holder(
    manager: StateManager, clock: SteppedClock
) -> None:
    """A living process of the same number that started at another time is somebody else."""
    other = Holder(
        name="bea",
        token="gone",  # noqa: S106 - names a run
        boot_id=ME.boot_id,
        pid_namespace=ME.pid_namespace,
        pid=ME.pid,
        start_ticks=(start_ticks(ME.pid) or 0) + 1,
    )
    await give(manager, other)
    assert 2 == (await RunLease.acquire(manager, "t", ME)).generation
    assert [] == clock.slept_seconds


@pytest.mark.parametrize("namespace", ["", "pid:[1]"])
async def test_a_holder_that_was_silent_too_long_is_taken_over(
    manager: StateManager, clock: SteppedClock, namespace: str
) -> None:
    """A living but stopped process, or one of another container, is judged by the boot clock."""
    who = Holder(
        name="bea",
        token="stopped",  # noqa: S106 - names a run
        boot_id=ME.boot_id,
        pid_namespace=namespace or ME.pid_namespace,
        pid=ME.pid,
        start_ticks=ME.start_ticks,
    )
    await give(manager, who, boottime=boottime_seconds() - _TTL_SECONDS + 5)
    with pytest.raises(LeaseHeld):
        await RunLease.acquire(manager, "t", ME)
    await manager.submit(
        "t",
        commands.RenewLease(generation=1, boottime_seconds=boottime_seconds() - _TTL_SECONDS - 1),
    )
    assert 2 == (await RunLease.acquire(manager, "t", ME)).generation
    assert [] == clock.slept_seconds


@pytest.mark.parametrize("their_boottime", [0.0, 1e12])
async def test_a_holder_on_another_host_is_judged_by_watching_alone(
    manager: StateManager, clock: SteppedClock, their_boottime: float
) -> None:
    """Whatever the other host's clock says, its lease is taken after it was still for its time."""
    await give(manager, holder("theirs"), boottime=their_boottime)
    lease = await RunLease.acquire(manager, "t", ME)
    assert 2 == lease.generation
    assert _TTL_SECONDS < sum(clock.slept_seconds) <= _TTL_SECONDS * 1.1


async def test_a_heartbeat_seen_while_watching_saves_the_holder(
    store: FaultyStore, manage: Manage, manager: StateManager
) -> None:
    """A lease that moves is alive, however far apart the clocks are."""
    await give(manager, holder("theirs"))

    class Beating(SteppedClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            if len(self.slept_seconds) == 15:
                await manager.submit("t", commands.RenewLease(generation=1, boottime_seconds=-5.0))

    with pytest.raises(LeaseHeld, match="ann@laptop"):
        await RunLease.acquire(manage(store, clock=Beating()), "t", ME)
    assert 1 == (await ledger_of(manager)).lease.generation


async def test_a_lease_given_back_while_watching_is_taken(
    store: FaultyStore, manage: Manage, manager: StateManager
) -> None:
    """The watch ends as soon as the lease is free."""
    await give(manager, holder("theirs"))

    class Releasing(SteppedClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            if len(self.slept_seconds) == 3:
                await manager.submit("t", commands.ReleaseLease(generation=1))

    clock = Releasing()
    assert 2 == (await RunLease.acquire(manage(store, clock=clock), "t", ME)).generation
    assert 3 == len(clock.slept_seconds)


async def test_of_two_contenders_for_a_dead_lease_one_wins(
    store: FaultyStore, manage: Manage, manager: StateManager
) -> None:
    """Both judge the same lease to be abandoned; the second finds it taken."""
    await give(manager, holder("theirs"))
    contenders = [manage(store, clock=SteppedClock()) for _ in range(4)]
    told = await asyncio.gather(
        *(
            RunLease.acquire(contender, "t", this_process(f"c{n}", f"token{n}"))
            for n, contender in enumerate(contenders)
        ),
        return_exceptions=True,
    )
    assert 1 == sum(isinstance(lease, RunLease) for lease in told)
    assert 3 == sum(isinstance(error, LeaseHeld) for error in told)
    assert 2 == (await ledger_of(manager)).lease.generation


async def test_an_old_holder_that_wakes_up_cannot_write(manager: StateManager) -> None:
    """A run that slept past its lease is refused by generation in all that it hands in."""
    await give(manager, holder("theirs"))
    old = RunLease(
        manager,
        "t",
        1,
        token="theirs",  # noqa: S106 - names a run
        left_child=None,
        taken_from="",
        ttl_seconds=_TTL_SECONDS,
    )
    await old.start_iteration()
    await old.begin_step(StepKind.REVIEW, "tree")
    await RunLease.acquire(manager, "t", ME)
    before = await manager.get_state("t")
    child = Child(boot_id="b", pid_namespace="n", pid=1, start_ticks=1, token="t")  # noqa: S106
    for write in (
        old.start_iteration,
        lambda: old.begin_step(StepKind.REVIEW, "tree"),
        lambda: old.record_review((report("a"),), tree=""),
        lambda: old.record_fix(tree="x", problem=""),
        lambda: old.record_child(child),
        lambda: old.configure(Settings(max_iterations=99)),
        lambda: old.finish(StopReason.COMPLETED, "", tree=""),
    ):
        with pytest.raises(LeaseLost):
            await write()
    assert before == await manager.get_state("t")


async def test_heartbeats_leave_no_commit_and_do_not_move_the_last_update(
    manager: StateManager, clock: SteppedClock
) -> None:
    """A long run renews its lease and writes nothing else; giving it back tells how often."""
    lease = await RunLease.acquire(manager, "t", ME, ttl_seconds=_TTL_SECONDS)
    before = await manager.get_state("t")
    async with lease.held():
        await clock.until_slept(10 * _TTL_SECONDS)
        during = await manager.get_state("t")
    after = await manager.get_state("t")
    assert before is not None
    assert during is not None
    assert after is not None
    assert before.last_update == during.last_update == after.last_update
    assert before.ledger.commits == during.ledger.commits == after.ledger.commits[:-1]
    beats = during.ledger.lease.renewals
    assert 28 <= beats <= 36
    assert after.ledger.lease.holder is None
    [left] = after.ledger.commits[-1].changes
    assert ("release_lease", 1) == (left.do, left.facts["generation"])
    assert beats <= left.facts["renewals"] <= 36


async def held_until_lost(lease: RunLease) -> list[str]:
    """Work under the lease for ever; returns how that ended."""
    told = []
    try:
        async with lease.held():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                told.append("cancelled")
                raise
    except LeaseLost as error:
        told.append(str(error))
    current = asyncio.current_task()
    assert current is not None
    assert 0 == current.cancelling()
    return told


async def test_a_task_that_is_stopped_ends_its_run(
    store: FaultyStore, manage: Manage, manager: StateManager
) -> None:
    """What runs under the lease is cancelled and told why, soon after the stop."""
    lease = await RunLease.acquire(manager, "t", ME)
    working = asyncio.create_task(held_until_lost(lease))
    await asyncio.sleep(0.01)
    await manage(store).stop("t", reason="enough")
    told = await asyncio.wait_for(working, 10)
    assert "cancelled" == told[0]
    assert "was stopped or taken" in told[1] or "no longer holds task t" in told[1]


@pytest.mark.parametrize("fault", [DOWN, FULL, SILENT], ids=["down", "full", "silent"])
async def test_a_run_that_cannot_renew_ends_before_it_may_do_harm(
    store: FaultyStore, manager: StateManager, fault: Fault
) -> None:
    """Whatever keeps the heartbeats from being written, the run ends after the lease's time."""
    lease = await RunLease.acquire(manager, "t", ME)
    store.choose = lambda operation, _kind: None if operation == "get" else fault
    told = await asyncio.wait_for(held_until_lost(lease), 20)
    assert [
        "cancelled",
        (
            "task t: no heartbeat could be written for 30 s, so another run may have taken it; "
            "run the same again to go on"
        ),
    ] == told
    store.choose = lambda _operation, _kind: None


async def test_a_store_that_answers_nothing_ends_a_run_in_the_time_of_its_lease(
    store: FaultyStore, manage: Manage
) -> None:
    """However long one call may take, who holds the lease knows in time that it is over."""
    answers = asyncio.Event()
    patient = manage(store, deadline_seconds=60.0)
    await patient.create_task("t")
    lease = await RunLease.acquire(patient, "t", ME, ttl_seconds=0.5)
    store.choose = lambda _operation, _kind: Fault(is_done=True, error=None, until=answers)
    try:
        told = await asyncio.wait_for(held_until_lost(lease), 20)
    finally:
        store.choose = lambda _operation, _kind: None
        answers.set()
    assert told[0] == "cancelled"
    assert told[1].startswith("task t: no heartbeat could be written")


async def test_a_short_outage_does_not_end_a_run(
    store: FaultyStore, manager: StateManager, clock: SteppedClock
) -> None:
    """Failures and lost answers shorter than the lease are ridden out."""
    lease = await RunLease.acquire(manager, "t", ME)
    turns = 0

    def choose(_operation: str, _kind: str) -> Fault | None:
        nonlocal turns
        turns += 1
        return None if turns % 3 else LOST_ANSWER if turns % 2 else DOWN

    async with lease.held():
        store.choose = choose
        await clock.until_slept(10 * _TTL_SECONDS)
        store.choose = lambda _operation, _kind: None
    assert (await ledger_of(manager)).lease.holder is None


async def test_a_task_that_is_gone_ends_its_run(store: FaultyStore, manager: StateManager) -> None:
    """A run of a deleted task is ended, and told what became of it."""
    lease = await RunLease.acquire(manager, "t", ME)
    working = asyncio.create_task(held_until_lost(lease))
    await asyncio.sleep(0.01)
    while (document := await store.get("head", "task-t-state")) is not None:
        try:
            await store.delete(document)
        except Exception:  # noqa: BLE001, S112 - a heartbeat came in between
            continue
    with pytest.raises(StateNotFound, match="task t was deleted during this run"):
        await asyncio.wait_for(working, 10)


@pytest.mark.parametrize("error", [ValueError("mine"), asyncio.CancelledError()])
async def test_a_run_that_fails_gives_its_lease_back(
    manager: StateManager, error: BaseException
) -> None:
    """What goes wrong inside comes out as it is, and the task is free again."""
    lease = await RunLease.acquire(manager, "t", ME)
    with pytest.raises(type(error)):
        async with lease.held():
            raise error
    assert (await ledger_of(manager)).lease.holder is None


async def test_a_run_cancelled_from_outside_is_cancelled_and_gives_back(
    manager: StateManager,
) -> None:
    """Ctrl-C is no lost lease."""
    lease = await RunLease.acquire(manager, "t", ME)

    async def work() -> Any:
        async with lease.held():
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert (await ledger_of(manager)).lease.holder is None


async def test_there_is_no_lease_of_a_task_that_is_not_there(manager: StateManager) -> None:
    """A task has to be made before it is run."""
    with pytest.raises(StateNotFound):
        await RunLease.acquire(manager, "nowhere", ME)


async def test_a_lease_whose_answer_was_lost_is_held(
    store: FaultyStore, manager: StateManager
) -> None:
    """Acquired once, however often the answer went missing."""
    turns = iter([LOST_ANSWER, LOST_ANSWER])
    store.choose = lambda operation, _kind: next(turns, None) if operation == "replace" else None
    assert 1 == (await RunLease.acquire(manager, "t", ME)).generation
    assert 1 == (await ledger_of(manager)).lease.generation
