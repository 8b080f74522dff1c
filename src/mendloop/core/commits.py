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
from mendloop.core.chain import linked
from mendloop.core.codec import decode_part, digest, encode, rfc3339
from mendloop.core.commands import Command, Context
from mendloop.core.compaction import Compacted, compact
from mendloop.core.errors import (
    DeserializationError,
    HistoryDamaged,
    MaxIterationsReached,
    StateError,
    ValidationError,
)
from mendloop.core.migrations import in_schema_of
from mendloop.core.model import Change, ChunkRef, Commit, Ledger, RemediationState
from mendloop.core.sealed import Sealed
from mendloop.core.sealing import Document, Seal, Sealer, closed_off, pointers_of, sealed_key
from mendloop.core.shelf import Held, Lacking, Pointer, Row, Shelf
from mendloop.core.text import AUTHOR_LIMIT_BYTES, Redactor, tidy
from mendloop.core.transitions.dispatch import command_name, transition
from mendloop.core.transitions.outcome import Transition

__all__ = [
    "CHANGES_KEPT",
    "COMMITS_KEPT",
    "FOLD_LIMIT",
    "SEAL_BATCH",
    "Answer",
    "ChunkBody",
    "Fold",
    "Request",
    "Shelves",
    "fold",
    "read_chunk",
    "row_of_commit",
    "sealed_keys",
]

COMMITS_KEPT = 4
"""The head keeps at least this many commits, unless they hold too many changes."""

SEAL_BATCH = 16
"""So many commits beyond `COMMITS_KEPT` are sealed at once: one extra write in 16."""

CHANGES_KEPT = 256
"""The head's commits hold at most this many changes, of some 150 bytes each: below 40 kB."""

FOLD_LIMIT = 64
"""One commit takes at most this many commands."""

_replace = msgspec.structs.replace
_REFUSED = "refused"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """
    One caller's command; see `Context` for the other fields.

    Attributes:
        may_repeat: Whether the operation id may be that of an older commit.
    """

    command: Command
    op_id: str
    by: str
    door: str
    run: str = ""
    may_repeat: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one caller is told: a result, or an error to raise."""

    result: dict[str, Any] = {}
    error: StateError | None = None


class ChunkBody(Carrying, frozen=True, kw_only=True):
    """A chunk as schema 1 sealed it: commits, or pointers to older chunks."""

    task_id: str
    incarnation: str
    commits: tuple[Commit, ...] = ()
    chunks: tuple[ChunkRef, ...] = ()


class Shelves(msgspec.Struct, frozen=True):
    """The sealed findings and commits of one task, as far as they are at hand."""

    findings: Shelf
    log: Shelf


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """
    Several commands decided on one state.

    Attributes:
        state: After all of them; None where there was none and none was made.
        answers: One for each request, in order.
        is_changed: Whether there is anything to write.
        commits: The one that records it; none where only heartbeats or the like have changed.
        documents: What has to be written first.
        dropped: What nothing points at any more once the state is written.
    """

    state: RemediationState | None
    answers: tuple[Answer, ...]
    is_changed: bool
    commits: tuple[Commit, ...]
    documents: tuple[Document, ...]
    dropped: tuple[Pointer, ...]


def fold(
    state: RemediationState | None,
    requests: Sequence[Request],
    *,
    task_id: str,
    now: datetime,
    token: str,
    redact: Redactor,
    at_hand: Mapping[str, Held],
    older: Mapping[str, Change],
    outside: Change | None = None,
    labels: Mapping[str, str] | None = None,
) -> Fold:
    """
    Decide *requests* one after another; a refusal fails its own caller and nobody else.

    Args:
        token: Fresh and random: the commit's id, and a new task's incarnation.
        at_hand: Sealed documents, by digest.
        older: Operations that schema 1 sealed, by operation id, as far as *requests* ask for them.
        outside: What other hands changed before, to be recorded with the next commit.
        labels: Of the head.

    Raises:
        Lacking: Sealed documents are needed to decide.
    """
    before = state
    shelves = _shelves(state, at_hand)
    known = dict(older) | _remembered(state)
    changes: list[Change] = []
    answers: list[Answer] = []
    is_forced = False
    for request in requests:
        context = Context(
            task_id=task_id,
            now=now,
            op_id=request.op_id,
            by=tidy(request.by, limit_bytes=AUTHOR_LIMIT_BYTES, redact=redact),
            door=redact(request.door),
            run=redact(request.run),
            token=token,
            redact=redact,
            sealed=shelves.findings,
            labels=labels or {},
        )
        try:
            repeated = known.get(request.op_id) or _sealed_change(request, shelves.log)
            if repeated is not None:
                answers.append(_repeat(repeated, request, task_id))
                continue
            done = transition(state, request.command, context)
        except Lacking:
            raise
        except Exception as error:  # noqa: BLE001 - a fault in one command fails no other
            answers.append(Answer(error=_refusal(error)))
            continue
        answers.append(_answer(done, task_id))
        is_forced = is_forced or done.compacts
        if done.is_changed:
            state = done.state
        if done.is_changed and done.leaves_record:
            change = _change(done, request, by=context.by, door=context.door)
            changes.append(change)
            known[request.op_id] = change
    documents: tuple[Document, ...] = ()
    commits: tuple[Commit, ...] = ()
    if state is not None and changes:
        recorded = (outside, *changes) if outside else tuple(changes)
        state, documents = _committed(
            before, state, recorded, shelves, now=now, commit_id=token, is_forced=is_forced
        )
        commits = state.ledger.commits[-1:]
    elif state is not None and before is not None:
        state = in_schema_of(before, state)
    return Fold(
        state=state,
        answers=tuple(answers),
        is_changed=state is not before,
        commits=commits,
        documents=documents,
        dropped=_dropped(before, state),
    )


def sealed_keys(state: RemediationState) -> frozenset[str]:
    """The keys of all sealed documents that the head points at, but for those of schema 1."""
    incarnation = state.ledger.incarnation
    return frozenset(
        sealed_key(state.task_id, incarnation, pointer) for pointer in _pointers(state)
    )


def _pointers(state: RemediationState) -> tuple[Pointer, ...]:
    return (*pointers_of(state.ledger.findings), *pointers_of(state.ledger.log))


def _dropped(
    before: RemediationState | None, after: RemediationState | None
) -> tuple[Pointer, ...]:
    if before is None or after is None or before is after:
        return ()
    kept = {pointer.digest for pointer in _pointers(after)}
    return tuple(pointer for pointer in _pointers(before) if pointer.digest not in kept)


def _shelves(state: RemediationState | None, at_hand: Mapping[str, Held]) -> Shelves:
    findings, log = (state.ledger.findings, state.ledger.log) if state else (Sealed(), Sealed())
    return Shelves(Shelf(findings, at_hand), Shelf(log, at_hand))


def _sealed_change(request: Request, log: Shelf) -> Change | None:
    row = log.find(request.op_id) if request.may_repeat else None
    if row is None:
        return None
    commit = decode_part(Commit, row.content)
    return next(change for change in commit.changes if change.op_id == request.op_id)


def read_chunk(body: bytes, ref: ChunkRef) -> ChunkBody:
    """
    Read a chunk of schema 1.

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


