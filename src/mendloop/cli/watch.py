"""Telling what a loop does while it runs: as plain lines, or as JSON Lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from mendloop.cli.printing import as_json_line, shown
from mendloop.cli.session import Session
from mendloop.cli.streams import forget_stdout
from mendloop.core.codec import rfc3339
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

__all__ = ["Watcher", "narrate", "output_lines", "watcher_for"]


class Watcher(Protocol):
    """An observer with a beginning and an end."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""

    def __call__(self, event: Event) -> None:
        """Show *event*."""


def watcher_for(session: Session) -> Watcher:
    """The watcher that fits where standard output goes."""
    if session.output == "json":
        return _Lines(_json_line)
    if session.is_terminal:
        from mendloop.cli.live import LiveView

        return LiveView()
    return _Lines(_plain_line)


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


class _Lines:
    """
    Writes a line for each event.

    Where the reader has gone the loop goes on without: it is work, not a listing. Where nothing can
    be written any more it ends: nobody would know what it did.
    """

    def __init__(self, line_of: Callable[[Event], bytes]) -> None:
        self._line_of = line_of

    def __enter__(self) -> Self:
        sys.stdout.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sys.stdout.flush()

    def __call__(self, event: Event) -> None:
        line = self._line_of(event)
        if not line:
            return
        try:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            forget_stdout()
        except OSError as error:
            forget_stdout()
            reason = f"standard output cannot be written: {error.strerror}"
            raise OSError(error.errno, reason) from error


def _json_line(event: Event) -> bytes:
    members = msgspec.to_builtins(event)
    kind = members.pop("event")
    return as_json_line({"event": kind, "at": rfc3339(datetime.now(UTC)), **members})


def _plain_line(event: Event) -> bytes:
    if isinstance(event, Output):
        text = output_lines(event)
    else:
        text = " ".join(shown(narrate(event)).split())
    if not text:
        return b""
    return f"{text}\n".encode(sys.stdout.encoding or "utf-8", errors="backslashreplace")
