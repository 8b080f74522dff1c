"""
Making a sound state again out of what is left of a task, or out of a copy that was set aside.

Copies of what is damaged or replaced are set aside first. The state is then written on the revision that it was
read with, so that of two repairs at once one does it, and the other finds nothing left to do.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import NamedTuple

import msgspec

from mendloop.audit_lines import tell_commits
from mendloop.clock import Clock
from mendloop.core import commands
from mendloop.core.commits import Fold, Request, fold, sealed_keys
from mendloop.core.diagnosis import Case, state_of
from mendloop.core.errors import DocumentExists, RevisionConflict, StateError
from mendloop.core.model import RemediationState
from mendloop.core.names import CHUNK, HEADLESS, head_name
from mendloop.core.quarantine import Copy, check_is_of_state
from mendloop.core.rebuilding import (
    Heap,
    Rebuilt,
    is_history_to_be_sealed_anew,
    owner_of,
    rebuild,
    with_lease_beyond,
)
from mendloop.core.reinstating import is_reinstated, reinstated, with_lives_since
from mendloop.core.salvage import Salvaged, salvage
from mendloop.core.text import Redactor
from mendloop.crashpoints import reach
from mendloop.examining import Examined, Examiner
from mendloop.heads import has_moved, head_of, write_head
from mendloop.quarantine import Quarantine
from mendloop.sealed_store import SealedStore
from mendloop.stores.port import Document, Store
from mendloop.straying import find_stray
from mendloop.visiting import TRIES, restless

__all__ = ["Recovery", "Surgeon"]


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """
    What came of a repair, or of a restore from a copy; of a dry run, what would come of it.

    Attributes:
        task_id: The task.
        iteration: Where its counter stands.
        is_changed: Whether anything was done.
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


class _Left(NamedTuple):
    case: Case
    salvaged: Salvaged
    incarnation: str
    heap: Heap | None


class Surgeon:
    """Repairs the tasks of one store."""

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
        self._examiner = Examiner(store)
        self._quarantine = Quarantine(store, clock=clock, redact=redact)
        self._sealed = SealedStore(store)
        self._clock = clock
        self._redact = redact
        self._by = by

    async def recover(self, task_id: str, *, is_dry_run: bool = False) -> Recovery:
        """
        See `mendloop.manager.StateManager.recover_state`.

        Raises:
            StateNotFound: Nothing is stored of the task.
            ReadOnlyState: A newer version wrote it.
            RevisionConflict: The task did not stand still for long enough.
        """
        for _ in range(TRIES):
            examined = await self._examiner.examine(task_id, await head_of(self._store, task_id))
            if not examined.diagnosis.is_repairable:
                state = state_of(examined.case)
                iteration = state.iteration if isinstance(state, RemediationState) else 0
                return Recovery(task_id=task_id, iteration=iteration)
            try:
                return await (self._foresee if is_dry_run else self._repair)(examined)
            except (RevisionConflict, DocumentExists):
                continue
        raise restless(task_id)

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
        for _ in range(TRIES):
            head = await head_of(self._store, task_id)
            examined = await self._examiner.stand_still(task_id, head)
            try:
                return await self._reinstate(examined, copy)
            except (RevisionConflict, DocumentExists):
                continue
        raise restless(task_id)

    async def copies(self, task_id: str) -> tuple[Copy, ...]:
        """See `mendloop.disposal.Disposal.list_copies`."""
        return await self._quarantine.copies(task_id)

    async def _foresee(self, examined: Examined) -> Recovery:
        """Tell what a repair would come to, and write nothing."""
        case, salvaged, incarnation, heap = await self._left_of(examined)
        rebuilt = self._rebuilt(case, salvaged, heap, incarnation, secrets.token_hex(8))
        if has_moved(examined.head, await head_of(self._store, case.task_id)):
            raise restless(case.task_id)
        return Recovery(
            task_id=case.task_id,
            iteration=rebuilt.state.iteration,
            repaired=_symptoms_of(examined),
            lost=rebuilt.lost,
        )

    async def _repair(self, examined: Examined) -> Recovery:
        """Set aside what is damaged, and make the task sound."""
        case, salvaged, incarnation, heap = await self._left_of(examined)
        symptoms = _symptoms_of(examined)
        command = commands.Recover(
            repaired=symptoms,
            lost=(),
            quarantined=await self._set_aside(examined, incarnation, "; ".join(symptoms)),
        )
        return await self._rewrite(examined.head, case, salvaged, heap, command)

    async def _left_of(self, examined: Examined) -> _Left:
        """Gather what a repair has to go on with."""
        case, now = await self._examiner.with_unlabelled(examined.case), self._clock.now()
        stray = await find_stray(self._store, self._quarantine, case, now=now)
        if stray is None:
            salvaged = salvage(case, now=now)
        else:
            case, lost = stray
            state = salvage(case, now=now).state
            salvaged = Salvaged(with_lease_beyond(state, now), lost)
        incarnation = owner_of(case, salvaged.state)
        is_anew = is_history_to_be_sealed_anew(case)
        heap = await self._heap(case, salvaged.state, incarnation) if is_anew else None
        return _Left(case, salvaged, incarnation, heap)

    async def _reinstate(self, examined: Examined, copy: Copy) -> Recovery:
        """Set aside what is there, and have the copy take its place."""
        case = await self._examiner.with_unlabelled(examined.case)
        now = self._clock.now()
        if is_reinstated(case, copy.name):
            return await self._finish_again(case)
        there = salvage(case, now=now)
        copied = msgspec.structs.replace(
            case, body=copy.body, fields=copy.fields, is_remembered=False, damage=""
        )
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
        heap = await self._heap(case, salvaged.state, incarnation)
        salvaged = with_lives_since(salvaged, there, heap.findings)
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
        rebuilt = self._rebuilt(case, salvaged, heap, incarnation, token)
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

    async def _set_aside(
        self, examined: Examined, incarnation: str, reason: str
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

    def _rebuilt(
        self, case: Case, salvaged: Salvaged, heap: Heap | None, incarnation: str, token: str
    ) -> Rebuilt:
        """Make the sound state, of which nothing is written yet."""
        return rebuild(
            case, salvaged, heap, incarnation=incarnation, token=token, now=self._clock.now()
        )

    async def _heap(self, case: Case, state: RemediationState, incarnation: str) -> Heap:
        """Read all that is sealed."""
        heap = Heap(case, state, incarnation)
        for key in sorted(_own_keys(case, incarnation)):
            document = await self._store.get(CHUNK, key)
            if document is not None:
                heap.add(document.body)
        return heap

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


def _symptoms_of(examined: Examined) -> tuple[str, ...]:
    return tuple(symptom.what for symptom in examined.diagnosis.symptoms)


def _own_keys(case: Case, incarnation: str) -> frozenset[str]:
    """The documents of the task as it is, and not of an earlier one with its id."""
    prefix = f"task-{case.task_id}-history-{incarnation}-"
    return frozenset(f.key for f in case.facts if incarnation and f.key.startswith(prefix))
