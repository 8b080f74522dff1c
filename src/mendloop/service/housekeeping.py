"""What only one replica does: cleanups, leases of runs that are gone, and counting what is stored."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mendloop.cleanup import CleanupReport, CleanupTerms
from mendloop.clock import Clock, boottime_seconds
from mendloop.core import commands
from mendloop.core.errors import LeaseHeld, StateDeleted, StateError, StateNotFound
from mendloop.core.run import Holder
from mendloop.manager import StateManager
from mendloop.service.metrics import Metrics
from mendloop.service.tasks import TaskWatch
from mendloop.stores.port import Store
from mendloop.weighing import weigh

__all__ = ["Housekeeping"]

_log = logging.getLogger(__name__)

_RECLAIM_SECONDS = 5.0
_WEIGH_SECONDS = 300.0
_RECLAIM_TTL_SECONDS = 30.0


class Housekeeping:
    """The leader's work. Two who do it at once do no harm: each change is decided on what it finds."""

    def __init__(
        self,
        manager: StateManager,
        store: Store,
        tasks: TaskWatch,
        *,
        name: str,
        metrics: Metrics,
        clock: Clock,
        terms: CleanupTerms,
        interval_seconds: float,
    ) -> None:
        """
        Do nothing yet.

        Args:
            manager: Whose changes are recorded as the service's.
            store: To count what is stored.
            tasks: Knows which leases have not moved.
            name: Of this replica.
            metrics: Are kept.
            clock: The time.
            terms: Of the cleanups.
            interval_seconds: From one cleanup to the next, more or less.
        """
        self._manager = manager
        self._store = store
        self._tasks = tasks
        self._name = name
        self._metrics = metrics
        self._clock = clock
        self._terms = terms
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """Do all of it until cancelled; what fails of it holds up nothing else, and is tried again."""
        cleaning = self._manager.start_cleanup_task(
            self._terms, interval_seconds=self._interval_seconds, tell=self._count
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again(self._reclaim, _RECLAIM_SECONDS))
            group.create_task(self._again(self._weigh, _WEIGH_SECONDS))
            await cleaning

    def _count(self, report: CleanupReport | None) -> None:
        """Count one cleanup; None is one that failed as a whole."""
        cleaned = self._metrics.cleaned
        if report is None:
            cleaned.labels("failed").inc()
            return
        cleaned.labels("found").inc(report.scanned)
        cleaned.labels("soft_deleted").inc(len(report.deleted))
        cleaned.labels("removed").inc(len(report.removed))
        cleaned.labels("failed").inc(len(report.failures))
        if not report.failures:
            self._metrics.cleanup_success.set(self._clock.now().timestamp())

    async def _again(self, work: Callable[[], Awaitable[None]], every_seconds: float) -> None:
        while True:
            try:
                await work()
            except StateError as error:
                _log.warning("housekeeping has to wait: %s", error)
            except Exception:  # noqa: BLE001 - whatever it is, the rest goes on, and so does this
                _log.exception("housekeeping failed; it is tried again in %.0f s", every_seconds)
            await self._clock.sleep(every_seconds)

    async def _reclaim(self) -> None:
        """Take the leases of runs that are gone, so that nothing waits for them."""
        for task_id, mark in self._tasks.abandoned():
            holder = Holder(name=self._name, token=f"reclaim-{self._name}-{mark[0]}-{mark[1]}")
            acquire = commands.AcquireLease(
                holder=holder,
                ttl_seconds=_RECLAIM_TTL_SECONDS,
                boottime_seconds=boottime_seconds(),
                abandoned=mark,
            )
            try:
                taken = await self._manager.submit(task_id, acquire)
                release = commands.ReleaseLease(generation=int(taken["generation"]))
                await self._manager.submit(task_id, release)
            except (LeaseHeld, StateNotFound, StateDeleted):
                continue  # it lives, or somebody was quicker
            self._metrics.reclaimed.inc()
            _log.warning("task %s: its run is gone, and its lease was taken back", task_id)

    async def _weigh(self) -> None:
        for kind, weight in (await weigh(self._store)).items():
            self._metrics.stored_bytes.labels(kind).set(weight.total_bytes)
            self._metrics.largest_bytes.labels(kind).set(weight.largest_bytes)
