"""Sealed documents of a store: read once and kept, written before the head, removed after it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import ChainMap, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from mendloop.core.errors import DeserializationError, DocumentExists, HistoryDamaged, StateError
from mendloop.core.model import RemediationState
from mendloop.core.names import CHUNK
from mendloop.core.sealed import SealedIndex
from mendloop.core.sealing import Document as SealedDocument
from mendloop.core.sealing import pointers_of, sealed_key
from mendloop.core.shelf import (
    Held,
    Lacking,
    Opened,
    OpenedIndex,
    Pointer,
    Unreadable,
    open_chunk,
    open_index,
)
from mendloop.crashpoints import reach
from mendloop.stores.port import Document, Store

__all__ = ["SealedStore"]

_T = TypeVar("_T")

_KEPT_BYTES = 16 * 1024 * 1024
_KEPT_WRITTEN = 256
_READ_AT_ONCE = 8
_UNPACKED_TIMES = 8
"""Rows take about so many times more memory than they are long when packed."""


class SealedStore:
    """
    The sealed documents of the tasks of one store.

    They never change, so what was read or written once is kept, by digest: up to 16 MiB of rows.
    """

    def __init__(self, store: Store) -> None:
        """Work on *store*."""
        self._store = store
        self._kept = _Kept()
        self._written: OrderedDict[str, Document] = OrderedDict()

    async def supply(
        self,
        decide: Callable[[Mapping[str, Held]], _T],
        fetch: Callable[[Sequence[Pointer]], Awaitable[dict[str, Held]]],
        written: Iterable[SealedDocument] = (),
    ) -> _T:
        """
        Have something decided, and again with each document that it turns out to lack.

        Args:
            decide: Is given the documents at hand, by digest.
            fetch: Reads those that it lacks.
            written: Documents that are yet to be written, and count as being at hand.
        """
        read: dict[str, Held] = {document.digest: _opened(document) for document in written}
        while True:
            try:
                return decide(ChainMap(read, self._kept))
            except Lacking as lacking:
                read |= await fetch(lacking.pointers)

    async def fetch(self, state: RemediationState, pointers: Sequence[Pointer]) -> dict[str, Held]:
        """
        Read documents.

        Returns:
            All of them by digest, whether there is room to keep them or not; those too that are
            missing or damaged.
        """
        fetched: dict[str, Held] = {}
        for at in range(0, len(pointers), _READ_AT_ONCE):
            batch = pointers[at : at + _READ_AT_ONCE]
            opened = await asyncio.gather(*(self._read(state, pointer) for pointer in batch))
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

    async def remove(self, state: RemediationState, pointers: Iterable[Pointer]) -> None:
        """
        Remove what the head of *state* points at no more, as far as that succeeds.

        What stays belongs to nobody, and a cleanup takes it away.
        """
        keys: list[str] = []
        for pointer in pointers:
            self._kept.pop(pointer.digest, None)
            keys.append(sealed_key(state.task_id, state.ledger.incarnation, pointer))
        await self.discard(keys)

    async def discard(self, keys: Iterable[str]) -> None:
        """Remove documents that belong to nobody, as far as that succeeds."""
        for key in keys:
            with contextlib.suppress(StateError):
                document = self._written.pop(key, None) or await self._store.get(CHUNK, key)
                if document is not None:
                    await self._store.delete(document)
            reach("chunk-removed")

    async def _read(self, state: RemediationState, pointer: Pointer) -> Held:
        kept = self._kept.get(pointer.digest)
        if kept is not None:
            return kept
        key = sealed_key(state.task_id, state.ledger.incarnation, pointer)
        document = await self._store.get(CHUNK, key)
        if document is None:
            return _unreadable(state, pointer, f"there is no {CHUNK} {key}")
        try:
            opened: Opened | OpenedIndex
            if isinstance(pointer, SealedIndex):
                opened = open_index(document.body, pointer.digest)
            else:
                opened = open_chunk(document.body, pointer.digest)
        except DeserializationError as error:
            return _unreadable(state, pointer, f"{CHUNK} {key} is damaged, {error}")
        self._keep(pointer.digest, opened)
        return opened

    def _keep(self, digest: str, opened: Held) -> None:
        self._kept[digest] = opened
        while sum(map(_held_bytes, self._kept.values())) > _KEPT_BYTES and len(self._kept) > 1:
            self._kept.popitem(last=False)

    def _remember(self, document: Document) -> None:
        self._written[document.key] = document
        while len(self._written) > _KEPT_WRITTEN:
            self._written.popitem(last=False)


class _Kept(OrderedDict[str, Held]):
    """Documents by digest; what was used last is dropped last."""

    def __getitem__(self, digest: str) -> Held:
        held = super().__getitem__(digest)
        self.move_to_end(digest)
        return held


def _opened(document: SealedDocument) -> Opened | OpenedIndex:
    """Open what was made here: it need not be read."""
    if document.is_index:
        return open_index(document.body, document.digest)
    return Opened(document.body)


def _held_bytes(held: Held) -> int:
    if isinstance(held, Unreadable):
        return 0
    packed = held.records if isinstance(held, OpenedIndex) else held.body
    return len(packed) * _UNPACKED_TIMES


def _unreadable(state: RemediationState, pointer: Pointer, why: str) -> Unreadable:
    part = "commits" if pointer in pointers_of(state.ledger.log) else "findings"
    if isinstance(pointer, SealedIndex):
        first, last, what = 0, 0, f"the keys of its {part}"
    else:
        first, last = pointer.first, pointer.last
        what = f"{part} {first} to {last}"
    message = (
        f"the history of task {state.task_id} lacks {what}: {why}; put it back from a copy, or see "
        f"what is left with `mendloop doctor {state.task_id}`"
    )
    return Unreadable(HistoryDamaged(message, first=first, last=last, task_id=state.task_id))
