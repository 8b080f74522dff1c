"""Starting, pausing, resuming and ending a task."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from mendloop.core.codec import rfc3339, validated
from mendloop.core.commands import (
    Configure,
    Context,
    Create,
    Finish,
    Increment,
    Pause,
    Resume,
    Stop,
)
from mendloop.core.decide import Finish as Decided
from mendloop.core.decide import decide
from mendloop.core.errors import (
    MaxIterationsReached,
    StateExists,
    TaskEnded,
    ValidationError,
)
from mendloop.core.model import Ledger, RemediationState, Settings
from mendloop.core.names import started_iteration, started_key
from mendloop.core.progress import Pause as PauseRecord
from mendloop.core.progress import Step
from mendloop.core.text import REASON_LIMIT_BYTES, tidy
from mendloop.core.transitions.outcome import (
    Transition,
    check_holder,
    check_not_run,
    given_reason,
    ledger_of,
    loss_facts,
    new_state,
    refuse_unless_running,
    require,
    revise,
    vacated,
)
from mendloop.core.vocabulary import Status, StepKind, StopReason

__all__ = ["configure", "create", "finish", "increment", "pause", "resume", "stop"]

ITERATION_KEYS_KEPT = 20
"""The head keeps this many ``iteration_{n}_started`` keys; the history has them all."""

_replace = msgspec.structs.replace


def create(state: RemediationState | None, command: Create, context: Context) -> Transition:
    """
    Make the task.

    Raises:
        StateExists: It is there already.
        ValidationError: A setting is out of its range.
    """
    if state is not None:
        raise StateExists(
            f"task {context.task_id} exists since {rfc3339(state.last_update)} or longer",
            task_id=context.task_id,
        )
    return Transition(state=new_state(context, _checked(command.settings)))


def configure(state: RemediationState | None, command: Configure, context: Context) -> Transition:
    """
    Change when the loop stops; the same settings again change nothing.

    Raises:
        LeaseLost: The run that asks no longer holds the task.
        ValidationError: A setting is out of its range.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    check_holder(state, ledger, command.generation, context)
    settings = _checked(_replace(command.settings, extra=ledger.settings.extra))
    if ledger.settings == settings:
        return Transition(state=state, is_changed=False)
    facts = _settings_facts(ledger.settings, settings)
    ledger = _replace(ledger, settings=settings)
    return Transition(state=revise(state, ledger, last_update=context.now), facts=facts)


def increment(state: RemediationState | None, command: Increment, context: Context) -> Transition:
    """
    Start the next iteration, and the task with it where there is none.

    Raises:
        MaxIterationsReached: The limit is spent, and the state says so already.
        TaskEnded: It ended otherwise.
        TaskPaused: It is paused.
        LeaseHeld: A run is under way, and the caller is none.
        LeaseLost: The caller is a run, and no longer holds the task.
    """
    if state is None:
        state = new_state(context, Settings())
    ledger = ledger_of(state, context)
    if state.status is Status.MAX_ITERATIONS_REACHED:
        raise MaxIterationsReached(state.iteration, task_id=state.task_id)
    refuse_unless_running(state, ledger)
    if command.generation is None:
        check_not_run(state, ledger)
    else:
        check_holder(state, ledger, command.generation, context)
    if command.max_iterations is not None:
        ledger = _replace(ledger, settings=_limited(state, ledger, command.max_iterations))
    limit = ledger.settings.max_iterations
    if state.iteration >= limit:
        return _limit_reached(state, ledger, context)
    number = state.iteration + 1
    ledger = _replace(
        ledger,
        step=Step(kind=_first_step(state, ledger)),
        is_fix_done=False,
        started_at=ledger.started_at or context.now,
        budget_from=ledger.budget_from or context.now,
    )
    state = revise(
        state,
        ledger,
        iteration=number,
        status=Status.IN_PROGRESS,
        last_update=context.now,
        metadata=_with_start(state.metadata, number, context),
    )
    return Transition(
        state=state, result={"iteration": number}, facts={"iteration": number, "limit": limit}
    )


