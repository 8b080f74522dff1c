"""Leader election on any store: the record is a document."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import msgspec

from mendloop.core.election import Held, LeaseRecord
from mendloop.stores.port import Document, Store

__all__ = ["LEASE", "StoredLeases"]

LEASE = "lease"
"""Kind of the documents that say who leads."""

_log = logging.getLogger(__name__)

_EPOCH = datetime.fromtimestamp(0, UTC)
_FREE = LeaseRecord(holder="", duration_seconds=1, acquired_at=_EPOCH, renewed_at=_EPOCH)


class StoredLeases:
    """A record that is a document of a store."""

    def __init__(self, store: Store, key: str) -> None:
        """Use the document *key* of *store*."""
        self._store = store
        self._key = key

    async def read(self) -> Held | None:
        """See `mendloop.core.election.Leases.read`."""
        document = await self._store.get(LEASE, self._key)
        return None if document is None else _held(document)

    async def write(self, before: Held | None, record: LeaseRecord) -> Held:
        """See `mendloop.core.election.Leases.write`."""
        body = msgspec.json.encode(record)
        if before is None:
            document = await self._store.create(LEASE, self._key, body)
        else:
            assert isinstance(before.handle, Document)  # noqa: S101 - it is what `read` has given
            document = await self._store.replace(before.handle, body)
        return Held(record, document)


def _held(document: Document) -> Held:
    damage = document.damage
    if not damage:
        try:
            return Held(msgspec.json.decode(document.body, type=LeaseRecord), document)
        except (ValueError, RecursionError) as error:
            damage = str(error)
    # Who holds it cannot write over it either: whoever comes first makes it anew.
    _log.warning("the lease %s is damaged, and free to be taken: %s", document.key, damage)
    return Held(_FREE, document)
