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
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from mendloop.clock import Clock
from mendloop.core.codec import rfc3339
from mendloop.core.commands import BeginRemoval, Bury, Command, Delete
from mendloop.core.commits import sealed_keys
from mendloop.core.deletion import Standing, standing
from mendloop.core.errors import DocumentExists, StateError, StateNotFound, TransitionRefused
from mendloop.core.logbook import Actor, Entry, removal_entry
from mendloop.core.names import AUDIT, HEAD, HEADLESS, QUARANTINE, head_name, task_of_head
from mendloop.crashpoints import reach
from mendloop.history import SealedHistory
from mendloop.listing import listed
from mendloop.logbook import Logbook
from mendloop.removal import (
    LARGE_A_PAGE,
    MADE_AT,
    chunks_by_task,
    is_past_keeping,
    remove_chunks,
    remove_document,
    remove_head,
    sweep_orphans,
    without_body,
)
from mendloop.stores.paging import documents, pages
from mendloop.stores.port import Document, Store

__all__ = ["Cleaner", "CleanupFailure", "CleanupReport", "CleanupTerms", "Tell"]

_log = logging.getLogger(__name__)

_DAY_SECONDS = 86_400.0
_HEADS_A_PAGE = 250
_AT_ONCE = 16
_JITTER = 0.1
"""Passes of many replicas drift apart by up to this share of their interval."""


