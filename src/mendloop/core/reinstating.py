"""
The state in a copy, made to go on where the task stands.

What the copy says counts again. Numbers that were given out since stay given out, and findings and
commits that came since stay. Of a finding that is in both the copy's text is taken, and what became of
it last, so that what was judged since is not undone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from mendloop.core.compaction import entry_of, lookup_key
from mendloop.core.diagnosis import Case, state_of
from mendloop.core.errors import ValidationError
from mendloop.core.model import FeedbackEntry, Finding, Ledger, RemediationState
from mendloop.core.rebuilding import owner_of
from mendloop.core.run import generation_beyond
from mendloop.core.salvage import Salvaged
from mendloop.core.shelf import Row
from mendloop.core.transitions.deletion import refuse_deleted
from mendloop.core.transitions.outcome import check_not_run, vacated
from mendloop.core.vocabulary import Status

__all__ = ["is_reinstated", "reinstated", "with_lives_since"]

_NEVER = datetime.min.replace(tzinfo=UTC)

_replace = msgspec.structs.replace


def is_reinstated(case: Case, name: str) -> bool:
    """Whether the last thing that happened to the task is that it was restored from this copy."""
    state = state_of(case)
    if not isinstance(state, RemediationState) or not state.ledger.commits:
        return False
    return any(change.facts.get("source") == name for change in state.ledger.commits[-1].changes)


def reinstated(copied: Salvaged, case: Case, present: Salvaged, *, now: datetime) -> Salvaged:
    """
    Make the state of a copy one that can follow the present one.

    Args:
        copied: What can be read of the copy.
        case: The task as it is stored.
        present: What can be read of its head.
        now: When it is restored.

    Raises:
        StateDeleted: The removal of the task has begun.
        LeaseHeld: A run is under way.
        ValidationError: The copy is that of another task with the same id.
    """
    state, there = copied.state, present.state
    incarnation = _incarnation(case, state, there)
    is_read = isinstance(state_of(case), RemediationState)
    if there.ledger.deleted is not None and there.ledger.deleted.is_final:
        refuse_deleted(there)
    if is_read:
        check_not_run(there, there.ledger)
    ledger = _ledger(state, there, is_read=is_read, now=now)
    if not is_read:
        ledger = _replace(ledger, commit=max(ledger.commit, _last_sealed(case, incarnation)))
    iteration = max(state.iteration, there.iteration)
    is_begun = state.status is Status.INITIALIZED and iteration > state.iteration
    joined = _replace(
        state,
        iteration=iteration,
        status=Status.IN_PROGRESS if is_begun else state.status,
        feedback_history=tuple(_entries(state, there)),
        mendloop=_replace(ledger, incarnation=incarnation, restored_at=now),
    )
    return Salvaged(joined, (*copied.lost, *_unread(case, present)))


def with_lives_since(joined: Salvaged, present: Salvaged, rows: Mapping[int, Row]) -> Salvaged:
    """
    Give findings of a copy that are sealed by now the life that they have there, where it is later.

    Args:
        joined: What `reinstated` made of the copy.
        present: What can be read of the head: what is in it was joined already.
        rows: The sealed findings, by number.
    """
    in_head = {entry.pr_comment_id for entry in present.state.feedback_history}
    by_key = {key: row for row in rows.values() for key in row.keys}
    entries = tuple(
        entry
        if entry.pr_comment_id in in_head or row is None
        else _with_later_life(entry, entry_of(row))
        for entry in joined.state.feedback_history
        for row in (by_key.get(lookup_key(entry.pr_comment_id)),)
    )
    return _replace(joined, state=_replace(joined.state, feedback_history=entries))


def _unread(case: Case, present: Salvaged) -> Iterator[str]:
    """What came since the copy was made, and cannot be told."""
    if case.body is None:
        yield "what stood in the head alone, if anything came since the copy was made"
    else:
        yield from (f"of what was there: {what}" for what in present.lost)


def _incarnation(case: Case, state: RemediationState, there: RemediationState) -> str:
    """The task's own, which the copy may not know."""
    own, found = state.ledger.incarnation, owner_of(case, there)
    if own and found and own != found:
        raise ValidationError(
            f"the copy is of another task that had the id {case.task_id} ({own}) before the one "
            f"that is stored now ({found}): remove that one with its history first, if it may go",
            task_id=case.task_id,
        )
    return own or found


def _ledger(
    state: RemediationState, there: RemediationState, *, is_read: bool, now: datetime
) -> Ledger:
    # A copy of what another program wrote has nothing of ours in it: then that which is there stays.
    ledger = state.mendloop if isinstance(state.mendloop, Ledger) else there.ledger
    others = there.ledger
    lease = others.lease if is_read else ledger.lease
    generation = max(ledger.lease.generation, others.lease.generation) + 1
    if not isinstance(there.mendloop, Ledger):
        generation = max(generation, generation_beyond(now))
    commits = {commit.number: commit for commit in (*ledger.commits, *others.commits)}
    return _replace(
        ledger,
        commit=max([ledger.commit, others.commit, *commits]),
        commits=tuple(commits[number] for number in sorted(commits)),
        chain=(ledger if ledger.commit > others.commit else others).chain,
        lease=vacated(lease, generation=generation, child=lease.child),
        hold=ledger.hold or others.hold,
        deleted=None,
        # Where the history is, its documents tell, and the present head what has to be there.
        findings=_replace(others.findings, count=max(ledger.findings.count, others.findings.count)),
        log=others.log,
        sealed=others.sealed,
    )


def _last_sealed(case: Case, incarnation: str) -> int:
    own = (facts for facts in case.facts if facts.incarnation == incarnation)
    return max([number for facts in own for number, _ in facts.commits], default=0)


def _entries(state: RemediationState, there: RemediationState) -> Iterator[FeedbackEntry]:
    """Those of the copy, then those that came since; each with the number that it has by now."""
    since = {entry.pr_comment_id: entry for entry in there.feedback_history}
    for entry in state.feedback_history:
        known = since.pop(entry.pr_comment_id, None)
        yield entry if known is None else _numbered(entry, known)
    yield from since.values()


def _numbered(entry: FeedbackEntry, known: FeedbackEntry) -> FeedbackEntry:
    entry = _with_later_life(entry, known)
    theirs, own = known.mendloop, entry.mendloop
    if not isinstance(theirs, Finding):
        return entry
    if not isinstance(own, Finding):
        return _replace(entry, mendloop=theirs)
    return (
        _replace(entry, mendloop=_replace(own, place=theirs.place)) if own.place is None else entry
    )


def _with_later_life(entry: FeedbackEntry, known: FeedbackEntry) -> FeedbackEntry:
    """Return *entry* of the copy with the life of what is *known* of it now, unless its own is later."""
    if _turned_at(entry) > _turned_at(known):
        return entry
    theirs, own = known.mendloop, entry.mendloop
    if isinstance(theirs, Finding) and isinstance(own, Finding):
        own = _replace(
            own,
            life=theirs.life,
            lives=theirs.lives,
            resolved_iteration=theirs.resolved_iteration,
            times_returned=theirs.times_returned,
        )
    return _replace(entry, resolved=known.resolved, mendloop=own)


def _turned_at(entry: FeedbackEntry) -> datetime:
    """When the life of a finding changed last, as far as that is kept."""
    own = entry.mendloop
    return own.lives[-1].at if isinstance(own, Finding) and own.lives else _NEVER
