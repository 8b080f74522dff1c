"""Setting copies aside of what is damaged or replaced before anything is done to it, and finding them."""

from __future__ import annotations

import contextlib

from mendloop.clock import Clock
from mendloop.core.errors import DeserializationError, DocumentExists, TooLarge
from mendloop.core.names import QUARANTINE
from mendloop.core.quarantine import (
    Copy,
    copy_key,
    copy_name,
    fields_of_copy,
    key_of_copy,
    no_copy,
    read_copy,
    short_fields,
)
from mendloop.core.text import REASON_LIMIT_BYTES, Redactor, tidy
from mendloop.stores.paging import documents
from mendloop.stores.port import Document, Store

__all__ = ["Quarantine"]

_PAGE = 4
"""So few copies are in memory at once: each may have a MiB."""


class Quarantine:
    """The copies in one store; a cleanup removes them by their own retention."""

    def __init__(self, store: Store, *, clock: Clock, redact: Redactor) -> None:
        """
        Work on *store*.

        Args:
            store: Where they are.
            clock: Tells when a copy was made.
            redact: Takes secrets out of the reasons; the copies are as what they were made of.
        """
        self._store = store
        self._clock = clock
        self._redact = redact

    async def set_aside(self, task_id: str, document: Document, *, reason: str) -> str:
        """
        Keep a copy of *document*, byte for byte and once, with all that stands beside its body.

        Args:
            task_id: Whose it is; "" where it is no task's.
            document: What is copied.
            reason: Why.

        Returns:
            The name of the copy.
        """
        fields = fields_of_copy(
            document.key,
            document.fields,
            document.blobs,
            reason=tidy(reason, limit_bytes=REASON_LIMIT_BYTES, redact=self._redact),
            now=self._clock.now(),
        )
        key = copy_key(task_id, document.body, fields)
        labels = {"task-id": task_id} if task_id else {}
        with contextlib.suppress(DocumentExists):
            try:
                await self._store.create(
                    QUARANTINE, key, document.body, fields=fields, labels=labels
                )
            except TooLarge:
                fields = short_fields(fields)
                await self._store.create(
                    QUARANTINE, key, document.body, fields=fields, labels=labels
                )
        return copy_name(key)

    async def find(self, task_id: str, name: str) -> Copy:
        """
        Read the copy of this name.

        Raises:
            ValidationError: No copy of this task can have it.
            StateNotFound: There is none.
            DeserializationError: It is damaged itself.
        """
        key = key_of_copy(task_id, name)
        document = await self._store.get(QUARANTINE, key)
        if document is None or document.labels.get("task-id", task_id) != task_id:
            raise no_copy(task_id, name)
        if document.damage:
            raise DeserializationError(document.damage, task_id=task_id)
        return read_copy(key, document.body, document.fields, is_listed=False)

    async def copies(self, task_id: str) -> tuple[Copy, ...]:
        """List the copies of a task without their content, the newest first."""
        own = {"task-id": task_id}
        found = [
            read_copy(document.key, document.body, document.fields, is_listed=True)
            async for document in documents(self._store, QUARANTINE, limit=_PAGE, labels=own)
        ]
        return tuple(sorted(found, key=_age))


def _age(copy: Copy) -> tuple[float, str]:
    return -copy.made_at.timestamp() if copy.made_at else 0.0, copy.name