class CleanupTerms(msgspec.Struct, frozen=True, kw_only=True):
    """
    How long what stays, and whether anything is done.

    Attributes:
        retention_seconds: A task that is over is deleted when nothing happened in it for so long.
        grace_seconds: A deleted task can be restored for so long.
        quarantine_seconds: Copies of damaged states are kept for so long, and histories whose state
            is gone.
        audit_seconds: The log of removals and imports is kept for so long.
        is_dry_run: Whether only to tell what would be done.
    """

    retention_seconds: float = 7 * _DAY_SECONDS
    grace_seconds: float = _DAY_SECONDS
    quarantine_seconds: float = 30 * _DAY_SECONDS
    audit_seconds: float = 365 * _DAY_SECONDS
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
        headless: Tasks of which only the history is left. It stays for a repair, as long as a copy
            of a damaged state.
        orphans: Chunks that no head pointed at.
        quarantined: Old copies of damaged states.
        logged: Old entries of the log of removals and imports.
        failures: What is left to the next cleanup.
    """

    scanned: int = 0
    deleted: list[str] = []
    removed: list[str] = []
    held: list[str] = []
    stale: list[str] = []
    unreadable: list[str] = []
    headless: list[str] = []
    orphans: int = 0
    quarantined: int = 0
    logged: int = 0
    failures: list[CleanupFailure] = []


Tell = Callable[[CleanupReport | None], None]


class Cleaner:
    """Cleans up one store. Any number may do so at once."""

    def __init__(
        self,
        store: Store,
        submit: Callable[[str, Command], Awaitable[Any]],
        history: SealedHistory,
        logbook: Logbook,
        clock: Clock,
    ) -> None:
        """
        Work on *store*.

        Args:
            store: Where all documents are.
            submit: Has a command decided and written.
            history: Knows which chunks a head points at.
            logbook: Is told of each task that goes.
            clock: Says how old something is; times in the store are only compared with it.
        """
        self._store = store
        self._submit = submit
        self._history = history
        self._logbook = logbook
        self._clock = clock

    async def run(self, terms: CleanupTerms) -> CleanupReport:
        """
        Clean up once; what fails is reported, and stops nothing else.

        Raises:
            StateError: The store does not list what it has.
        """
        one_pass = _Pass(terms, self._logbook.actor, self._clock.now())
        await self._bury_headless(one_pass)
        async for page in pages(self._store, HEAD, limit=_HEADS_A_PAGE):
            due = [task_id for d in page.documents if (task_id := one_pass.look_at(d))]
            await _some_at_once(lambda task_id: self._delete(one_pass, task_id), due)
        await self._look_at_chunks(one_pass)
        leaving = list(one_pass.leaving)
        await _some_at_once(lambda task_id: self._remove(one_pass, task_id), leaving)
        one_pass.report.quarantined = await self._discard_old(
            one_pass, QUARANTINE, one_pass.quarantined_from, limit=LARGE_A_PAGE
        )
        one_pass.report.logged = await self._discard_old(
            one_pass, AUDIT, one_pass.logged_from, limit=_HEADS_A_PAGE
        )
        if not terms.is_dry_run:
            await one_pass.attempt("the store", self._store.scrub())
        return one_pass.report

    async def run_for_ever(
        self, terms: CleanupTerms, *, interval_seconds: float, tell: Tell | None = None
    ) -> None:
        """
        Clean up again and again, whatever becomes of one pass; ends when it is cancelled.

        Args:
            terms: Of each pass.
            interval_seconds: From one to the next, more or less.
            tell: Is told what each pass did; None where it failed as a whole.
        """
        pause_seconds = random.uniform(0, _JITTER) * interval_seconds  # noqa: S311 - spreads load
        while True:
            await self._clock.sleep(pause_seconds)
            report: CleanupReport | None
            try:
                report = await self.run(terms)
            except Exception:  # noqa: BLE001 - whatever it is, the next pass is due all the same
                _log.exception("the cleanup failed; the next one is in %.0f s", interval_seconds)
                report = None
            else:
                for failure in report.failures:
                    _log.warning("not cleaned up: %s: %s", failure.task_id, failure.why)
            if tell is not None:
                tell(report)
            share = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load
            pause_seconds = share * interval_seconds

    async def _bury_headless(self, one_pass: _Pass) -> None:
        """Begin to remove histories whose state has been gone for long enough."""
        async for since in documents(self._store, HEADLESS, limit=_HEADS_A_PAGE):
            await one_pass.attempt(since.key, self._bury(one_pass, since))

    async def _bury(self, one_pass: _Pass, since: Document) -> None:
        task_id, is_dry_run = task_of_head(since.key), one_pass.terms.is_dry_run
        if task_id is None or (
            await self._store.get(HEAD, since.key) is None
            and not await one_pass.is_past_keeping(self._store, since, one_pass.quarantined_from)
        ):
            return
        if is_dry_run:
            return
        with suppress(TransitionRefused):  # it was brought back, or begun anew
            await self._submit(task_id, Bury(reason="its state has been gone for long"))
            reach("cleanup-buried")
        await self._store.delete(since)

    async def _delete(self, one_pass: _Pass, task_id: str) -> None:
        if one_pass.terms.is_dry_run:
            one_pass.report.deleted.append(task_id)
            return
        command = Delete(reason="past retention", untouched_since=one_pass.retained_from)
        if await one_pass.attempt(task_id, self._submit(task_id, command)) is not None:
            reach("cleanup-deleted")
            one_pass.report.deleted.append(task_id)

    async def _look_at_chunks(self, one_pass: _Pass) -> None:
        """Remove those of tasks that leave, and those that no head points at, in one walk."""
        async for task_id, chunks in chunks_by_task(self._store):
            if task_id in one_pass.leaving:
                await self._remove_chunks(one_pass, task_id, chunks)
            elif task_id and any(chunk.key not in one_pass.pointed_at for chunk in chunks):
                await one_pass.attempt(task_id, self._sweep(one_pass, task_id, chunks))

    async def _remove_chunks(self, one_pass: _Pass, task_id: str, chunks: list[Document]) -> None:
        if one_pass.terms.is_dry_run:
            return
        # Whatever goes wrong, or has moved meanwhile: its head stays, and the next cleanup looks again.
        leaving = one_pass.leaving.pop(task_id)
        if leaving.due_for is Standing.TO_REMOVE:
            command = BeginRemoval(deleted_until=one_pass.graced_from)
            if await one_pass.attempt(task_id, self._submit(task_id, command)) is None:
                return
            reach("removal-begun")
        work = remove_chunks(self._store, self._logbook, task_id, chunks)
        head = await one_pass.attempt(task_id, work)
        if head is not None:
            one_pass.leaving[task_id] = _Leaving(Standing.HALF_REMOVED, head, None)

    async def _remove(self, one_pass: _Pass, task_id: str) -> None:
        """
        Remove a task of which only the head is left.

        That of one that never had anything else goes as it was listed, without a word of it before.
        """
        _, head, entry = one_pass.leaving[task_id]
        if one_pass.terms.is_dry_run or await one_pass.attempt(
            task_id, remove_head(self._store, self._logbook, head, entry)
        ):
            one_pass.report.removed.append(task_id)

    async def _sweep(self, one_pass: _Pass, task_id: str, chunks: list[Document]) -> None:
        is_dry_run = one_pass.terms.is_dry_run
        try:
            one_pass.report.orphans += await sweep_orphans(
                self._store, self._history, task_id, chunks, is_dry_run=is_dry_run
            )
        except StateNotFound:
            if task_id not in one_pass.report.headless:
                one_pass.report.headless.append(task_id)
            if not is_dry_run:
                await self._note_headless(one_pass, task_id)

    async def _note_headless(self, one_pass: _Pass, task_id: str) -> None:
        """Keep since when the state is gone, where that is not known yet."""
        with suppress(DocumentExists):
            await self._store.create(
                HEADLESS,
                head_name(task_id),
                b"",
                fields={MADE_AT: rfc3339(one_pass.now)},
                labels={"task-id": task_id},
            )

    async def _discard_old(
        self, one_pass: _Pass, kind: str, kept_from: datetime, *, limit: int
    ) -> int:
        """Remove what was kept for long enough; returns how many there were."""
        count = 0
        async for document in documents(self._store, kind, limit=limit):
            work = self._discard(one_pass, document, kept_from)
            count += bool(await one_pass.attempt(document.key, work))
        return count

    async def _discard(self, one_pass: _Pass, document: Document, kept_from: datetime) -> bool:
        is_over = await one_pass.is_past_keeping(self._store, document, kept_from)
        if is_over and not one_pass.terms.is_dry_run:
            await remove_document(self._store, document)
        return is_over


async def _some_at_once(work: Callable[[str], Awaitable[None]], task_ids: list[str]) -> None:
    """Do *work* for all, a few at a time: the next one begins as soon as one has ended."""
    waiting = iter(task_ids)

    async def take_turns() -> None:
        for task_id in waiting:
            await work(task_id)

    async with asyncio.TaskGroup() as turns:
        for _ in range(_AT_ONCE):
            turns.create_task(take_turns())


class _Leaving(NamedTuple):
    """A task to be removed: for what it is due, its head as it was listed, what is to be told of it."""

    due_for: Standing
    head: Document
    entry: Entry | None


class _Pass:
    """
    One cleanup: its terms as times of one clock, what it has seen, and what it has done.

    Attributes:
        leaving: Tasks to be removed, with their heads as they were listed.
        pointed_at: Keys of all chunks that the listed heads point at.
    """

    def __init__(self, terms: CleanupTerms, actor: Actor, now: datetime) -> None:
        self.terms = terms
        self.actor = actor
        self.now = now
        self.retained_from = now - timedelta(seconds=terms.retention_seconds)
        self.graced_from = now - timedelta(seconds=terms.grace_seconds)
        self.quarantined_from = now - timedelta(seconds=terms.quarantine_seconds)
        self.logged_from = now - timedelta(seconds=terms.audit_seconds)
        self.report = CleanupReport()
        self.leaving: dict[str, _Leaving] = {}
        self.pointed_at: set[str] = set()

    def look_at(self, document: Document) -> str:
        """Take in a task as it was listed; its id where it is to be deleted, else ""."""
        self.report.scanned += 1
        task = listed(document.key, document)
        if task.state is None:
            self.report.unreadable.append(task.task_id)
            return ""
        self.pointed_at |= sealed_keys(task.state)
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
        elif found in {Standing.TO_REMOVE, Standing.HALF_REMOVED}:
            entry = removal_entry(task.state, document.revision, self.actor, self.now)
            self.leaving[task.task_id] = _Leaving(found, without_body(document), entry)
        return task.task_id if found is Standing.TO_DELETE else ""

    async def is_past_keeping(self, store: Store, document: Document, kept_from: datetime) -> bool:
        """Tell whether what is only kept for a while was kept for long enough."""
        return await is_past_keeping(
            store,
            document,
            now=self.now,
            kept_from=kept_from,
            is_dry_run=self.terms.is_dry_run,
        )

    async def attempt(self, task_id: str, work: Awaitable[Any]) -> Any:
        """Do *work*, and report why where that fails; None where it was not done."""
        try:
            return await work
        except (TransitionRefused, StateNotFound):
            return None  # somebody revived it since it was listed, or was quicker
        except StateError as error:
            self.report.failures.append(CleanupFailure(task_id=task_id, why=str(error)))
            return None
