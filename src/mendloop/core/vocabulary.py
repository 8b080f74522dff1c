"""The words of a state: status, severity, phase and the like, spelled as they are stored."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["IssueType", "Life", "Phase", "Severity", "Status", "StepKind", "StopReason"]


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


class Life(StrEnum):
    """What became of a finding."""

    OPEN = "open"
    VERIFIED = "verified"
    REOPENED = "reopened"