def _first_step(state: RemediationState, ledger: Ledger) -> StepKind:
    """A fix, where there is something to be fixed; the first iteration reviews first in any case."""
    is_reviewed = bool(ledger.rounds and ledger.rounds[-1].iteration == state.iteration)
    return (
        StepKind.FIX if state.iteration and (is_reviewed or state.open_total) else StepKind.REVIEW
    )


def _limit_reached(state: RemediationState, ledger: Ledger, context: Context) -> Transition:
    ledger = _ended(ledger, StopReason.MAX_ITERATIONS, _limit_detail(ledger))
    return Transition(
        state=revise(state, ledger, status=Status.MAX_ITERATIONS_REACHED, last_update=context.now),
        result={"iteration": state.iteration},
        facts={"stop_reason": StopReason.MAX_ITERATIONS},
        refusal="MaxIterationsReached",
    )


def _limit_detail(ledger: Ledger) -> str:
    return f"the limit of {ledger.settings.max_iterations} iterations is spent"


def _ended(ledger: Ledger, reason: StopReason, detail: str) -> Ledger:
    return _replace(ledger, step=None, pause=None, stop_reason=reason, stop_detail=detail)


def _limited(state: RemediationState, ledger: Ledger, max_iterations: int) -> Settings:
    if max_iterations < max(1, state.iteration):
        raise ValidationError(
            f"a limit of {max_iterations} iterations is too low: task {state.task_id} stands at "
            f"iteration {state.iteration}, and a counter is never lowered",
            task_id=state.task_id,
        )
    return _checked(_replace(ledger.settings, max_iterations=max_iterations))


def _checked(settings: Settings) -> Settings:
    if settings.budget_seconds is not None and not math.isfinite(settings.budget_seconds):
        raise ValidationError(f"a time budget of {settings.budget_seconds} s is no limit")
    return validated(settings)


def _with_start(metadata: dict[str, str], number: int, context: Context) -> dict[str, str]:
    kept = {
        key: text
        for key, text in metadata.items()
        if (n := started_iteration(key)) is None or n > number - ITERATION_KEYS_KEPT
    }
    kept[started_key(number)] = rfc3339(context.now)
    return kept


def pause(state: RemediationState | None, command: Pause, context: Context) -> Transition:
    """
    Let no further step start until a resume; pausing again changes nothing.

    Raises:
        TaskEnded: There is nothing to pause.
        ValidationError: The reason is blank.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    if state.status.is_ended:
        raise TaskEnded(
            f"task {state.task_id} has ended ({ledger.stop_reason or state.status}): "
            "there is nothing to pause",
            task_id=state.task_id,
        )
    if ledger.pause is not None:
        return Transition(state=state, result={"is_new": False}, is_changed=False)
    reason = given_reason(command.reason, context)
    ledger = _replace(ledger, pause=PauseRecord(by=context.by, reason=reason, at=context.now))
    return Transition(
        state=revise(state, ledger, last_update=context.now),
        result={"is_new": True},
        facts={"reason": reason},
    )


def resume(state: RemediationState | None, command: Resume, context: Context) -> Transition:
    """
    Go on with a paused or ended task; the review comes first after an end.

    Raises:
        ValidationError: The limit is spent and no higher one is given, or there is nothing to
            resume.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    facts: dict[str, Any] = {"from": ledger.stop_reason or ledger.phase or state.status}
    if command.max_iterations is not None:
        settings = _limited(state, ledger, command.max_iterations)
        facts |= _settings_facts(ledger.settings, settings)
        ledger = _replace(ledger, settings=settings)
    status = state.status
    if state.status.is_ended:
        _refuse_spent(state, ledger)
        status = Status.IN_PROGRESS if state.iteration else Status.INITIALIZED
        ledger = _reopened(ledger, context, has_iteration=state.iteration > 0)
    elif ledger.pause is not None:
        ledger = _unpaused(ledger, context)
    elif command.max_iterations is None:
        raise ValidationError(
            f"task {state.task_id} is neither paused nor ended: there is nothing to resume",
            task_id=state.task_id,
        )
    state = revise(state, ledger, status=status, last_update=context.now)
    return Transition(state=state, result={"iteration": state.iteration}, facts=facts)


