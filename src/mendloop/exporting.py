"""Writing the documents of tasks into a bundle, while others go on working on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

import msgspec

from mendloop.core.bundle import BUNDLE_FORMAT, BundleLines, Header
from mendloop.core.errors import DeserializationError, HistoryDamaged, StateError, StateNotFound
from mendloop.core.names import CHUNK, HEAD, QUARANTINE, task_of_head, task_of_labels
from mendloop.core.quarantine import copy_key, copy_name, fields_of_copy
from mendloop.heads import has_moved, head_of, state_in
from mendloop.history import SealedHistory
from mendloop.sealed_store import SealedStore
from mendloop.stores.paging import documents
from mendloop.stores.port import Document, Store
from mendloop.visiting import TRIES

__all__ = ["Exported", "Exporter"]

_TASK = "task-id"
_PAGE = 50


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """
    What an export has written.

    Attributes:
        tasks: How many.
        documents: How many.
        problems: What is damaged and was written as it is, and what could not be.
    """

    tasks: int
    documents: int
    problems: tuple[StateError, ...]


class Exporter:
    """
    Writes tasks of one store into a bundle.

    What a head points at is read after it. Where a writer meanwhile put something else in its
    place, the head is read again, and the documents that it points at now are written as well: so
    the head in the bundle points at nothing that is not in it, but for what is told as a problem.
    """

    def __init__(self, store: Store) -> None:
        """Read from *store*."""
        self._store = store
        self._history = SealedHistory(store, SealedStore(store))
        self._problems: list[StateError] = []

    async def all_tasks(self) -> list[str]:
        """Name all tasks, those too of which only the history is left, in order."""
        found = set()
        async for document in self._listed(HEAD):
            task_id = task_of_head(document.key)
            if task_id is None:
                self._problems.append(_nameless(document.key))
            else:
                found.add(task_id)
        for kind in (CHUNK, QUARANTINE):
            async for document in self._listed(kind):
                task_id = task_of_labels(document.labels)
                found |= {task_id} if task_id is not None else set()
        return sorted(found)

    async def check(self, task_ids: Sequence[str]) -> None:
        """
        Make sure that there are such tasks.

        Raises:
            StateNotFound: One is not there.
        """
        for task_id in task_ids:
            if await head_of(self._store, task_id) is None:
                raise StateNotFound(task_id=task_id)

    async def write(
        self,
        task_ids: Sequence[str],
        write: Callable[[bytes], object],
        *,
        now: datetime,
        source: str,
        written_by: str,
    ) -> Exported:
        """
        Write the bundle, line by line.

        Args:
            task_ids: Which tasks.
            write: Takes each line.
            now: When.
            source: Where from, in words.
            written_by: The version of mendloop.
        """
        lines = BundleLines()
        header = Header(
            bundle=BUNDLE_FORMAT,
            written_at=now,
            written_by=written_by,
            source=source,
            tasks=len(task_ids),
        )
        write(lines.header(header))
        for task_id in task_ids:
            copies: set[str] = set()
            async for found in self._documents(task_id):
                document = self._as_copy(task_id, found, now) if found.damage else found
                if document.kind == QUARANTINE:
                    if document.key in copies:
                        continue  # it was set aside already
                    copies.add(document.key)
                write(
                    lines.document(
                        task_id,
                        document.kind,
                        document.key,
                        document.body,
                        fields=dict(sorted(document.fields.items())),
                        labels=dict(sorted(document.labels.items())),
                    )
                )
        write(lines.trailer())
        return Exported(
            tasks=len(task_ids), documents=lines.documents, problems=tuple(self._problems)
        )

    async def _documents(self, task_id: str) -> AsyncIterator[Document]:
        """Yield the documents of a task, its head last."""
        head: Document | None = None
        was_there = False
        written: set[str] = set()
        missing: set[str] = set()
        for attempt in range(TRIES):
            now = await head_of(self._store, task_id)
            if attempt and not has_moved(head, now):
                break
            head, was_there = now, was_there or now is not None
            missed, missing = missing, set()
            async for name, document in self._chunks(task_id, head, written):
                if document is None:
                    missing.add(name)
                else:
                    written.add(name)
                    yield document
            if missing <= missed:
                break  # nothing is, or what was missing already is still pointed at: it is lost
        self._problems += [_lacking(task_id, name) for name in sorted(missing)]
        if was_there and head is None:
            self._problems.append(_removed(task_id))
        async for document in self._listed(QUARANTINE, task_id):
            yield document
        if head is not None:
            yield head

    def _as_copy(self, task_id: str, damaged: Document, now: datetime) -> Document:
        """Have what a store calls damaged go into the bundle as a copy, where nobody takes it for sound."""
        fields = fields_of_copy(
            damaged.key, damaged.fields, damaged.blobs, reason=damaged.damage, now=now
        )
        key = copy_key(task_id, damaged.body, fields)
        self._problems.append(_set_aside(task_id, damaged, copy_name(key)))
        return Document(
            kind=QUARANTINE,
            key=key,
            revision=damaged.revision,
            body=damaged.body,
            fields=fields,
            labels={_TASK: task_id},
        )

    async def _chunks(
        self, task_id: str, head: Document | None, written: set[str]
    ) -> AsyncIterator[tuple[str, Document | None]]:
        """Yield what *head* points at and is not *written*; all there is, where that cannot be told."""
        keys = await self._keys(task_id, head)
        if keys is not None:
            for key in sorted(keys - written):
                yield key, await self._store.get(CHUNK, key)
            return
        async for document in self._listed(CHUNK, task_id):
            if document.key not in written:
                yield document.key, document

    async def _keys(self, task_id: str, head: Document | None) -> frozenset[str] | None:
        if head is None or head.damage:
            return None
        try:
            return await self._history.chunk_keys(state_in(task_id, head))
        except HistoryDamaged as error:
            self._problems.append(error)
        except StateError as error:
            self._problems.append(_unread(error, task_id))
        return None

    def _listed(self, kind: str, task_id: str = "") -> AsyncIterator[Document]:
        labels = {_TASK: task_id} if task_id else {}
        return documents(self._store, kind, limit=_PAGE, labels=labels)


def _nameless(key: str) -> StateError:
    return StateError(f"the head {key!a} is of no task, and was left out")


def _unread(error: StateError, task_id: str) -> StateError:
    """Tell of a damaged head, or of a newer one, that it is moved as it is."""
    told = f"{error}; it was written as it is, with all of its history that was found"
    error.args, error.task_id = (told,), task_id
    return error


def _set_aside(task_id: str, document: Document, name: str) -> StateError:
    return DeserializationError(
        f"{document.damage}; it is not in the bundle but as the copy {name}", task_id=task_id
    )


def _removed(task_id: str) -> StateNotFound:
    return StateNotFound(
        f"task {task_id} was removed while it was written: the bundle has no state of it, and of its "
        "history what was still there",
        task_id=task_id,
    )


def _lacking(task_id: str, key: str) -> HistoryDamaged:
    return HistoryDamaged(
        f"the history of task {task_id} lacks {CHUNK} {key}, which is not in the bundle either",
        first=0,
        last=0,
        task_id=task_id,
    )
