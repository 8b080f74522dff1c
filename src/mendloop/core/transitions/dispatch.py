"""Which transition answers which command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mendloop.core import commands
from mendloop.core.commands import Command, Context
from mendloop.core.model import RemediationState
from mendloop.core.sifting import sifted
from mendloop.core.transitions import (
    comments,
    deletion,
    judging,
    lease,
    ledger,
    lifecycle,
    orders,
    put,
    recovery,
    steps,
    tips,
)
from mendloop.core.transitions.outcome import Transition

__all__ = ["command_name", "transition"]

_TRANSITIONS: dict[type[Any], tuple[str, Callable[..., Transition]]] = {
    commands.Create: ("create", lifecycle.create),
    commands.Configure: ("configure", lifecycle.configure),
    commands.Increment: ("increment", lifecycle.increment),
    commands.AppendFeedback: ("append_feedback", ledger.append_feedback),
    commands.RecordTip: ("record_tip", tips.record_tip),
    commands.RecordComment: ("record_comment", comments.record_comment),
    commands.Judge: ("judge", judging.judge),
    commands.Compress: ("compress", ledger.compress),
    commands.PutState: ("put_state", put.put_state),
    commands.Pause: ("pause", lifecycle.pause),
    commands.Resume: ("resume", lifecycle.resume),
    commands.Stop: ("stop", lifecycle.stop),
    commands.Order: ("order", orders.order),
    commands.BeginStep: ("begin_step", steps.begin_step),
    commands.RecordReview: ("record_review", steps.record_review),
    commands.RecordFix: ("record_fix", steps.record_fix),
    commands.Finish: ("finish", lifecycle.finish),
    commands.AcquireLease: ("acquire_lease", lease.acquire),
    commands.RenewLease: ("renew_lease", lease.renew),
    commands.RecordChild: ("record_child", lease.record_child),
    commands.ReleaseLease: ("release_lease", lease.release),
    commands.Recover: ("recover", recovery.recover),
    commands.Delete: ("delete", deletion.delete),
    commands.Restore: ("restore", deletion.restore),
    commands.BeginRemoval: ("begin_removal", deletion.begin_removal),
    commands.Bury: ("bury", deletion.bury),
    commands.Hold: ("hold", deletion.hold),
    commands.EndHold: ("end_hold", deletion.end_hold),
}

_OF_DELETED = (
    commands.Delete,
    commands.Restore,
    commands.BeginRemoval,
    commands.Bury,
    commands.Recover,
)
"""All that a deleted task answers; a repair leaves it deleted."""


_OF_MANY_TEXTS = (
    commands.AppendFeedback,
    commands.RecordReview,
    commands.RecordComment,
    commands.PutState,
    commands.Judge,
)
"""These clean each text as they take it in, and keep names apart; of all others no text is missed."""


def transition(state: RemediationState | None, command: Command, context: Context) -> Transition:
    """
    Answer *command*: the new state and what to tell the caller.

    Raises:
        StateDeleted: The task is deleted, and the command is none of those for such tasks.
        StateError: The command is refused; nothing changes.
    """
    if state is not None and not isinstance(command, _OF_DELETED):
        deletion.refuse_deleted(state)
    if not isinstance(command, _OF_MANY_TEXTS):
        command = sifted(command, context.redact)
    return _TRANSITIONS[type(command)][1](state, command, context)


def command_name(command: Command) -> str:
    """The name that the history knows the command by."""
    return _TRANSITIONS[type(command)][0]
