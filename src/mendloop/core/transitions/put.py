"""Writing a whole state that a caller read before and changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mendloop.core.codec import decode_state, encode_state
from mendloop.core.commands import Context, PutState
from mendloop.core.compaction import entry_of, in_order, lookup_key, place_of, taken_out
from mendloop.core.errors import RevisionConflict, StateError, StateExists, ValidationError
from mendloop.core.model import (
    LIVES_KEPT,
    FeedbackEntry,
    Finding,
    Ledger,
    LifeChange,
    RemediationState,
)
from mendloop.core.run import Lease
from mendloop.core.sealed import Sealed
from mendloop.core.sifting import sifted
from mendloop.core.text import (
    AUTHOR_LIMIT_BYTES,
    CONTEXT_LIMIT_BYTES,
    DESCRIPTION_LIMIT_BYTES,
    ERROR_MESSAGE_LIMIT_BYTES,
    METADATA_KEY_LIMIT_BYTES,
    METADATA_VALUE_LIMIT_BYTES,
    NOTE_LIMIT_BYTES,
    PATH_LIMIT_BYTES,
    REASON_LIMIT_BYTES,
    RULE_LIMIT_BYTES,
    Redactor,
    tidy,
)
from mendloop.core.transitions.ledger import in_utc
from mendloop.core.transitions.naming import comment_id_of, distinct
from mendloop.core.transitions.outcome import (
    Transition,
    check_not_run,
    ledger_of,
    revise,
)
from mendloop.core.vocabulary import Status

__all__ = ["put_state"]

_FINDING_LIMITS_BYTES = {
    "source": RULE_LIMIT_BYTES,
    "rule": RULE_LIMIT_BYTES,
    "context": CONTEXT_LIMIT_BYTES,
    "path": PATH_LIMIT_BYTES,
    "note": NOTE_LIMIT_BYTES,
    "seen_on": RULE_LIMIT_BYTES,
}

_OURS: dict[str, Any] = {
    "lease": Lease(),
    "hold": None,
    "deleted": None,
    "restored_at": None,
    "tips": (),
    "turns": (),
    "commits": (),
    "chain": None,
    "findings": Sealed(),
    "log": Sealed(),
    "sealed": (),
}
"""What no caller writes: so it is in a new task, and else it is kept from the stored state."""

_replace = msgspec.structs.replace


def put_state(state: RemediationState | None, command: PutState, context: Context) -> Transition:
    """
    Write a whole state, if it was made from the one that is stored; new texts are cleaned.

    Raises:
        StateExists: The caller's state is new, and there is one already.
        RevisionConflict: The stored state moved, or went, since the caller read it.
        LeaseHeld: A run is under way.
        ValidationError: It would lower the counter, lose a finding, give two findings one comment
            id, complete a task with open findings, name another task, or be a state that no reader
            takes.
    """
    given = command.state
    if given.task_id != context.task_id:
        raise ValidationError(
            f"the state names task {given.task_id!a}, not {context.task_id!a}",
            task_id=context.task_id,
        )
    given, replaced = _placed(_cleaned(given, state, context), state, context)
    _refuse_equal_ids(given)
    _refuse_unclean_end(state, given, replaced)
    mine = ledger_of(given, context)
    theirs = sifted(_replace(mine, **_OURS), context.redact)
    if state is None:
        if mine.commit:
            raise RevisionConflict(
                f"task {context.task_id} is gone since it was read", task_id=context.task_id
            )
        ours = _replace(theirs, incarnation=context.token, commit=0)
    else:
        kept = ledger_of(state, context)
        _refuse_stale(state, given, context)
        check_not_run(state, kept)
        _refuse_loss(state, given)
        ours = _replace(
            theirs,
            lease=kept.lease,
            hold=kept.hold,
            deleted=kept.deleted,
            restored_at=kept.restored_at,
            tips=kept.tips,
            turns=kept.turns,
            commits=kept.commits,
            chain=kept.chain,
            findings=taken_out(kept.findings, replaced),
            log=kept.log,
            sealed=kept.sealed,
        )
    return Transition(
        state=_readable(revise(given, ours, last_update=context.now)),
        facts={"iteration": given.iteration, "status": given.status},
    )


def _readable(state: RemediationState) -> RemediationState:
    """The state as a reader will get it: one that no reader takes may not be written."""
    try:
        return decode_state(encode_state(state))
    except StateError as error:
        raise ValidationError(
            f"this is no state to write: {error}", task_id=state.task_id
        ) from error


def _cleaned(
    given: RemediationState, stored: RemediationState | None, context: Context
) -> RemediationState:
    """The state with every text cleaned that is not stored already."""
    redact = context.redact
    known_entries = {e.pr_comment_id: e for e in stored.feedback_history} if stored else {}
    is_carried = stored is not None and stored.extra == given.extra
    return _replace(
        given,
        version=redact(given.version),
        extra=given.extra if is_carried else sifted(given.extra, redact),
        feedback_history=tuple(
            entry
            if known_entries.get(entry.pr_comment_id) == entry
            else _cleaned_entry(entry, redact)
            for entry in given.feedback_history
        ),
        error_messages=tuple(
            tidy(message, limit_bytes=ERROR_MESSAGE_LIMIT_BYTES, redact=redact)
            for message in given.error_messages
        ),
        metadata=_cleaned_metadata(given.metadata, stored.metadata if stored else {}, redact),
    )


def _cleaned_entry(entry: FeedbackEntry, redact: Redactor) -> FeedbackEntry:
    finding = entry.mendloop
    cleaned = _replace(
        in_utc(entry),
        author=tidy(entry.author, limit_bytes=AUTHOR_LIMIT_BYTES, redact=redact),
        description=tidy(entry.description, limit_bytes=DESCRIPTION_LIMIT_BYTES, redact=redact),
        pr_comment_id=comment_id_of(entry.pr_comment_id, redact),
        mendloop=_cleaned_finding(finding, redact) if isinstance(finding, Finding) else finding,
    )
    return sifted(cleaned, redact)


def _cleaned_finding(finding: Finding, redact: Redactor) -> Finding:
    texts = {
        name: tidy(getattr(finding, name), limit_bytes=limit_bytes, redact=redact)
        for name, limit_bytes in _FINDING_LIMITS_BYTES.items()
    }
    lives = tuple(_cleaned_change(change, redact) for change in finding.lives[-LIVES_KEPT:])
    return _replace(finding, **texts, lives=lives)


def _cleaned_change(change: LifeChange, redact: Redactor) -> LifeChange:
    return _replace(
        change,
        by=tidy(change.by, limit_bytes=AUTHOR_LIMIT_BYTES, redact=redact),
        why=tidy(change.why, limit_bytes=REASON_LIMIT_BYTES, redact=redact),
    )


def _cleaned_metadata(
    given: Mapping[str, str], known: Mapping[str, str], redact: Redactor
) -> dict[str, str]:
    cleaned: dict[str, str] = {}
    for given_key, value in given.items():
        key = given_key
        if key not in known:
            key = distinct(key, limit_bytes=METADATA_KEY_LIMIT_BYTES, redact=redact)
        is_known = known.get(key) == value
        limit_bytes = METADATA_VALUE_LIMIT_BYTES
        cleaned[key] = value if is_known else tidy(value, limit_bytes=limit_bytes, redact=redact)
    return cleaned


def _placed(
    given: RemediationState, stored: RemediationState | None, context: Context
) -> tuple[RemediationState, list[FeedbackEntry]]:
    """The state with every finding under its number, and the sealed ones that it replaces."""
    replaced = []
    places = {e.pr_comment_id: place_of(e) for e in stored.feedback_history} if stored else {}
    entries = []
    for entry in given.feedback_history:
        place = places.get(entry.pr_comment_id)
        if entry.pr_comment_id not in places:
            row = context.sealed.find(lookup_key(entry.pr_comment_id))
            place = row.number if row else None
            replaced += [entry_of(row)] if row else []
        if isinstance(entry.mendloop, Finding):
            entries.append(_replace(entry, mendloop=_replace(entry.mendloop, place=place)))
        else:
            entries.append(entry)
    return _replace(given, feedback_history=in_order(entries)), replaced


def _refuse_stale(state: RemediationState, given: RemediationState, context: Context) -> None:
    if not isinstance(given.mendloop, Ledger) and isinstance(state.mendloop, Ledger):
        raise StateExists(f"task {context.task_id} exists already", task_id=context.task_id)
    if not isinstance(state.mendloop, Ledger) and given.last_update != state.last_update:
        raise RevisionConflict(
            f"task {context.task_id} was written by another program since it was read",
            task_id=context.task_id,
        )
    current, mine = ledger_of(state, context), ledger_of(given, context)
    if (current.incarnation, current.commit) != (mine.incarnation, mine.commit):
        raise RevisionConflict(
            f"task {context.task_id} moved from commit {mine.commit} to {current.commit} "
            "since it was read: read it again and decide again",
            task_id=context.task_id,
        )


def _refuse_equal_ids(given: RemediationState) -> None:
    """A reader of the specification takes neighbours with one id and one time for duplicates."""
    ids = [entry.pr_comment_id for entry in given.feedback_history]
    if "" in ids or len(set(ids)) < len(ids):
        raise ValidationError(
            "every finding needs a pr_comment_id of its own, and it may not be empty",
            task_id=given.task_id,
        )


def _refuse_unclean_end(
    state: RemediationState | None, given: RemediationState, replaced: list[FeedbackEntry]
) -> None:
    is_new = state is None or state.status is not Status.COMPLETED
    count = sum(not entry.resolved for entry in given.feedback_history)
    if state is not None:
        count += sum(taken_out(state.ledger.findings, replaced).open)
    if is_new and given.status is Status.COMPLETED and count:
        raise ValidationError(
            f"{count} findings are open: a task is completed once all of them are resolved",
            task_id=given.task_id,
        )


def _refuse_loss(state: RemediationState, given: RemediationState) -> None:
    if given.iteration < state.iteration:
        raise ValidationError(
            f"iteration {given.iteration} is below the stored {state.iteration}: "
            "a counter is never lowered",
            task_id=state.task_id,
        )
    kept = {entry.pr_comment_id for entry in given.feedback_history}
    lost = [e.pr_comment_id for e in state.feedback_history if e.pr_comment_id not in kept]
    if lost:
        raise ValidationError(
            f"{len(lost)} findings would be lost, the first is {lost[0]!a}: "
            "a finding is resolved, never removed",
            task_id=state.task_id,
        )
