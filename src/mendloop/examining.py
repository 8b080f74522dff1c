"""Finding out what is wrong with a task: all that is stored of it is read, and nothing is written."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from mendloop.core.commits import sealed_keys
from mendloop.core.diagnosis import Case, Diagnosis, diagnose, no_task, state_of
from mendloop.core.errors import StateNotFound
from mendloop.core.evidence import Facts, facts_of
from mendloop.core.model import RemediationState
from mendloop.core.names import CHUNK, HEAD, head_name, task_of_chunk, task_of_head
from mendloop.heads import head_of
from mendloop.stores.paging import documents
from mendloop.stores.port import Document, Remembering, Store
from mendloop.visiting import CHUNKS_A_PAGE, at_one_moment, every_task

__all__ = ["Examined", "Examiner"]


class Examined(NamedTuple):
    """
    All that is stored of one task, of one moment.

    Attributes:
        head: Its head; None where there is none.
        case: The same and its history, as a diagnosis takes it.
        diagnosis: What is wrong.
    """

    head: Document | None
    case: Case
    diagnosis: Diagnosis

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.diagnosis.is_sound


class Examiner:
    """Examines the tasks of one store."""

    def __init__(self, store: Store) -> None:
        """Read from *store*."""
        self._store = store

    async def validate(self, task_id: str) -> Diagnosis:
        """
        See `mendloop.manager.StateManager.validate_state`.

        Raises:
            StateNotFound: Nothing is stored of the task.
        """
        return (await self.examine(task_id, await head_of(self._store, task_id))).diagnosis

    async def validate_all(self) -> AsyncGenerator[Diagnosis, None]:
        """See `mendloop.manager.StateManager.validate_all`."""
        async for key, head in every_task(self._store):
            task_id = task_of_head(key)
            if task_id is None:
                yield Diagnosis(task_id=key, symptoms=(no_task(key),))
                continue
            with contextlib.suppress(StateNotFound):  # it may have gone meanwhile
                yield (await self.examine(task_id, head)).diagnosis

    async def examine(self, task_id: str, head: Document | None) -> Examined:
        """
        Read all that is stored of a task of which there is something.

        Raises:
            StateNotFound: There is nothing.
            RevisionConflict: The task did not stand still for long enough.
        """
        examined = await self.stand_still(task_id, head)
        if examined.case.body is None and not examined.case.facts:
            case = await self.with_unlabelled(examined.case)
            if case.facts:
                return examined._replace(case=case, diagnosis=diagnose(case))
            raise StateNotFound(
                f"nothing is stored of task {task_id}, neither a state nor a history: if there was "
                "such a task, put it back from a copy",
                task_id=task_id,
            )
        return examined

    async def stand_still(self, task_id: str, head: Document | None) -> Examined:
        """
        Read all that is stored of a task whose *head* was just read, of one moment.

        Raises:
            RevisionConflict: The task did not stand still for long enough.
        """
        return await at_one_moment(self._store, task_id, head, partial(self._read, task_id))

    async def _read(self, task_id: str, head: Document | None) -> Examined:
        found: dict[str, Facts] = {}
        own = {"task-id": task_id}
        async for document in documents(self._store, CHUNK, limit=CHUNKS_A_PAGE, labels=own):
            found[document.key] = _facts_of(task_id, document)
        case = Case(task_id=task_id, body=None)
        if head is not None:
            case = replace(case, body=head.body, fields=head.fields, obstacle=head.obstacle)
            case = replace(case, damage=head.damage)
        else:
            case = await self._with_remembered(case, has_history=bool(found))
        state = state_of(case)
        for key in sealed_keys(state) if isinstance(state, RemediationState) else ():
            if key not in found:  # other hands may have taken its labels away
                document_there = await self._store.get(CHUNK, key)
                if document_there is not None:
                    found[key] = _facts_of(task_id, document_there)
        case = replace(case, facts=tuple(found.values()))
        return Examined(head, case, diagnose(case))

    async def _with_remembered(self, case: Case, *, has_history: bool) -> Case:
        """Return the case with the head that is gone, where the store still knows it."""
        if not isinstance(self._store, Remembering):
            return case
        head = await self._store.remembered(HEAD, head_name(case.task_id))
        if head is None:
            return case
        known = replace(case, body=head.body, fields=head.fields, is_remembered=True)
        # The head of a deleted task goes last, when a cleanup removes it: then it stays away.
        return case if _is_deleted(known) and not has_history else known

    async def with_unlabelled(self, case: Case) -> Case:
        """Return the case with what of its history has lost its label, where no head points at it."""
        state = state_of(case)
        if isinstance(state, RemediationState) and state.mendloop:
            return case
        known = {facts.key for facts in case.facts}
        more = [
            _facts_of(case.task_id, document)
            async for document in documents(self._store, CHUNK, limit=CHUNKS_A_PAGE)
            if document.key not in known and task_of_chunk(document.key) == case.task_id
        ]
        return replace(case, facts=(*case.facts, *more))


def _facts_of(task_id: str, document: Document) -> Facts:
    return facts_of(task_id, document.key, document.body, damage=document.damage)


def _is_deleted(case: Case) -> bool:
    state = state_of(case)
    return isinstance(state, RemediationState) and state.ledger.deleted is not None
