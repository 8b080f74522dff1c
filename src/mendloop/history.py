"""Reading a task's commits and findings back, those that are sealed included."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Iterator
from collections.abc import Set as AbstractSet

from mendloop.core.codec import decode_part
from mendloop.core.commits import ChunkBody, read_chunk, sealed_keys
from mendloop.core.compaction import entry_of, place_of
from mendloop.core.errors import DeserializationError, HistoryDamaged
from mendloop.core.model import Change, ChunkRef, Commit, FeedbackEntry, Ledger, RemediationState
from mendloop.core.names import CHUNK, chunk_key
from mendloop.core.sealed import SealedChunk, SealedTail
from mendloop.core.shelf import Opened, Row, Unreadable
from mendloop.sealed_store import SealedStore
from mendloop.stores.port import Store

__all__ = ["SealedHistory"]

_CACHED_CHUNKS = 256


class SealedHistory:
    """
    The commits and findings of tasks, oldest first.

    Chunks never change, so what was read once is kept by digest.
    """

    def __init__(self, store: Store, sealed: SealedStore) -> None:
        """Read from *store*, and from *sealed* what it has at hand."""
        self._store = store
        self._sealed = sealed
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
                for commit in _above(after, chunk.commits):
                    yield commit
        tail = (ledger.log.tail,) if ledger.log.tail else ()
        for pointer in (*ledger.log.chunks, *tail):
            if pointer.last > after:
                rows = await self._rows(state, pointer)
                decoded = [decode_part(Commit, row.content) for row in rows.values()]
                for commit in _above(after, decoded):
                    yield commit
        for commit in _above(after, ledger.commits):
            yield commit

    async def findings(
        self, state: RemediationState, *, after: int = -1
    ) -> AsyncIterator[tuple[int, FeedbackEntry]]:
        """
        Yield the findings of *state* with a number above *after*, in the order they came.

        Raises:
            HistoryDamaged: A chunk is missing or damaged.
        """
        sealed = state.ledger.findings
        newest: dict[int, FeedbackEntry | Row] = {}
        if sealed.tail is not None and sealed.tail.last > after:
            newest |= await self._rows(state, sealed.tail)
        newest |= _in_head(state)
        told = after
        for pointer in sealed.chunks:
            if pointer.last <= after:
                continue
            rows: dict[int, FeedbackEntry | Row] = {**await self._rows(state, pointer)}
            rows |= {n: found for n, found in newest.items() if n <= pointer.last}
            for number in sorted(n for n in rows if n > told):
                yield number, _entry(rows[number])
            told = pointer.last
        for number in sorted(n for n in newest if n > told):
            yield number, _entry(newest[number])

    async def chunk_keys(self, state: RemediationState) -> frozenset[str]:
        """
        The keys of all chunks that the head points at, straight or through others.

        Raises:
            HistoryDamaged: A chunk that points at others is missing or damaged.
        """
        keys = set(sealed_keys(state))
        ledger = state.ledger
        pending = list(ledger.sealed)
        while pending:
            ref = pending.pop()
            keys.add(chunk_key(state.task_id, ledger.incarnation, ref.first, ref.digest))
            if ref.depth:
                pending += (await self._chunk(state.task_id, ledger, ref)).chunks
        return frozenset(keys)

    async def operations(
        self, state: RemediationState, op_ids: AbstractSet[str]
    ) -> dict[str, Change]:
        """Look *op_ids* up in what schema 1 sealed; those found, with their change."""
        found: dict[str, Change] = {}
        ledger = state.ledger
        for ref in reversed(ledger.sealed):
            async for chunk in self._chunks_of(state.task_id, ledger, ref, after=0):
                for commit in chunk.commits:
                    found |= {c.op_id: c for c in commit.changes if c.op_id in op_ids}
            if found.keys() >= op_ids:
                break
        return found

    async def _rows(
        self, state: RemediationState, pointer: SealedChunk | SealedTail
    ) -> dict[int, Row]:
        fetched = await self._sealed.fetch(state, [pointer])
        opened = fetched[pointer.digest]
        if isinstance(opened, Unreadable):
            raise opened.error
        assert isinstance(opened, Opened)  # noqa: S101 - a digest names one content
        return opened.rows

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


def _above(number: int, commits: Iterable[Commit]) -> Iterator[Commit]:
    return (commit for commit in commits if commit.number > number)


def _in_head(state: RemediationState) -> dict[int, FeedbackEntry]:
    """The findings in the head; those that have no number yet come after all that have one."""
    numbered: dict[int, FeedbackEntry] = {}
    following = state.ledger.findings.count
    for entry in state.feedback_history:
        place = place_of(entry)
        if place is None or place in numbered:
            place, following = following, following + 1
        numbered[place] = entry
    return numbered


def _entry(found: FeedbackEntry | Row) -> FeedbackEntry:
    return found if isinstance(found, FeedbackEntry) else entry_of(found)
