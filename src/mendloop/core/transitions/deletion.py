"""Deleting a task so that it can be restored, holding it, and beginning its removal."""

from __future__ import annotations

from datetime import datetime

import msgspec

from mendloop.core.codec import rfc3339
from mendloop.core.commands import BeginRemoval, Bury, Context, Delete, EndHold, Hold, Restore
from mendloop.core.deletion import HOLD_LABEL, Deletion, is_over, untouched_since
from mendloop.core.deletion import Hold as HoldRecord
from mendloop.core.errors import StateDeleted, TransitionRefused, ValidationError
from mendloop.core.model import Ledger, RemediationState, Settings
from mendloop.core.transitions.outcome import (
    Transition,
    check_not_run,
    given_reason,
    ledger_of,
    new_state,
    require,
)

__all__ = ["begin_removal", "bury", "delete", "end_hold", "hold", "refuse_deleted", "restore"]

_replace = msgspec.structs.replace


def refuse_deleted(state: RemediationState) -> None:
    """
    Let only a task pass that is not deleted.

    Raises:
        StateDeleted: It is.
    """
    deleted = state.ledger.deleted
    if deleted is None:
        return
    way_on = f"`mendloop restore {state.task_id}` brings it back"
    if deleted.is_final:
        way_on = "its removal has begun, and it cannot be restored"
    raise StateDeleted(
        f"task {state.task_id} was deleted by {deleted.by}, {rfc3339(deleted.at)} "
        f"({deleted.reason}); {way_on}",
        is_restorable=not deleted.is_final,
        task_id=state.task_id,
    )


def delete(state: RemediationState | None, command: Delete, context: Context) -> Transition:
    """
    Mark the task as deleted, and change nothing else; again changes nothing.

    Raises:
        LeaseHeld: A run is under way.
        TransitionRefused: It is in progress, is held, or something happened since
            `Delete.untouched_since`.
        ValidationError: The reason is blank.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    if ledger.deleted is not None:
        return Transition(state=state, is_changed=False)
    if not is_over(state):
        check_not_run(state, ledger)
        raise TransitionRefused(
            f"task {state.task_id} is in progress: `mendloop stop {state.task_id}` ends it first",
            task_id=state.task_id,
        )
    _refuse_held(state, ledger, context)
    _refuse_touched(state, command.untouched_since)
    reason = given_reason(command.reason, context)
    deleted = Deletion(by=context.by, reason=reason, at=context.now)
    return Transition(
        state=_replace(state, mendloop=_replace(ledger, deleted=deleted)), facts={"reason": reason}
    )


def _refuse_touched(state: RemediationState, since: datetime | None) -> None:
    if since is not None and untouched_since(state) > since:
        raise TransitionRefused(
            f"task {state.task_id} was touched after {rfc3339(since)}", task_id=state.task_id
        )


def _refuse_held(state: RemediationState, ledger: Ledger, context: Context) -> None:
    held = f"by {ledger.hold.by} ({ledger.hold.reason})" if ledger.hold else ""
    if HOLD_LABEL in context.labels:
        held = f"by the label {HOLD_LABEL} of what it is stored in"
    if held:
        raise TransitionRefused(
            f"task {state.task_id} is held {held}: end the hold first", task_id=state.task_id
        )


def restore(state: RemediationState | None, command: Restore, context: Context) -> Transition:  # noqa: ARG001 - a transition's signature
    """
    Take the deletion back: the task is as it was before it.

    Raises:
        StateDeleted: Its removal has begun.
        ValidationError: It is not deleted.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    if ledger.deleted is None:
        raise ValidationError(
            f"task {state.task_id} is not deleted: there is nothing to restore",
            task_id=state.task_id,
        )
    if ledger.deleted.is_final:
        refuse_deleted(state)
    ledger = _replace(ledger, deleted=None, restored_at=context.now)
    return Transition(state=_replace(state, mendloop=ledger))


def begin_removal(
    state: RemediationState | None, command: BeginRemoval, context: Context
) -> Transition:
    """
    Say that a deleted task is now removed: nothing takes that back.

    Raises:
        TransitionRefused: It is not deleted, was deleted after `BeginRemoval.deleted_until`, or is
            held.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    deleted = ledger.deleted
    if deleted is None or deleted.at > command.deleted_until:
        raise TransitionRefused(
            f"task {state.task_id} was not deleted before {rfc3339(command.deleted_until)}",
            task_id=state.task_id,
        )
    if deleted.is_final:
        return Transition(state=state, is_changed=False)
    _refuse_held(state, ledger, context)
    ledger = _replace(ledger, deleted=_replace(deleted, is_final=True))
    return Transition(state=_replace(state, mendloop=ledger))


def bury(state: RemediationState | None, command: Bury, context: Context) -> Transition:
    """
    Take the place of a state that is gone, so that nobody has it while what is left is removed.

    Raises:
        TransitionRefused: There is a state: it was brought back, or begun anew.
    """
    if state is not None:
        raise TransitionRefused(f"task {context.task_id} has a state", task_id=context.task_id)
    state = new_state(context, Settings())
    deleted = Deletion(by=context.by, reason=command.reason, at=context.now, is_final=True)
    ledger = _replace(ledger_of(state, context), deleted=deleted)
    return Transition(state=_replace(state, mendloop=ledger), facts={"reason": command.reason})


def hold(state: RemediationState | None, command: Hold, context: Context) -> Transition:
    """
    Keep the task from every cleanup; again changes nothing.

    Raises:
        ValidationError: The reason is blank.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    if ledger.hold is not None:
        return Transition(state=state, is_changed=False)
    reason = given_reason(command.reason, context)
    ledger = _replace(ledger, hold=HoldRecord(by=context.by, reason=reason, at=context.now))
    return Transition(state=_replace(state, mendloop=ledger), facts={"reason": reason})


def end_hold(state: RemediationState | None, command: EndHold, context: Context) -> Transition:  # noqa: ARG001 - a transition's signature
    """Let cleanups have the task again; where nobody holds it, that changes nothing."""
    state = require(state, context)
    ledger = ledger_of(state, context)
    if ledger.hold is None:
        return Transition(state=state, is_changed=False)
    return Transition(state=_replace(state, mendloop=_replace(ledger, hold=None)))
