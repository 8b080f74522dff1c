"""
Removing documents for good: those of a deleted task, orphaned chunks, old quarantined copies.

Nothing is removed that a writer may still rely on, and what is left half done is found again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime

from mendloop.core.codec import decode_head, rfc3339
from mendloop.core.deletion import HOLD_LABEL
from mendloop.core.errors import DeserializationError, ReadOnlyState, RevisionConflict, StateError
from mendloop.core.model import Ledger, RemediationState
from mendloop.core.names import CHUNK, HEAD, chunk_prefix, head_name
from mendloop.core.sealing import commit_of
from mendloop.crashpoints import reach
from mendloop.history import SealedHistory
from mendloop.stores.paging import documents, pages
from mendloop.stores.port import Document, Store

__all__ = ["LARGE_A_PAGE", "chunks_by_task", "is_quarantine_over", "remove_task", "sweep_orphans"]

LARGE_A_PAGE = 16
"""Chunks and quarantined copies have up to 1 MiB each, and a page of them is in memory at once."""

_MADE_AT = "made_at"


async def remove_task(store: Store, task_id: str) -> bool:
    """
    Remove all chunks of a task whose removal has begun, and its head last.

    Returns:
        Whether the head was removed here; another cleanup may have been quicker.

    Raises:
        StateError: Something could not be removed; the head stays, for the next one to find.
    """
    failure: StateError | None = None
    head: Document | None = None
    async for page in pages(store, CHUNK, limit=LARGE_A_PAGE, labels={"task-id": task_id}):
        # Read after the listing: what it lists was there before this head went, and so is no
        # chunk of a new task of the same id.
        head = await _leaving_head(store, task_id)
        if head is None:
            return False
        for chunk in page.documents:
            try:
                await _remove(store, chunk)
            except StateError as error:
                failure = error
            reach("removal-chunk-gone")
    if failure is not None:
        raise failure
    assert head is not None  # noqa: S101 - a listing has at least one page
    reach("removal-chunks-gone")
    with suppress(RevisionConflict):
        await store.delete(head)
        reach("removal-head-gone")
        return True
    return False


async def _leaving_head(store: Store, task_id: str) -> Document | None:
    head = await store.get(HEAD, head_name(task_id))
    if head is None:
        return None
    deleted = decode_head(task_id, head.body).ledger.deleted
    return head if deleted is not None and deleted.is_final else None


async def _remove(store: Store, document: Document) -> None:
    """Remove a document that nobody writes any more, whoever has labelled it meanwhile."""
    try:
        await store.delete(document)
    except RevisionConflict:
        newest = await store.get(document.kind, document.key)
        if newest is not None:
            await store.delete(newest)


async def chunks_by_task(store: Store) -> AsyncIterator[tuple[str, list[Document]]]:
    """Yield every task that has chunks, with the chunks; one of an odd name may come in parts."""
    task_id, chunks = "", list[Document]()
    async for document in documents(store, CHUNK, limit=LARGE_A_PAGE):
        owner = document.labels.get("task-id", "")
        if owner != task_id and chunks:
            yield task_id, chunks
            chunks = []
        task_id = owner
        chunks.append(_without_body(document))
    if chunks:
        yield task_id, chunks


def _without_body(document: Document) -> Document:
    """What it takes to delete *document*."""
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
    them is refused, and decides again. Nothing is removed for a head that is missing or cannot be
    read, that a writer of the specification has written, or that is older than one of the chunks.

    Args:
        store: Where they are.
        history: Knows which chunks a head points at.
        task_id: The task.
        chunks: Listed before this call.
        is_dry_run: Whether to count only.

    Raises:
        StateError: The store refused something.
    """
    head = await store.get(HEAD, head_name(task_id)) if task_id else None
    if head is None:
        return 0
    try:
        state = decode_head(task_id, head.body)
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
        await _remove(store, orphan)
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
    orphans = [c for c in chunks if c.key.startswith(prefix) and c.key not in wanted]
    for orphan in orphans:
        # A commit that lost its race has at most the next number: a higher one means that somebody
        # has put an old copy of the head back.
        read = await store.get(CHUNK, orphan.key)
        if read is not None and commit_of(read.body) > ledger.commit + 1:
            return []
    return orphans


async def is_quarantine_over(
    store: Store, document: Document, *, now: datetime, kept_from: datetime, is_dry_run: bool
) -> bool:
    """
    Remove a quarantined copy that was made before *kept_from*; tells whether it is that old.

    One that does not say when it was made counts from now on. A label `hold` keeps one.
    """
    if HOLD_LABEL in document.labels:
        return False
    try:
        made_at = datetime.fromisoformat(document.fields.get(_MADE_AT, ""))
        is_over = made_at <= kept_from
    except (ValueError, TypeError):
        if not is_dry_run:
            await store.replace(document, document.body, fields={_MADE_AT: rfc3339(now)})
        return False
    if is_over and not is_dry_run:
        await _remove(store, document)
    return is_over
