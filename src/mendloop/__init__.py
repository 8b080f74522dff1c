"""
mendloop keeps the state of agent remediation loops: exactly once, losing nothing.

The names below are the public interface. Each is imported when it is first asked for, so that a
program pays for what it uses.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mendloop.core.decide import decide
    from mendloop.core.errors import (
        DeserializationError,
        LeaseHeld,
        LeaseLost,
        MaxIterationsReached,
        OutcomeUnknown,
        ReadOnlyState,
        RevisionConflict,
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
    from mendloop.core.vocabulary import IssueType, Severity, Status
    from mendloop.manager import StateManager
    from mendloop.stores.sqlite import open_sqlite

__version__ = "0.1.0"

__all__ = [
    "DeserializationError",
    "FeedbackEntry",
    "Finding",
    "IssueType",
    "LeaseHeld",
    "LeaseLost",
    "MaxIterationsReached",
    "OutcomeUnknown",
    "ReadOnlyState",
    "RemediationState",
    "RevisionConflict",
    "Settings",
    "Severity",
    "StateError",
    "StateExists",
    "StateManager",
    "StateNotFound",
    "Status",
    "StoreError",
    "StoreUnavailable",
    "TaskEnded",
    "TaskPaused",
    "TransitionRefused",
    "ValidationError",
    "decide",
    "open_sqlite",
]

_ELSEWHERE = {
    "FeedbackEntry": "mendloop.core.model",
    "Finding": "mendloop.core.model",
    "IssueType": "mendloop.core.vocabulary",
    "RemediationState": "mendloop.core.model",
    "Settings": "mendloop.core.model",
    "Severity": "mendloop.core.vocabulary",
    "StateManager": "mendloop.manager",
    "Status": "mendloop.core.vocabulary",
    "decide": "mendloop.core.decide",
    "open_sqlite": "mendloop.stores.sqlite",
}
"""Where a name comes from that is not one of `mendloop.core.errors`."""


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'mendloop' has no attribute {name!r}")
    module = importlib.import_module(_ELSEWHERE.get(name, "mendloop.core.errors"))
    return getattr(module, name)
