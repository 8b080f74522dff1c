"""What the service knows of all tasks, from watching them: little of each, and nothing to decide on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import datetime, timedelta

import msgspec

from mendloop.clock import Clock
from mendloop.core.errors import StateError
from mendloop.core.model import Ledger, RemediationState
from mendloop.core.outside import OUTSIDE
from mendloop.core.vocabulary import Status
from mendloop.listing import Listed
from mendloop.manager import StateManager

__all__ = ["Known", "TaskWatch"]

_log = logging.getLogger(__name__)

_PAUSE_SECONDS = 5.0


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is known of a task; all but the iteration is as it was when it was last seen.

    Attributes:
        status: One of the five.
        iteration: It stands at.
        last_update: When a transition last changed it.
        is_waiting: Whether it waits for a person: it is paused, or deleted.
        lease: (generation, renewals) of the run that holds it, or None.
        lease_seconds: The lease counts as abandoned when it did not move for so long.
        moved_seconds: When the lease was last seen to move, on this process's steady clock.
    """

    status: Status
    iteration: int
    last_update: datetime
    is_waiting: bool
    lease: tuple[int, int] | None
    lease_seconds: float
    moved_seconds: float


class TaskWatch:
    """
    Watches all tasks of one store.

    Attributes:
        unreadable: Tasks that cannot be read.
        is_synced: Whether all tasks have been seen, and changes are seen as they happen.
        trouble: Why they were not seen when last looked for; "" where they were, or never were.
    """

    def __init__(
        self, manager: StateManager, clock: Clock, recovered: Callable[[str], None]
    ) -> None:
        """
        Watch nothing yet.

        Args:
            manager: Of the store.
            clock: The time.
            recovered: Is told of each repair that is seen to be made, by its kind.
        """
        self._manager = manager
        self._clock = clock
        self._recovered = recovered
        self._known: dict[str, Known] = {}
        self._commits: dict[str, int] = {}
        self.unreadable: set[str] = set()
        self.is_synced = False
        self.trouble = ""

    def counts(self) -> Iterator[tuple[Status, int]]:
        """The status and the iteration of each task that can be read."""
        for known in self._known.values():
            yield known.status, known.iteration

    def stuck(self, after_seconds: float) -> int:
        """How many tasks are in progress, wait for nobody, and have not changed for so long."""
        before = self._clock.now() - timedelta(seconds=after_seconds)
        return sum(
            known.status is Status.IN_PROGRESS
            and not known.is_waiting
            and known.last_update < before
            for known in self._known.values()
        )

    def abandoned(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Tasks whose lease did not move for its time while it was watched, and that lease."""
        now_seconds = self._clock.monotonic_seconds()
        for task_id, known in list(self._known.items()):
            is_over = now_seconds - known.moved_seconds > known.lease_seconds
            if known.lease is not None and is_over:
                yield task_id, known.lease

    async def run(self) -> None:
        """Watch until cancelled; what ends the watch is logged, and it begins again."""
        while True:
            try:
                await self._watch()
            except StateError as error:
                self.trouble = str(error)
                _log.warning("the tasks are not seen at the moment: %s", error)
            finally:
                self.is_synced = False
            await self._clock.sleep(_PAUSE_SECONDS)

    async def _watch(self) -> None:
        await self._forget_gone()
        async with aclosing(self._manager.watch_tasks()) as tasks:
            async for task in tasks:
                self._take(task)
                await asyncio.sleep(0)  # thousands may come at once

    async def _forget_gone(self) -> None:
        """List all tasks once: what is gone since the watch before is told by nobody."""
        there: set[str] = set()
        cursor: str | None = None
        while True:
            page = await self._manager.list_tasks(limit=100, cursor=cursor)
            for task in page.tasks:
                there.add(task.task_id)
                self._take(task)
            cursor = page.cursor
            if cursor is None:
                break
        for task_id in (self._known.keys() | self.unreadable) - there:
            self._take(Listed(task_id, None))
        self.is_synced = True
        self.trouble = ""

    def _take(self, task: Listed) -> None:
        task_id, was_unreadable = task.task_id, task.task_id in self.unreadable
        before = self._known.pop(task_id, None)
        self.unreadable.discard(task_id)
        if task.problem is not None:
            self.unreadable.add(task_id)
        elif task.state is not None:
            self._known[task_id] = self._known_of(task.state, before)
            self._tell_repairs(task_id, task.state.ledger, was_unreadable=was_unreadable)
        else:
            self._commits.pop(task_id, None)

    def _tell_repairs(self, task_id: str, ledger: Ledger, *, was_unreadable: bool) -> None:
        """Tell the repairs among the commits that came since the last look at a task."""
        # What was unreadable from the first look on is readable by its last commit.
        first_look = ledger.commit - was_unreadable
        told = self._commits.get(task_id, first_look)
        self._commits[task_id] = ledger.commit
        for commit in ledger.commits:
            for change in commit.changes if commit.number > told else ():
                if change.do == "recover":
                    self._recovered("restore" if "source" in change.facts else "repair")
                elif change.door == OUTSIDE:
                    self._recovered("outside")

    def _known_of(self, state: RemediationState, before: Known | None) -> Known:
        ledger = state.ledger
        lease = ledger.lease
        mark = (lease.generation, lease.renewals) if lease.holder is not None else None
        moved_seconds = self._clock.monotonic_seconds()
        if before is not None and before.lease == mark:
            moved_seconds = before.moved_seconds
        return Known(
            status=state.status,
            iteration=state.iteration,
            last_update=state.last_update,
            is_waiting=ledger.pause is not None or ledger.deleted is not None,
            lease=mark,
            lease_seconds=lease.ttl_seconds,
            moved_seconds=moved_seconds,
        )
