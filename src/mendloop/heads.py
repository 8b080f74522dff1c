"""Writing a task's head, and setting aside a copy of what is damaged before anything is done to it."""

from __future__ import annotations

import contextlib

from mendloop.core.codec import encode_state, rfc3339
from mendloop.core.errors import DocumentExists
from mendloop.core.model import RemediationState
from mendloop.core.names import HEAD, QUARANTINE, SIDE_FIELDS, head_name, quarantine_key
from mendloop.stores.port import Document, Store

__all__ = ["set_aside", "write_head"]


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


async def set_aside(store: Store, task_id: str, body: bytes) -> str:
    """Keep a copy of what is damaged, byte for byte and once; returns the key of it."""
    key = quarantine_key(task_id, body)
    with contextlib.suppress(DocumentExists):
        await store.create(QUARANTINE, key, body, labels={"task-id": task_id})
    return key
