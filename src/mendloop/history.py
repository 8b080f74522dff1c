"""Reading a task's commits back, those in sealed chunks included."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet

from mendloop.core.commits import ChunkBody, read_chunk
from mendloop.core.errors import DeserializationError, HistoryDamaged
from mendloop.core.model import Change, ChunkRef, Commit, Ledger, RemediationState
from mendloop.core.names import CHUNK, chunk_key
from mendloop.stores.port import Store

__all__ = ["SealedHistory"]

_CACHED_CHUNKS = 256


class SealedHistory:
    """
    The commits of tasks, oldest first.

    Chunks never change, so what was read once is kept by digest, up to 256 of them.
    """

    def __init__(self, store: Store) -> None:
        """Read from *store*."""
        self._store = store
        self._chunks: OrderedDict[str, ChunkBody] = OrderedDict()

    async def commits(self, state: RemediationState, *, after: int = 0) -> AsyncIterator[Commit]:
        """
        Yield the commits of *state* with a number above *after*, in order.

        Raises:
            HistoryDamaged: A chunk is missing or damaged.
        """
        ledger = state.ledger
        for ref in ledger.sealed:
            async for chunk in self._chunks_of(state.task_id, ledger, ref, after=after):
                for commit in chunk.commits:
                    if commit.number > after:
                        yield commit
        for commit in ledger.commits:
            if commit.number > after:
                yield commit

    async def operations(
        self, state: RemediationState, op_ids: AbstractSet[str]
    ) -> dict[str, Change]:
        """Look *op_ids* up in the sealed chunks of *state*; those found, with their change."""
        found: dict[str, Change] = {}
        ledger = state.ledger
        for ref in reversed(ledger.sealed):
            async for chunk in self._chunks_of(state.task_id, ledger, ref, after=0):
                for commit in chunk.commits:
                    found |= {c.op_id: c for c in commit.changes if c.op_id in op_ids}
            if found.keys() >= op_ids:
                break
        return found

    async def _chunks_of(
        self, task_id: str, ledger: Ledger, ref: ChunkRef, *, after: int
    ) -> AsyncIterator[ChunkBody]:
        """Yield the chunks of commits that *ref* leads to, oldest first."""
        if ref.last <= after:
            return
        chunk = await self._chunk(task_id, ledger, ref)
        if ref.depth == 0:
            yield chunk
        for inner in chunk.chunks:
            async for deeper in self._chunks_of(task_id, ledger, inner, after=after):
                yield deeper

    async def _chunk(self, task_id: str, ledger: Ledger, ref: ChunkRef) -> ChunkBody:
        if ref.digest in self._chunks:
            self._chunks.move_to_end(ref.digest)
            return self._chunks[ref.digest]
        key = chunk_key(task_id, ledger.incarnation, ref.first, ref.digest)
        document = await self._store.get(CHUNK, key)
        if document is None:
            raise HistoryDamaged(
                f"the history of task {task_id} lacks commits {ref.first} to {ref.last}: there is no "
                f"{CHUNK} {key}; put it back from a copy, or read on with `mendloop history "
                f"{task_id} --after {ref.last}`",
                first=ref.first,
                last=ref.last,
                task_id=task_id,
            )
        try:
            chunk = read_chunk(document.body, ref)
        except DeserializationError as error:
            raise HistoryDamaged(
                str(error), first=ref.first, last=ref.last, task_id=task_id
            ) from error
        self._chunks[ref.digest] = chunk
        while len(self._chunks) > _CACHED_CHUNKS:
            self._chunks.popitem(last=False)
        return chunk
