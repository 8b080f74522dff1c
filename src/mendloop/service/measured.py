"""A store whose requests are measured; otherwise it is the one that it wraps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Mapping
from typing import Any, TypeVar

from mendloop.core.errors import StateError
from mendloop.service.metrics import Metrics
from mendloop.service.traces import SpanKind, is_traced, span
from mendloop.stores.port import Bounded, Document, Page, Remembering, Room, Seen, Store

__all__ = ["MeasuredStore"]

_T = TypeVar("_T")


class MeasuredStore:
    """A `mendloop.stores.port.Store` that tells how long each request took and how it ended."""

    def __init__(self, store: Store, metrics: Metrics, *, at_once: int) -> None:
        """
        Wrap *store*; to close this is to close it.

        Args:
            store: That is asked.
            metrics: That are told.
            at_once: So many requests are under way at most, and the others wait: whoever asks the
                same store beside them is not behind all of them.
        """
        self._store = store
        self._metrics = metrics
        self._room = asyncio.Semaphore(at_once)

    async def get(self, kind: str, key: str) -> Document | None:
        """See `mendloop.stores.port.Store.get`."""
        return await self._measured("get", self._store.get(kind, key))

    def peek(self, kind: str, key: str) -> Document | None:
        """See `mendloop.stores.port.Store.peek`."""
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
        """See `mendloop.stores.port.Store.create`."""
        made = self._store.create(kind, key, body, fields=fields, labels=labels)
        return await self._measured("create", made)

    async def replace(
        self,
        document: Document,
        body: bytes,
        *,
        fields: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        """See `mendloop.stores.port.Store.replace`."""
        replaced = self._store.replace(document, body, fields=fields, labels=labels)
        return await self._measured("replace", replaced)

    async def delete(self, document: Document) -> None:
        """See `mendloop.stores.port.Store.delete`."""
        await self._measured("delete", self._store.delete(document))

    async def list(
        self,
        kind: str,
        *,
        labels: Mapping[str, str] | None = None,
        limit: int = 500,
        cursor: str | None = None,
    ) -> Page:
        """See `mendloop.stores.port.Store.list`."""
        listed = self._store.list(kind, labels=labels, limit=limit, cursor=cursor)
        return await self._measured("list", listed)

    def watch(self, kind: str) -> AsyncGenerator[Seen, None]:
        """See `mendloop.stores.port.Store.watch`."""
        return self._store.watch(kind)

    async def remembered(self, kind: str, key: str) -> Document | None:
        """See `mendloop.stores.port.Remembering.remembered`; None where the store remembers nothing."""
        if not isinstance(self._store, Remembering):
            return None
        return await self._store.remembered(kind, key)

    async def room(self) -> Room | None:
        """See `mendloop.stores.port.Bounded.room`; None where the store does not know."""
        return await self._store.room() if isinstance(self._store, Bounded) else None

    async def scrub(self) -> None:
        """See `mendloop.stores.port.Store.scrub`."""
        await self._measured("scrub", self._store.scrub())

    async def close(self) -> None:
        """See `mendloop.stores.port.Store.close`."""
        await self._store.close()

    async def _measured(self, request: str, answer: Coroutine[Any, Any, _T]) -> _T:
        try:
            async with self._room:
                return await self._timed(request, answer)
        finally:
            answer.close()  # whoever is cancelled while it waits has asked nothing

    async def _timed(self, request: str, answer: Awaitable[_T]) -> _T:
        begun_seconds = time.monotonic()
        outcome = "ok"
        try:
            if not is_traced():
                return await answer
            with span(f"store {request}", kind=SpanKind.CLIENT):
                return await answer
        except StateError as error:
            outcome = type(error).__name__
            raise
        except BaseException:
            outcome = "cancelled"
            raise
        finally:
            seconds = time.monotonic() - begun_seconds
            self._metrics.store_seconds.labels(request, outcome).observe(seconds)
