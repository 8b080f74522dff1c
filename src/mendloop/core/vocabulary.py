"""The words of a state: status, severity, phase and the like, spelled as they are stored."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "PERSON",
    "CommentEvent",
    "IssueType",
    "Life",
    "Phase",
    "Severity",
    "Status",
    "StepKind",
    "StopReason",
]

PERSON = "person"
"""The source of findings that no reviewer command brought."""


class Status(StrEnum):
    """The specification's five statuses. Never extended: finer truth goes in `Phase`."""

    INITIALIZED = "Initialized"
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    MAX_ITERATIONS_REACHED = "MaxIterationsReached"

    @property
    def is_ended(self) -> bool:
        """Whether only an explicit resume goes on from here."""
        return self in {Status.COMPLETED, Status.FAILED, Status.MAX_ITERATIONS_REACHED}


class Severity(StrEnum):
    """How bad a finding is; `rank` orders them, worst highest."""

    LOW = "Low"
    MEDIUM = "Medium"
    HIGH = "High"
    CRITICAL = "Critical"

    @property
    def rank(self) -> int:
        """0 for Low to 3 for Critical."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class IssueType(StrEnum):
    """What kind of fault a finding is."""

    BUG = "Bug"
    ENHANCEMENT = "Enhancement"
    DOCUMENTATION = "Documentation"
    PERFORMANCE = "Performance"
    SECURITY = "Security"


class Phase(StrEnum):
    """What goes on inside a status."""

    REVIEWING = "Reviewing"
    FIXING = "Fixing"
    PAUSED = "Paused"
    TERMINATED = "Terminated"


class StopReason(StrEnum):
    """Why a task ended."""

    COMPLETED = "completed"
    MAX_ITERATIONS = "max_iterations"
    NO_PROGRESS = "no_progress"
    BUDGET = "budget"
    STEP_FAILED = "step_failed"
    TERMINATED = "terminated"


class StepKind(StrEnum):
    """The two steps that an iteration is made of."""

    REVIEW = "review"
    FIX = "fix"


class CommentEvent(StrEnum):
    """What its source says of a comment."""

    CREATED = "created"
    EDITED = "edited"
    DELETED = "deleted"


class Life(StrEnum):
    """
    What became of a finding.

    `ADDRESSED` says that a fix has changed the work tree since it was last reported, `VERIFIED` that
    a complete review no longer reports it, or a person says that it is gone. What is `DISMISSED` or
    `DEFERRED` was set aside by a person, and stays so whatever a tool reports. What is `OUTDATED` was
    only ever reported about a commit that was not the tip any more: it waits to be reported again.
    """

    OPEN = "open"
    ADDRESSED = "addressed"
    VERIFIED = "verified"
    REOPENED = "reopened"
    DISMISSED = "dismissed"
    DEFERRED = "deferred"
    OUTDATED = "outdated"

    @property
    def is_open(self) -> bool:
        """Whether a finding of this life counts as open."""
        return self in {Life.OPEN, Life.ADDRESSED, Life.REOPENED}

    @property
    def is_set_aside(self) -> bool:
        """Whether only a person may open it again."""
        return self in {Life.DISMISSED, Life.DEFERRED}
