"""A store that hands every call on to another one: what is not overridden stays as it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

from mendloop.stores.port import Document, Page, Seen, Store

__all__ = ["PassingStore"]

_T = TypeVar("_T")


class PassingStore:
    """Wraps a store; a subclass says what happens before and after its calls, or makes them anew."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def before(self, operation: str, kind: str) -> None:
        """Do something before a "get", "create", "replace", "delete" or "list"; here nothing."""

    async def after(self, operation: str, kind: str, answer: Any) -> None:
        """Do something before the caller gets the answer; here nothing."""

    async def get(self, kind: str, key: str) -> Document | None:
        return await self._pass("get", kind, lambda: self._store.get(kind, key))

    async def create(self, kind: str, key: str, body: bytes, **beside: Any) -> Document:
        return await self._pass(
            "create", kind, lambda: self._store.create(kind, key, body, **beside)
        )

    async def replace(self, document: Document, body: bytes, **beside: Any) -> Document:
        return await self._pass(
            "replace", document.kind, lambda: self._store.replace(document, body, **beside)
        )

    async def delete(self, document: Document) -> None:
        await self._pass("delete", document.kind, lambda: self._store.delete(document))

    async def list(self, kind: str, **options: Any) -> Page:
        return await self._pass("list", kind, lambda: self._store.list(kind, **options))

    async def ask(self, operation: str, kind: str, call: Callable[[], Awaitable[_T]]) -> _T:
        """Make the *call* to the store inside."""
        return await call()

    def peek(self, kind: str, key: str) -> Document | None:
        return self._store.peek(kind, key)

    def watch(self, kind: str) -> AsyncGenerator[Seen, None]:
        return self._store.watch(kind)

    async def scrub(self) -> None:
        await self._store.scrub()

    async def close(self) -> None:
        await self._store.close()

    async def _pass(self, operation: str, kind: str, call: Callable[[], Awaitable[_T]]) -> _T:
        await self.before(operation, kind)
        answer = await self.ask(operation, kind, call)
        await self.after(operation, kind, answer)
        return answer
