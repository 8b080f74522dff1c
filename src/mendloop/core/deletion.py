"""
What becomes of a task that is over, as it is stored, and the rules for when a cleanup may take it.

The transitions are in `mendloop.core.transitions.deletion`; `mendloop.cleanup` looks for what is due.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from mendloop.core.carrying import Carrying, Instant
from mendloop.core.vocabulary import Status

if TYPE_CHECKING:
    from mendloop.core.model import RemediationState

__all__ = ["HOLD_LABEL", "Deletion", "Hold", "Standing", "is_over", "standing", "untouched_since"]

HOLD_LABEL = "hold"
"""A label of the head: with any value, it keeps the task as a `Hold` does."""


class Hold(Carrying, frozen=True, kw_only=True):
    """Who wants the task kept for ever, why and since when."""

    by: str
    reason: str
    at: Instant


class Deletion(Carrying, frozen=True, kw_only=True):
    """
    Who deleted the task, why and when.

    Attributes:
        by: Who.
        reason: Why.
        at: When; the grace counts from here.
        is_final: Whether its removal has begun: from then on it cannot be restored.
    """

    by: str
    reason: str
    at: Instant
    is_final: bool = False


class Standing(StrEnum):
    """
    What a cleanup has to do with a task.

    Attributes:
        KEPT: Nothing.
        HELD: Nothing, ever, though it is over and past retention.
        STALE: Nothing: it is under way, but nothing has happened for longer than retention.
        TO_DELETE: It is over, and past retention.
        TO_REMOVE: It was deleted, and is past the grace.
        HALF_REMOVED: Its removal was begun, and is to be finished.
    """

    KEPT = "kept"
    HELD = "held"
    STALE = "stale"
    TO_DELETE = "to delete"
    TO_REMOVE = "to remove"
    HALF_REMOVED = "half removed"


def standing(
    state: RemediationState,
    labels: Mapping[str, str],
    *,
    retained_from: datetime,
    graced_from: datetime,
) -> Standing:
    """
    Say what a cleanup has to do with a task.

    Times in the state are compared with the cleanup's own clock: one that lies ahead of it is never
    old.

    Args:
        state: The task's.
        labels: Of its head.
        retained_from: What was touched after this stays.
        graced_from: What was deleted after this stays restorable.
    """
    deleted = state.ledger.deleted
    is_held = state.ledger.hold is not None or HOLD_LABEL in labels
    if deleted is not None:
        if deleted.is_final:
            return Standing.HALF_REMOVED
        if deleted.at > graced_from:
            return Standing.KEPT
        return Standing.HELD if is_held else Standing.TO_REMOVE
    if untouched_since(state) > retained_from:
        return Standing.KEPT
    if not is_over(state):
        return Standing.STALE if state.status is Status.IN_PROGRESS else Standing.KEPT
    return Standing.HELD if is_held else Standing.TO_DELETE


def is_over(state: RemediationState) -> bool:
    """Whether nothing goes on in the task: it has ended, or was made and is run by nobody."""
    is_unused = state.status is Status.INITIALIZED and state.ledger.lease.holder is None
    return state.status.is_ended or is_unused


def untouched_since(state: RemediationState) -> datetime:
    """When something last happened in the task: its last change, or that it was restored."""
    return max(state.last_update, state.ledger.restored_at or state.last_update)
