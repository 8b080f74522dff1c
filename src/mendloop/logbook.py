"""The log of a store: an entry for each task that was removed or imported, kept for a time of its own."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from mendloop.audit_lines import tell_entry
from mendloop.clock import Clock
from mendloop.core.codec import rfc3339
from mendloop.core.errors import DocumentExists
from mendloop.core.logbook import Actor, Entry, encode_entry, key_of, read_entry
from mendloop.core.names import AUDIT
from mendloop.core.quarantine import MADE_AT
from mendloop.core.text import AUTHOR_LIMIT_BYTES, Redactor, tidy
from mendloop.stores.port import Document, Store

__all__ = ["LogPage", "Logbook"]

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """
    One page of the log.

    Attributes:
        entries: The oldest first.
        cursor: Hand it back for the next page; None on the last.
    """

    entries: tuple[Entry, ...]
    cursor: str | None


class Logbook:
    """
    The log of one store, and who writes in it.

    Attributes:
        actor: Who does what is written.
        clock: When.
    """

    def __init__(self, store: Store, *, actor: Actor, clock: Clock, redact: Redactor) -> None:
        """
        Work on *store*.

        Args:
            store: Where the log is.
            actor: Who does what is written.
            clock: Tells when.
            redact: Takes secrets out of the name, and out of log lines.
        """
        self._store = store
        by = tidy(actor.by, limit_bytes=AUTHOR_LIMIT_BYTES, redact=redact)
        self.actor = Actor(by, actor.door)
        self._redact = redact
        self.clock = clock

    async def write(self, entry: Entry) -> Document | None:
        """Write *entry* before what it tells is done; None where it is there already."""
        with suppress(DocumentExists):
            written = await self._store.create(
                AUDIT,
                key_of(entry),
                encode_entry(entry),
                fields={MADE_AT: rfc3339(entry.at)},
                labels={"task-id": entry.task_id},
            )
            tell_entry(entry, self._redact)
            return written
        return None

    async def withdraw(self, written: Document | None) -> None:
        """Take back an entry that was *written*, since what it tells is not done after all."""
        if written is not None:
            await self._store.delete(written)
            entry = entry_in(written)
            tell_entry(msgspec.structs.replace(entry, do=f"not_{entry.do}"), self._redact)

    async def page(self, task_id: str, *, limit: int, cursor: str | None) -> LogPage:
        """
        Read a page of the log, of all tasks where *task_id* is "".

        Raises:
            ValidationError: The cursor is none of this listing's, or the limit is out of range.
        """
        labels = {"task-id": task_id} if task_id else None
        page = await self._store.list(AUDIT, labels=labels, limit=limit, cursor=cursor)
        return LogPage(entries=tuple(map(entry_in, page.documents)), cursor=page.cursor)


def entry_in(document: Document) -> Entry:
    """Read the entry that is stored in *document*; a damaged one says so."""
    made_at = _LONG_AGO
    with suppress(ValueError):
        made_at = datetime.fromisoformat(document.fields.get(MADE_AT, ""))
    task_id = document.labels.get("task-id", "")
    return read_entry(task_id, document.key, document.body, made_at, damage=document.damage)
