"""
Finding out what is wrong with a task, and making a sound state again out of what is left of it, or
out of a copy that was set aside.

Copies of what is damaged or replaced are set aside first. The state is then written on the revision that it was
read with, so that of two repairs at once one does it, and the other finds nothing left to do.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncGenerator
from typing import NamedTuple

import msgspec

from mendloop.audit_lines import tell_commits
from mendloop.clock import Clock
from mendloop.core import commands
from mendloop.core.commits import Fold, Request, fold, sealed_keys
from mendloop.core.diagnosis import Case, Diagnosis, diagnose, no_task, state_of
from mendloop.core.errors import DocumentExists, RevisionConflict, StateError, StateNotFound
from mendloop.core.evidence import Facts, facts_of
from mendloop.core.model import RemediationState
from mendloop.core.names import CHUNK, HEAD, HEADLESS, head_name, task_of_chunk, task_of_head
from mendloop.core.quarantine import Copy, check_is_of_state
from mendloop.core.rebuilding import Heap, Rebuilt, is_history_to_be_sealed_anew, owner_of, rebuild
from mendloop.core.reinstating import is_reinstated, reinstated
from mendloop.core.salvage import Salvaged, salvage
from mendloop.core.text import Redactor
from mendloop.crashpoints import reach
from mendloop.heads import write_head
from mendloop.quarantine import Quarantine
from mendloop.sealed_store import SealedStore
from mendloop.stores.paging import documents
from mendloop.stores.port import Document, Remembering, Store

__all__ = ["Recovery", "Surgeon"]

_PAGE = 4
"""So few sealed documents are in memory at once: each may have a MiB, and unpacks to more."""

_HEADS_A_PAGE = 8
"""A head that another program wrote may have a MiB, and is in memory three times while it is listed."""

_TRIES = 20


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """
    What came of a repair, or of a restore from a copy.

    Attributes:
        task_id: The task.
        iteration: Where its counter stands.
        is_changed: Whether there was anything to do.
        repaired: What was wrong, in words.
        lost: What could not be brought back.
        quarantined: Names of the copies of what was damaged or replaced.
    """

    task_id: str
    iteration: int = 0
    is_changed: bool = False
    repaired: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()


class _Examined(NamedTuple):
    head: Document | None
    case: Case
    revisions: tuple[str, ...]
    diagnosis: Diagnosis


class Surgeon:
    """Examines and repairs the tasks of one store."""

    def __init__(self, store: Store, *, clock: Clock, redact: Redactor, by: str) -> None:
        """
        Work on *store*.

        Args:
            store: Where heads, chunks and quarantine live.
            clock: Gives repairs their time.
            redact: Takes secrets out of every text before it is written.
            by: Who repairs, for the history.
        """
        self._store = store
        self._quarantine = Quarantine(store, clock=clock, redact=redact)
        self._sealed = SealedStore(store)
        self._clock = clock
        self._redact = redact
        self._by = by

    async def validate(self, task_id: str) -> Diagnosis:
        """
        See `mendloop.manager.StateManager.validate_state`.

        Raises:
            StateNotFound: Nothing is stored of the task.
        """
        return (await self._examine(task_id, await self._head_of(task_id))).diagnosis

    async def validate_all(self) -> AsyncGenerator[Diagnosis, None]:
        """See `mendloop.manager.StateManager.validate_all`."""
        known: set[str] = set()
        async for document in documents(self._store, HEAD, limit=_HEADS_A_PAGE):
            task_id = task_of_head(document.key)
            if task_id is None:
                yield Diagnosis(task_id=document.key, symptoms=(no_task(document.key),))
                continue
            known.add(task_id)
            with contextlib.suppress(StateNotFound):  # it may have gone meanwhile
                yield (await self._examine(task_id, document)).diagnosis
        async for document in documents(self._store, CHUNK, limit=_PAGE):
            task_id = task_of_chunk(document.key) or document.labels.get("task-id", "")
            if task_id and task_id not in known:
                known.add(task_id)
                with contextlib.suppress(StateNotFound):
                    yield await self.validate(task_id)

    async def recover(self, task_id: str) -> Recovery:
        """
        See `mendloop.manager.StateManager.recover_state`.

        Raises:
            StateNotFound: Nothing is stored of the task.
            ReadOnlyState: A newer version wrote it.
            RevisionConflict: The task did not stand still for long enough.
        """
        for _ in range(_TRIES):
            examined = await self._examine(task_id, await self._head_of(task_id))
            if not examined.diagnosis.is_repairable:
                state = state_of(examined.case)
                iteration = state.iteration if isinstance(state, RemediationState) else 0
                return Recovery(task_id=task_id, iteration=iteration)
            try:
                return await self._repair(examined)
            except (RevisionConflict, DocumentExists):
                continue
        raise _restless(task_id)

    async def restore(self, task_id: str, name: str) -> Recovery:
        """
        See `mendloop.disposal.Disposal.restore_from`.

        Raises:
            StateNotFound: There is no such copy.
            ValidationError: It is none of a state of this very task.
            ReadOnlyState: A newer version wrote it, or what is there.
            StateDeleted: The removal of the task has begun.
            LeaseHeld: A run is under way.
            RevisionConflict: The task did not stand still for long enough.
        """
        copy = await self._quarantine.find(task_id, name)
        check_is_of_state(task_id, copy)
        for _ in range(_TRIES):
            examined = await self._stand_still(task_id, await self._head_of(task_id))
            try:
                return await self._reinstate(examined, copy)
            except (RevisionConflict, DocumentExists):
                continue
        raise _restless(task_id)

    async def copies(self, task_id: str) -> tuple[Copy, ...]:
        """See `mendloop.disposal.Disposal.list_copies`."""
        return await self._quarantine.copies(task_id)

    async def _head_of(self, task_id: str) -> Document | None:
        return await self._store.get(HEAD, head_name(task_id))

    async def _examine(self, task_id: str, head: Document | None) -> _Examined:
        """Read all that is stored of a task of which there is something."""
        examined = await self._stand_still(task_id, head)
        if examined.head is None and not examined.case.facts:
            case = await self._with_unlabelled(examined.case)
            if case.facts:
                return examined._replace(case=case, diagnosis=diagnose(case))
            raise StateNotFound(
                f"nothing is stored of task {task_id}, neither a state nor a history: if there was "
                "such a task, put it back from a copy",
                task_id=task_id,
            )
        return examined

    async def _stand_still(self, task_id: str, head: Document | None) -> _Examined:
        """Read all that is stored of a task whose *head* was just read, of one moment."""
        for _ in range(_TRIES):
            examined = await self._read(task_id, head)
            again = head if examined.diagnosis.is_sound else await self._head_of(task_id)
            if (again and again.revision) == (head and head.revision):
                return examined
            head = again
        raise _restless(task_id)

    async def _read(self, task_id: str, head: Document | None) -> _Examined:
        found: dict[str, Facts] = {}
        revisions: list[str] = []
        own = {"task-id": task_id}
        async for document in documents(self._store, CHUNK, limit=_PAGE, labels=own):
            found[document.key] = facts_of(task_id, document.key, document.body)
            revisions.append(document.revision)
        case = Case(
            task_id=task_id,
            body=head.body if head else None,
            fields=head.fields if head else {},
            obstacle=head.obstacle if head else "",
        )
        state = state_of(case)
        for key in sealed_keys(state) if isinstance(state, RemediationState) else ():
            if key not in found:  # other hands may have taken its labels away
                document_there = await self._store.get(CHUNK, key)
                if document_there is not None:
                    found[key] = facts_of(task_id, key, document_there.body)
        case = msgspec.structs.replace(case, facts=tuple(found.values()))
        return _Examined(head, case, tuple(revisions), diagnose(case))

    async def _repair(self, examined: _Examined) -> Recovery:
        """Set aside what is damaged, and make the task sound."""
        case = await self._with_unlabelled(await self._with_remembered(examined))
        salvaged = salvage(case, now=self._clock.now())
        symptoms = tuple(symptom.what for symptom in examined.diagnosis.symptoms)
        incarnation = owner_of(case, salvaged.state)
        command = commands.Recover(
            repaired=symptoms,
            lost=(),
            quarantined=await self._set_aside(examined, incarnation, "; ".join(symptoms)),
        )
        heap: Heap | None = None
        if is_history_to_be_sealed_anew(case):
            heap = Heap(case, salvaged.state, incarnation)
        return await self._rewrite(examined.head, case, salvaged, heap, command)

    async def _reinstate(self, examined: _Examined, copy: Copy) -> Recovery:
        """Set aside what is there, and have the copy take its place."""
        case = await self._with_unlabelled(await self._with_remembered(examined))
        now = self._clock.now()
        if is_reinstated(case, copy.name):
            return await self._finish_again(case)
        there = salvage(case, now=now)
        copied = msgspec.structs.replace(case, body=copy.body, fields=copy.fields)
        salvaged = reinstated(salvage(copied, now=now), case, there, now=now)
        incarnation = salvaged.state.ledger.incarnation
        command = commands.Recover(
            repaired=(),
            lost=(),
            quarantined=await self._set_aside(
                examined, incarnation, f"replaced by a restore from {copy.name}"
            ),
            source=copy.name,
        )
        heap = Heap(case, salvaged.state, incarnation)
        return await self._rewrite(examined.head, copied, salvaged, heap, command)

    async def _finish_again(self, case: Case) -> Recovery:
        """Remove what a restore that was cut short has left behind."""
        state = state_of(case)
        assert isinstance(state, RemediationState)  # noqa: S101 - it was restored
        left = _own_keys(case, state.ledger.incarnation) - sealed_keys(state)
        await self._sealed.discard(sorted(left))
        return Recovery(task_id=case.task_id, iteration=state.iteration)

    async def _rewrite(
        self,
        head: Document | None,
        case: Case,
        salvaged: Salvaged,
        heap: Heap | None,
        command: commands.Recover,
    ) -> Recovery:
        """Rebuild, write; what nothing points at any more goes last."""
        incarnation = owner_of(case, salvaged.state)
        token = secrets.token_hex(8)
        if heap is not None:
            await self._fill(heap, case, incarnation)
        rebuilt = rebuild(
            case, salvaged, heap, incarnation=incarnation, token=token, now=self._clock.now()
        )
        command = msgspec.structs.replace(command, lost=rebuilt.lost, missing=rebuilt.missing)
        done = await self._recorded(rebuilt, command, token)
        assert done.state is not None  # noqa: S101 - there was one before
        needed = sealed_keys(done.state)
        sealed = (*rebuilt.documents, *done.documents)
        await self._sealed.write(document for document in sealed if document.key in needed)
        reach("repair-decided")
        await write_head(self._store, head, done.state)
        reach("repair-written")
        tell_commits(case.task_id, done.commits, self._redact)
        await self._sealed.discard(sorted(_own_keys(case, incarnation) - needed))
        if head is None:
            await self._forget_headless(case.task_id)
        return Recovery(
            task_id=case.task_id,
            iteration=done.state.iteration,
            is_changed=True,
            repaired=command.repaired,
            lost=command.lost,
            quarantined=command.quarantined,
        )

    async def _with_remembered(self, examined: _Examined) -> Case:
        """Return the case with the head that is gone, where the store still knows it."""
        case = examined.case
        if case.body is not None or not isinstance(self._store, Remembering):
            return case
        head = await self._store.remembered(HEAD, head_name(case.task_id), examined.revisions)
        if head is None:
            return case
        return msgspec.structs.replace(case, body=head.body, fields=head.fields)

    async def _with_unlabelled(self, case: Case) -> Case:
        """Return the case with what of its history has lost its label, where no head points at it."""
        state = state_of(case)
        if isinstance(state, RemediationState) and state.mendloop:
            return case
        known = {facts.key for facts in case.facts}
        more = [
            facts_of(case.task_id, document.key, document.body)
            async for document in documents(self._store, CHUNK, limit=_PAGE)
            if document.key not in known and task_of_chunk(document.key) == case.task_id
        ]
        return msgspec.structs.replace(case, facts=(*case.facts, *more))

    async def _set_aside(
        self, examined: _Examined, incarnation: str, reason: str
    ) -> tuple[str, ...]:
        """Copy the head, and what is damaged of the history; returns the names of the copies."""
        case, names = examined.case, []
        if examined.head is not None:
            names.append(
                await self._quarantine.set_aside(case.task_id, examined.head, reason=reason)
            )
            reach("head-set-aside")
        own = _own_keys(case, incarnation)
        for facts in case.facts:
            if facts.problem and facts.key in own:
                document = await self._store.get(CHUNK, facts.key)
                if document is not None:
                    names.append(
                        await self._quarantine.set_aside(
                            case.task_id, document, reason=facts.problem
                        )
                    )
        return tuple(names)

    async def _forget_headless(self, task_id: str) -> None:
        """Let the time that a history is kept without its head begin anew, should that go again."""
        with contextlib.suppress(StateError):  # the next cleanup does it
            since = await self._store.get(HEADLESS, head_name(task_id))
            if since is not None:
                await self._store.delete(since)

    async def _fill(self, heap: Heap, case: Case, incarnation: str) -> None:
        for key in sorted(_own_keys(case, incarnation)):
            document = await self._store.get(CHUNK, key)
            if document is not None:
                heap.add(document.body)

    async def _recorded(self, rebuilt: Rebuilt, command: commands.Recover, token: str) -> Fold:
        """Record the repair as a commit of its own."""
        door = "restore" if command.source else "repair"
        request = Request(command=command, op_id=token, by=self._by, door=door)
        done = await self._sealed.supply(
            lambda at_hand: fold(
                rebuilt.state,
                [request],
                task_id=rebuilt.state.task_id,
                now=self._clock.now(),
                token=token,
                redact=self._redact,
                at_hand=at_hand,
                older={},
            ),
            lambda pointers: self._sealed.fetch(rebuilt.state, pointers),
            written=rebuilt.documents,
        )
        if done.answers[0].error is not None:
            raise done.answers[0].error
        return done


def _restless(task_id: str) -> RevisionConflict:
    return RevisionConflict(f"task {task_id} is written all the time: try again", task_id=task_id)


def _own_keys(case: Case, incarnation: str) -> frozenset[str]:
    """The documents of the task as it is, and not of an earlier one with its id."""
    prefix = f"task-{case.task_id}-history-{incarnation}-"
    return frozenset(f.key for f in case.facts if incarnation and f.key.startswith(prefix))
