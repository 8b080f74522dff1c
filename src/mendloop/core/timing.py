"""How long iterations took, as a task's commits tell it."""

from __future__ import annotations

from array import array
from datetime import datetime

from mendloop.core.model import Change, Commit

__all__ = ["Stopwatch", "begins_iteration"]

_STEP_ENDS = frozenset({"record_review", "record_fix", "stop"})


def begins_iteration(change: Change) -> bool:
    """Whether an iteration began by *change*: one that the limit forbids is a change as well."""
    return change.do == "increment" and "limit" in change.facts


class Stopwatch:
    """
    Measures the iterations of one task: each from its beginning until its last step was recorded.

    Pauses and interruptions in between count. A stop that cut a step off ends it too. An iteration
    without a recorded step, or whose beginning is missing, is not measured.

    Attributes:
        laps: Seconds of each iteration that was measured, in order.
    """

    def __init__(self) -> None:
        """Begin before the first commit."""
        self.laps = array("d")
        self._number = 0
        self._began_at: datetime | None = None
        self._has_lap = False
        self._is_in_step = False

    @property
    def seconds(self) -> float:
        """Those of the iteration that began last; 0 while nothing was recorded in it."""
        return self.laps[-1] if self._has_lap else 0.0

    def take_up(self, commit: Commit) -> bool:
        """Go on with the changes of *commit*; tells whether commits before it are missing."""
        has_gap = commit.number != self._number + 1
        self._number = commit.number
        if has_gap:
            self._began_at, self._has_lap = None, False
        return has_gap

    def see(self, at: datetime, change: Change) -> None:
        """Take in one change of the commit that was taken up last."""
        if begins_iteration(change):
            self._began_at, self._has_lap = at, False
        elif change.do == "begin_step":
            self._is_in_step = True
        elif change.do in _STEP_ENDS:
            if change.do != "stop" or self._is_in_step:
                self._lap(at)
            self._is_in_step = False

    def _lap(self, at: datetime) -> None:
        if self._began_at is None:
            return
        seconds = (at - self._began_at).total_seconds()
        if self._has_lap:
            self.laps[-1] = seconds
        else:
            self.laps.append(seconds)
            self._has_lap = True
