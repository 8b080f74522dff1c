"""What a loop does, in words: a line for each event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mendloop.cli.printing import shown
from mendloop.core.vocabulary import StepKind
from mendloop.events import (
    Event,
    FixDone,
    IterationStarted,
    Output,
    ReviewDone,
    RunStarted,
    StepStarted,
    TookOver,
)

__all__ = ["narrate", "output_lines"]


def narrate(event: Event) -> str:
    """Say *event* in a line; "" for what is told otherwise."""
    say = _SAY.get(type(event))
    return say(event) if say else ""


def _say_run(event: RunStarted) -> str:
    if event.iteration == 0:
        return f"{event.task_id}: begins, with at most {event.max_iterations} iterations"
    at = f"iteration {event.iteration} of at most {event.max_iterations}"
    return f"{event.task_id}: goes on at {at}"


def _say_took_over(event: TookOver) -> str:
    pids = ", ".join(map(str, event.pids))
    return f"ended what an earlier run had left running: process {pids}"


def _say_iteration(event: IterationStarted) -> str:
    return f"iteration {event.iteration} of at most {event.max_iterations}"


def _say_step(event: StepStarted) -> str:
    attempt = f" (attempt {event.attempt})" if event.attempt > 1 else ""
    name = f": {event.name}" if event.step is StepKind.REVIEW else ""
    return f"{event.step}{name}{attempt}"


def _say_fix(event: FixDone) -> str:
    if event.problem:
        return f"fix failed after {event.seconds:.1f} s: {event.problem}"
    changed = "changed the work tree" if event.is_tree_changed else "changed nothing"
    return f"fix {changed} ({event.seconds:.1f} s)"


def output_lines(event: Output) -> str:
    """What a tool printed, without what steers a terminal; no part of it stands without its name."""
    prefix = f"{event.name} | "
    return prefix + shown(event.line).replace("\n", f"\n{prefix}")


def _say_review(event: ReviewDone) -> str:
    took = f"({event.seconds:.1f} s)"
    if event.problem:
        return f"review failed: {event.problem} {took}"
    return (
        f"review: {event.open} open, {event.new} new, {event.resolved} resolved, "
        f"{event.reopened} came back {took}"
    )


_SAY: dict[type[Event], Callable[[Any], str]] = {
    RunStarted: _say_run,
    TookOver: _say_took_over,
    IterationStarted: _say_iteration,
    StepStarted: _say_step,
    ReviewDone: _say_review,
    FixDone: _say_fix,
}
