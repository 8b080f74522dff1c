"""Reading the records of tasks where they stand, to tell whether they are those that were written."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from functools import partial

import msgspec

from mendloop.core.codec import decode_part
from mendloop.core.commits import ChunkBody
from mendloop.core.errors import DeserializationError, StateError, StateNotFound
from mendloop.core.evidence import members_of
from mendloop.core.model import ChunkRef, Commit, RemediationState
from mendloop.core.names import CHUNK, chunk_key, task_of_head
from mendloop.core.sealing import sealed_key
from mendloop.core.shelf import Row
from mendloop.core.verifying import HEAD_PLACE, Examination, Flaw, FlawKind, Placed, Verdict
from mendloop.heads import head_of, state_in
from mendloop.stores.port import Document, Store
from mendloop.visiting import at_one_moment, every_task

__all__ = ["Auditor"]


class Auditor:
    """Compares the records of the tasks in one store with their chains; it writes nothing."""

    def __init__(self, store: Store) -> None:
        """Read from *store*."""
        self._store = store

    async def verify(self, task_id: str) -> Verdict:
        """
        See `mendloop.records.Records.verify_records`.

        Raises:
            StateNotFound: Nothing is stored of the task.
            RevisionConflict: The task did not stand still for long enough.
        """
        return await self._stand_still(task_id, await head_of(self._store, task_id))

    async def verify_all(self) -> AsyncGenerator[Verdict, None]:
        """See `mendloop.records.Records.verify_all_records`."""
        async for key, head in every_task(self._store):
            task_id = task_of_head(key)
            if task_id is not None:
                with suppress(StateNotFound):  # it may have gone meanwhile
                    yield await self._stand_still(task_id, head)

    async def _stand_still(self, task_id: str, head: Document | None) -> Verdict:
        return await at_one_moment(self._store, task_id, head, partial(self._examine, task_id))

    async def _examine(self, task_id: str, head: Document | None) -> Verdict:
        if head is None:
            if not await self._has_history(task_id):
                raise StateNotFound(task_id=task_id)
            return _gone(task_id, "its state is gone, and a history of it is there")
        try:
            state = state_in(task_id, head)
        except StateError as error:
            flaw = Flaw(kind=FlawKind.UNREADABLE, what=str(error))
            return Verdict(task_id=task_id, flaws=(flaw,))
        if not state.mendloop:
            if await self._has_history(task_id):
                return _gone(task_id, "another program wrote its state anew, without its records")
            note = "another program wrote it, and keeps no records"
            return Verdict(task_id=task_id, notes=(note,))
        verdict = await self._examine_records(state)
        is_leaving = state.ledger.deleted is not None and state.ledger.deleted.is_final
        return _leaving(verdict) if is_leaving else verdict

    async def _has_history(self, task_id: str) -> bool:
        page = await self._store.list(CHUNK, labels={"task-id": task_id}, limit=1)
        return bool(page.documents)

    async def _examine_records(self, state: RemediationState) -> Verdict:
        ledger = state.ledger
        examination = Examination(state)
        for ref in ledger.sealed:
            await self._take_older(examination, state, ref)
        tail = (ledger.log.tail,) if ledger.log.tail else ()
        for pointer in (*ledger.log.chunks, *tail):
            key = sealed_key(state.task_id, ledger.incarnation, pointer)
            body = await self._sealed(examination, key, pointer.digest, pointer.first, pointer.last)
            rows = _placed(_rows_of(state.task_id, body))
            examination.take(key, pointer.first, pointer.last, rows)
        commits = [Placed(commit.number, commit) for commit in ledger.commits]
        first = commits[0].number if commits else ledger.commit + 1
        examination.take(HEAD_PLACE, first, ledger.commit, commits)
        return examination.verdict()

    async def _take_older(
        self, examination: Examination, state: RemediationState, ref: ChunkRef
    ) -> None:
        """Take in what schema 1 sealed: chunks of commits, or of pointers to such chunks."""
        key = chunk_key(state.task_id, state.ledger.incarnation, ref.first, ref.digest)
        body = await self._sealed(examination, key, ref.digest, ref.first, ref.last)
        chunk: ChunkBody | None = None
        with suppress(DeserializationError):
            chunk = decode_part(ChunkBody, body)
        if chunk is not None and ref.depth:
            for inner in chunk.chunks:
                await self._take_older(examination, state, inner)
            return
        commits = chunk.commits if chunk is not None else ()
        rows = [Placed(commit.number, commit) for commit in commits]
        examination.take(key, ref.first, ref.last, rows)

    async def _sealed(
        self, examination: Examination, key: str, digest: str, first: int, last: int
    ) -> bytes:
        """Read a sealed document; b"" where there is none. What is wrong with it is taken in."""
        document = await self._store.get(CHUNK, key)
        body = b"" if document is None else document.body
        if document is not None and hashlib.sha256(body).hexdigest() != digest:
            what = f"the document of records {first} to {last} is not as it was sealed"
            examination.add(
                Flaw(kind=FlawKind.CHANGED, what=what, place=key, first=first, last=last)
            )
        return body


def _leaving(verdict: Verdict) -> Verdict:
    """Of a task whose removal has begun no record is missed, and those that are left count."""
    note = "its removal has begun, and its sealed records go first"
    flaws = tuple(flaw for flaw in verdict.flaws if flaw.kind is not FlawKind.MISSING)
    return msgspec.structs.replace(verdict, flaws=flaws, notes=(*verdict.notes, note))


def _gone(task_id: str, what: str) -> Verdict:
    advice = f"`mendloop doctor {task_id}` says what is left"
    return Verdict(task_id=task_id, flaws=(Flaw(kind=FlawKind.MISSING, what=f"{what}; {advice}"),))


def _rows_of(task_id: str, body: bytes) -> list[Row]:
    """The rows of a sealed document, as far as it is whole, in the order in which they stand."""
    rows: list[Row] = []
    with suppress(DeserializationError):
        for member in members_of(task_id, body) if body else ():
            rows += member.rows
    return rows


def _placed(rows: Iterable[Row]) -> list[Placed]:
    placed = []
    for row in rows:
        commit: Commit | None = None
        with suppress(DeserializationError):
            commit = decode_part(Commit, row.content)
        placed.append(Placed(row.number, commit))
    return placed
