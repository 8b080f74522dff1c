"""
The loop: review, fix, review again, until clean or until it makes no sense to go on.

It holds no state of its own. Each turn reads the task, asks `mendloop.core.decide` what is next,
does that, and hands the result in; so a loop that was killed anywhere goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import msgspec

from mendloop.core.decide import Ended, Finish, StartIteration, Take, Wait, decide
from mendloop.core.errors import (
    LeaseLost,
    RunError,
    StateError,
    StateExists,
    TaskEnded,
    TransitionRefused,
)
from mendloop.core.model import RemediationState, Settings
from mendloop.core.run import Child, Holder
from mendloop.core.vocabulary import StepKind, StopReason
from mendloop.crashpoints import reach
from mendloop.events import Finished, IterationStarted, Observer, RunStarted, TookOver
from mendloop.lease import LEASE_SECONDS, RunLease
from mendloop.manager import StateManager
from mendloop.reports import Reviewer
from mendloop.runners.identity import end_leftover, is_alive
from mendloop.runners.port import Runner
from mendloop.runners.tree import TreeFiles, changed_files, tree_files, tree_revision
from mendloop.runners.worktree import WorkTreeLock
from mendloop.steps import Fixer, Steps

__all__ = ["Loop", "Plan"]

_REPEATS_ALLOWED = 3
"""So often one run reviews again a tree that changed after it was found clean."""

_NAMED_FILES = 5


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a loop is made of.

    Attributes:
        reviewers: All of them review, one after another.
        fixer: Repairs what they found.
        tree: The work tree; commands run in it.
        lock_dir: Where the locks of work trees are.
        brief_dir: Where the fixer's brief is written.
        store: The store's name, for people.
        settings: Changes when the loop stops: the names given here, the others as the task has
            them.
        lease_seconds: A run that is silent for so long may be taken over.
    """

    reviewers: tuple[Reviewer, ...]
    fixer: Fixer
    tree: Path
    lock_dir: Path
    brief_dir: Path
    store: str = ""
    settings: dict[str, int | float | None] = {}
    lease_seconds: float = LEASE_SECONDS


