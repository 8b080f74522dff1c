"""Statistics of any tasks are those that a plain recount gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from states import NOW, entry, state

from mendloop.core.lives import life_of
from mendloop.core.model import (
    COUNT_MOST,
    LEDGER_SCHEMA,
    Change,
    Commit,
    FeedbackEntry,
    Finding,
    Ledger,
    RemediationState,
)
from mendloop.core.statistics import Tally, TaskTally, summary
from mendloop.core.timing import Stopwatch
from mendloop.core.vocabulary import Life, Severity, Status, StopReason

_FIGURES = st.lists(st.integers(0, COUNT_MOST), max_size=40)


class _Task(NamedTuple):
    """A task as it was read, and how long its iterations took."""

    state: RemediationState
    findings: list[FeedbackEntry]
    commits: list[Commit]
    seconds: list[float]


def _change(do: str, **facts: object) -> Change:
    return Change(do=do, op_id="o", by="ann", door="run", facts=dict(facts))


@st.composite
def _histories(draw: st.DrawFn) -> tuple[list[Commit], list[float]]:
    """Commits of one change each, a second or more apart, and what the iterations in them took."""
    commits: list[Commit] = []
    at, took = NOW, list[float]()

    def add(change: Change) -> None:
        nonlocal at
        at += timedelta(seconds=draw(st.integers(1, 9)))
        commits.append(
            Commit(number=len(commits) + 1, id="i", at=at, digest="d", changes=(change,))
        )

    add(_change("create"))
    for number in range(draw(st.integers(0, 4))):
        add(_change("increment", iteration=number + 1, limit=9))
        began, lap = at, None
        for kind in draw(
            st.lists(st.sampled_from(["review", "fix", "stop", "cut", "lease"]), max_size=3)
        ):
            if kind in {"review", "fix"}:
                add(_change("begin_step", step=kind))
                add(_change(f"record_{kind}"))
                lap = (at - began).total_seconds()
            elif kind == "lease":
                add(_change("release_lease", generation=number, renewals=1))
                add(_change("acquire_lease", generation=number + 1, holder="ann"))
            elif kind == "cut":
                add(_change("begin_step", step="review"))
                add(_change("stop", reason="r"))
                lap = (at - began).total_seconds()
            else:
                add(_change("stop", reason="between two steps"))
            add(_change("increment", iteration=number + 1))  # refused: the limit is spent
        took += [] if lap is None else [lap]
    return commits, took


_LEDGERS = st.just(msgspec.UNSET) | st.builds(
    Ledger,
    schema=st.just(LEDGER_SCHEMA),
    min_writer=st.just(LEDGER_SCHEMA),
    incarnation=st.just("abc"),
    stop_reason=st.none() | st.sampled_from(StopReason),
)
_STATES = st.builds(
    state,
    status=st.sampled_from(Status),
    iteration=st.integers(0, COUNT_MOST),
    mendloop=_LEDGERS,
)
_ENTRIES = st.builds(
    entry,
    severity=st.sampled_from(Severity),
    resolved=st.booleans(),
    mendloop=st.just(msgspec.UNSET)
    | st.builds(Finding, fingerprint=st.just("f"), source=st.just("s"), life=st.sampled_from(Life)),
)


@st.composite
def _tasks(draw: st.DrawFn) -> _Task:
    commits, seconds = draw(_histories())
    return _Task(draw(_STATES), draw(st.lists(_ENTRIES, max_size=5)), commits, seconds)


def _within(figures: Sequence[float], share: float) -> float | None:
    """The least of *figures* that so large a share of them does not exceed."""
    enough = [
        one for one in figures if sum(other <= one for other in figures) >= share * len(figures)
    ]
    return min(enough, default=None)


@given(_FIGURES)
def test_a_summary_is_what_a_plain_count_gives(figures: list[int]) -> None:
    """The mean, and the least figures that half and nine tenths of all do not exceed."""
    told = summary(figures)

    assert len(figures) == told.count
    assert (pytest.approx(sum(figures) / len(figures)) if figures else None) == told.mean
    assert _within(figures, 0.5) == told.median
    assert _within(figures, 0.9) == told.p90
    assert max(figures, default=None) == told.largest


@given(st.lists(_tasks(), max_size=6), st.integers(0, 3))
def test_statistics_are_what_a_plain_recount_gives(tasks: list[_Task], deleted: int) -> None:
    """Status, reasons, iterations, seconds and findings of any set of tasks, one added after another."""
    tally = Tally()
    for task in tasks:
        counted = TaskTally(task.state)
        for finding in task.findings:
            counted.add_finding(finding)
        for commit in task.commits:
            counted.add_commit(commit)
        tally.add(counted)
    tally.deleted += deleted
    tally.add_unread("broken", "it is damaged")
    told = tally.statistics({"head": 3, "chunk": 4})

    states = [task.state for task in tasks]
    ended = [
        state for state in states if state.status not in {Status.INITIALIZED, Status.IN_PROGRESS}
    ]
    completed = [state for state in states if state.status == "Completed"]
    lives = Counter((f.severity, life_of(f)) for task in tasks for f in task.findings)
    assert (len(tasks), deleted, ["broken"]) == (
        told.tasks,
        told.deleted,
        [unread.task_id for unread in told.unread],
    )
    assert Counter(state.status for state in states) == Counter(told.statuses)
    assert Counter(state.ledger.stop_reason or "unknown" for state in ended) == Counter(
        told.stop_reasons
    )
    assert (len(completed) / len(ended) if ended else None) == told.success_rate
    assert summary([state.iteration for state in completed]) == told.iterations_to_completion
    assert summary([s for task in tasks for s in task.seconds]) == told.iteration_seconds
    assert {(s, life): lives[s, life] for s in Severity for life in Life} == {
        (Severity(s), Life(life)): count
        for s, by_life in told.findings.items()
        for life, count in by_life.items()
    }
    assert {"head": 3, "chunk": 4, "total": 7} == told.stored_bytes


def test_an_iteration_whose_beginning_is_missing_is_not_measured() -> None:
    """After a gap between the commits nothing is measured before the next iteration begins."""
    watch = Stopwatch()
    changes = [
        _change("increment", iteration=1, limit=9),
        _change("record_review"),
        _change("record_fix"),
        _change("increment", iteration=2, limit=9),
        _change("record_review"),
    ]
    for number, change in enumerate(changes):
        at = NOW + timedelta(seconds=number**2)
        has_gap = watch.take_up(
            Commit(number=number + 1 + (number > 1), id="i", at=at, digest="d", changes=(change,))
        )
        watch.see(at, change)
        assert (number == 2) is has_gap

    assert [1.0, 7.0] == list(watch.laps)
    assert 7.0 == watch.seconds
