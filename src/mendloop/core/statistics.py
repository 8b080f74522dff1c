"""Statistics of many tasks: what became of them, what it took, and their findings."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from mendloop.core.lives import life_of
from mendloop.core.model import Commit, FeedbackEntry, RemediationState
from mendloop.core.timing import Stopwatch
from mendloop.core.vocabulary import Life, Severity, Status, StopReason

__all__ = ["Statistics", "Summary", "Tally", "TaskTally", "Unread", "summary"]

_NO_REASON = "unknown"
"""Stands for why a task ended where the program that ended it keeps no reasons."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """
    What there is to say of many figures; all but *count* is None where there are none.

    Attributes:
        count: How many figures.
        mean: Their mean.
        median: The least of them that half of them do not exceed.
        p90: The least of them that nine tenths of them do not exceed.
        largest: The largest.
    """

    count: int = 0
    mean: float | None = None
    median: float | None = None
    p90: float | None = None
    largest: float | None = None


class Unread(msgspec.Struct, frozen=True):
    """A task that could not be read, or the name of what is none, and why."""

    task_id: str
    why: str


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """
    What became of the tasks of a store.

    Each task is counted, or deleted, or unread. What is told of tasks is told of those that are
    counted.

    Attributes:
        tasks: How many are counted.
        deleted: How many are deleted and can be restored, or are being removed.
        unread: Those that are damaged, or were written by a newer version.
        statuses: Tasks by status.
        stop_reasons: Tasks that have ended, by why; "unknown" where another program ended them.
        success_rate: The share of Completed among those that have ended; None where none has.
        iterations_to_completion: Of the Completed ones: how many iterations each took.
        iteration_seconds: How long each iteration took in which a step was recorded.
        findings: All of them, by severity and then by life.
        stored_bytes: Of all that is stored, whosever it is, by kind, and in "total".
    """

    tasks: int
    deleted: int
    unread: tuple[Unread, ...]
    statuses: dict[str, int]
    stop_reasons: dict[str, int]
    success_rate: float | None
    iterations_to_completion: Summary
    iteration_seconds: Summary
    findings: dict[str, dict[str, int]]
    stored_bytes: dict[str, int]


class TaskTally:
    """What one task adds, while its findings and commits are read one by one."""

    def __init__(self, state: RemediationState) -> None:
        """Begin with *state*; what it has of findings and commits is still to be added."""
        self.state = state
        self.findings: Counter[tuple[Severity, Life]] = Counter()
        self._watch = Stopwatch()

    @property
    def iteration_seconds(self) -> Sequence[float]:
        """How long its iterations took."""
        return self._watch.laps

    def add_finding(self, entry: FeedbackEntry) -> None:
        """Count a finding."""
        self.findings[entry.severity, life_of(entry)] += 1

    def add_commit(self, commit: Commit) -> None:
        """Take the next commit in."""
        self._watch.take_up(commit)
        for change in commit.changes:
            self._watch.see(commit.at, change)


class Tally:
    """
    Counts tasks one after another, and keeps none of them.

    Attributes:
        deleted: See `Statistics`; to be raised for each.
    """

    def __init__(self) -> None:
        """Begin at nothing."""
        self.deleted = 0
        self._unread: list[Unread] = []
        self._statuses: Counter[Status] = Counter()
        self._reasons: Counter[str] = Counter()
        self._iterations = array("L")
        self._seconds = array("d")
        self._findings: Counter[tuple[Severity, Life]] = Counter()

    def add_unread(self, task_id: str, why: str) -> None:
        """Name a task that could not be read."""
        self._unread.append(Unread(task_id, why))

    def add(self, task: TaskTally) -> None:
        """Count a task of which all was read."""
        state = task.state
        self._statuses[state.status] += 1
        if state.status.is_ended:
            self._reasons[state.ledger.stop_reason or _NO_REASON] += 1
        if state.status is Status.COMPLETED:
            self._iterations.append(state.iteration)
        self._seconds.extend(task.iteration_seconds)
        self._findings += task.findings

    def statistics(self, stored_bytes: Mapping[str, int]) -> Statistics:
        """Tell the figures; *stored_bytes* are those of each kind of document."""
        ended = sum(count for status, count in self._statuses.items() if status.is_ended)
        reasons = (*map(str, StopReason), _NO_REASON)
        return Statistics(
            tasks=self._statuses.total(),
            deleted=self.deleted,
            unread=tuple(self._unread),
            statuses={str(status): self._statuses[status] for status in Status},
            stop_reasons={reason: self._reasons[reason] for reason in reasons},
            success_rate=self._statuses[Status.COMPLETED] / ended if ended else None,
            iterations_to_completion=summary(self._iterations),
            iteration_seconds=summary(self._seconds),
            findings={
                str(severity): {str(life): self._findings[severity, life] for life in Life}
                for severity in reversed(Severity)
            },
            stored_bytes={**stored_bytes, "total": sum(stored_bytes.values())},
        )


def summary(figures: Sequence[float]) -> Summary:
    """Sum *figures* up."""
    if not figures:
        return Summary()
    ranked = sorted(figures)
    return Summary(
        count=len(ranked),
        mean=math.fsum(ranked) / len(ranked),
        median=_share(ranked, 5),
        p90=_share(ranked, 9),
        largest=ranked[-1],
    )


def _share(ranked: Sequence[float], tenths: int) -> float:
    """The least figure that so many tenths of them do not exceed."""
    return ranked[-(-len(ranked) * tenths // 10) - 1]
