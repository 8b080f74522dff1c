"""
Removing documents for good: those of a deleted task, orphaned chunks, old quarantined copies.

Nothing is removed that a writer may still rely on, and what is left half done is found again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime

from mendloop.core.codec import rfc3339
from mendloop.core.deletion import HOLD_LABEL
from mendloop.core.errors import (
    DeserializationError,
    ReadOnlyState,
    RevisionConflict,
    StateError,
    StateNotFound,
)
from mendloop.core.logbook import Entry, removal_entry
from mendloop.core.model import Ledger, RemediationState
from mendloop.core.names import CHUNK, chunk_prefix, owner_of_chunk
from mendloop.core.quarantine import MADE_AT
from mendloop.core.sealing import commit_of
from mendloop.crashpoints import reach
from mendloop.heads import head_of, state_in
from mendloop.history import SealedHistory
from mendloop.logbook import Logbook
from mendloop.stores.paging import documents
from mendloop.stores.port import Document, Store

__all__ = [
    "LARGE_A_PAGE",
    "MADE_AT",
    "chunks_by_task",
    "is_past_keeping",
    "remove_chunks",
    "remove_document",
    "remove_head",
    "sweep_orphans",
    "without_body",
]

LARGE_A_PAGE = 16
"""Chunks and quarantined copies have up to 1 MiB each, and a page of them is in memory at once."""


async def remove_chunks(
    store: Store, logbook: Logbook, task_id: str, chunks: list[Document]
) -> Document | None:
    """
    Remove *chunks* of a task whose removal has begun, which is written down first.

    Args:
        store: Where they are.
        logbook: Is told.
        task_id: The task.
        chunks: Listed before this call.

    Returns:
        The head, which nothing belongs to any more but what is left to list; None where it is gone,
        or is that of a new task.

    Raises:
        StateError: One could not be removed; the others are.
    """
    # Read after the listing: what that lists was there before this head went, and so is no chunk of
    # a new task of the same id.
    head = await head_of(store, task_id)
    state = state_in(task_id, head) if head is not None else None
    if head is None or state is None or not _is_leaving(state):
        return None
    now = logbook.clock.now()
    await logbook.write(removal_entry(state, head.revision, logbook.actor, now))
    reach("removal-told")
    failure: StateError | None = None
    for chunk in chunks:
        try:
            await remove_document(store, chunk)
        except StateError as error:
            failure = error
        reach("removal-chunk-gone")
    if failure is not None:
        raise failure
    reach("removal-chunks-gone")
    return without_body(head)


async def remove_head(store: Store, logbook: Logbook, head: Document, entry: Entry | None) -> bool:
    """
    Remove the head of a task, last of all; tells whether it was still there, as it was read.

    Args:
        store: Where it is.
        logbook: Is told before.
        head: As it was listed.
        entry: What the logbook is told; None where it was told already.
    """
    written = await logbook.write(entry) if entry is not None else None
    reach("removal-told")
    with suppress(RevisionConflict):
        await store.delete(head)
        reach("removal-head-gone")
        return True
    if entry is not None and await _is_still_there(store, entry):
        await logbook.withdraw(written)
    return False


async def _is_still_there(store: Store, entry: Entry) -> bool:
    """Whether the task was brought back, and not removed by somebody who was quicker."""
    head = await head_of(store, entry.task_id)
    try:
        state = state_in(entry.task_id, head) if head is not None else None
    except StateError:
        return True
    return state is not None and state.ledger.incarnation == entry.incarnation


def _is_leaving(state: RemediationState) -> bool:
    deleted = state.ledger.deleted
    return deleted is not None and deleted.is_final


async def remove_document(store: Store, document: Document) -> None:
    """Remove a document that nobody writes any more, whoever has labelled it meanwhile."""
    try:
        await store.delete(document)
    except RevisionConflict:
        newest = await store.get(document.kind, document.key)
        if newest is not None:
            await store.delete(newest)


async def chunks_by_task(store: Store) -> AsyncIterator[tuple[str, list[Document]]]:
    """
    Yield every task that has chunks, with the chunks; one of an odd name may come in parts.

    Whose they are is told by their names, which nobody can change; else by a label.
    """
    task_id, chunks = "", list[Document]()
    async for document in documents(store, CHUNK, limit=LARGE_A_PAGE):
        owner = owner_of_chunk(document.key, document.labels) or ""
        if owner != task_id and chunks:
            yield task_id, chunks
            chunks = []
        task_id = owner
        chunks.append(without_body(document))
    if chunks:
        yield task_id, chunks


def without_body(document: Document) -> Document:
    """Give what it takes to delete *document*."""
    return Document(
        kind=document.kind,
        key=document.key,
        revision=document.revision,
        body=b"",
        fields={},
        labels={},
    )


async def sweep_orphans(
    store: Store, history: SealedHistory, task_id: str, chunks: list[Document], *, is_dry_run: bool
) -> int:
    """
    Remove those of *chunks* that the task's head does not point at; returns how many.

    The head is written first, as it is: so a writer that was paused before it pointed at one of
    them is refused, and decides again. Nothing is removed for a head that cannot be read, that
    a writer of the specification has written, or that is older than one of the chunks.

    Args:
        store: Where they are.
        history: Knows which chunks a head points at.
        task_id: The task.
        chunks: Listed before this call.
        is_dry_run: Whether to count only.

    Raises:
        StateNotFound: There is no head.
        StateError: The store refused something.
    """
    head = await head_of(store, task_id)
    if head is None:
        raise StateNotFound(task_id=task_id)
    try:
        state = state_in(task_id, head)
        orphans = await _orphans(store, history, state, chunks)
    except (DeserializationError, ReadOnlyState):
        return 0
    if is_dry_run or not orphans:
        return len(orphans)
    try:
        await store.replace(head, head.body)
    except RevisionConflict:
        return 0  # it moved, and so may what it points at: the next cleanup looks again
    reach("sweep-head-written")
    for orphan in orphans:
        await remove_document(store, orphan)
        reach("sweep-orphan-gone")
    return len(orphans)


async def _orphans(
    store: Store, history: SealedHistory, state: RemediationState, chunks: list[Document]
) -> list[Document]:
    """Those of *chunks* that are left over; none where the head may be the one that is wrong."""
    ledger = state.mendloop
    if not isinstance(ledger, Ledger) or (ledger.deleted and ledger.deleted.is_final):
        return []
    # Chunks of an earlier task of this id stay until the task goes: its head may come back.
    prefix = chunk_prefix(state.task_id, ledger.incarnation)
    wanted = await history.chunk_keys(state)
    if wanted - {chunk.key for chunk in chunks}:
        return []
    orphans = [c for c in chunks if c.key.startswith(prefix) and c.key not in wanted]
    for orphan in orphans:
        # A commit that lost its race has at most the next number: a higher one means that somebody
        # has put an old copy of the head back.
        read = await store.get(CHUNK, orphan.key)
        if read is not None and commit_of(read.body) > ledger.commit + 1:
            return []
    return orphans


async def is_past_keeping(
    store: Store, document: Document, *, now: datetime, kept_from: datetime, is_dry_run: bool
) -> bool:
    """
    Tell whether something that is only kept for a while was made before *kept_from*.

    What does not say when it was made counts from now on. A label `hold` keeps it.

    Raises:
        DeserializationError: It is damaged, and so may be what it says.
    """
    if document.damage:
        raise DeserializationError(document.damage)
    if HOLD_LABEL in document.labels:
        return False
    try:
        return datetime.fromisoformat(document.fields.get(MADE_AT, "")) <= kept_from
    except (ValueError, TypeError):
        if not is_dry_run:
            await store.replace(document, document.body, fields={MADE_AT: rfc3339(now)})
        return False
