"""What a transition returns, and the few pieces that several of them share."""

from __future__ import annotations

from typing import Any

import msgspec

from mendloop.core.commands import Context
from mendloop.core.errors import (
    LeaseHeld,
    LeaseLost,
    StateNotFound,
    TaskEnded,
    TaskPaused,
    ValidationError,
)
from mendloop.core.migrations import migrated
from mendloop.core.model import LEDGER_SCHEMA, STATE_VERSION, Ledger, RemediationState, Settings
from mendloop.core.run import Child, Holder, Lease, generation_beyond
from mendloop.core.text import (
    AUTHOR_LIMIT_BYTES,
    ERROR_MESSAGE_LIMIT_BYTES,
    REASON_LIMIT_BYTES,
    tidy,
)
from mendloop.core.vocabulary import Phase, Status, StepKind, StopReason

__all__ = [
    "ERROR_MESSAGES_KEPT",
    "Transition",
    "check_holder",
    "check_not_run",
    "given_reason",
    "holder_name",
    "is_holder",
    "lease_held",
    "ledger_of",
    "loss_facts",
    "new_state",
    "refuse_unless_running",
    "require",
    "revise",
    "vacated",
    "with_error",
]

ERROR_MESSAGES_KEPT = 20
"""The head keeps this many; older ones are in the history."""


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a command did.

    Attributes:
        state: The state after it.
        result: What to tell the caller; also told to one who asks again with the operation id.
        facts: What changed, for the history.
        is_changed: False where there is nothing to write.
        leaves_record: False for heartbeats and the like, which are no news for the history.
        refusal: Set where the caller is told no, and the state changes all the same.
        compacts: Whether all findings are to leave the head that need not stay in it.
    """

    state: RemediationState
    result: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    is_changed: bool = True
    leaves_record: bool = True
    refusal: str = ""
    compacts: bool = False


def given_reason(reason: str, context: Context) -> str:
    """
    The reason that a person gives, cleaned.

    Raises:
        ValidationError: It says nothing.
    """
    cleaned = tidy(reason, limit_bytes=REASON_LIMIT_BYTES, redact=context.redact)
    if not cleaned.strip():
        raise ValidationError(
            "a reason is needed, for whoever looks at it later: it may not be blank",
            task_id=context.task_id,
        )
    return cleaned


def ledger_of(state: RemediationState, context: Context) -> Ledger:
    """
    Our part of *state*, in the newest schema; made new for one that another program wrote.

    That one may have dropped a part of ours, and a run from before it may still be there: so the lease
    begins above any generation that the run can have.
    """
    if isinstance(state.mendloop, Ledger):
        return migrated(state.mendloop)
    lease = Lease(generation=generation_beyond(context.now))
    return msgspec.structs.replace(state.ledger, incarnation=context.token, lease=lease)


def new_state(context: Context, settings: Settings) -> RemediationState:
    """Make the state of a task that nothing was run for."""
    return RemediationState(
        task_id=context.task_id,
        iteration=0,
        status=Status.INITIALIZED,
        feedback_history=(),
        last_update=context.now,
        error_messages=(),
        metadata={},
        version=STATE_VERSION,
        mendloop=Ledger(
            schema=LEDGER_SCHEMA,
            min_writer=LEDGER_SCHEMA,
            incarnation=context.token,
            settings=settings,
        ),
    )


def require(state: RemediationState | None, context: Context) -> RemediationState:
    """
    Return *state* where there is one.

    Raises:
        StateNotFound: There is none.
    """
    if state is None:
        raise StateNotFound(task_id=context.task_id)
    return state


def revise(state: RemediationState, ledger: Ledger, **changes: Any) -> RemediationState:
    """Return *state* with *changes* and *ledger*, its phase made to agree."""
    changed = msgspec.structs.replace(state, **changes)
    phase = _phase(changed.status, ledger)
    return msgspec.structs.replace(changed, mendloop=msgspec.structs.replace(ledger, phase=phase))


def _phase(status: Status, ledger: Ledger) -> Phase | None:
    if ledger.stop_reason is StopReason.TERMINATED:
        return Phase.TERMINATED
    if ledger.pause is not None:
        return Phase.PAUSED
    if status is not Status.IN_PROGRESS:
        return None
    is_fixing = ledger.step is not None and ledger.step.kind is StepKind.FIX
    return Phase.FIXING if is_fixing else Phase.REVIEWING


def refuse_unless_running(state: RemediationState, ledger: Ledger) -> None:
    """
    Let only a task pass that is neither paused nor ended.

    Raises:
        TaskEnded: It has ended.
        TaskPaused: It is paused.
    """
    task_id = state.task_id
    if state.status.is_ended:
        raise TaskEnded(
            f"task {task_id} has ended ({ledger.stop_reason or state.status}); "
            f"`mendloop resume {task_id}` goes on with it",
            task_id=task_id,
        )
    if ledger.pause is not None:
        raise TaskPaused(
            f"task {task_id} was paused by {ledger.pause.by}: {ledger.pause.reason}; "
            f"`mendloop resume {task_id}` goes on with it",
            task_id=task_id,
        )


def is_holder(ledger: Ledger, generation: int, context: Context) -> bool:
    """
    Whether the run that asks holds the task now.

    A task that was removed and made anew gives out its generations anew: so a run that says which it
    is has to be the very holder.
    """
    lease = ledger.lease
    return (
        lease.holder is not None
        and lease.generation == generation
        and context.run in {"", lease.holder.token}
    )


def check_holder(
    state: RemediationState, ledger: Ledger, generation: int, context: Context
) -> None:
    """
    Let only the run pass that holds the task now.

    Raises:
        LeaseLost: Somebody else took it, it was stopped, or its task was removed and made anew.
    """
    if not is_holder(ledger, generation, context):
        by = ledger.lease.holder.name if ledger.lease.holder else "nobody"
        raise LeaseLost(
            f"this run (generation {generation}) no longer holds task {state.task_id} "
            f"(generation {ledger.lease.generation} of {by}): its result was not written",
            task_id=state.task_id,
        )


def check_not_run(state: RemediationState, ledger: Ledger) -> None:
    """
    Let only those pass who are no run, while none is under way.

    Raises:
        LeaseHeld: One is.
    """
    if ledger.lease.holder is not None:
        raise lease_held(state, ledger)


def vacated(lease: Lease, *, generation: int, child: Child | None) -> Lease:
    """Return *lease* without a holder; what others keep in it stays."""
    return Lease(generation=generation, child=child, tree=lease.tree, extra=lease.extra)


def holder_name(holder: Holder, context: Context) -> str:
    """Return the name of *holder*, cleaned."""
    return tidy(holder.name, limit_bytes=AUTHOR_LIMIT_BYTES, redact=context.redact)


def loss_facts(lease: Lease, context: Context) -> dict[str, Any]:
    """
    Tell who loses *lease* to another, and how often he had renewed it; nothing where nobody has it.

    Who loses it gives nothing back, so no other record tells of his heartbeats.
    """
    if lease.holder is None:
        return {}
    return {"taken_from": holder_name(lease.holder, context), "renewals": lease.renewals}


def lease_held(state: RemediationState, ledger: Ledger) -> LeaseHeld:
    """The refusal that names who runs the task, and since when."""
    lease = ledger.lease
    name = lease.holder.name if lease.holder else "nobody"
    pid = f", pid {lease.holder.pid}" if lease.holder and lease.holder.pid else ""
    since = str(msgspec.to_builtins(lease.acquired_at))
    return LeaseHeld(
        f"task {state.task_id} is run by {name}{pid} since {since}",
        holder=name + pid,
        since=since,
        task_id=state.task_id,
    )


def with_error(state: RemediationState, message: str, context: Context) -> tuple[str, ...]:
    """The state's error messages and one more, the oldest beyond the limit let go."""
    text = tidy(message, limit_bytes=ERROR_MESSAGE_LIMIT_BYTES, redact=context.redact)
    return (*state.error_messages, text)[-ERROR_MESSAGES_KEPT:]
