"""
Reading histories while others write.

What a state pointed at may be gone by the time that it is read, because a writer has made it anew.
Then the state that there is now has the same, and reading goes on in that one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable

from mendloop.core.errors import HistoryDamaged
from mendloop.core.model import Commit, FeedbackEntry, RemediationState
from mendloop.history import SealedHistory

__all__ = ["Reader"]


class Reader:
    """Reads commits and findings through any number of writes."""

    def __init__(
        self,
        history: SealedHistory,
        read_state: Callable[[str], Awaitable[RemediationState]],
    ) -> None:
        """Read in *history*, and with *read_state* what a task is now."""
        self._history = history
        self._read_state = read_state

    async def commits(
        self, state: RemediationState, *, after: int = 0
    ) -> AsyncGenerator[Commit, None]:
        """See `mendloop.manager.StateManager.commits`."""
        last = state.ledger.commit
        while True:
            try:
                async for commit in self._history.commits(state, after=after):
                    if commit.number > last:
                        return
                    after = commit.number
                    yield commit
            except HistoryDamaged as damage:
                state = await self._moved(state, damage)
            else:
                return

    async def findings(
        self, state: RemediationState, *, after: int = -1
    ) -> AsyncGenerator[tuple[int, FeedbackEntry], None]:
        """
        Yield the findings of a task with a number above *after*, with it, in the order they came.

        Raises:
            HistoryDamaged: Some are missing or damaged.
        """
        while True:
            try:
                async for number, entry in self._history.findings(state, after=after):
                    after = number
                    yield number, entry
            except HistoryDamaged as damage:
                state = await self._moved(state, damage)
            else:
                return

    async def open_findings(self, state: RemediationState) -> tuple[FeedbackEntry, ...]:
        """See `mendloop.manager.StateManager.open_findings`."""
        if not sum(state.ledger.findings.open):
            return tuple(entry for entry in state.feedback_history if not entry.resolved)
        return tuple([entry async for _, entry in self.findings(state) if not entry.resolved])

    async def _moved(self, state: RemediationState, damage: HistoryDamaged) -> RemediationState:
        now = await self._read_state(state.task_id)
        before, ledger = state.ledger, now.ledger
        if (ledger.incarnation, ledger.commit) == (before.incarnation, before.commit):
            raise damage
        return now
