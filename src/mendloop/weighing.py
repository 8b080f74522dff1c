"""How much is stored: the bytes of all bodies and of the texts beside them, by kind."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mendloop.core.names import KINDS
from mendloop.stores.paging import documents
from mendloop.stores.port import Document, Store

__all__ = ["WEIGHED_A_PAGE", "Weight", "weigh"]

WEIGHED_A_PAGE = 25
"""Of the largest documents that there can be a page has 25 MiB."""


class Weight(msgspec.Struct):
    """Bytes of all documents of one kind, and of the largest of them."""

    total_bytes: int = 0
    largest_bytes: int = 0

    def add(self, document: Document) -> None:
        """Weigh one more document."""
        fields = sum(len(text.encode()) for text in document.fields.values())
        size_bytes = len(document.body) + fields
        self.total_bytes += size_bytes
        self.largest_bytes = max(self.largest_bytes, size_bytes)


async def weigh(store: Store, kinds: Iterable[str] = KINDS) -> dict[str, Weight]:
    """
    Weigh all documents of *store* that are of these *kinds*, with one page of them in memory.

    Raises:
        StateError: The store does not list what it has.
    """
    weights: dict[str, Weight] = {}
    for kind in kinds:
        weight = weights[kind] = Weight()
        async for document in documents(store, kind, limit=WEIGHED_A_PAGE):
            weight.add(document)
    return weights
