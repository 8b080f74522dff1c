"""
Cleaning up after tasks that are over: deleted first, and removed after a grace.

What a listing shows is only a hint: every deletion is decided again on the state as it is when it
is written, so a task that was revived meanwhile stays.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from mendloop.clock import Clock
from mendloop.core.commands import BeginRemoval, Command, Delete
from mendloop.core.deletion import Standing, standing
from mendloop.core.errors import StateError, StateNotFound, TransitionRefused
from mendloop.core.names import HEAD, QUARANTINE
from mendloop.crashpoints import reach
from mendloop.history import SealedHistory
from mendloop.listing import listed
from mendloop.removal import (
    LARGE_A_PAGE,
    chunks_by_task,
    is_quarantine_over,
    remove_task,
    sweep_orphans,
)
from mendloop.stores.paging import documents, pages
from mendloop.stores.port import Document, Store

__all__ = ["Cleaner", "CleanupFailure", "CleanupReport", "CleanupTerms"]

_log = logging.getLogger(__name__)

_DAY_SECONDS = 86_400.0
_HEADS_A_PAGE = 250
_AT_ONCE = 8
_JITTER = 0.1
"""Passes of many replicas drift apart by up to this share of their interval."""


class CleanupTerms(msgspec.Struct, frozen=True, kw_only=True):
    """
    How long what stays, and whether anything is done.

    Attributes:
        retention_seconds: A task that is over is deleted when nothing happened in it for so long.
        grace_seconds: A deleted task can be restored for so long.
        quarantine_seconds: Copies of damaged states are kept for so long.
        is_dry_run: Whether only to tell what would be done.
    """

    retention_seconds: float = 7 * _DAY_SECONDS
    grace_seconds: float = _DAY_SECONDS
    quarantine_seconds: float = 30 * _DAY_SECONDS
    is_dry_run: bool = False


class CleanupFailure(msgspec.Struct, frozen=True, kw_only=True):
    """What could not be cleaned up: the task, or the name of what is stored; and why."""

    task_id: str
    why: str


class CleanupReport(msgspec.Struct, kw_only=True):
    """
    What one cleanup did, or would have done.

    Attributes:
        scanned: Heads that were looked at.
        deleted: Tasks that were deleted, and can be restored.
        removed: Tasks that were removed for good.
        held: Tasks that stay only because somebody holds them.
        stale: Tasks in progress in which nothing happened for the retention.
        unreadable: Tasks that stay since they cannot be read.
        orphans: Chunks that no head pointed at.
        quarantined: Old copies of damaged states.
        failures: What is left to the next cleanup.
    """

    scanned: int = 0
    deleted: list[str] = []
    removed: list[str] = []
    held: list[str] = []
    stale: list[str] = []
    unreadable: list[str] = []
    orphans: int = 0
    quarantined: int = 0
    failures: list[CleanupFailure] = []


class Cleaner:
    """Cleans up one store. Any number may do so at once."""

    def __init__(
        self,
        store: Store,
        submit: Callable[[str, Command], Awaitable[Any]],
        history: SealedHistory,
        clock: Clock,
    ) -> None:
        """
        Work on *store*.

        Args:
            store: Where all documents are.
            submit: Has a command decided and written.
            history: Knows which chunks a head points at.
            clock: Says how old something is; times in the store are only compared with it.
        """
        self._store = store
        self._submit = submit
        self._history = history
        self._clock = clock

    async def run(self, terms: CleanupTerms) -> CleanupReport:
        """
        Clean up once; what fails is reported, and stops nothing else.

        Raises:
            StateError: The store does not list what it has.
        """
        one_pass = _Pass(terms, self._clock.now())
        async for page in pages(self._store, HEAD, limit=_HEADS_A_PAGE):
            due = [found for d in page.documents if (found := one_pass.look_at(d))]
            for first in range(0, len(due), _AT_ONCE):
                batch = due[first : first + _AT_ONCE]
                await asyncio.gather(
                    *(self._take(one_pass, task_id, due_for) for task_id, due_for in batch)
                )
        await self._sweep(one_pass)
        await self._empty_quarantine(one_pass)
        if not terms.is_dry_run:
            await one_pass.attempt("the store", self._store.scrub())
        return one_pass.report

    async def run_for_ever(self, terms: CleanupTerms, *, interval_seconds: float) -> None:
        """Clean up again and again, whatever becomes of one pass; ends when it is cancelled."""
        pause_seconds = random.uniform(0, _JITTER) * interval_seconds  # noqa: S311 - spreads load
        while True:
            await self._clock.sleep(pause_seconds)
            try:
                report = await self.run(terms)
            except Exception:  # noqa: BLE001 - whatever it is, the next pass is due all the same
                _log.exception("the cleanup failed; the next one is in %.0f s", interval_seconds)
            else:
                for failure in report.failures:
                    _log.warning("not cleaned up: %s: %s", failure.task_id, failure.why)
            share = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load
            pause_seconds = share * interval_seconds

    async def _take(self, one_pass: _Pass, task_id: str, due_for: Standing) -> None:
        if due_for is Standing.TO_DELETE:
            if await one_pass.attempt(task_id, self._delete(one_pass, task_id)):
                one_pass.report.deleted.append(task_id)
        elif await one_pass.attempt(task_id, self._remove(one_pass, task_id, due_for)):
            one_pass.report.removed.append(task_id)

    async def _delete(self, one_pass: _Pass, task_id: str) -> bool:
        if not one_pass.terms.is_dry_run:
            command = Delete(reason="past retention", untouched_since=one_pass.retained_from)
            await self._submit(task_id, command)
            reach("cleanup-deleted")
        return True

    async def _remove(self, one_pass: _Pass, task_id: str, due_for: Standing) -> bool:
        if one_pass.terms.is_dry_run:
            return True
        if due_for is Standing.TO_REMOVE:
            await self._submit(task_id, BeginRemoval(deleted_until=one_pass.graced_from))
            reach("removal-begun")
        return await remove_task(self._store, task_id)

    async def _sweep(self, one_pass: _Pass) -> None:
        async for task_id, chunks in chunks_by_task(self._store):
            sweep = sweep_orphans(
                self._store,
                self._history,
                task_id,
                chunks,
                is_dry_run=one_pass.terms.is_dry_run,
            )
            one_pass.report.orphans += await one_pass.attempt(task_id, sweep) or 0

    async def _empty_quarantine(self, one_pass: _Pass) -> None:
        async for document in documents(self._store, QUARANTINE, limit=LARGE_A_PAGE):
            look = is_quarantine_over(
                self._store,
                document,
                now=one_pass.now,
                kept_from=one_pass.quarantined_from,
                is_dry_run=one_pass.terms.is_dry_run,
            )
            if await one_pass.attempt(document.key, look):
                one_pass.report.quarantined += 1


class _Pass:
    """One cleanup: its terms as times of one clock, and what it has done."""

    def __init__(self, terms: CleanupTerms, now: datetime) -> None:
        self.terms = terms
        self.now = now
        self.retained_from = now - timedelta(seconds=terms.retention_seconds)
        self.graced_from = now - timedelta(seconds=terms.grace_seconds)
        self.quarantined_from = now - timedelta(seconds=terms.quarantine_seconds)
        self.report = CleanupReport()

    def look_at(self, document: Document) -> tuple[str, Standing] | None:
        """Say what is due for a task, as it was listed; None where nothing is."""
        self.report.scanned += 1
        task = listed(document.key, document)
        if task.state is None:
            self.report.unreadable.append(task.task_id)
            return None
        found = standing(
            task.state,
            document.labels,
            retained_from=self.retained_from,
            graced_from=self.graced_from,
        )
        if found is Standing.HELD:
            self.report.held.append(task.task_id)
        elif found is Standing.STALE:
            self.report.stale.append(task.task_id)
        elif found is not Standing.KEPT:
            return task.task_id, found
        return None

    async def attempt(self, task_id: str, work: Awaitable[Any]) -> Any:
        """Do *work*, and report why where that fails; None where it was not done."""
        try:
            return await work
        except (TransitionRefused, StateNotFound):
            return None  # somebody revived it since it was listed, or was quicker
        except StateError as error:
            self.report.failures.append(CleanupFailure(task_id=task_id, why=str(error)))
            return None
