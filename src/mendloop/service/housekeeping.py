"""What only one replica does: cleanups, leases of runs that are gone, and counting what is stored."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from mendloop.cleanup import CleanupReport, CleanupTerms
from mendloop.clock import Clock, boottime_seconds
from mendloop.config import parse_duration
from mendloop.core import commands
from mendloop.core.errors import LeaseHeld, StateDeleted, StateError, StateNotFound
from mendloop.core.run import Holder
from mendloop.manager import StateManager
from mendloop.service.cleanup_record import CleanupRecord, Cleanups
from mendloop.service.measured import MeasuredStore
from mendloop.service.metrics import Metrics
from mendloop.service.settings import ServiceSettings
from mendloop.service.tasks import TaskWatch
from mendloop.weighing import Weight, weigh

__all__ = ["Housekeeping"]

_log = logging.getLogger(__name__)

_RECLAIM_SECONDS = 5.0
_RECORD_SECONDS = 5.0
_RECLAIM_TTL_SECONDS = 30.0
_LATE_INTERVALS = 2
_LARGE_SHARE = 0.8


class Housekeeping:
    """The leader's work. Two who do it at once do no harm: each change is decided on what it finds."""

    def __init__(
        self,
        manager: StateManager,
        store: MeasuredStore,
        tasks: TaskWatch,
        *,
        name: str,
        metrics: Metrics,
        clock: Clock,
        settings: ServiceSettings,
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
            settings: When what is done.
        """
        self._manager = manager
        self._store = store
        self._tasks = tasks
        self._name = name
        self._metrics = metrics
        self._clock = clock
        self._terms = _cleanup_terms(settings)
        self._interval_seconds = parse_duration(settings.cleanup.interval)
        self._weigh_seconds = parse_duration(settings.store.weigh_interval)
        self._limit_bytes = settings.store.limit
        self._record = CleanupRecord(store, clock=clock)
        self._has_succeeded = asyncio.Event()

    async def run(self) -> None:
        """Do all of it until cancelled; what fails of it holds up nothing else, and is tried again."""
        cleaning = self._manager.start_cleanup_task(
            self._terms, interval_seconds=self._interval_seconds, tell=self._count
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._again(self._reclaim, _RECLAIM_SECONDS))
                group.create_task(self._again(self._weigh, self._weigh_seconds))
                group.create_task(self._again(self._keep_record, _RECORD_SECONDS))
                await cleaning
        finally:
            self._forget()

    def _count(self, report: CleanupReport | None) -> None:
        """Count one cleanup; None is one that failed as a whole."""
        cleaned = self._metrics.cleaned
        if report is None:
            cleaned.labels("failed").inc()
            self._metrics.cleanup_failing.inc()
            return
        cleaned.labels("found").inc(report.scanned)
        cleaned.labels("soft_deleted").inc(len(report.deleted))
        cleaned.labels("removed").inc(len(report.removed))
        cleaned.labels("failed").inc(len(report.failures))
        if report.failures:
            self._metrics.cleanup_failing.inc()
        else:
            self._metrics.cleanup_failing.set(0)
            self._has_succeeded.set()

    async def _keep_record(self) -> None:
        """Take up what is kept of earlier cleanups, then keep each that succeeds."""
        self._tell(await self._record.read())
        while True:
            await self._has_succeeded.wait()
            self._tell(await self._record.succeed())
            self._has_succeeded.clear()

    def _tell(self, cleanups: Cleanups) -> None:
        if cleanups.succeeded_at is not None:
            self._metrics.cleanup_success.set(cleanups.succeeded_at.timestamp())
        last_seconds = (cleanups.succeeded_at or cleanups.since).timestamp()
        self._metrics.cleanup_due.set(last_seconds + _LATE_INTERVALS * self._interval_seconds)

    def _forget(self) -> None:
        """Leave to the next leader to say what only a leader knows."""
        metrics = self._metrics
        metrics.documents.weights = {}
        for gauge in (
            metrics.cleanup_success,
            metrics.cleanup_due,
            metrics.cleanup_failing,
            metrics.store_used,
            metrics.store_limit,
            metrics.document_limit,
        ):
            gauge.set(0)

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
                await self._manager.submit(task_id, release, run=holder.token)
            except (LeaseHeld, StateNotFound, StateDeleted):
                continue  # it lives, or somebody was quicker
            self._metrics.recovered("lease")
            _log.warning("task %s: its run is gone, and its lease was taken back", task_id)

    async def _weigh(self) -> None:
        """Weigh all that is stored, and compare it with what there can be."""
        weights, room = await weigh(self._store), await self._store.room()
        used_bytes = sum(weight.total_bytes for weight in weights.values())
        limits = [self._limit_bytes] if self._limit_bytes else []
        if room is not None:
            used_bytes = used_bytes if room.used_bytes is None else room.used_bytes
            limits += [] if room.limit_bytes is None else [room.limit_bytes]
            self._metrics.document_limit.set(room.document_bytes)
            _tell_large(weights, room.document_bytes)
        self._metrics.store_used.set(used_bytes)
        self._metrics.store_limit.set(min(limits, default=0))
        self._metrics.documents.weights = weights


def _tell_large(weights: Mapping[str, Weight], limit_bytes: int) -> None:
    """Name what comes near the limit: no metric does, since names are without number."""
    for kind, weight in weights.items():
        if weight.largest_bytes > _LARGE_SHARE * limit_bytes:
            _log.warning(
                "the %s %s has %d bytes, and %d are the most that fit",
                kind,
                weight.largest_key,
                weight.largest_bytes,
                limit_bytes,
            )


def _cleanup_terms(settings: ServiceSettings) -> CleanupTerms:
    table = settings.cleanup
    return CleanupTerms(
        retention_seconds=parse_duration(table.retention),
        grace_seconds=parse_duration(table.grace),
        quarantine_seconds=parse_duration(table.quarantine),
        audit_seconds=parse_duration(table.audit),
    )
