"""A store that hands every call on to another one: what is not overridden stays as it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from mendloop.stores.port import Document, Page, Seen, Store

__all__ = ["PassingStore"]


class PassingStore:
    """Wraps a store, and leaves its reads, its listings and its end to it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, kind: str, key: str) -> Document | None:
        return await self._store.get(kind, key)

    def peek(self, kind: str, key: str) -> Document | None:
        return self._store.peek(kind, key)

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

    async def scrub(self) -> None:
        await self._store.scrub()

    async def close(self) -> None:
        await self._store.close()
