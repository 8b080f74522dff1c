"""
What a task needs next: one pure function for every loop that drives it.

The local loop and a controller in a cluster ask the same question and get the same answer, so a
task that one of them began can be ended by the other.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from mendloop.core.model import Ledger, RemediationState
from mendloop.core.progress import Round
from mendloop.core.vocabulary import StepKind, StopReason

__all__ = [
    "Ended",
    "Finish",
    "NextStep",
    "StartIteration",
    "Take",
    "Wait",
    "decide",
    "is_stuck",
    "nudge",
]


class StartIteration(msgspec.Struct, frozen=True):
    """Start iteration *number*."""

    number: int


class Take(msgspec.Struct, frozen=True):
    """Do this step; *attempt* counts from 1."""

    kind: StepKind
    attempt: int


class Finish(msgspec.Struct, frozen=True):
    """End the task for this reason."""

    reason: StopReason
    detail: str


class Wait(msgspec.Struct, frozen=True):
    """Nothing is to be done until a person resumes the task."""

    why: str


class Ended(msgspec.Struct, frozen=True):
    """The task has ended already."""

    reason: StopReason | None
    detail: str


NextStep = StartIteration | Take | Finish | Wait | Ended


def decide(  # noqa: PLR0911 - one answer each
    state: RemediationState, *, now: datetime
) -> NextStep:
    """
    Name the next step of *state*.

    Args:
        state: As it is stored.
        now: UTC; only the time budget looks at it.

    Returns:
        An iteration to start, a step to take, an end to record, a wait, or that it has ended. Only
        a complete review with nothing open completes a task, and it does so over budget too. The
        first iteration reviews, fixes and reviews; each later one fixes and reviews. So a limit of
        N means at most N fixes, and each of them is reviewed.
    """
    ledger = state.ledger
    if state.status.is_ended:
        return Ended(ledger.stop_reason, ledger.stop_detail)
    if not state.mendloop:
        return StartIteration(state.iteration + 1)
    if ledger.pause is not None:
        return Wait(f"paused by {ledger.pause.by}: {ledger.pause.reason}")
    is_reviewed = ledger.step is None and bool(
        ledger.rounds and ledger.rounds[-1].iteration == state.iteration
    )
    is_clean = state.open_total == 0
    if is_reviewed and ledger.rounds[-1].is_complete and is_clean:
        return Finish(StopReason.COMPLETED, "a complete review found nothing open")
    if _is_over_budget(ledger, now):
        return Finish(
            StopReason.BUDGET, f"the budget of {ledger.settings.budget_seconds} s is spent"
        )
    if ledger.step is not None:
        return _retry(state, ledger, ledger.step.kind, ledger.step.failures)
    if state.iteration == 0:
        return _next_iteration(state, ledger)
    if not is_reviewed or is_clean:
        return Take(StepKind.REVIEW, 1)
    return _after_review(state, ledger)


def _is_over_budget(ledger: Ledger, now: datetime) -> bool:
    budget = ledger.settings.budget_seconds
    if budget is None or ledger.budget_from is None:
        return False
    return (now - ledger.budget_from).total_seconds() >= budget


def _retry(state: RemediationState, ledger: Ledger, kind: StepKind, failures: int) -> NextStep:
    if failures < ledger.settings.step_attempts:
        return Take(kind, failures + 1)
    last = state.error_messages[-1] if state.error_messages else ""
    return Finish(StopReason.STEP_FAILED, f"{kind} failed {failures} times; {last}")


def _after_review(state: RemediationState, ledger: Ledger) -> NextStep:
    stuck = is_stuck(ledger.rounds, ledger.settings.no_progress_rounds)
    if stuck:
        return Finish(StopReason.NO_PROGRESS, stuck)
    if not ledger.is_fix_done:
        return Take(StepKind.FIX, 1)
    return _next_iteration(state, ledger)


def _next_iteration(state: RemediationState, ledger: Ledger) -> NextStep:
    limit = ledger.settings.max_iterations
    if state.iteration >= limit:
        return Finish(StopReason.MAX_ITERATIONS, f"the limit of {limit} iterations is spent")
    return StartIteration(state.iteration + 1)


def is_stuck(rounds: tuple[Round, ...], same: int) -> str:
    """
    Say in words why *rounds* show no progress, or "".

    Args:
        rounds: Accepted reviews since the start or the last resume, oldest first.
        same: So many in a row with the same open findings are a standstill.
    """
    reasons = _evidence(rounds, same)
    digests = [closed.open_digest for closed in rounds[-3:]]
    if len(digests) == 3 and digests[0] == digests[2] != digests[1]:  # noqa: PLR2004 - A-B-A
        count = rounds[-1].open
        reasons.append(f"the loop swings: the {count} open findings are those of two reviews ago")
    return ", and ".join(reasons)


def nudge(rounds: tuple[Round, ...], same: int) -> str:
    """
    Say in words what will be no progress if the next review is like the last, or "".

    Args:
        rounds: Accepted reviews since the start or the last resume, oldest first.
        same: As `is_stuck` takes it; where it is 2, nothing can be told so early.
    """
    return ", and ".join(_evidence(rounds, same - 1)) if same > 2 else ""  # noqa: PLR2004 - pairs


def _evidence(rounds: tuple[Round, ...], same: int) -> list[str]:
    """What shows over *same* reviews that nothing moves."""
    last = rounds[-same:]
    if len(last) < same:
        return []
    reasons = []
    if len({closed.open_digest for closed in last}) == 1:
        reasons.append(f"the same {last[-1].open} findings were open after {same} reviews in a row")
    if last[-1].tree and len({closed.tree for closed in last}) == 1:
        reasons.append(f"the work tree was the same at {same} reviews in a row")
    times = last[-1].most_returned
    if times >= same:
        reasons.append(f"a finding came back {times} times after it was gone")
    return reasons
