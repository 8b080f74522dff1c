"""Reading and writing a task's head."""

from __future__ import annotations

from mendloop.core.codec import decode_head, encode_state, rfc3339
from mendloop.core.model import RemediationState
from mendloop.core.names import HEAD, SIDE_FIELDS, head_name
from mendloop.stores.port import Document, Store

__all__ = ["has_moved", "head_of", "state_in", "write_head"]


async def head_of(store: Store, task_id: str) -> Document | None:
    """Read the head of a task, or None where there is none."""
    return await store.get(HEAD, head_name(task_id))


def state_in(task_id: str, head: Document) -> RemediationState:
    """
    Decode the state in a head.

    Raises:
        DeserializationError: It is damaged, or that of another task.
        ReadOnlyState: A newer version wrote it.
    """
    return decode_head(task_id, head.body, damage=head.damage)


def has_moved(head: Document | None, newer: Document | None) -> bool:
    """Whether a head was written, made or removed between two reads of it."""
    return (head and head.revision) != (newer and newer.revision)


async def write_head(store: Store, document: Document | None, state: RemediationState) -> Document:
    """
    Write *state* over *document*, or where there is none.

    Raises:
        RevisionConflict: It moved.
        DocumentExists: There is one by now.
    """
    body = encode_state(state)
    texts = (state.task_id, str(state.iteration), rfc3339(state.last_update))
    fields = dict(zip(SIDE_FIELDS, texts, strict=True))
    labels = {"task-id": state.task_id}
    if document is None:
        key = head_name(state.task_id)
        return await store.create(HEAD, key, body, fields=fields, labels=labels)
    return await store.replace(document, body, fields=fields, labels=labels)
