"""
Folding commands into one commit, and remembering what was answered.

One commit is one versioned write. The head keeps the last commits with the operation ids in them,
so that a repeat after a lost answer is recognised and not guessed; older commits are sealed into
chunks that are named by their content.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from mendloop.core.carrying import Carrying
from mendloop.core.codec import digest, encode
from mendloop.core.commands import Command, Context
from mendloop.core.errors import (
    DeserializationError,
    MaxIterationsReached,
    StateError,
    ValidationError,
)
from mendloop.core.model import Change, ChunkRef, Commit, Ledger, RemediationState
from mendloop.core.names import chunk_key
from mendloop.core.text import AUTHOR_LIMIT_BYTES, Redactor, tidy
from mendloop.core.transitions.dispatch import command_name, transition
from mendloop.core.transitions.outcome import Transition

__all__ = [
    "CHANGES_KEPT",
    "COMMITS_KEPT",
    "FOLD_LIMIT",
    "POINTERS_KEPT",
    "Answer",
    "Chunk",
    "ChunkBody",
    "Fold",
    "Request",
    "fold",
    "read_chunk",
]

COMMITS_KEPT = 4
"""The head keeps at least this many commits, unless they hold too many changes."""

SEAL_BATCH = 16
"""So many commits beyond `COMMITS_KEPT` are sealed in one chunk: one extra write in 16."""

CHANGES_KEPT = 256
"""The head's commits hold at most this many changes, of some 150 bytes each: below 40 kB."""

POINTERS_KEPT = 8
"""So many pointers of one depth beyond as many are sealed in turn: the head grows with the logarithm."""

FOLD_LIMIT = 64
"""One commit takes at most this many commands."""

_replace = msgspec.structs.replace
_REFUSED = "refused"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One caller's command; see `Context` for the fields."""

    command: Command
    op_id: str
    by: str
    door: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one caller is told: a result, or an error to raise."""

    result: dict[str, Any] = {}
    error: StateError | None = None


class ChunkBody(Carrying, frozen=True, kw_only=True):
    """A sealed chunk as it is stored: commits, or pointers to older chunks."""

    task_id: str
    incarnation: str
    commits: tuple[Commit, ...] = ()
    chunks: tuple[ChunkRef, ...] = ()


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk to be written before the head that points at it."""

    key: str
    body: bytes
    labels: dict[str, str]


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """
    Several commands decided on one state.

    Attributes:
        state: After all of them; None where there was none and none was made.
        answers: One for each request, in order.
        is_changed: Whether there is anything to write.
        chunks: What has to be written first, in this order.
    """

    state: RemediationState | None
    answers: tuple[Answer, ...]
    is_changed: bool
    chunks: tuple[Chunk, ...]


def fold(
    state: RemediationState | None,
    requests: Sequence[Request],
    *,
    task_id: str,
    now: datetime,
    token: str,
    redact: Redactor,
    sealed: Mapping[str, Change],
    outside: Change | None = None,
) -> Fold:
    """
    Decide *requests* one after another; a refusal fails its own caller and nobody else.

    Args:
        token: Fresh and random: the commit's id, and a new task's incarnation.
        sealed: Operations of older commits that are no longer in the head, by operation id.
        outside: What other hands changed before, to be recorded with the next commit.
    """
    before = state
    known = dict(sealed) | _remembered(state)
    changes: list[Change] = []
    answers: list[Answer] = []
    for request in requests:
        repeated = known.get(request.op_id)
        if repeated is not None:
            answers.append(_repeat(repeated, request, task_id))
            continue
        context = Context(
            task_id=task_id,
            now=now,
            op_id=request.op_id,
            by=tidy(request.by, limit_bytes=AUTHOR_LIMIT_BYTES, redact=redact),
            door=request.door,
            token=token,
            redact=redact,
        )
        try:
            done = transition(state, request.command, context)
        except Exception as error:  # noqa: BLE001 - a fault in one command fails no other
            answers.append(Answer(error=_refusal(error)))
            continue
        answers.append(_answer(done, task_id))
        if done.is_changed:
            state = done.state
        if done.is_changed and done.leaves_record:
            change = _change(done, request, context.by)
            changes.append(change)
            known[request.op_id] = change
    chunks: tuple[Chunk, ...] = ()
    if state is not None and changes:
        recorded = (outside, *changes) if outside else tuple(changes)
        state, chunks = _committed(state, recorded, now=now, commit_id=token)
    return Fold(state=state, answers=tuple(answers), is_changed=state is not before, chunks=chunks)


def read_chunk(body: bytes, ref: ChunkRef) -> ChunkBody:
    """
    Read a sealed chunk.

    Raises:
        DeserializationError: Its bytes are not those that the head points at.
    """
    if hashlib.sha256(body).hexdigest() != ref.digest:
        raise DeserializationError(
            f"the history chunk of commits {ref.first} to {ref.last} is damaged: "
            "its digest differs from the head's"
        )
    return msgspec.json.decode(body, type=ChunkBody)


