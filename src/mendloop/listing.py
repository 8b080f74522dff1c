"""Tasks as a listing shows them: each with its state, or with why that cannot be read."""

from __future__ import annotations

import msgspec

from mendloop.core.counters import refusal
from mendloop.core.diagnosis import no_task
from mendloop.core.errors import DeserializationError, StateError
from mendloop.core.model import RemediationState
from mendloop.core.names import task_of_head
from mendloop.heads import state_in
from mendloop.stores.port import Document

__all__ = ["Listed", "TaskPage", "listed"]


class Listed(msgspec.Struct, frozen=True):
    """
    One task in a listing.

    Attributes:
        task_id: The task; or the name of what is stored among tasks and is none.
        state: Its state, or None where it is gone or cannot be read.
        problem: Why it cannot be read, or None.
        obstacle: Why every write into it is refused as it stands, and what to do; or "".
    """

    task_id: str
    state: RemediationState | None
    problem: StateError | None = None
    obstacle: str = ""


class TaskPage(msgspec.Struct, frozen=True):
    """One page of tasks, by task id; *cursor* is None on the last."""

    tasks: tuple[Listed, ...]
    cursor: str | None


def listed(key: str, document: Document | None) -> Listed:
    """Read the head *document* that is stored under *key*."""
    task_id = task_of_head(key)
    if document is None:
        return Listed(task_id or key, None)
    if task_id is None:
        return Listed(key, None, _misnamed(key))
    try:
        state = state_in(task_id, document)
    except StateError as error:
        return Listed(task_id, None, error)
    return Listed(task_id, state, obstacle=document.obstacle or refusal(state, document.fields))


def _misnamed(key: str) -> DeserializationError:
    symptom = no_task(key)
    return DeserializationError(f"{symptom.what}: {symptom.advice}")
