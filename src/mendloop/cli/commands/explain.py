"""`mendloop explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mendloop.cli.options import shared_options, task_argument
from mendloop.cli.session import Session

if TYPE_CHECKING:
    from mendloop.cli.story import IterationStory, Moment, Story
    from mendloop.core.errors import HistoryDamaged
    from mendloop.core.model import Commit, RemediationState
    from mendloop.manager import StateManager

__all__ = ["explain"]

_FINDINGS_SHOWN = 5
_TREE_SHOWN = 19


@click.command
@task_argument
@shared_options
@click.pass_obj
def explain(session: Session, task_id: str) -> None:
    """Say in words where a task is and why: each iteration, who did what, what to do next."""
    from mendloop.cli.composition import with_manager
    from mendloop.cli.printing import emit

    told = with_manager(session, lambda manager: _read(manager, task_id))
    emit(session, _data(session, told), lambda: _show(session, told))
    if told.gaps:
        raise told.gaps[0]


class _Told(NamedTuple):
    """What there is to say of a task."""

    state: RemediationState
    obstacle: str
    story: Story
    gaps: list[HistoryDamaged]


async def _read(manager: StateManager, task_id: str) -> _Told:
    from mendloop.cli.commands.show import task_or_fail
    from mendloop.cli.story import tell

    task, state = await task_or_fail(manager, task_id)
    commits, gaps = await _readable(manager, state)
    return _Told(state, task.obstacle, tell(commits), gaps)


async def _readable(
    manager: StateManager, state: RemediationState
) -> tuple[list[Commit], list[HistoryDamaged]]:
    """Read the commits that can be read, and tell the gaps between them."""
    from mendloop.core.errors import HistoryDamaged

    commits: list[Commit] = []
    gaps: list[HistoryDamaged] = []
    while True:
        after = gaps[-1].last if gaps else 0
        try:
            async for commit in manager.commits(state, after=after):
                commits.append(commit)  # noqa: PERF401 - those before a gap are kept
        except HistoryDamaged as gap:
            gaps.append(gap)
        else:
            return commits, gaps


def _data(session: Session, told: _Told) -> dict[str, Any]:
    from mendloop.cli import words

    state, obstacle, story, gaps = told
    ledger = state.ledger
    return {
        "task_id": state.task_id,
        "status": state.status,
        "phase": ledger.phase,
        "stop_reason": ledger.stop_reason,
        "why": _why(state),
        "iteration": state.iteration,
        "max_iterations": ledger.settings.max_iterations,
        "open": words.count_open(state),
        "last_update": state.last_update,
        "holder": words.holder_words(ledger.lease),
        "work_tree": ledger.lease.tree,
        "before": story.before,
        "unplaced": story.unplaced,
        "iterations": story.iterations,
        "no_progress": _standstill(state),
        "reviews": ledger.rounds,
        "missing_commits": [{"first": gap.first, "last": gap.last} for gap in gaps],
        "writes_refused": obstacle,
        "next": _next(session, told),
    }


def _why(state: RemediationState) -> str:
    from mendloop.cli import words

    ledger = state.ledger
    if not state.mendloop:
        return "another program wrote this state, and keeps no reasons"
    if ledger.pause is not None:
        return f"paused by {ledger.pause.by}: {ledger.pause.reason}"
    if state.status.is_ended:
        return ledger.stop_detail or f"it ended: {ledger.stop_reason or state.status}"
    if ledger.lease.holder is not None:
        since = ledger.lease.acquired_at
        when = f", begun {words.time_words(since)}" if since else ""
        is_gone = words.is_gone(ledger.lease)
        verb = "its run ended without a word" if is_gone else "a run is under way"
        return f"{verb}: {words.holder_words(ledger.lease)}{when}"
    if ledger.step is None:
        return "no iteration was begun yet" if state.iteration == 0 else "nobody runs it now"
    failed = f", {ledger.step.failures} attempts failed" if ledger.step.failures else ""
    begun = "was begun and not ended" if ledger.step.begun_at else "is to be done"
    return f"nobody runs it now: its {ledger.step.kind} {begun}{failed}"


def _standstill(state: RemediationState) -> str:
    """What shows that nothing moves, or soon will; or ""."""
    from mendloop.core.decide import is_stuck, nudge

    rounds, same = state.ledger.rounds, state.ledger.settings.no_progress_rounds
    return is_stuck(rounds, same) or nudge(rounds, same)


def _show_standstill(state: RemediationState) -> None:
    from mendloop.cli.printing import cell, print_line

    reason = _standstill(state)
    if not reason:
        return
    print_line()
    print_line(f"No progress: {reason}.")
    for done in state.ledger.rounds[-state.ledger.settings.no_progress_rounds :]:
        tree = f", work tree {cell(done.tree[:_TREE_SHOWN])}" if done.tree else ""
        print_line(
            f"  Iteration {done.iteration}: {done.open} open (set {cell(done.open_digest)}), "
            f"{done.new} new, {done.resolved} resolved, {done.reopened} came back{tree}"
        )


def _next(session: Session, told: _Told) -> str:
    from mendloop.cli import words

    if told.obstacle:
        return "put right what stands in the way of writes"
    return words.advice(session, told.state)


def _show(session: Session, told: _Told) -> None:
    from mendloop.cli import words
    from mendloop.cli.printing import cell, print_line

    state, obstacle, story, gaps = told
    counts = words.count_open(state)
    print_line(
        f"Task {state.task_id} is {words.what_it_does(state)}, at iteration {state.iteration} of "
        f"at most {state.ledger.settings.max_iterations}; open: {words.open_words(counts)}."
    )
    print_line(f"Why: {_why(state)}.")
    print_line(f"Last update: {words.time_words(state.last_update)}.")
    if state.ledger.lease.tree:
        print_line(f"Work tree: {cell(state.ledger.lease.tree)}.")
    if obstacle:
        print_line(f"Every write is refused: {obstacle}.")
    for gap in gaps:
        print_line(f"Missing below: what commits {gap.first} to {gap.last} did. {gap}.")
    for heading, moments in (
        ("Before the first iteration", story.before),
        ("In iterations whose beginning is missing", story.unplaced),
    ):
        if moments:
            print_line()
            print_line(heading)
            _show_moments(moments)
    for iteration in story.iterations:
        print_line()
        _show_iteration(iteration)
    _show_standstill(state)
    _show_open(session, state)
    print_line()
    print_line(f"Next: {_next(session, told) or 'nothing, it is done'}.")


def _show_iteration(story: IterationStory) -> None:
    from mendloop.cli import words
    from mendloop.cli.printing import print_line

    took = f", took {story.seconds:.1f} s" if story.seconds else ""
    print_line(f"Iteration {story.iteration}, {words.time_words(story.started_at)}{took}")
    _show_moments(story.moments)


def _show_moments(moments: list[Moment]) -> None:
    from mendloop.cli import words
    from mendloop.cli.printing import cell, print_line

    for moment in moments:
        is_start = moment.what.startswith("iteration ")
        by = f", by {moment.by}" if moment.is_from_outside or is_start else ""
        print_line(f"  {words.local_time(moment.at)[11:]}  {cell(moment.what)}{by}")


def _show_open(session: Session, state: RemediationState) -> None:
    from mendloop.cli import words
    from mendloop.cli.printing import cell, print_line
    from mendloop.core.transitions.ledger import open_entries

    entries = open_entries(state.feedback_history)
    if not entries:
        return
    print_line()
    print_line(f"Open, the worst first ({state.open_total}):")
    for entry in entries[:_FINDINGS_SHOWN]:
        where = words.place_words(entry)
        what = cell(entry.description.split("\n")[0])
        returned = entry.mendloop.times_returned if entry.mendloop else 0
        again = f"  (came back {returned} times)" if returned else ""
        print_line(f"  {entry.severity}  {f'{where}  ' if where else ''}{what}{again}")
    more = state.open_total - len(entries[:_FINDINGS_SHOWN])
    if more:
        print_line(f"  {words.more_open(session, state, more)}")
