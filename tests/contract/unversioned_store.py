"""
A store that writes the specification's way: read, then write over whatever is there by then.

Only for showing that the contract suite catches it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from mendloop.core.errors import DocumentExists, RevisionConflict
from mendloop.stores.port import Document, Page, Seen, Store

__all__ = ["UnversionedStore"]


class UnversionedStore:
    """Wraps a store: create is an upsert, replace looks at no revision, delete goes by name."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, kind: str, key: str) -> Document | None:
        return await self._store.get(kind, key)

    def peek(self, kind: str, key: str) -> Document | None:
        return self._store.peek(kind, key)

    async def create(
        self,
        kind: str,
        key: str,
        body: bytes,
        *,
        fields: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        while True:
            current = await self._store.get(kind, key)
            try:
                if current is None:
                    return await self._store.create(kind, key, body, fields=fields, labels=labels)
                return await self._store.replace(current, body, fields=fields, labels=labels)
            except (DocumentExists, RevisionConflict):
                continue

    async def replace(
        self,
        document: Document,
        body: bytes,
        *,
        fields: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        return await self.create(document.kind, document.key, body, fields=fields, labels=labels)

    async def delete(self, document: Document) -> None:
        while (current := await self._store.get(document.kind, document.key)) is not None:
            try:
                await self._store.delete(current)
            except RevisionConflict:
                continue

    async def list(
        self,
        kind: str,
        *,
        labels: Mapping[str, str] | None = None,
        limit: int = 500,
        cursor: str | None = None,
    ) -> Page:
        return await self._store.list(kind, labels=labels, limit=limit, cursor=cursor)

    def watch(self, kind: str) -> AsyncGenerator[Seen, None]:
        return self._store.watch(kind)

    async def close(self) -> None:
        await self._store.close()
