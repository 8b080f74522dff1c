"""What a loop tells whoever watches it; the same on a terminal and as JSON Lines."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from mendloop.core.vocabulary import StepKind

__all__ = [
    "Event",
    "Finished",
    "FixDone",
    "IterationStarted",
    "Observer",
    "Output",
    "ReviewDone",
    "RunStarted",
    "StepStarted",
    "TookOver",
]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """Something that happened in a loop; ``event`` names which."""

    task_id: str


class RunStarted(Event, frozen=True, kw_only=True, tag="run_started"):
    """The loop holds the task and goes on at *iteration*; 0 before the first."""

    iteration: int
    max_iterations: int


class TookOver(Event, frozen=True, kw_only=True, tag="took_over"):
    """Processes that an earlier run had left behind were ended."""

    pids: list[int]


class IterationStarted(Event, frozen=True, kw_only=True, tag="iteration_started"):
    """An iteration was started."""

    iteration: int
    max_iterations: int


class StepStarted(Event, frozen=True, kw_only=True, tag="step_started"):
    """A reviewer or the fixer begins."""

    iteration: int
    step: StepKind
    name: str
    attempt: int


class Output(Event, frozen=True, kw_only=True, tag="output"):
    """One line that a command printed, as it came."""

    name: str
    stream: str
    line: str


class ReviewDone(Event, frozen=True, kw_only=True, tag="review_done"):
    """A review was accepted, or failed with *problem*."""

    iteration: int
    open: int
    new: int
    resolved: int
    reopened: int
    seconds: float
    problem: str = ""


class FixDone(Event, frozen=True, kw_only=True, tag="fix_done"):
    """A fix was accepted, or failed with *problem*."""

    iteration: int
    is_tree_changed: bool
    seconds: float
    problem: str = ""


class Finished(Event, frozen=True, kw_only=True, tag="finished"):
    """
    The loop is over, or waits for a person.

    Attributes:
        reason: A stop reason, or "paused".
    """

    iteration: int
    status: str
    reason: str
    detail: str
    open: int


Observer = Callable[[Event], None]
