"""What a manager does with tasks that are over: delete, restore, hold, and clean up."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from mendloop.cleanup import Cleaner, CleanupReport, CleanupTerms, Tell
from mendloop.core import commands
from mendloop.core.names import check_task_id
from mendloop.core.quarantine import Copy
from mendloop.recovery import Recovery, Surgeon

__all__ = ["Disposal"]


class Disposal(ABC):
    """The part of `mendloop.manager.StateManager` that takes tasks away and brings them back."""

    _cleaner: Cleaner
    _surgeon: Surgeon

    @abstractmethod
    async def submit(
        self, task_id: str, command: commands.Command, *, op_id: str | None = None
    ) -> dict[str, Any]:
        """Have one command decided and written."""

    async def delete(self, task_id: str, *, reason: str) -> None:
        """
        Delete a task that is over, so that it can be restored until the grace of a cleanup has passed.

        Raises:
            LeaseHeld: A run is under way.
            TransitionRefused: It is in progress, or is held.
        """
        await self.submit(task_id, commands.Delete(reason=reason))

    async def restore(self, task_id: str) -> None:
        """
        Bring a deleted task back, as it was.

        Raises:
            StateDeleted: Its removal has begun.
            ValidationError: It is not deleted.
        """
        await self.submit(task_id, commands.Restore())

    async def restore_from(self, task_id: str, name: str) -> Recovery:
        """
        Put the state that is in a copy in the place of the task's, which is copied aside first.

        Findings and commits that came since stay, and so does what was judged since. No counter is
        lowered; a run that held the task when the copy was made does not hold it again; a deleted task
        is deleted no more.

        Args:
            name: Of the copy, as `list_copies` tells it.

        Returns:
            What could not be read of the copy, or is missing in the history.

        Raises:
            StateNotFound: There is no such copy.
            ValidationError: It is none of a state of this very task.
            ReadOnlyState: A newer version wrote it, or what is there.
            StateDeleted: The removal of the task has begun.
            LeaseHeld: A run is under way.
        """
        return await self._surgeon.restore(check_task_id(task_id), name)

    async def list_copies(self, task_id: str) -> tuple[Copy, ...]:
        """List the copies that were set aside of the task, without their content, newest first."""
        return await self._surgeon.copies(check_task_id(task_id))

    async def hold(self, task_id: str, *, reason: str) -> None:
        """Keep the task from every cleanup, for ever."""
        await self.submit(task_id, commands.Hold(reason=reason))

    async def end_hold(self, task_id: str) -> None:
        """Let cleanups have the task again."""
        await self.submit(task_id, commands.EndHold())

    async def cleanup_old_states(self, terms: CleanupTerms | None = None) -> CleanupReport:
        """
        Delete tasks that are over and past retention, and remove those that are past the grace.

        A task in progress is never touched, and one that is revived meanwhile stays.

        Returns:
            What was done, what stays and why, and what failed.
        """
        return await self._cleaner.run(terms or CleanupTerms())

    def start_cleanup_task(
        self,
        terms: CleanupTerms | None = None,
        *,
        interval_seconds: float = 6 * 3600.0,
        tell: Tell | None = None,
    ) -> asyncio.Task[None]:
        """
        Clean up every six hours, more or less, until the returned task is cancelled.

        Args:
            terms: Of each cleanup.
            interval_seconds: From one to the next.
            tell: Is told what each one did; None where it failed as a whole.
        """
        terms = terms or CleanupTerms()
        work = self._cleaner.run_for_ever(terms, interval_seconds=interval_seconds, tell=tell)
        return asyncio.create_task(work)
