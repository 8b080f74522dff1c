"""Which task ids are allowed, and the names that follow from them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mendloop.core.errors import ValidationError

__all__ = [
    "AUDIT",
    "CHUNK",
    "HEAD",
    "HEADLESS",
    "KINDS",
    "QUARANTINE",
    "QUEUE",
    "SIDE_FIELDS",
    "SUBDOMAIN",
    "TASK_ID_LIMIT",
    "check_task_id",
    "chunk_key",
    "chunk_prefix",
    "head_name",
    "owner_of_chunk",
    "started_iteration",
    "started_key",
    "task_of_chunk",
    "task_of_head",
    "task_of_labels",
]

HEAD = "head"
"""Kind of the document that holds a task's state."""

CHUNK = "chunk"
"""Kind of the documents that hold sealed history."""

QUARANTINE = "quarantine"
"""Kind of the documents that hold copies of what was damaged or replaced, byte for byte."""

HEADLESS = "headless"
"""Kind of the documents that say since when a task's head is gone; each has the key of that head."""

QUEUE = "queue"
"""Kind of the documents that hold what came in and is not processed yet."""

AUDIT = "audit"
"""Kind of the documents that tell of tasks that were removed or imported."""

KINDS = (HEAD, CHUNK, QUARANTINE, HEADLESS, QUEUE, AUDIT)
"""All kinds of documents that there are."""

SIDE_FIELDS = ("task_id", "iteration", "last_update")
"""Names of the fields that stand beside a task's state, as they are in it."""

TASK_ID_LIMIT = 63
"""In characters: a task id is a Kubernetes label value, and those end at 63."""

_STARTED = re.compile(r"iteration_(0|[1-9][0-9]{0,9})_started")
_CHUNK = re.compile(r"task-(.+)-history-[0-9a-f]{16}-[0-9]{10}-[0-9a-f]{16}")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""An RFC 1123 subdomain, but for its length."""


def check_task_id(task_id: str) -> str:
    """
    Return *task_id* if it can name a task in every store.

    It has to be an RFC 1123 subdomain of at most 63 characters, since it becomes part of an
    object's name and the value of a label.

    Raises:
        ValidationError: It cannot; the message says why.
    """
    if not task_id:
        raise ValidationError("a task id is needed: it may not be empty")
    if len(task_id) > TASK_ID_LIMIT:
        raise ValidationError(
            f"task id of {len(task_id)} characters: at most {TASK_ID_LIMIT} are allowed"
        )
    if not SUBDOMAIN.fullmatch(task_id):
        raise ValidationError(
            f"task id {task_id!a}: use lower-case letters, digits, '-' and '.', "
            "beginning and ending with a letter or digit (for instance 'task-42')"
        )
    return task_id


def head_name(task_id: str) -> str:
    """The specification's object name of a task's state."""
    return f"task-{task_id}-state"


def task_of_head(key: str) -> str | None:
    """The task whose state has this object name, or None where no task's has."""
    task_id = key.removeprefix("task-").removesuffix("-state")
    return task_id if key == head_name(task_id) and _is_task_id(task_id) else None


def task_of_labels(labels: Mapping[str, str]) -> str | None:
    """The task that a document is labelled as belonging to, or None where that can be no task's id."""
    task_id = labels.get("task-id", "")
    return task_id if _is_task_id(task_id) else None


def chunk_key(task_id: str, incarnation: str, first: int, digest: str) -> str:
    """The key of a sealed chunk: sorts by its first commit, and is named by its content."""
    return f"{chunk_prefix(task_id, incarnation)}{first:010d}-{digest[:16]}"


def chunk_prefix(task_id: str, incarnation: str) -> str:
    """What the keys of all sealed chunks of one incarnation of a task begin with."""
    return f"task-{task_id}-history-{incarnation}-"


def task_of_chunk(key: str) -> str | None:
    """The task whose sealed chunk has this key, or None where the key does not tell."""
    found = _CHUNK.fullmatch(key)
    return found[1] if found and _is_task_id(found[1]) else None


def owner_of_chunk(key: str, labels: Mapping[str, str]) -> str | None:
    """The task that a sealed chunk is of: its key tells, which nobody can change; else its labels."""
    return task_of_chunk(key) or task_of_labels(labels)


def started_key(iteration: int) -> str:
    """The specification's metadata key of when an iteration was started."""
    return f"iteration_{iteration}_started"


def started_iteration(key: str) -> int | None:
    """The iteration that a metadata key says was started, or None where it is another key."""
    found = _STARTED.fullmatch(key)
    return int(found[1]) if found else None


def _is_task_id(text: str) -> bool:
    try:
        check_task_id(text)
    except ValidationError:
        return False
    return True
