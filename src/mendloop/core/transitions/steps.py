"""What a run hands in: a step begun, a review, a fix."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mendloop.core.commands import BeginStep, Context, RecordFix, RecordReview
from mendloop.core.compaction import in_order
from mendloop.core.errors import TransitionRefused
from mendloop.core.findings import Report
from mendloop.core.model import Ledger, RemediationState
from mendloop.core.progress import Round, Source, Step
from mendloop.core.tips import commit_name, is_older
from mendloop.core.transitions.ledger import (
    merge_reports,
    most_returned,
    open_digest,
    reviewer_name,
)
from mendloop.core.transitions.matching import History
from mendloop.core.transitions.outcome import (
    Transition,
    check_holder,
    ledger_of,
    refuse_unless_running,
    require,
    revise,
    with_error,
)
from mendloop.core.vocabulary import StepKind

__all__ = ["begin_step", "record_fix", "record_review"]

ROUNDS_KEPT = 20
"""The head keeps this many reviews, or as many as tell no progress; the history has them all."""

_OFTEN_COUNTED = ("new", "resolved", "reopened")
_SELDOM_COUNTED = ("set_aside", "reworded", "outdated")
"""Told where there are any."""

_replace = msgspec.structs.replace


def begin_step(state: RemediationState | None, command: BeginStep, context: Context) -> Transition:
    """
    Keep when and on which tree a step begins.

    A step that a killed run had begun keeps its own beginning: the tree as it was before the
    fixer first touched it.
    """
    state, ledger = _held(state, command.generation, context)
    refuse_unless_running(state, ledger)
    step = ledger.step or Step(kind=command.kind)
    if step.kind is not command.kind:
        raise TransitionRefused(
            f"task {state.task_id} waits for a {step.kind}, not for a {command.kind}",
            task_id=state.task_id,
        )
    if step.begun_at is not None:
        return Transition(state=state, is_changed=False)
    ledger = _replace(ledger, step=_replace(step, begun_at=context.now, tree=command.tree))
    return Transition(
        state=revise(state, ledger, last_update=context.now),
        facts={"step": command.kind, "iteration": state.iteration, "tree": command.tree},
    )


def record_review(
    state: RemediationState | None, command: RecordReview, context: Context
) -> Transition:
    """
    Take a review in, also while the task is paused: an accepted result is never lost.

    A report that is cut or failed adds what it found and resolves nothing; one of an older commit
    than the tip counts as failed. Where such a review found something that is open, the fix is
    next: what it found is real. Else it is a failed attempt.
    """
    state, ledger = _held(state, command.generation, context)
    step = _begun(state, ledger, StepKind.REVIEW)
    command = _replace(command, tree=context.redact(command.tree))
    reports = [_judged(report, ledger) for report in command.reports]
    entries, sealed, tally = merge_reports(state, reports, context, tree=command.tree)
    problems = [f"{r.reviewer}: {r.problem}" for r in reports if not r.is_complete]
    sources = _sources(state, ledger, reports, context)
    ledger = _replace(ledger, sources=sources, findings=sealed)
    result = {"iteration": state.iteration, "open": sum(not e.resolved for e in entries)}
    result |= {name: getattr(tally, name) for name in _OFTEN_COUNTED}
    facts: dict[str, object] = dict(result)
    facts |= {name: count for name in _SELDOM_COUNTED if (count := getattr(tally, name))}
    errors = state.error_messages
    for problem in problems:
        errors = with_error(_replace(state, error_messages=errors), problem, context)
        facts["problem"] = errors[-1]
    if problems and not tally.acted_on:
        ledger = _failed(ledger, step)
    else:
        closed = Round(
            iteration=state.iteration,
            at=context.now,
            open=result["open"],
            new=tally.new,
            resolved=tally.resolved,
            reopened=tally.reopened,
            open_digest=open_digest(entries),
            most_returned=most_returned(entries, context.now),
            tree=command.tree,
            is_complete=not problems,
        )
        ledger = _closed(ledger, closed)
        facts |= {"tree": command.tree, "open_digest": closed.open_digest}
    written = {"feedback_history": entries, "error_messages": errors}
    state = revise(state, ledger, **written, last_update=context.now)
    return Transition(state=state, result=result, facts=facts)


def record_fix(state: RemediationState | None, command: RecordFix, context: Context) -> Transition:
    """Take in how the fixer ended, also while the task is paused."""
    state, ledger = _held(state, command.generation, context)
    step = _begun(state, ledger, StepKind.FIX)
    result = {"is_tree_changed": command.tree != step.tree}
    facts: dict[str, object] = result | {"iteration": state.iteration, "tree": command.tree}
    if command.problem:
        errors = with_error(state, f"fix: {command.problem}", context)
        state = revise(state, _failed(ledger, step), error_messages=errors, last_update=context.now)
        return Transition(state=state, result=result, facts=facts | {"problem": errors[-1]})
    ledger = _replace(ledger, step=Step(kind=StepKind.REVIEW), is_fix_done=True)
    entries = state.feedback_history
    if result["is_tree_changed"]:
        history = History(state, context, tree=command.tree)
        history.read_open()
        facts["addressed"] = history.address(step.begun_at)
        entries = in_order(history.entries)
        ledger = _replace(ledger, findings=history.sealed)
    state = revise(state, ledger, feedback_history=entries, last_update=context.now)
    return Transition(state=state, result=result, facts=facts)


def _judged(report: Report, ledger: Ledger) -> Report:
    """The report, as one that failed where it is of an older commit: what it lacks is no news."""
    commit = commit_name(report.commit)
    if not is_older(commit, ledger.tips):
        return report
    late = f"it reviewed commit {commit}, and the change is at {ledger.tips[-1].commit} since"
    problem = "; ".join(filter(None, (report.problem, late)))
    return _replace(report, is_complete=False, problem=problem)


def _held(
    state: RemediationState | None, generation: int, context: Context
) -> tuple[RemediationState, Ledger]:
    state = require(state, context)
    ledger = ledger_of(state, context)
    check_holder(state, ledger, generation, context)
    return state, ledger


def _begun(state: RemediationState, ledger: Ledger, kind: StepKind) -> Step:
    step = ledger.step
    if step is None or step.kind is not kind or step.begun_at is None:
        raise TransitionRefused(
            f"task {state.task_id} has no {kind} under way: its result was not written",
            task_id=state.task_id,
        )
    return step


def _closed(ledger: Ledger, closed: Round) -> Ledger:
    """The review is over, and what to do next is to be decided."""
    kept = max(ROUNDS_KEPT, ledger.settings.no_progress_rounds)
    return _replace(ledger, step=None, rounds=(*ledger.rounds, closed)[-kept:])


def _failed(ledger: Ledger, step: Step) -> Ledger:
    """The next attempt begins anew, on the tree as it is then."""
    return _replace(ledger, step=Step(kind=step.kind, failures=step.failures + 1))


def _sources(
    state: RemediationState, ledger: Ledger, reports: Iterable[Report], context: Context
) -> dict[str, Source]:
    sources = dict(ledger.sources)
    for report in reports:
        name = reviewer_name(report.reviewer, context)
        form = context.redact(report.format)
        known = sources.get(name, Source(format=form))
        if report.is_complete:
            known = _replace(known, format=form, last_complete_iteration=state.iteration)
        sources[name] = known
    return sources
