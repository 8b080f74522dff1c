"""
mendloop keeps the state of agent remediation loops: exactly once, losing nothing.

The names below are the public interface. Each is imported when it is first asked for, so that a
program pays for what it uses.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mendloop.core.decide import Ended, Finish, StartIteration, Take, Wait, decide
    from mendloop.core.errors import (
        DeserializationError,
        HistoryDamaged,
        LeaseHeld,
        LeaseLost,
        MaxIterationsReached,
        OutcomeUnknown,
        ReadOnlyState,
        RevisionConflict,
        StateDeleted,
        StateError,
        StateExists,
        StateNotFound,
        StoreError,
        StoreUnavailable,
        TaskEnded,
        TaskPaused,
        TransitionRefused,
        ValidationError,
    )
    from mendloop.core.model import FeedbackEntry, Finding, RemediationState, Settings
    from mendloop.core.vocabulary import (
        CommentEvent,
        IssueType,
        Severity,
        Status,
        StepKind,
        StopReason,
    )
    from mendloop.findings import FindingsPage, Which
    from mendloop.intake.recognise import read_report
    from mendloop.kube.access import load_access
    from mendloop.lease import RunLease
    from mendloop.manager import StateManager
    from mendloop.runners.identity import this_process
    from mendloop.stores.configmap import open_configmaps
    from mendloop.stores.sqlite import open_sqlite

__version__ = "0.1.0"

__all__ = [
    "CommentEvent",
    "DeserializationError",
    "Ended",
    "FeedbackEntry",
    "Finding",
    "FindingsPage",
    "Finish",
    "HistoryDamaged",
    "IssueType",
    "LeaseHeld",
    "LeaseLost",
    "MaxIterationsReached",
    "OutcomeUnknown",
    "ReadOnlyState",
    "RemediationState",
    "RevisionConflict",
    "RunLease",
    "Settings",
    "Severity",
    "StartIteration",
    "StateDeleted",
    "StateError",
    "StateExists",
    "StateManager",
    "StateNotFound",
    "Status",
    "StepKind",
    "StopReason",
    "StoreError",
    "StoreUnavailable",
    "Take",
    "TaskEnded",
    "TaskPaused",
    "TransitionRefused",
    "ValidationError",
    "Wait",
    "Which",
    "decide",
    "load_access",
    "open_configmaps",
    "open_sqlite",
    "read_report",
    "this_process",
]

_ELSEWHERE = {
    "CommentEvent": "mendloop.core.vocabulary",
    "Ended": "mendloop.core.decide",
    "FeedbackEntry": "mendloop.core.model",
    "Finding": "mendloop.core.model",
    "FindingsPage": "mendloop.findings",
    "Finish": "mendloop.core.decide",
    "IssueType": "mendloop.core.vocabulary",
    "RemediationState": "mendloop.core.model",
    "RunLease": "mendloop.lease",
    "Settings": "mendloop.core.model",
    "Severity": "mendloop.core.vocabulary",
    "StartIteration": "mendloop.core.decide",
    "StateManager": "mendloop.manager",
    "Status": "mendloop.core.vocabulary",
    "StepKind": "mendloop.core.vocabulary",
    "StopReason": "mendloop.core.vocabulary",
    "Take": "mendloop.core.decide",
    "Wait": "mendloop.core.decide",
    "Which": "mendloop.findings",
    "decide": "mendloop.core.decide",
    "load_access": "mendloop.kube.access",
    "open_configmaps": "mendloop.stores.configmap",
    "open_sqlite": "mendloop.stores.sqlite",
    "read_report": "mendloop.intake.recognise",
    "this_process": "mendloop.runners.identity",
}
"""Where a name comes from that is not one of `mendloop.core.errors`."""


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'mendloop' has no attribute {name!r}")
    module = importlib.import_module(_ELSEWHERE.get(name, "mendloop.core.errors"))
    return getattr(module, name)
