"""Sealed documents of a store: read once and kept, written before the head, removed after it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Iterable, MutableMapping, Sequence

from mendloop.core.errors import DeserializationError, DocumentExists, HistoryDamaged, StateError
from mendloop.core.names import CHUNK
from mendloop.core.sealed import SealedIndex
from mendloop.core.sealing import Document as SealedDocument
from mendloop.core.sealing import sealed_key
from mendloop.core.shelf import Opened, OpenedIndex, Pointer, open_chunk, open_index
from mendloop.crashpoints import reach
from mendloop.stores.port import Document, Store

__all__ = ["SealedStore"]

_KEPT_BYTES = 16 * 1024 * 1024
_KEPT_WRITTEN = 256
_READ_AT_ONCE = 8
_UNPACKED_TIMES = 8
"""Rows take about so many times more memory than they are long when packed."""


class SealedStore:
    """
    The sealed documents of the tasks of one store.

    They never change, so what was read or written once is kept, by digest: up to 16 MiB of rows.

    Attributes:
        at_hand: What is kept.
    """

    def __init__(self, store: Store) -> None:
        """Work on *store*."""
        self._store = store
        self._kept: OrderedDict[str, Opened | OpenedIndex] = OrderedDict()
        self._written: OrderedDict[str, Document] = OrderedDict()

    @property
    def at_hand(self) -> MutableMapping[str, Opened | OpenedIndex]:
        """What need not be read, by digest."""
        return self._kept

    async def fetch(
        self, task_id: str, incarnation: str, pointers: Sequence[Pointer]
    ) -> dict[str, Opened | OpenedIndex]:
        """
        Read documents.

        Returns:
            All of them by digest, whether there is room to keep them or not.

        Raises:
            HistoryDamaged: One is missing or damaged.
        """
        fetched: dict[str, Opened | OpenedIndex] = {}
        for at in range(0, len(pointers), _READ_AT_ONCE):
            batch = pointers[at : at + _READ_AT_ONCE]
            opened = await asyncio.gather(
                *(self._read(task_id, incarnation, pointer) for pointer in batch)
            )
            fetched |= {p.digest: o for p, o in zip(batch, opened, strict=True)}
        return fetched

    async def write(self, documents: Iterable[SealedDocument]) -> None:
        """Write documents before the head that points at them; one may be there after a crash."""
        for document in documents:
            with contextlib.suppress(DocumentExists):
                written = await self._store.create(
                    CHUNK, document.key, document.body, labels=document.labels
                )
                self._remember(written)
                self._keep(document.digest, _opened(document))
            reach("chunk-written")

    async def remove(self, keys: Iterable[str]) -> None:
        """
        Remove what no head points at any more, as far as that succeeds.

        What stays belongs to nobody, and a cleanup takes it away.
        """
        for key in keys:
            with contextlib.suppress(StateError):
                document = self._written.pop(key, None) or await self._store.get(CHUNK, key)
                if document is not None:
                    await self._store.delete(document)

    async def _read(self, task_id: str, incarnation: str, pointer: Pointer) -> Opened | OpenedIndex:
        kept = self._kept.get(pointer.digest)
        if kept is not None:
            self._kept.move_to_end(pointer.digest)
            return kept
        key = sealed_key(task_id, incarnation, pointer)
        document = await self._store.get(CHUNK, key)
        first, last = _range(pointer)
        if document is None:
            raise HistoryDamaged(
                f"the history of task {task_id} lacks {CHUNK} {key}: put it back from a copy, or "
                f"see what is left with `mendloop doctor {task_id}`",
                first=first,
                last=last,
                task_id=task_id,
            )
        try:
            opened: Opened | OpenedIndex
            if isinstance(pointer, SealedIndex):
                opened = open_index(document.body, pointer.digest)
            else:
                opened = open_chunk(document.body, pointer.digest)
        except DeserializationError as error:
            raise HistoryDamaged(
                f"the {CHUNK} {key} of task {task_id} is damaged: {error}",
                first=first,
                last=last,
                task_id=task_id,
            ) from error
        self._keep(pointer.digest, opened)
        return opened

    def _keep(self, digest: str, opened: Opened | OpenedIndex) -> None:
        self._kept[digest] = opened
        self._kept.move_to_end(digest)
        while sum(map(_held_bytes, self._kept.values())) > _KEPT_BYTES and len(self._kept) > 1:
            self._kept.popitem(last=False)

    def _remember(self, document: Document) -> None:
        self._written[document.key] = document
        while len(self._written) > _KEPT_WRITTEN:
            self._written.popitem(last=False)


def _opened(document: SealedDocument) -> Opened | OpenedIndex:
    """Open what was just written: it need not be checked."""
    if document.is_index:
        return open_index(document.body, document.digest)
    return Opened(document.body)


def _held_bytes(opened: Opened | OpenedIndex) -> int:
    packed = opened.records if isinstance(opened, OpenedIndex) else opened.body
    return len(packed) * _UNPACKED_TIMES


def _range(pointer: Pointer) -> tuple[int, int]:
    return (0, 0) if isinstance(pointer, SealedIndex) else (pointer.first, pointer.last)
