"""
One loop that writes: read, decide, write on the revision that was read, and again on a conflict.

Commands of one task that wait in one process are folded into one write. Answers are given only
once the store has acknowledged what they rest on.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import Sequence
from copy import copy
from typing import Any

import msgspec

from mendloop.attempts import Attempt
from mendloop.audit_lines import tell_commits
from mendloop.clock import Clock
from mendloop.core.commits import FOLD_LIMIT, Answer, Fold, Request, fold
from mendloop.core.counters import refusal_by_sealed
from mendloop.core.errors import (
    DeserializationError,
    DocumentExists,
    OutcomeUnknown,
    RevisionConflict,
    StateError,
    StoreUnavailable,
)
from mendloop.core.model import Change, RemediationState
from mendloop.core.names import HEAD, head_name
from mendloop.core.outside import outside_change
from mendloop.core.shelf import Held, Pointer, Shelf, Unreadable
from mendloop.core.text import Redactor
from mendloop.crashpoints import reach
from mendloop.heads import head_of, state_in, write_head
from mendloop.history import SealedHistory
from mendloop.quarantine import Quarantine
from mendloop.sealed_store import SealedStore
from mendloop.stores.port import Document, Store
from mendloop.telemetry import Telemetry

__all__ = ["GroupCommitter", "Stored"]

_CACHED_TASKS = 128


class Stored(msgspec.Struct, frozen=True):
    """A head as it was read: the document, the state in it, and what other hands changed in it."""

    document: Document
    state: RemediationState
    outside: Change | None = None


class _Waiting(msgspec.Struct):
    """One caller in the queue of a task."""

    request: Request
    future: asyncio.Future[dict[str, Any]]


class GroupCommitter:
    """
    Applies commands to the tasks of one store, exactly once each.

    Attributes:
        history: Reads back what is sealed.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        redact: Redactor,
        deadline_seconds: float,
        telemetry: Telemetry,
    ) -> None:
        """
        Work on *store*.

        Args:
            store: Where heads and chunks live.
            clock: Gives decisions their time.
            redact: Takes secrets out of every text before it is written.
            deadline_seconds: How long one command may take, retries included.
            telemetry: Is told of operations, conflicts and retries.
        """
        self._store = store
        self._telemetry = telemetry
        self._clock = clock
        self._redact = redact
        self._deadline_seconds = deadline_seconds
        self._quarantine = Quarantine(store, clock=clock, redact=redact)
        self._sealed = SealedStore(store)
        self.history = SealedHistory(store, self._sealed)
        self._queues: dict[str, deque[_Waiting]] = {}
        self._drains: dict[str, asyncio.Task[None]] = {}
        self._removals: set[asyncio.Task[None]] = set()
        self._own_writes: OrderedDict[str, Stored] = OrderedDict()

    async def read(self, task_id: str) -> Stored | None:
        """
        Read a task's head from the store.

        Raises:
            DeserializationError: It is damaged.
            ReadOnlyState: A newer version wrote it.
        """
        document = await head_of(self._store, task_id)
        return None if document is None else Stored(document, state_in(task_id, document))

    async def submit(self, task_id: str, request: Request) -> dict[str, Any]:
        """
        Have *request* decided and written; returns its result.

        A caller that is cancelled does not take back what is already on its way.
        """
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_retrieve)
        waiting = _Waiting(request, future)
        self._queues.setdefault(task_id, deque()).append(waiting)
        if task_id not in self._drains:
            self._drains[task_id] = asyncio.create_task(self._drain(task_id))
        begun_seconds = self._clock.monotonic_seconds()
        raised: BaseException | None = None
        try:
            return await asyncio.shield(future)
        except BaseException as error:
            raised = error
            raise
        finally:
            seconds = self._clock.monotonic_seconds() - begun_seconds
            self._telemetry.operation(type(request.command).__name__, raised, seconds)

    async def close(self) -> None:
        """Wait for what is on its way; a caller that is cancelled here cancels none of it."""
        while self._drains or self._removals:
            await asyncio.wait([*self._drains.values(), *self._removals])

    async def _drain(self, task_id: str) -> None:
        queue = self._queues[task_id]
        batch: list[_Waiting] = []
        try:
            while queue:
                batch = [queue.popleft() for _ in range(min(len(queue), FOLD_LIMIT))]
                try:
                    await self._commit(task_id, batch)
                except Exception as error:  # noqa: BLE001 - whatever it is, the callers are told
                    for waiting in batch:
                        _settle(waiting, Answer(error=_own_error(error, waiting)))
        finally:
            # Something is left only where the event loop is ending, and every caller with it.
            for waiting in (*batch, *queue):
                waiting.future.cancel()
            del self._drains[task_id], self._queues[task_id]

    async def _commit(self, task_id: str, batch: list[_Waiting]) -> None:
        op_id = batch[0].request.op_id
        attempt = Attempt(self._clock, self._deadline_seconds, task_id=task_id, op_id=op_id)
        known = self._newest_known(task_id)
        while True:
            attempt.begin()
            try:
                async with asyncio.timeout(attempt.patience_seconds()):
                    answers = await self._try_once(task_id, known, batch, attempt)
            except (RevisionConflict, DocumentExists):
                attempt.lost()
                self._telemetry.conflict()
            except StoreUnavailable as error:
                attempt.failed(error)
                self._telemetry.retry()
            except TimeoutError as error:
                raise attempt.given_up("the store does not answer") from error
            except Exception as error:
                if attempt.is_outcome_unknown:
                    raise attempt.given_up(str(error)) from error
                raise
            else:
                for waiting, answer in zip(batch, answers, strict=True):
                    _settle(waiting, answer)
                return
            await attempt.back_off()
            known = self._seen_since(task_id, attempt.decided_on)

    async def _try_once(
        self,
        task_id: str,
        known: Stored | None,
        batch: list[_Waiting],
        attempt: Attempt,
    ) -> tuple[Answer, ...]:
        """Decide and write; an answer without a write rests on a fresh read."""
        stored = known or await self._read_to_write(task_id)
        done = await self._decide(task_id, stored, batch, attempt)
        if known is not None and not done.is_changed:
            stored = await self._read_to_write(task_id)
            done = await self._decide(task_id, stored, batch, attempt)
        attempt.decided_on = stored.document.revision if stored else ""
        if done.is_changed:
            written = await self._write(stored, done, attempt)
            if attempt.conflicts == 0:
                self._keep(task_id, written)
        self._tell(task_id, done, attempt)
        return done.answers

    def _tell(self, task_id: str, done: Fold, attempt: Attempt) -> None:
        """Log what was written, now that it is known: by this try, or by one whose answer was lost."""
        if attempt.commits and done.state is not None:
            landed = {commit.id for commit in done.state.ledger.commits}
            commits = [commit for commit in attempt.commits if commit.id in landed]
            tell_commits(task_id, commits, self._redact)

    async def _read_to_write(self, task_id: str) -> Stored | None:
        """Read a head that is to be written over; a damaged one is copied aside, and left as it is."""
        document = await head_of(self._store, task_id)
        if document is None:
            return None
        try:
            stored = _to_write(document, task_id)
            if stored.outside is not None:
                await self._refuse_taken_numbers(task_id, stored)
        except DeserializationError as error:
            name = await self._quarantine.set_aside(task_id, document, reason=str(error))
            kept = f"it is left as it is, with a copy kept as {name}"
            advice = f"`mendloop doctor {task_id}` tells what to do"
            error.args = (f"{error}; {kept}; {advice}",)
            raise
        return stored

    async def _refuse_taken_numbers(self, task_id: str, stored: Stored) -> None:
        """Let no finding pass to which other hands gave the number of one that is sealed."""
        sealed = stored.state.ledger.findings
        wrong = await self._sealed.supply(
            lambda at_hand: refusal_by_sealed(stored.state, Shelf(sealed, at_hand)),
            lambda pointers: self._fetch(task_id, stored, pointers),
        )
        if wrong:
            raise DeserializationError(wrong, task_id=task_id)

    async def _decide(
        self, task_id: str, stored: Stored | None, batch: list[_Waiting], attempt: Attempt
    ) -> Fold:
        """Decide, and read what of the sealed documents that needs."""
        state = stored.state if stored else None
        requests = [waiting.request for waiting in batch]
        if attempt.is_outcome_unknown:
            requests = [msgspec.structs.replace(r, may_repeat=True) for r in requests]
        older = await self._older_operations(state, requests)
        token = secrets.token_hex(8)
        return await self._sealed.supply(
            lambda at_hand: fold(
                state,
                requests,
                task_id=task_id,
                now=self._clock.now(),
                token=token,
                redact=self._redact,
                at_hand=at_hand,
                older=older,
                outside=stored.outside if stored else None,
                labels=stored.document.labels if stored else None,
            ),
            lambda pointers: self._fetch(task_id, stored, pointers),
        )

    async def _fetch(
        self, task_id: str, stored: Stored | None, pointers: Sequence[Pointer]
    ) -> dict[str, Held]:
        """
        Read sealed documents that a decision on *stored* needs.

        Raises:
            RevisionConflict: One is gone, since *stored* has passed.
        """
        assert stored is not None  # noqa: S101 - nothing is sealed of a task that is not there
        read = await self._sealed.fetch(stored.state, pointers)
        if any(isinstance(held, Unreadable) for held in read.values()):
            newest = await head_of(self._store, task_id)
            if newest is None or newest.revision != stored.document.revision:
                raise RevisionConflict(f"task {task_id} moved while its history was read")
        return read

    async def _older_operations(
        self, state: RemediationState | None, requests: list[Request]
    ) -> dict[str, Change]:
        """Operations that schema 1 sealed, looked up only where one of *requests* may be there."""
        asked = {request.op_id for request in requests if request.may_repeat}
        if state is None or not state.ledger.sealed or not asked:
            return {}
        return await self.history.operations(state, asked)

    async def _write(self, stored: Stored | None, done: Fold, attempt: Attempt) -> Stored:
        state = done.state
        assert state is not None  # noqa: S101 - a fold that changed something left a state
        await self._sealed.write(done.documents)
        attempt.commits += done.commits
        reach("head-decided")
        try:
            document = await write_head(self._store, stored.document if stored else None, state)
        except asyncio.CancelledError:
            attempt.is_outcome_unknown = True
            raise
        reach("head-written")
        self._let_go(state, done.dropped)
        return Stored(document, state)

    def _let_go(self, state: RemediationState, dropped: Sequence[Pointer]) -> None:
        """Remove what no head points at any more; no caller waits for it, nor hears how it ends."""
        if dropped:
            task = asyncio.create_task(self._sealed.remove(state, dropped))
            self._removals.add(task)
            task.add_done_callback(self._removals.discard)

    def _newest_known(self, task_id: str) -> Stored | None:
        """
        What may be decided on without a read: our last write, or what the store has seen since.

        The write that follows is refused if it has passed.
        """
        own = self._own_writes.pop(task_id, None)
        seen = self._store.peek(HEAD, head_name(task_id))
        if seen is None or (own is not None and own.document.revision == seen.revision):
            return own
        return _if_sound(seen, task_id)

    def _seen_since(self, task_id: str, revision: str) -> Stored | None:
        """What the store has seen beside *revision*, on which a write has failed; None to read it."""
        seen = self._store.peek(HEAD, head_name(task_id))
        return None if seen is None or seen.revision == revision else _if_sound(seen, task_id)

    def _keep(self, task_id: str, stored: Stored) -> None:
        """Remember our own write: where nobody else writes, the next one needs no read."""
        self._own_writes[task_id] = stored
        while len(self._own_writes) > _CACHED_TASKS:
            self._own_writes.popitem(last=False)


def _if_sound(document: Document, task_id: str) -> Stored | None:
    """What may be decided on as it is seen; what other hands changed is read first, and looked at."""
    try:
        stored = _to_write(document, task_id)
    except StateError:
        return None  # the read that follows says so, if it is still so
    return stored if stored.outside is None else None


def _to_write(document: Document, task_id: str) -> Stored:
    """Decode a head that is to be written over."""
    state = state_in(task_id, document)
    return Stored(document, state, outside_change(state, document.fields))


def _settle(waiting: _Waiting, answer: Answer) -> None:
    if waiting.future.done():
        return
    if answer.error is not None:
        waiting.future.set_exception(answer.error)
    else:
        waiting.future.set_result(answer.result)


def _own_error(error: Exception, waiting: _Waiting) -> StateError:
    """Each caller of a failed fold gets an error of its own, with its own operation id."""
    if not isinstance(error, StateError):
        own = StateError(repr(error))
    else:
        own = copy(error)
        if isinstance(own, OutcomeUnknown):
            own.op_id = waiting.request.op_id
    own.__cause__ = error
    return own


def _retrieve(future: asyncio.Future[dict[str, Any]]) -> None:
    """An answer that nobody waits for any more is no error."""
    if not future.cancelled():
        future.exception()
