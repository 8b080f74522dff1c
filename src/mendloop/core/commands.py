"""
Everything that can be asked of a task.

A command is plain data. `mendloop.core.transitions` says what each does to a state; nothing else
changes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from mendloop.core.findings import Report
from mendloop.core.model import FeedbackEntry, RemediationState, Settings
from mendloop.core.run import Child, Holder
from mendloop.core.shelf import Shelf
from mendloop.core.text import Redactor
from mendloop.core.vocabulary import CommentEvent, Life, StepKind, StopReason

__all__ = [
    "AcquireLease",
    "AppendFeedback",
    "BeginRemoval",
    "BeginStep",
    "Bury",
    "Command",
    "Compress",
    "Configure",
    "Context",
    "Create",
    "Delete",
    "EndHold",
    "Finish",
    "Hold",
    "Increment",
    "Judge",
    "Order",
    "Pause",
    "PutState",
    "RecordChild",
    "RecordComment",
    "RecordFix",
    "RecordReview",
    "RecordTip",
    "Recover",
    "ReleaseLease",
    "RenewLease",
    "Restore",
    "Resume",
    "Stop",
]


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a transition may know besides the state.

    Attributes:
        task_id: The task, for one that has no state yet.
        now: The time of the decision, UTC.
        op_id: The operation.
        by: Who asks.
        door: How it came in.
        token: Fresh and random; names a new incarnation.
        redact: Takes secrets out of text.
        sealed: The findings that are not in the head.
        labels: What the head is labelled with, by whomever.
        run: Token of the run that asks, or "": then its generation alone says whether it is the holder.
    """

    task_id: str
    now: datetime
    op_id: str
    by: str
    door: str
    token: str
    redact: Redactor
    sealed: Shelf
    labels: Mapping[str, str] = {}
    run: str = ""


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """Make a task that is not there yet."""

    settings: Settings = Settings()


class Configure(msgspec.Struct, frozen=True, kw_only=True):
    """Change when the loop stops; by the run of *generation*."""

    settings: Settings
    generation: int


class Increment(msgspec.Struct, frozen=True, kw_only=True):
    """Start the next iteration; a *generation* says that a run does it."""

    generation: int | None = None
    max_iterations: int | None = None


class AppendFeedback(msgspec.Struct, frozen=True, kw_only=True):
    """Add findings that a person or another program brings, seen on *commit* where that is known."""

    entries: tuple[FeedbackEntry, ...]
    commit: str = ""


class RecordTip(msgspec.Struct, frozen=True, kw_only=True):
    """
    Say which commit the change is at.

    Attributes:
        commit: Its full name.
        at: When the forge said so, by its own clock; None for now.
    """

    commit: str
    at: datetime | None = None


class RecordComment(msgspec.Struct, frozen=True, kw_only=True):
    """
    Tell of a comment that was created, edited or deleted where it was written.

    Attributes:
        entry: The comment as it is then, with its id and author.
        event: What happened.
        at: When, by the source's clock.
        by: Who did it, or "" for its author.
        commit: The commit that it is about, or "".
        is_bot: Whether a program wrote it; None for what answers nobody, such as a check.
    """

    entry: FeedbackEntry
    event: CommentEvent
    at: datetime
    by: str = ""
    commit: str = ""
    is_bot: bool | None = None


class Judge(msgspec.Struct, frozen=True, kw_only=True):
    """
    Say what became of findings, as a person.

    Attributes:
        life: `VERIFIED`, `DISMISSED`, `DEFERRED` or `REOPENED`.
        names: Comment ids or fingerprints; of an open finding, or one that the head has, so much of
            it that no other begins with it.
        reason: Why.
    """

    life: Life
    names: tuple[str, ...]
    reason: str


class Compress(msgspec.Struct, frozen=True, kw_only=True):
    """Move all findings out of the head but the worst open ones and the latest."""


