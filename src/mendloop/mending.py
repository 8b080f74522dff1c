"""
Damaged rows that are neither a state nor a part of a history: they are named, and made right.

Those of tasks are `mendloop.examining`'s to find and `mendloop.recovery`'s to repair.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import AsyncGenerator

import msgspec

from mendloop.clock import Clock
from mendloop.core.codec import rfc3339
from mendloop.core.diagnosis import Diagnosis, Gravity, Symptom, SymptomKind
from mendloop.core.errors import StateNotFound
from mendloop.core.logbook import encode_entry
from mendloop.core.names import AUDIT, HEADLESS, QUARANTINE, QUEUE
from mendloop.core.quarantine import MADE_AT
from mendloop.core.text import Redactor
from mendloop.logbook import entry_in
from mendloop.quarantine import Quarantine
from mendloop.recovery import Recovery
from mendloop.stores.paging import documents
from mendloop.stores.port import Document, Store

__all__ = ["Mender", "Mending"]

_KINDS = (QUARANTINE, HEADLESS, QUEUE, AUDIT)
_PAGE = 16
"""So many are in memory at once: each may have a MiB."""


class Mender:
    """Finds such rows in one store, and makes them right."""

    def __init__(self, store: Store, *, clock: Clock, redact: Redactor) -> None:
        """
        Work on *store*.

        Args:
            store: Where they are, and where their copies go.
            clock: Tells when.
            redact: Takes secrets out of every text before it is written.
        """
        self._store = store
        self._clock = clock
        self._quarantine = Quarantine(store, clock=clock, redact=redact)

    async def diagnoses(self) -> AsyncGenerator[Diagnosis, None]:
        """See `Mending.validate_rows`."""
        for kind in _KINDS:
            async for document in documents(self._store, kind, limit=_PAGE):
                if document.damage:
                    name = f"{kind}.{document.key}"
                    yield Diagnosis(task_id=name, symptoms=(_symptom(document),))

    async def mend(self, name: str, *, is_dry_run: bool) -> Recovery:
        """See `Mending.mend_row`."""
        kind, _, key = name.partition(".")
        document = await self._store.get(kind, key) if kind in _KINDS else None
        if document is None:
            raise StateNotFound(f"nothing is stored as {name!a}")
        if not document.damage:
            return Recovery(task_id=name, iteration=0)
        told = Recovery(
            task_id=name,
            iteration=0,
            repaired=(document.damage,),
            lost=() if kind == HEADLESS else ("what it said, but for the copy",),
        )
        if is_dry_run:
            return told
        copy = await self.set_aside(document)
        if kind == AUDIT:
            await self._write_entry(document, copy)
        else:
            await self._store.delete(document)
        return msgspec.structs.replace(told, is_changed=True, quarantined=(copy,))

    async def set_aside(self, document: Document) -> str:
        """Keep a copy of a row, of its task or of none; returns the name of the copy."""
        task_id = document.labels.get("task-id", "")
        return await self._quarantine.set_aside(task_id, document, reason=document.damage)

    async def _write_entry(self, document: Document, copy: str) -> None:
        """Have the log say that an entry was there, and where its copy is."""
        entry = entry_in(document)
        entry = msgspec.structs.replace(entry, why=f"{entry.why}; a copy is kept as {copy}")
        await self._store.replace(
            document, encode_entry(entry), fields={MADE_AT: rfc3339(self._clock.now())}
        )


def _symptom(document: Document) -> Symptom:
    return Symptom(
        kind=SymptomKind.DAMAGED_ROW,
        gravity=Gravity.LOST,
        what=document.damage,
        advice="a repair keeps a copy of it, and lets it go",
    )


class Mending(ABC):
    """The part of `mendloop.manager.StateManager` that answers for rows of no task's state."""

    _mender: Mender

    def validate_rows(self) -> AsyncGenerator[Diagnosis, None]:
        """
        Name each damaged row that is neither a state nor a part of a history.

        The id of a diagnosis is the row's name: its kind, a dot, and its key.
        """
        return self._mender.diagnoses()

    async def mend_row(self, name: str, *, is_dry_run: bool = False) -> Recovery:
        """
        Copy a damaged row aside, and let it go; of an entry of the log it stays known that it was there.

        Args:
            name: As `validate_rows` tells it.
            is_dry_run: Whether only to tell what would be lost, and to write nothing.

        Raises:
            StateNotFound: There is no such row.
            RevisionConflict: Somebody else changed it meanwhile.
        """
        return await self._mender.mend(name, is_dry_run=is_dry_run)
