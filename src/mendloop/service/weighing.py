"""How much is stored: the bytes of all bodies, by kind."""

from __future__ import annotations

import msgspec

from mendloop.core.names import CHUNK, HEAD, QUARANTINE
from mendloop.service.queue import QUEUE
from mendloop.stores.paging import documents
from mendloop.stores.port import Store

__all__ = ["Weight", "weigh"]

_KINDS = (HEAD, CHUNK, QUARANTINE, QUEUE)
_A_PAGE = 25
"""Of the largest documents that there can be a page has 25 MiB."""


class Weight(msgspec.Struct):
    """Bytes of all documents of one kind, and of the largest of them."""

    total_bytes: int = 0
    largest_bytes: int = 0


async def weigh(store: Store) -> dict[str, Weight]:
    """
    Weigh all documents of *store*, with one page of them in memory.

    Raises:
        StateError: The store does not list what it has.
    """
    weights: dict[str, Weight] = {}
    for kind in _KINDS:
        weight = weights[kind] = Weight()
        async for document in documents(store, kind, limit=_A_PAGE):
            fields = sum(len(text.encode()) for text in document.fields.values())
            size_bytes = len(document.body) + fields
            weight.total_bytes += size_bytes
            weight.largest_bytes = max(weight.largest_bytes, size_bytes)
    return weights
