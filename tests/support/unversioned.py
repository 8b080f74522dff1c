"""
Stores that write the specification's way: read, then write over whatever is there by then.

Only for showing that the contract suite catches them.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any

from passing_store import PassingStore

from mendloop.core.errors import DocumentExists, RevisionConflict
from mendloop.core.names import CHUNK
from mendloop.stores.configmap import CONFIGMAPS, ConfigMapStore
from mendloop.stores.configmap_objects import (
    Read,
    as_apply,
    as_object,
    from_object,
    object_name,
)
from mendloop.stores.grammar import check_changeable, check_content, check_name
from mendloop.stores.port import Document

__all__ = ["UnversionedConfigMaps", "UnversionedStore"]

_VERSION = re.compile(rb',"uid":"[^"]+","resourceVersion":"[^"]+"')


class UnversionedStore(PassingStore):
    """Wraps a store: create is an upsert, replace looks at no revision, delete goes by name."""

    async def create(self, kind: str, key: str, body: bytes, **beside: Any) -> Document:
        while True:
            current = await self._store.get(kind, key)
            try:
                if current is None:
                    return await self._store.create(kind, key, body, **beside)
                if kind == CHUNK:  # its key names its content, so it is written already
                    return current
                return await self._store.replace(current, body, **beside)
            except (DocumentExists, RevisionConflict):
                continue

    async def replace(self, document: Document, body: bytes, **beside: Any) -> Document:
        check_changeable(document.kind)
        return await self.create(document.kind, document.key, body, **beside)

    async def delete(self, document: Document) -> None:
        while (current := await self._store.get(document.kind, document.key)) is not None:
            try:
                await self._store.delete(current)
            except RevisionConflict:
                continue


class UnversionedConfigMaps(UnversionedStore):
    """In a cluster: each write is a server-side apply without a version, each delete goes by name."""

    def __init__(self, store: ConfigMapStore) -> None:
        super().__init__(store)
        self._api = store._api

    def peek(self, kind: str, key: str) -> Document | None:
        return None  # its writes go past the store, which does not see them

    async def create(self, kind: str, key: str, body: bytes, **beside: Any) -> Document:
        fields, labels = (beside.get(name) or {} for name in ("fields", "labels"))
        check_content(kind, body, fields, labels)
        current = await self._store.get(kind, key)
        if isinstance(current, Read):
            versioned = as_apply(current, body, fields, labels)
            written, count = _VERSION.subn(b"", versioned, count=1)
            assert 1 == count
        else:
            written = as_object(kind, key, body, fields, labels)
        raw = await self._api.apply(CONFIGMAPS, object_name(kind, key), written)
        return from_object(kind, raw)

    async def delete(self, document: Document) -> None:
        check_name(document.kind, document.key)
        name = object_name(document.kind, document.key)
        with contextlib.suppress(RevisionConflict):
            await self._api.delete(CONFIGMAPS, name, b"{}")
