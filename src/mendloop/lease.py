"""
Holding a task while running it.

A lease is judged to be abandoned in one of three ways: its holder is a process of this host that is
gone; it was not renewed for its time by the boot clock that both share; or, where holder and
contender are on two hosts, it did not change for its time while the contender watched, on the
contender's own clock. Two machines' clocks are never compared.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from mendloop.clock import boottime_seconds
from mendloop.core import commands
from mendloop.core.errors import (
    LeaseHeld,
    LeaseLost,
    StateError,
    StateNotFound,
)
from mendloop.core.findings import Report
from mendloop.core.model import FeedbackEntry, RemediationState, Settings
from mendloop.core.run import Child, Holder, Lease
from mendloop.core.vocabulary import StepKind, StopReason
from mendloop.crashpoints import reach
from mendloop.manager import StateManager
from mendloop.runners.identity import boot_id, end_leftover, is_alive

__all__ = ["LEASE_SECONDS", "RunLease", "take_from_the_dead"]

LEASE_SECONDS = 30.0
"""Time without a heartbeat after which a run counts as gone."""

_LOOKS_PER_LEASE = 20
_HEARTBEATS_PER_LEASE = 3
_CONTROL_SECONDS = 1.0


class RunLease:
    """
    One run's right to write a task's results; every write carries its generation and its token.

    Attributes:
        generation: Rises with every acquisition.
        left_child: What an earlier run has recorded as started and not as ended, or None.
        taken_from: Token of the run that this one took the task from, or "".
    """

    def __init__(
        self,
        manager: StateManager,
        task_id: str,
        generation: int,
        *,
        token: str,
        left_child: Child | None,
        taken_from: str,
        ttl_seconds: float,
    ) -> None:
        """Use `acquire`."""
        self._manager = manager
        self._task_id = task_id
        self._ttl_seconds = ttl_seconds
        self._token = token
        self.generation = generation
        self.left_child = left_child
        self.taken_from = taken_from

    @classmethod
    async def acquire(
        cls,
        manager: StateManager,
        task_id: str,
        holder: Holder,
        *,
        tree: str = "",
        ttl_seconds: float = LEASE_SECONDS,
    ) -> RunLease:
        """
        Take the task's lease; one that a dead run left behind is taken over.

        Waits at most the old lease's time, and only for a holder on another host.

        Raises:
            LeaseHeld: Somebody runs the task, and lives.
            StateNotFound: There is no such task.
        """
        watch = _Watch(manager)
        abandoned: tuple[int, int] | None = None
        taken_from = ""
        while True:
            command = commands.AcquireLease(
                holder=holder,
                ttl_seconds=ttl_seconds,
                boottime_seconds=boottime_seconds(),
                tree=tree,
                abandoned=abandoned,
            )
            try:
                generation = int((await manager.submit(task_id, command))["generation"])
            except LeaseHeld as held:
                lease = await _current(manager, task_id)
                if lease.holder is None:
                    continue
                if not await watch.is_abandoned(lease, lease.holder, held):
                    continue
                abandoned = (lease.generation, lease.renewals)
                taken_from = lease.holder.token
            else:
                lease = await _current(manager, task_id)
                return cls(
                    manager,
                    task_id,
                    generation,
                    token=holder.token,
                    left_child=lease.child,
                    taken_from=taken_from,
                    ttl_seconds=ttl_seconds,
                )

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """
        Keep the lease alive inside; give it back at the end.

        Raises:
            LeaseLost: Another run took it, the task was stopped, or the store was away for too
                long: what is inside is cancelled.
            StateNotFound: The task was deleted: what is inside is cancelled.
        """
        inside = asyncio.current_task()
        assert inside is not None  # noqa: S101 - a coroutine always runs in a task
        lost: list[Exception] = []

        async def beat() -> None:
            try:
                await self._beat()
            except Exception as error:  # noqa: BLE001 - a heart that stops ends what is inside
                lost.append(error)
                inside.cancel()

        heart = asyncio.create_task(beat())
        try:
            yield
        except asyncio.CancelledError:
            if lost and inside.uncancel() == 0:
                raise lost[0] from None
            raise
        finally:
            heart.cancel()
            await asyncio.gather(heart, return_exceptions=True)
            if not lost:
                # One that cannot be given back is seen to be dead once this process has ended.
                with contextlib.suppress(StateError):
                    await self._submit(commands.ReleaseLease(generation=self.generation))
                reach("lease-released")

    async def _beat(self) -> None:
        """Renew in time, and look every second whether the task was taken or stopped."""
        clock = self._manager.clock
        renewed = clock.monotonic_seconds()
        pause_seconds = min(_CONTROL_SECONDS, self._ttl_seconds / _HEARTBEATS_PER_LEASE)
        while True:
            await clock.sleep(pause_seconds)
            since = clock.monotonic_seconds() - renewed
            try:
                # The manager may wait for an answer for longer than the lease lasts.
                async with asyncio.timeout(max(self._ttl_seconds - since, pause_seconds)):
                    if since + pause_seconds > self._ttl_seconds / _HEARTBEATS_PER_LEASE:
                        await self._submit(
                            commands.RenewLease(
                                generation=self.generation, boottime_seconds=boottime_seconds()
                            )
                        )
                        renewed = clock.monotonic_seconds()
                    else:
                        await self._check()
            except LeaseLost:
                raise
            except StateNotFound as error:
                raise StateNotFound(
                    f"task {self._task_id} was deleted during this run: nothing more was written",
                    task_id=self._task_id,
                ) from error
            except (StateError, TimeoutError) as error:
                if clock.monotonic_seconds() - renewed > self._ttl_seconds:
                    raise LeaseLost(
                        f"task {self._task_id}: no heartbeat could be written for "
                        f"{self._ttl_seconds:.0f} s, so another run may have taken it; run the same "
                        "again to go on",
                        task_id=self._task_id,
                    ) from error

    async def _check(self) -> None:
        seen = self._manager.cached_state(self._task_id)
        lease = seen.ledger.lease if seen else await _current(self._manager, self._task_id)
        if lease.holder is None or lease.generation != self.generation:
            raise LeaseLost(
                f"task {self._task_id} was stopped or taken by another run", task_id=self._task_id
            )

    async def configure(self, settings: Settings) -> None:
        """Change when the loop stops."""
        await self._submit(commands.Configure(settings=settings, generation=self.generation))

    async def start_iteration(self) -> int:
        """Start the next iteration; returns its number."""
        done = await self._submit(commands.Increment(generation=self.generation))
        return int(done["iteration"])

    async def open_findings(self, state: RemediationState) -> tuple[FeedbackEntry, ...]:
        """Every open finding of *state*, for the brief."""
        return await self._manager.open_findings(state)

    async def begin_step(self, kind: StepKind, tree: str = "") -> None:
        """Say that a step begins on this revision of the work tree."""
        await self._submit(commands.BeginStep(generation=self.generation, kind=kind, tree=tree))

    async def record_child(self, child: Child | None) -> None:
        """Say which process was started, before it may begin, or that it ended."""
        await self._submit(commands.RecordChild(generation=self.generation, child=child))

    async def record_review(self, reports: tuple[Report, ...], *, tree: str = "") -> dict[str, Any]:
        """Hand in a review; returns the counts "open", "new", "resolved" and "reopened"."""
        return await self._submit(
            commands.RecordReview(generation=self.generation, reports=reports, tree=tree)
        )

    async def record_fix(self, *, problem: str, tree: str = "") -> bool:
        """Hand in how the fixer ended; returns whether the work tree changed."""
        done = await self._submit(
            commands.RecordFix(generation=self.generation, tree=tree, problem=problem)
        )
        return bool(done["is_tree_changed"])

    async def finish(self, reason: StopReason, detail: str, *, tree: str = "") -> None:
        """End the task, on this revision of the work tree."""
        await self._submit(
            commands.Finish(generation=self.generation, reason=reason, detail=detail, tree=tree)
        )

    async def _submit(self, command: commands.Command) -> dict[str, Any]:
        return await self._manager.submit(self._task_id, command, run=self._token)


async def take_from_the_dead(manager: StateManager, task_id: str, holder: Holder) -> bool:
    """
    Free the task of a run that is a process of this host and gone, and end what it left running.

    Returns:
        Whether there was such a run; where a living one holds the task, nothing is done.

    Raises:
        LeaseHeld: Another run was quicker.
    """
    lease = await _current(manager, task_id)
    if lease.holder is None or is_alive(lease.holder) is not False:
        return False
    taken = await RunLease.acquire(manager, task_id, holder, tree=lease.tree)
    async with taken.held():
        if taken.left_child is not None:
            await asyncio.to_thread(end_leftover, taken.left_child)
    return True


class _Watch:
    """What a contender has seen of somebody else's lease."""

    def __init__(self, manager: StateManager) -> None:
        self._clock = manager.clock
        self._seen: tuple[int, int] | None = None
        self._since = 0.0

    async def is_abandoned(self, lease: Lease, holder: Holder, held: LeaseHeld) -> bool:
        """
        Judge the lease; False means: look again.

        Raises:
            LeaseHeld: Its holder lives.
        """
        alive = is_alive(holder)
        if alive is False:
            return True
        if holder.boot_id and holder.boot_id == boot_id():
            if boottime_seconds() - lease.renewed_boottime_seconds > lease.ttl_seconds:
                return True
            raise held
        mark = (lease.generation, lease.renewals)
        if self._seen is None:
            self._seen, self._since = mark, self._clock.monotonic_seconds()
        elif self._seen != mark:
            raise held
        elif self._clock.monotonic_seconds() - self._since > lease.ttl_seconds:
            return True
        await self._clock.sleep(lease.ttl_seconds / _LOOKS_PER_LEASE)
        return False


async def _current(manager: StateManager, task_id: str) -> Lease:
    return (await manager.require_state(task_id)).ledger.lease