def _change(done: Transition, request: Request, *, by: str, door: str) -> Change:
    result = done.result | ({_REFUSED: done.refusal} if done.refusal else {})
    return Change(
        do=command_name(request.command),
        op_id=request.op_id,
        by=by,
        door=door,
        result=result,
        facts=done.facts,
    )


def _committed(
    before: RemediationState | None,
    state: RemediationState,
    changes: tuple[Change, ...],
    shelves: Shelves,
    *,
    now: datetime,
    commit_id: str,
    is_forced: bool,
) -> tuple[RemediationState, tuple[Document, ...]]:
    ledger = state.mendloop
    assert isinstance(ledger, Ledger)  # noqa: S101 - every transition leaves one
    number = ledger.commit + 1
    seal = Seal(state.task_id, ledger.incarnation, number, commit_id)
    compacted = compact(
        before.feedback_history if before else (),
        state.feedback_history,
        ledger.findings,
        shelves.findings,
        seal,
        is_forced=is_forced,
    )
    if compacted.moved:
        state = _replace(state, metadata=_marked(state, compacted, now))
    commits, log, sealed = _sealed(ledger, shelves.log, seal, len(changes))
    ledger = _replace(ledger, commit=number, commits=commits, log=log, findings=compacted.sealed)
    state = _replace(state, feedback_history=compacted.entries)
    commit = Commit(
        number=number,
        id=commit_id,
        at=now,
        digest=digest(_replace(state, mendloop=ledger)),
        changes=changes,
    )
    commit, chain = linked(ledger.chain, commit)
    ledger = _replace(ledger, commits=(*commits, commit), chain=chain)
    return _replace(state, mendloop=ledger), (*compacted.documents, *sealed)


def _marked(state: RemediationState, compacted: Compacted, now: datetime) -> dict[str, str]:
    """The specification's metadata of a history that the head has only a part of."""
    return state.metadata | {
        "feedback_compressed_at": rfc3339(now),
        "original_feedback_count": str(compacted.sealed.count),
    }


def _sealed(
    ledger: Ledger, shelf: Shelf, seal: Seal, coming: int
) -> tuple[tuple[Commit, ...], Sealed, tuple[Document, ...]]:
    """Move the oldest commits out of *ledger* where it would hold too many with *coming* more."""
    count = _count_to_seal(ledger.commits, coming)
    if count == 0:
        return ledger.commits, ledger.log, ()
    rows = [row_of_commit(commit) for commit in ledger.commits[:count]]
    try:
        sealer = Sealer("commits", ledger.log, shelf, seal)
        sealer.put_away(rows)
    except HistoryDamaged:
        # The task goes on: what cannot be read stays where it is, and is told by who reads it.
        sealer = Sealer("commits", closed_off(ledger.log), shelf, seal)
        sealer.put_away(rows)
    return ledger.commits[count:], sealer.sealed, tuple(sealer.documents)


def row_of_commit(commit: Commit) -> Row:
    """The row that *commit* is sealed as."""
    keys = tuple(dict.fromkeys(change.op_id for change in commit.changes))
    return Row(commit.number, keys, msgspec.Raw(encode(commit)))


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
