"""
The store in a cluster: each document is a ConfigMap, so that etcd keeps it.

Every write names the object and the version that it was decided on, by uid and resourceVersion;
the server refuses it otherwise. docs/adr/0007-documents-in-configmaps.md says why it is built like
this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import msgspec

from mendloop.core.errors import (
    BeingDeleted,
    DeserializationError,
    DocumentExists,
    RevisionConflict,
    StateError,
    StoreError,
    VersionExpired,
)
from mendloop.core.names import CHUNK, HEAD
from mendloop.kube.access import Access
from mendloop.kube.api import Api
from mendloop.kube.past import deleted
from mendloop.kube.requests import Resource
from mendloop.kube.watch import watch
from mendloop.stores import grammar
from mendloop.stores.configmap_cache import CACHE_BYTES, Cache, Change
from mendloop.stores.configmap_objects import (
    DATA_LIMIT_BYTES,
    Read,
    as_apply,
    as_delete,
    as_object,
    from_object,
    key_of,
    object_name,
    selector,
    version_of,
)
from mendloop.stores.cursor import read_cursor, write_cursor
from mendloop.stores.port import Document, Page, Room, Seen
from mendloop.telemetry import Telemetry

__all__ = ["CONFIGMAPS", "ConfigMapStore", "open_configmaps"]

_log = logging.getLogger(__name__)

CONFIGMAPS = Resource("/api/v1", "configmaps")
_PAGE_LIMIT = 250
"""A page of full ConfigMaps would be as large as 250 MiB; of usual heads it is 2 MB."""

_RETRY_SECONDS = 60.0


def open_configmaps(
    access: Access,
    *,
    is_watching: bool = False,
    patience_seconds: float = 30.0,
    cache_bytes: int = CACHE_BYTES,
    telemetry: Telemetry | None = None,
) -> ConfigMapStore:
    """
    Open the store in the namespace of *access*; nothing is asked of the server yet.

    Args:
        access: The way to the server; closed with the store.
        is_watching: Whether to watch the heads from the first peek on: for a process that lives
            long and writes often. Otherwise a peek knows nothing, unless somebody watches.
        patience_seconds: How long a call waits, at most, where the server wants it to come later.
        cache_bytes: So much is remembered of each kind that is watched, as JSON.
        telemetry: Is told what the server puts off.
    """
    api = Api(access, patience_seconds=patience_seconds, telemetry=telemetry)
    return ConfigMapStore(api, is_watching=is_watching, cache_bytes=cache_bytes)


class ConfigMapStore:
    """
    A `mendloop.stores.port.Store` in ConfigMaps; `open_configmaps` makes one.

    Every method but `peek` may also raise `AccessError` or `NotPermitted`. May be used from any
    task of one event loop.
    """

    def __init__(self, api: Api, *, is_watching: bool, cache_bytes: int) -> None:
        """Take over *api*."""
        self._api = api
        self._is_watching = is_watching
        self._cache_bytes = cache_bytes
        self._is_closed = False
        self._feeds: dict[str, _Feed] = {}

    async def get(self, kind: str, key: str) -> Document | None:
        """See `mendloop.stores.port.Store.get`."""
        grammar.check_name(kind, key)
        return await self._read(kind, object_name(kind, key))

    def peek(self, kind: str, key: str) -> Document | None:
        """See `mendloop.stores.port.Store.peek`."""
        feed = self._feeds.get(kind)
        is_wanted = self._is_watching and kind == HEAD and not self._is_closed
        if is_wanted and (feed is None or feed.is_long_over):
            feed = self._start(kind)
        if feed is None or feed.is_over:
            return None
        raw = feed.cache.get(object_name(kind, key))
        return None if raw is None else from_object(kind, raw)

    async def create(
        self,
        kind: str,
        key: str,
        body: bytes,
        *,
        fields: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        """See `mendloop.stores.port.Store.create`. Also raises `TooLarge` and `BeingDeleted`."""
        fields, labels = fields or {}, labels or {}
        grammar.check_name(kind, key)
        grammar.check_content(kind, body, fields, labels)
        name, made = object_name(kind, key), as_object(kind, key, body, fields, labels)
        try:
            raw = await self._api.create(CONFIGMAPS, made)
        except DocumentExists:
            if kind == CHUNK:  # whoever finds it there already relies on its staying
                await self._refuse_leaving(kind, name)
            raise
        return self._seen(kind, name, raw)

    async def replace(
        self,
        document: Document,
        body: bytes,
        *,
        fields: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        """See `mendloop.stores.port.Store.replace`. Also raises `TooLarge`."""
        fields, labels = dict(fields or {}), dict(labels or {})
        kind, name = document.kind, object_name(document.kind, document.key)
        grammar.check_name(kind, document.key)
        grammar.check_changeable(kind)
        grammar.check_content(kind, body, fields, labels)
        version_of(document)
        if not isinstance(document, Read) or document.obstacle:
            document = await self._read_again(document)
        if document.obstacle:
            refusal = BeingDeleted if document.is_leaving else DeserializationError
            raise refusal(document.obstacle)
        applied = as_apply(document, body, fields, labels)
        return self._seen(kind, name, await self._api.apply(CONFIGMAPS, name, applied))

    async def delete(self, document: Document) -> None:
        """See `mendloop.stores.port.Store.delete`."""
        grammar.check_name(document.kind, document.key)
        name = object_name(document.kind, document.key)
        await self._api.delete(CONFIGMAPS, name, as_delete(document))
        if document.kind in self._feeds:
            version = int(version_of(document).resource_version)
            self._feeds[document.kind].cache.remove(name, version)

    async def list(
        self,
        kind: str,
        *,
        labels: Mapping[str, str] | None = None,
        limit: int = 500,
        cursor: str | None = None,
    ) -> Page:
        """See `mendloop.stores.port.Store.list`. All pages are of one moment, as long as it is kept."""
        labels = labels or {}
        grammar.check_kind(kind)
        grammar.check_labels(labels)
        grammar.check_limit(limit)
        query = {
            "labelSelector": selector(kind, labels),
            "limit": str(min(limit, _PAGE_LIMIT)),
        }
        if cursor is not None:
            query["continue"] = read_cursor(cursor, kind, labels)
        try:
            raw = await self._api.list(CONFIGMAPS, query)
        except VersionExpired as error:
            if not error.following:
                raise
            # The moment of the first page is no longer kept: the rest is as of now.
            query["continue"] = error.following
            raw = await self._api.list(CONFIGMAPS, query)
        page = _pages.decode(raw)
        if not page.items and kind == HEAD and cursor is None:
            # A namespace that is not there is listed as an empty one.
            await self._api.check_namespace()
        documents = [from_object(kind, bytes(item)) for item in page.items or ()]
        following = page.metadata.following
        return Page(
            documents=tuple(d for d in documents if grammar.is_name(kind, d.key)),
            cursor=write_cursor(following, kind, labels) if following else None,
        )

    async def watch(self, kind: str) -> AsyncGenerator[Seen, None]:
        """See `mendloop.stores.port.Store.watch`. All watches of a kind share one stream."""
        grammar.check_kind(kind)
        self._check_open()
        await self._api.check_namespace()
        feed = self._feeds.get(kind)
        if feed is None or feed.is_over:
            feed = self._start(kind)
        async with aclosing(feed.cache.changes()) as changes:
            async for change in changes:
                key = key_of(kind, change.name)
                document = await self._document(kind, change)
                if grammar.is_name(kind, key) and (document is not None or change.is_gone):
                    yield Seen(key=key, document=document)

    async def remembered(self, kind: str, key: str) -> Document | None:
        """See `mendloop.stores.port.Remembering.remembered`; the server knows for some minutes."""
        grammar.check_name(kind, key)
        raw = await deleted(self._api, CONFIGMAPS, object_name(kind, key))
        return None if raw is None else from_object(kind, raw)

    async def room(self) -> Room:
        """See `mendloop.stores.port.Bounded.room`. How much etcd takes in all is not told to us."""
        return Room(document_bytes=DATA_LIMIT_BYTES)

    async def scrub(self) -> None:
        """See `mendloop.stores.port.Store.scrub`. The API server has etcd drop old versions by itself."""

    async def close(self) -> None:
        """See `mendloop.stores.port.Store.close`. Calls that wait are still served."""
        self._is_closed = True
        feeds, self._feeds = self._feeds, {}
        for feed in feeds.values():
            await feed.close(_closed())
        await self._api.close()

    def _start(self, kind: str) -> _Feed:
        feed = self._feeds[kind] = _Feed(self._api, kind, Cache(limit_bytes=self._cache_bytes))
        return feed

    async def _read(self, kind: str, name: str) -> Read | None:
        raw = await self._api.get(CONFIGMAPS, name)
        return None if raw is None else self._seen(kind, name, raw)

    def _seen(self, kind: str, name: str, raw: bytes) -> Read:
        """Read what a call has answered, and remember it where somebody watches."""
        document = from_object(kind, raw)
        if kind in self._feeds:
            version = int(version_of(document).resource_version)
            self._feeds[kind].cache.see(name, version, raw)
        return document

    async def _document(self, kind: str, change: Change) -> Read | None:
        if change.is_gone:
            return None
        if change.raw is None:
            return await self._read(kind, change.name)
        return from_object(kind, change.raw)

    async def _refuse_leaving(self, kind: str, name: str) -> None:
        found = await self._read(kind, name)
        if found is not None and found.is_leaving:
            raise BeingDeleted(found.obstacle)

    async def _read_again(self, document: Document) -> Read:
        """Read again what was not read here, to know what of it is ours, or can take no write."""
        read = await self._read(document.kind, object_name(document.kind, document.key))
        if read is None or read.revision != document.revision:
            found = "gone" if read is None else f"at revision {read.revision}"
            raise RevisionConflict(
                f"{document.kind} {document.key!r} was read at revision {document.revision}"
                f" and is {found}"
            )
        return read

    def _check_open(self) -> None:
        if self._is_closed:
            raise _closed()


class _ListMeta(msgspec.Struct):
    following: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


_pages = msgspec.json.Decoder(_List)


class _Feed:
    """A cache of one kind, and the watch that feeds it."""

    def __init__(self, api: Api, kind: str, cache: Cache) -> None:
        self.cache = cache
        self._ended_at = 0.0
        self._task = asyncio.create_task(self._run(api, selector(kind, {})))

    @property
    def is_over(self) -> bool:
        """Whether it has failed in a way that no waiting cures."""
        return self._task.done()

    @property
    def is_long_over(self) -> bool:
        """Whether it may be tried again without anybody asking for it."""
        now = asyncio.get_running_loop().time()
        return self.is_over and now - self._ended_at > _RETRY_SECONDS

    async def close(self, error: StateError) -> None:
        """End it, and every watch of it with *error*."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self.cache.fail(error)

    async def _run(self, api: Api, labels: str) -> None:
        try:
            async with aclosing(watch(api, CONFIGMAPS, labels)) as events:
                async for event in events:
                    self.cache.take(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who watch are told
            self._ended_at = asyncio.get_running_loop().time()
            _log.warning("nothing more is seen of %s: %s", labels, error)
            self.cache.fail(error if isinstance(error, StateError) else StoreError(repr(error)))


def _closed() -> StoreError:
    return StoreError("the store is closed: open it again")