class Loop:
    """Drives one task in one work tree."""

    def __init__(
        self,
        manager: StateManager,
        task_id: str,
        plan: Plan,
        *,
        runner: Runner,
        holder: Holder,
        observer: Observer,
    ) -> None:
        """
        Get ready to run.

        Args:
            runner: Runs reviewers and fixer.
            holder: This process.
            observer: Told what happens, as it happens.
        """
        self._manager = manager
        self._task_id = task_id
        self._plan = plan
        self._runner = runner
        self._holder = holder
        self._observe = observer
        self._repeats = 0
        self._files: TreeFiles = {}

    async def run(self) -> Finished:
        """
        Go on with the task until it ends or waits; one that is not there yet is made.

        Raises:
            TransitionRefused: The task works in another folder that is still there.
            TaskEnded: It was completed on another content of this folder, or findings came in since.
            RunError: The work tree changes again and again after each review.
            WorkTreeBusy: Another run works in this folder.
            LeaseHeld: Another run works on this task.
            LeaseLost: Another run took the task over, or may have during an outage; nothing was
                written since.
            StateNotFound: The task was deleted during the run.
        """
        if await self._manager.get_state(self._task_id) is not None:
            over = await self._go_on(None)
        else:
            with self._tree_lock() as lock:
                await self._make_task()
                over = await self._go_on(lock)
        self._observe(over)
        return over

    async def _go_on(self, lock: WorkTreeLock | None) -> Finished:
        state = await self._current()
        self._refuse_other_folder(state)
        over = self._over(state)
        if over is None:
            return await self._run_held(lock)
        if over.reason == StopReason.COMPLETED:
            await self._refuse_outdated(over, state)
        return over

    async def _run_held(self, own_lock: WorkTreeLock | None) -> Finished:
        lease = await RunLease.acquire(
            self._manager,
            self._task_id,
            self._holder,
            tree=str(self._plan.tree.resolve()),
            ttl_seconds=self._plan.lease_seconds,
        )
        reach("lease-acquired")
        try:
            async with lease.held():
                with contextlib.ExitStack() as inside:
                    lock = own_lock or inside.enter_context(
                        self._tree_lock(fenced=lease.taken_from)
                    )
                    await self._end_leftovers(lease, lock)
                    await self._configure(lease)
                    return await self._turn(lease, self._steps(lease, lock))
        except LeaseLost:
            with contextlib.suppress(StateError):  # an outage may be why the lease was lost
                over = self._over(await self._current())
                if over is not None:
                    return over
            raise

    def _refuse_other_folder(self, state: RemediationState) -> None:
        """One task, one folder: two projects may not share a task by giving it one name."""
        folder, holder = state.ledger.lease.tree, state.ledger.lease.holder
        if holder is not None and is_alive(holder) is not False:
            return  # who runs it is what is to be said
        if folder and folder != str(self._plan.tree.resolve()) and Path(folder).is_dir():
            raise TransitionRefused(
                f"task {self._task_id} works in {folder}: run it there, or choose another task id "
                "for this folder",
                task_id=self._task_id,
            )

    async def _refuse_outdated(self, over: Finished, state: RemediationState) -> None:
        """What was completed was the content and the findings then: it says nothing of others."""
        if over.open:
            raise TaskEnded(
                f"task {self._task_id} was completed, {over.open} findings came in since, and "
                f"nothing was run; `mendloop resume {self._task_id}`, then the same command goes on",
                task_id=self._task_id,
            )
        done_on = state.ledger.stop_tree
        if done_on and done_on != await tree_revision(self._plan.tree):
            raise TaskEnded(
                f"task {self._task_id} was completed on another content of this folder, and nothing "
                f"was run; `mendloop resume {self._task_id}`, then the same command reviews it again",
                task_id=self._task_id,
            )

    def _tree_lock(self, *, fenced: str = "") -> WorkTreeLock:
        return WorkTreeLock(
            self._plan.tree,
            lock_dir=self._plan.lock_dir,
            task_id=self._task_id,
            store=self._plan.store,
            holder=self._holder,
            since=self._manager.clock.now(),
            fenced=fenced,
        )

    def _steps(self, lease: RunLease, lock: WorkTreeLock) -> Steps:
        async def record_child(child: Child | None) -> None:
            lock.record_child(child)
            await lease.record_child(child)

        return Steps(
            lease,
            self._runner,
            reviewers=self._plan.reviewers,
            fixer=self._plan.fixer,
            tree=self._plan.tree,
            brief_dir=self._plan.brief_dir,
            record_child=record_child,
            clock=self._manager.clock,
            observer=self._observe,
        )

    async def _turn(self, lease: RunLease, steps: Steps) -> Finished:
        """Decide and do, until there is nothing more to do."""
        while True:
            state = await self._current()
            over = self._over(state)
            if over is not None:
                return over
            step = decide(state, now=self._manager.clock.now())
            if isinstance(step, StartIteration):
                number = await lease.start_iteration()
                reach("iteration-started")
                self._observe(
                    IterationStarted(
                        task_id=self._task_id,
                        iteration=number,
                        max_iterations=state.ledger.settings.max_iterations,
                    )
                )
            elif isinstance(step, Take):
                await steps.take(state, step, seconds_left=self._budget_left(state))
            elif isinstance(step, Finish):
                tree = await tree_revision(self._plan.tree)
                if step.reason is StopReason.COMPLETED and _is_unseen(state, tree):
                    await self._review_again(steps, state)
                    continue
                await lease.finish(step.reason, step.detail, tree=tree)
                reach("loop-finished")

    async def _review_again(self, steps: Steps, state: RemediationState) -> None:
        """The tree changed after it was found clean: what is clean is what a review saw last."""
        self._repeats += 1
        if self._repeats == 1:
            self._files = await tree_files(self._plan.tree)
        if self._repeats > _REPEATS_ALLOWED:
            raise RunError(
                f"task {self._task_id}: the work tree {self._plan.tree} changed {_REPEATS_ALLOWED} "
                f"times between a review that found nothing open and the end of the loop"
                f"{await self._what_changed()}; end what writes into it, or let git ignore what "
                "that writes, then run the same command again",
                task_id=self._task_id,
            )
        review = Take(StepKind.REVIEW, 1)
        await steps.take(state, review, seconds_left=self._budget_left(state))

    async def _what_changed(self) -> str:
        files = changed_files(self._files, await tree_files(self._plan.tree))
        if not files:
            return ""
        named = ", ".join(str(path.relative_to(self._plan.tree)) for path in files[:_NAMED_FILES])
        more = len(files) - _NAMED_FILES
        return f" (written meanwhile: {named}{f' and {more} more' if more > 0 else ''})"

    def _over(self, state: RemediationState) -> Finished | None:
        """What to tell where nothing is to be run; None where something is."""
        step = decide(state, now=self._manager.clock.now())
        if isinstance(step, Ended):
            reason, detail = str(step.reason or state.status), step.detail
        elif isinstance(step, Wait):
            reason, detail = "paused", step.why
        else:
            return None
        return Finished(
            task_id=state.task_id,
            iteration=state.iteration,
            status=state.status,
            reason=reason,
            detail=detail,
            open=state.open_total,
        )

    async def _make_task(self) -> None:
        """Make the task, in a work tree that is this run's: a run that is refused leaves none."""
        settings = msgspec.structs.replace(Settings(), **self._plan.settings)
        try:
            await self._manager.create_task(self._task_id, settings=settings)
        except StateExists:
            return  # somebody else was first: their task is as good
        reach("task-created")

    async def _end_leftovers(self, lease: RunLease, lock: WorkTreeLock) -> None:
        """End what a killed run has left running, in this tree or for this task."""
        left = [use.child for use in (lock.previous,) if use is not None]
        pids: set[int] = set()
        for child in (*left, lease.left_child):
            if child is not None:
                pids |= set(await asyncio.to_thread(end_leftover, child))
        lock.record_child(None)
        state = await self._current()
        self._observe(
            RunStarted(
                task_id=self._task_id,
                iteration=state.iteration,
                max_iterations=state.ledger.settings.max_iterations,
            )
        )
        if pids:
            self._observe(TookOver(task_id=self._task_id, pids=sorted(pids)))

    async def _configure(self, lease: RunLease) -> None:
        settings = (await self._current()).ledger.settings
        changed = msgspec.structs.replace(settings, **self._plan.settings)
        if changed != settings:
            await lease.configure(changed)

    def _budget_left(self, state: RemediationState) -> float | None:
        ledger = state.ledger
        budget = ledger.settings.budget_seconds
        if budget is None or ledger.budget_from is None:
            return None
        spent = (self._manager.clock.now() - ledger.budget_from).total_seconds()
        return max(budget - spent, 0.0)

    async def _current(self) -> RemediationState:
        return await self._manager.require_state(self._task_id)


def _is_unseen(state: RemediationState, tree: str) -> bool:
    """Whether *tree* is another content than the last review left."""
    rounds = state.ledger.rounds
    return bool(rounds and rounds[-1].tree and rounds[-1].tree != tree)