def _remembered(state: RemediationState | None) -> dict[str, Change]:
    commits = state.ledger.commits if state else ()
    return {change.op_id: change for commit in commits for change in commit.changes}


def _repeat(change: Change, request: Request, task_id: str) -> Answer:
    """Answer an operation that was done before the way that it was answered then."""
    asked = command_name(request.command)
    if change.do != asked:
        error: StateError = ValidationError(
            f"operation id {request.op_id!a} was used for {change.do} before, "
            f"and cannot be used for {asked}",
            task_id=task_id,
        )
        return Answer(error=error)
    return _told(change.result, task_id)


def _refusal(error: Exception) -> StateError:
    if isinstance(error, StateError):
        return error
    refusal = StateError(repr(error))
    refusal.__cause__ = error
    return refusal


def _answer(done: Transition, task_id: str) -> Answer:
    result = done.result | ({_REFUSED: done.refusal} if done.refusal else {})
    return _told(result, task_id)


def _told(result: dict[str, Any], task_id: str) -> Answer:
    if result.get(_REFUSED) == MaxIterationsReached.__name__:
        error = MaxIterationsReached(int(result["iteration"]), task_id=task_id)
        return Answer(error=error)
    # A copy: what the caller does with it may not reach the change that is kept.
    return Answer(result=copy.deepcopy(result))


def _change(done: Transition, request: Request, by: str) -> Change:
    result = done.result | ({_REFUSED: done.refusal} if done.refusal else {})
    return Change(
        do=command_name(request.command),
        op_id=request.op_id,
        by=by,
        door=request.door,
        result=result,
        facts=done.facts,
    )


def _committed(
    state: RemediationState, changes: tuple[Change, ...], *, now: datetime, commit_id: str
) -> tuple[RemediationState, tuple[Chunk, ...]]:
    ledger = state.mendloop
    assert isinstance(ledger, Ledger)  # noqa: S101 - every transition leaves one
    ledger, chunks = _sealed(state.task_id, ledger, len(changes))
    ledger = _replace(ledger, commit=ledger.commit + 1)
    commit = Commit(
        number=ledger.commit,
        id=commit_id,
        at=now,
        digest=digest(_replace(state, mendloop=ledger)),
        changes=changes,
    )
    ledger = _replace(ledger, commits=(*ledger.commits, commit))
    return _replace(state, mendloop=ledger), chunks


def _sealed(task_id: str, ledger: Ledger, coming: int) -> tuple[Ledger, tuple[Chunk, ...]]:
    """Move the oldest commits out of *ledger* where it would hold too many with *coming* more."""
    count = _count_to_seal(ledger.commits, coming)
    if count == 0:
        return ledger, ()
    leaving, kept = ledger.commits[:count], ledger.commits[count:]
    body = ChunkBody(task_id=task_id, incarnation=ledger.incarnation, commits=leaving)
    ref, chunk = _chunk(body, leaving[0].number, leaving[-1].number, depth=0)
    refs, chunks = (*ledger.sealed, ref), [chunk]
    depth = 0
    while sum(ref.depth == depth for ref in refs) > 2 * POINTERS_KEPT:
        refs, chunk = _pointers_sealed(task_id, ledger.incarnation, refs, depth)
        chunks.append(chunk)
        depth += 1
    return _replace(ledger, commits=kept, sealed=refs), tuple(chunks)


def _pointers_sealed(
    task_id: str, incarnation: str, refs: tuple[ChunkRef, ...], depth: int
) -> tuple[tuple[ChunkRef, ...], Chunk]:
    """Move the oldest pointers of one *depth* into a chunk of their own."""
    older = tuple(ref for ref in refs if ref.depth > depth)
    leaving = refs[len(older) : len(older) + POINTERS_KEPT]
    body = ChunkBody(task_id=task_id, incarnation=incarnation, chunks=leaving)
    ref, chunk = _chunk(body, leaving[0].first, leaving[-1].last, depth=depth + 1)
    return (*older, ref, *refs[len(older) + POINTERS_KEPT :]), chunk


def _chunk(body: ChunkBody, first: int, last: int, *, depth: int) -> tuple[ChunkRef, Chunk]:
    encoded = encode(body)
    ref = ChunkRef(first=first, last=last, digest=hashlib.sha256(encoded).hexdigest(), depth=depth)
    chunk = Chunk(
        key=chunk_key(body.task_id, body.incarnation, first, ref.digest),
        body=encoded,
        labels={"task-id": body.task_id, "incarnation": body.incarnation},
    )
    return ref, chunk


def _count_to_seal(commits: tuple[Commit, ...], coming: int) -> int:
    held = sum(len(commit.changes) for commit in commits)
    if len(commits) < COMMITS_KEPT + SEAL_BATCH and held + coming <= CHANGES_KEPT:
        return 0
    count = max(len(commits) - COMMITS_KEPT, 0)
    left = held - sum(len(commit.changes) for commit in commits[:count])
    while count < len(commits) and left + coming > CHANGES_KEPT // 2:
        left -= len(commits[count].changes)
        count += 1
    return count
