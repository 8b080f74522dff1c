"""How far a task is: the step it is in, the reviews it has had and by whom, and whether it is paused."""

from __future__ import annotations

from mendloop.core.carrying import Carrying, Instant
from mendloop.core.vocabulary import StepKind

__all__ = ["Pause", "Round", "Source", "Step"]


class Step(Carrying, frozen=True, kw_only=True):
    """
    The step that the task is in, or waits to start.

    Attributes:
        kind: What is to be done.
        begun_at: When it began, or None where it has not.
        tree: Revision of the work tree when it began, or "".
        failures: Attempts that failed.
    """

    kind: StepKind
    begun_at: Instant | None = None
    tree: str = ""
    failures: int = 0


class Round(Carrying, frozen=True, kw_only=True, omit_defaults=False):
    """
    One accepted review: the evidence for or against progress.

    Attributes:
        iteration: The iteration it closed.
        at: When it was accepted.
        open: Findings open after it.
        new: Findings never seen before.
        resolved: Findings it no longer reports.
        reopened: Findings that came back.
        open_digest: Names the set of open findings.
        most_returned: The most times that one of those that came back did so, in all.
        tree: Revision of the work tree as the review left it, or "".
        is_complete: False where it was cut or failed, and found something all the same.
    """

    iteration: int
    at: Instant
    open: int
    new: int
    resolved: int
    reopened: int
    open_digest: str
    most_returned: int = 0
    tree: str = ""
    is_complete: bool = True


class Source(Carrying, frozen=True, kw_only=True):
    """
    A reviewer that has reported.

    Attributes:
        format: The format it was last read in.
        last_complete_iteration: Where its last complete review was, or None.
    """

    format: str
    last_complete_iteration: int | None = None


class Pause(Carrying, frozen=True, kw_only=True):
    """Who paused the task, why and when."""

    by: str
    reason: str
    at: Instant
