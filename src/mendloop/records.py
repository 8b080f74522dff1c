"""What a manager tells of the records of changes: whether they are those that were written."""

from __future__ import annotations

from abc import ABC
from collections.abc import AsyncGenerator

from mendloop.auditing import Auditor
from mendloop.core.names import check_task_id
from mendloop.core.verifying import Verdict

__all__ = ["Records"]


class Records(ABC):
    """The part of `mendloop.manager.StateManager` that answers for its records."""

    _auditor: Auditor

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
