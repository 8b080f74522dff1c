"""What a manager tells of the records of changes: whether they are those that were written."""

from __future__ import annotations

from abc import ABC
from collections.abc import AsyncGenerator

from mendloop.auditing import Auditor
from mendloop.core.names import check_task_id
from mendloop.core.verifying import Verdict
from mendloop.logbook import Logbook, LogPage

__all__ = ["Records"]


class Records(ABC):
    """The part of `mendloop.manager.StateManager` that answers for its records."""

    _auditor: Auditor
    _logbook: Logbook

    async def read_log(
        self, task_id: str = "", *, limit: int = 100, cursor: str | None = None
    ) -> LogPage:
        """
        Read a page of the log of what no record of a task tells: its removal, and its import.

        Args:
            task_id: Only of this task; of all if not given.
            limit: At most this many, 1 to 1,000,000.
            cursor: Where the page before ended.

        Raises:
            ValidationError: The cursor is none of this listing's, or the limit is out of range.
        """
        if task_id:
            check_task_id(task_id)
        return await self._logbook.page(task_id, limit=limit, cursor=cursor)

    async def verify_records(self, task_id: str) -> Verdict:
        """
        Tell whether the task's records are those that were written; nothing is changed.

        Raises:
            StateNotFound: Nothing is stored of it.
            RevisionConflict: It did not stand still for long enough.
        """
        return await self._auditor.verify(check_task_id(task_id))

    def verify_all_records(self) -> AsyncGenerator[Verdict, None]:
        """Tell of each task whether its records are those that were written."""
        return self._auditor.verify_all()