def _refuse_spent(state: RemediationState, ledger: Ledger) -> None:
    is_spent = state.status is Status.MAX_ITERATIONS_REACHED
    if is_spent and state.iteration >= ledger.settings.max_iterations:
        raise ValidationError(
            f"task {state.task_id} has spent its {ledger.settings.max_iterations} iterations: "
            f"give a higher limit, `mendloop resume {state.task_id} "
            f"--max-iterations {state.iteration + 10}`",
            task_id=state.task_id,
        )


def _reopened(ledger: Ledger, context: Context, *, has_iteration: bool) -> Ledger:
    return _replace(
        ledger,
        stop_reason=None,
        stop_detail="",
        stop_tree="",
        pause=None,
        rounds=(),
        budget_from=context.now if has_iteration else None,
        step=Step(kind=StepKind.REVIEW) if has_iteration else None,
    )


def _unpaused(ledger: Ledger, context: Context) -> Ledger:
    """The time that a task was paused is no part of its time budget."""
    budget_from = ledger.budget_from
    if budget_from is not None and ledger.pause is not None:
        budget_from += max(context.now - ledger.pause.at, context.now - context.now)
    return _replace(ledger, pause=None, budget_from=budget_from)


def _settings_facts(before: Settings, after: Settings) -> dict[str, Any]:
    return {
        name: {"from": getattr(before, name), "to": getattr(after, name)}
        for name in Settings.__struct_fields__
        if name != "extra" and getattr(before, name) != getattr(after, name)
    }


def stop(state: RemediationState | None, command: Stop, context: Context) -> Transition:
    """
    End the task by a person's word; a run that holds it loses it. Again changes nothing.

    Raises:
        ValidationError: The reason is blank.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    if state.status.is_ended:
        return Transition(state=state, is_changed=False)
    reason = given_reason(command.reason, context)
    ledger = _ended(ledger, StopReason.TERMINATED, reason)
    facts: dict[str, Any] = {"stop_reason": StopReason.TERMINATED, "reason": reason}
    lease = ledger.lease
    if lease.holder is not None:
        left = vacated(lease, generation=lease.generation + 1, child=lease.child)
        ledger = _replace(ledger, lease=left)
        facts |= {"generation": left.generation} | loss_facts(lease, context)
    state = revise(state, ledger, status=Status.FAILED, last_update=context.now)
    return Transition(state=state, facts=facts)


_STATUS_OF = {
    StopReason.COMPLETED: Status.COMPLETED,
    StopReason.MAX_ITERATIONS: Status.MAX_ITERATIONS_REACHED,
}


def _is_due(state: RemediationState, ledger: Ledger, reason: StopReason, context: Context) -> bool:
    if reason is StopReason.MAX_ITERATIONS:
        return state.iteration >= ledger.settings.max_iterations
    due = decide(state, now=context.now)
    is_clean = isinstance(due, Decided) and due.reason is StopReason.COMPLETED
    return is_clean or reason is not StopReason.COMPLETED


def finish(state: RemediationState | None, command: Finish, context: Context) -> Transition:
    """
    End the task for the reason that was decided.

    It is not completed where `decide` no longer says so, since a finding came in, nor out of
    iterations where some are left: then nothing changes, and the next decision sees why.
    """
    state = require(state, context)
    ledger = ledger_of(state, context)
    check_holder(state, ledger, command.generation, context)
    refuse_unless_running(state, ledger)
    if not _is_due(state, ledger, command.reason, context):
        return Transition(state=state, is_changed=False)
    detail = tidy(command.detail, limit_bytes=REASON_LIMIT_BYTES, redact=context.redact)
    ledger = _replace(_ended(ledger, command.reason, detail), stop_tree=command.tree)
    status = _STATUS_OF.get(command.reason, Status.FAILED)
    return Transition(
        state=revise(state, ledger, status=status, last_update=context.now),
        facts={"stop_reason": command.reason, "detail": detail},
    )
