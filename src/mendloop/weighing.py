"""How much is stored: the bytes of all bodies and of the texts beside them, by kind."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mendloop.core.names import KINDS
from mendloop.stores.paging import documents
from mendloop.stores.port import Document, Store

__all__ = ["SIZES", "WEIGHED_A_PAGE", "Weight", "weigh"]

SIZES = tuple(1024 * kib for kib in (1, 4, 16, 64, 128, 256, 512, 768, 1024))
"""Documents are counted by whether they have at most so many bytes."""

WEIGHED_A_PAGE = 25
"""Of the largest documents that there can be a page has 25 MiB."""


class Weight(msgspec.Struct):
    """
    What all documents of one kind weigh.

    Attributes:
        count: Of documents.
        total_bytes: Of all of them.
        largest_bytes: Of the largest.
        largest_key: Of the largest; "" where there is none.
        at_most: How many have at most so many bytes, for each of `SIZES`.
    """

    count: int = 0
    total_bytes: int = 0
    largest_bytes: int = 0
    largest_key: str = ""
    at_most: dict[int, int] = msgspec.field(default_factory=lambda: dict.fromkeys(SIZES, 0))

    def add(self, document: Document) -> None:
        """Weigh one more document."""
        size_bytes = len(document.body)
        size_bytes += sum(len(text.encode()) for text in document.fields.values())
        size_bytes += sum(map(len, document.blobs.values()))
        self.count += 1
        self.total_bytes += size_bytes
        if size_bytes > self.largest_bytes:
            self.largest_bytes, self.largest_key = size_bytes, document.key
        for most in SIZES:
            self.at_most[most] += size_bytes <= most


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
