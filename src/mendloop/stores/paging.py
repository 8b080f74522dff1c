"""Walking through all documents of a kind, with one page of them in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from mendloop.stores.port import Document, Page, Store

__all__ = ["documents", "pages"]


async def pages(
    store: Store, kind: str, *, limit: int, labels: Mapping[str, str] | None = None
) -> AsyncGenerator[Page, None]:
    """Yield all documents of *kind*, a page of at most *limit* at a time; at least one page."""
    cursor: str | None = None
    while True:
        page = await store.list(kind, labels=labels, limit=limit, cursor=cursor)
        yield page
        cursor = page.cursor
        if cursor is None:
            return


async def documents(
    store: Store, kind: str, *, limit: int, labels: Mapping[str, str] | None = None
) -> AsyncGenerator[Document, None]:
    """Yield all documents of *kind*, reading at most *limit* of them at a time."""
    async for page in pages(store, kind, limit=limit, labels=labels):
        for document in page.documents:
            yield document