class PutState(msgspec.Struct, frozen=True, kw_only=True):
    """Write a whole state that was read before and changed by the caller."""

    state: RemediationState


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Let the step in progress end, and start no other."""

    reason: str


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """Go on with a paused or ended task, if asked with a higher limit."""

    max_iterations: int | None = None


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """End the task for good; a run that holds it can write no more."""

    reason: str


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody orders from outside: done once, however often and late it is sent."""

    order: Pause | Resume | Stop


class BeginStep(msgspec.Struct, frozen=True, kw_only=True):
    """Say that a step begins, on this revision of the work tree."""

    generation: int
    kind: StepKind
    tree: str


class RecordReview(msgspec.Struct, frozen=True, kw_only=True):
    """Hand in what the reviewers said, and the revision of the work tree that they left."""

    generation: int
    reports: tuple[Report, ...]
    tree: str = ""


class RecordFix(msgspec.Struct, frozen=True, kw_only=True):
    """Hand in how the fixer ended; *problem* is "" where it went well."""

    generation: int
    tree: str
    problem: str = ""


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """End the task as `mendloop.core.decide.decide` said, on this revision of the work tree."""

    generation: int
    reason: StopReason
    detail: str
    tree: str = ""


class AcquireLease(msgspec.Struct, frozen=True, kw_only=True):
    """
    Take the right to run the task.

    Attributes:
        holder: Who takes it.
        ttl_seconds: How long it lasts without a heartbeat.
        boottime_seconds: The holder's boot clock.
        tree: The work tree that it runs in, or "".
        abandoned: (generation, renewals) of a lease that was judged to be abandoned, or None.
    """

    holder: Holder
    ttl_seconds: float
    boottime_seconds: float
    tree: str = ""
    abandoned: tuple[int, int] | None = None


class RenewLease(msgspec.Struct, frozen=True, kw_only=True):
    """Say that the holder lives."""

    generation: int
    boottime_seconds: float


class RecordChild(msgspec.Struct, frozen=True, kw_only=True):
    """Say which process the holder has started, or that it ended."""

    generation: int
    child: Child | None


class ReleaseLease(msgspec.Struct, frozen=True, kw_only=True):
    """Give the right back."""

    generation: int


class Recover(msgspec.Struct, frozen=True, kw_only=True):
    """
    Record that the state was made sound again.

    Attributes:
        repaired: What was wrong, in words.
        lost: What could not be brought back.
        quarantined: Names of the copies of what was damaged.
        source: Name of the copy that the state was restored from, or "".
        missing: Numbers of commits that are not there: the first and the last of each span.
    """

    repaired: tuple[str, ...]
    lost: tuple[str, ...]
    quarantined: tuple[str, ...]
    source: str = ""
    missing: tuple[tuple[int, int], ...] = ()


class Delete(msgspec.Struct, frozen=True, kw_only=True):
    """
    Mark a task that is over as deleted, so that it can be restored.

    Attributes:
        reason: Why.
        untouched_since: Only where nothing happened in the task after this; None for any.
    """

    reason: str
    untouched_since: datetime | None = None


class Restore(msgspec.Struct, frozen=True, kw_only=True):
    """Take a deletion back."""


class BeginRemoval(msgspec.Struct, frozen=True, kw_only=True):
    """Say that a task is now removed that was deleted no later than *deleted_until*."""

    deleted_until: datetime


class Bury(msgspec.Struct, frozen=True, kw_only=True):
    """Say that what is left of a task whose state is gone is now removed."""

    reason: str


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Keep the task from every cleanup."""

    reason: str


class EndHold(msgspec.Struct, frozen=True, kw_only=True):
    """Let cleanups have the task again."""


Command = (
    Create
    | Configure
    | Increment
    | AppendFeedback
    | RecordTip
    | RecordComment
    | Judge
    | Compress
    | PutState
    | Pause
    | Resume
    | Stop
    | Order
    | BeginStep
    | RecordReview
    | RecordFix
    | Finish
    | AcquireLease
    | RenewLease
    | RecordChild
    | ReleaseLease
    | Recover
    | Delete
    | Restore
    | BeginRemoval
    | Bury
    | Hold
    | EndHold
)
