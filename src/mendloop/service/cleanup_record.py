"""When a cleanup of the store last succeeded, kept in the store: no restart makes it forgotten."""

from __future__ import annotations

from datetime import datetime

import msgspec

from mendloop.clock import Clock
from mendloop.core.errors import DocumentExists, RevisionConflict
from mendloop.stores.port import Document, Store

__all__ = ["CLEANUP", "CleanupRecord", "Cleanups"]

CLEANUP = "cleanup"
"""Kind of the one document that says when a cleanup last succeeded."""

_KEY = "last"


class Cleanups(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is kept.

    Attributes:
        since: When the first service looked.
        succeeded_at: When a cleanup last ended without a failure; None where none ever did.
    """

    since: datetime
    succeeded_at: datetime | None = None


class CleanupRecord:
    """The record in one store. Of two who write it at once one is told, which is as good."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        """Use *store*."""
        self._store = store
        self._clock = clock

    async def read(self) -> Cleanups:
        """
        Read it; where there is none, the time counts from now.

        Raises:
            StateError: The store does not answer.
        """
        found = await self._store.get(CLEANUP, _KEY)
        return await self._write(found, self._cleanups(found))

    async def succeed(self) -> Cleanups:
        """
        Keep that a cleanup has ended without a failure now.

        Raises:
            StateError: The store does not take it.
        """
        found = await self._store.get(CLEANUP, _KEY)
        cleanups = self._cleanups(found)
        now = self._clock.now()
        return await self._write(found, msgspec.structs.replace(cleanups, succeeded_at=now))

    def _cleanups(self, found: Document | None) -> Cleanups:
        if found is not None and not found.damage:
            try:
                return msgspec.json.decode(found.body, type=Cleanups)
            except (ValueError, RecursionError):
                pass  # a new one takes its place
        return Cleanups(since=self._clock.now())

    async def _write(self, found: Document | None, cleanups: Cleanups) -> Cleanups:
        body = msgspec.json.encode(cleanups)
        try:
            if found is None:
                await self._store.create(CLEANUP, _KEY, body)
            elif found.damage or found.body != body:
                await self._store.replace(found, body)
        except (DocumentExists, RevisionConflict):
            pass  # another service was quicker
        return cleanups
