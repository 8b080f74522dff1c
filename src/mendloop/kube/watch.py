"""
Watching objects: all that are there, then every change, through whatever happens to the stream.

A list, page by page, then a watch from the list's version; a stream that ends, breaks or falls
silent goes on from the last version that it told, and one whose version has expired begins anew
with a list (https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager

import msgspec

from mendloop.core.errors import StateError, StoreError, StoreUnavailable, VersionExpired
from mendloop.kube.api import Api
from mendloop.kube.errors import Answer, Call, from_answer
from mendloop.kube.requests import Resource

__all__ = ["Gone", "ListBegun", "ListDone", "Present", "WatchEvent", "last_of_deleted", "watch"]

_PAGE = "250"
_LINE_LIMIT_BYTES = 64 * 1024 * 1024
"""No event of a sound server comes near it: an object has 3 MiB at most."""

_LIFE_SECONDS = 300
"""So long the server keeps a stream before it ends it in good order, or up to twice as long."""

_SILENCE_SECONDS = 90.0
"""The server says something at least once a minute: a bookmark, if nothing has changed."""

_TELLING_SECONDS = 2
"""What has already happened is told at once."""

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_SOUND_SECONDS = 1.0

_log = logging.getLogger(__name__)


class ListBegun(msgspec.Struct, frozen=True):
    """
    All objects follow, as they are at *version*; what does not come before `ListDone` is gone.

    Attributes:
        version: Of the list.
        is_behind: Whether the server stands before what this watch has told already: it was
            restored from a backup, and nothing that is known counts any more.
    """

    version: int
    is_behind: bool


class ListDone(msgspec.Struct, frozen=True):
    """All objects have come."""


class Present(msgspec.Struct, frozen=True):
    """
    An object, new, changed or listed.

    Attributes:
        name: Of the object.
        uid: Its own, also among those that had or will have the name.
        version: Rises with each change.
        raw: The whole object, as JSON.
    """

    name: str
    uid: str
    version: int
    raw: bytes


class Gone(msgspec.Struct, frozen=True):
    """An object was removed, at this version."""

    name: str
    uid: str
    version: int


WatchEvent = ListBegun | ListDone | Present | Gone


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    uid: str = ""
    resource_version: int = 0


class _Object(msgspec.Struct):
    metadata: _Meta


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: int
    following: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


# Versions are integers in quotes.
_lines_of = msgspec.json.Decoder(_Line)
_objects = msgspec.json.Decoder(_Object, strict=False)
_lists = msgspec.json.Decoder(_List, strict=False)


async def watch(
    api: Api,
    resource: Resource,
    selector: str,
    *,
    silence_seconds: float = _SILENCE_SECONDS,
    life_seconds: int = _LIFE_SECONDS,
) -> AsyncGenerator[WatchEvent, None]:
    """
    Yield all objects, then every change of one, without end; failures of the server are sat out.

    An object may be told again that is known already, also after a list: compare its version.

    Args:
        api: Where.
        resource: What.
        selector: By which labels.
        silence_seconds: A stream that brings nothing for so long is given up for another one.
        life_seconds: A stream is ended by the server after so long, or up to twice as long.

    Raises:
        StoreError: What no waiting cures, such as `NotPermitted`.
    """
    stream = _Stream(api, resource, selector, silence_seconds, life_seconds)
    while True:
        try:
            async with aclosing(stream.events()) as events:
                async for event in events:
                    yield event
        except StoreUnavailable as error:
            await stream.pause(error)
        except VersionExpired as error:
            stream.expire()
            await stream.pause(error)


async def last_of_deleted(api: Api, resource: Resource, name: str, since: int) -> bytes | None:
    """
    The object of this name as it was when it was last deleted after the version *since*, as JSON.

    None where it was not deleted since.

    Raises:
        VersionExpired: The server does not tell again what was so long ago.
        StoreError: The server is not there, or does not allow it.
    """
    query = {
        "fieldSelector": f"metadata.name={name}",
        "resourceVersion": str(since),
        "timeoutSeconds": str(_TELLING_SECONDS),
    }
    last: bytes | None = None
    async with api.watch(resource, query, silence_seconds=2 * _TELLING_SECONDS) as pieces:
        async for line in _split(pieces):
            with _understood():
                told = _lines_of.decode(line)
            if told.type == "ERROR":
                raise _told_error(api, resource, told)
            if told.type == "DELETED":
                last = bytes(told.object)
    return last


class _Stream:
    """Where a watch stands between two connections."""

    def __init__(
        self,
        api: Api,
        resource: Resource,
        selector: str,
        silence_seconds: float,
        life_seconds: int,
    ) -> None:
        self._api = api
        self._resource = resource
        self._selector = selector
        self._silence_seconds = silence_seconds
        self._life_seconds = life_seconds
        self._version = 0
        self._is_listed = False
        self._failures = 0

    async def events(self) -> AsyncGenerator[WatchEvent, None]:
        """Yield what comes until the connection ends."""
        if not self._is_listed:
            async for event in self._list():
                yield event
            self._is_listed = True
        begun, is_mute = asyncio.get_running_loop().time(), True
        try:
            async for change in self._watch():
                self._failures, is_mute = 0, False
                if change is not None:
                    yield change
        except StoreUnavailable:
            # A server that stands before our version says nothing until it gets there.
            if is_mute and asyncio.get_running_loop().time() - begun >= self._silence_seconds:
                self.expire()
            raise
        if asyncio.get_running_loop().time() - begun < _SOUND_SECONDS:
            raise StoreUnavailable("the server ended the stream as soon as it had begun")

    def expire(self) -> None:
        """Begin anew with a list."""
        self._is_listed = False

    async def pause(self, error: StoreError) -> None:
        """Wait before the next connection, longer each time that nothing came of one."""
        most = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures, 10), _LONGEST_PAUSE_SECONDS)
        seconds = random.uniform(most / 2, most)  # noqa: S311 - jitter, not a secret
        self._failures += 1
        level = logging.WARNING if self._failures > 1 else logging.DEBUG
        _log.log(level, "watching %s again in %.1f s: %s", self._resource.plural, seconds, error)
        await asyncio.sleep(seconds)

    async def _list(self) -> AsyncGenerator[WatchEvent, None]:
        query = {"labelSelector": self._selector, "limit": _PAGE}
        known = self._version
        while True:
            raw_page = await self._api.list(self._resource, query)
            with _understood():
                page = _lists.decode(raw_page)
                objects = [_present(_objects.decode(raw).metadata, raw) for raw in page.items or ()]
            if "continue" not in query:
                self._version = page.metadata.resource_version
                yield ListBegun(self._version, is_behind=self._version < known)
            for present in objects:
                yield present
            if not page.metadata.following:
                yield ListDone()
                return
            query["continue"] = page.metadata.following

    async def _watch(self) -> AsyncGenerator[WatchEvent | None, None]:
        """Yield changes; None for a sign of life."""
        query = {
            "labelSelector": self._selector,
            "resourceVersion": str(self._version),
            "allowWatchBookmarks": "true",
            # Not all streams of a server end at the same time.
            "timeoutSeconds": str(random.randint(self._life_seconds, 2 * self._life_seconds)),  # noqa: S311 - jitter, not a secret
        }
        async with self._api.watch(
            self._resource, query, silence_seconds=self._silence_seconds
        ) as pieces:
            async for line in _split(pieces):
                yield self._read(line)

    def _read(self, line: bytes) -> WatchEvent | None:
        with _understood():
            told = _lines_of.decode(line)
            is_error = told.type == "ERROR"
            meta = _Meta() if is_error else _objects.decode(told.object).metadata
        if is_error:
            raise _told_error(self._api, self._resource, told)
        if meta.resource_version < self._version:
            raise VersionExpired("the server has gone back to an earlier version")
        self._version = meta.resource_version
        if told.type == "BOOKMARK":
            return None
        if told.type == "DELETED":
            return Gone(meta.name, meta.uid, meta.resource_version)
        return _present(meta, told.object)


def _told_error(api: Api, resource: Resource, told: _Line) -> StateError:
    call = Call(verb="watch", resource=resource.plural, namespace=api.namespace)
    return from_answer(Answer.of_event(bytes(told.object)), call, api.server)


def _present(meta: _Meta, raw: msgspec.Raw) -> Present:
    return Present(meta.name, meta.uid, meta.resource_version, bytes(raw))


@contextmanager
def _understood() -> Iterator[None]:
    """Take what is no answer of an API server for a disturbance on the way."""
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise StoreUnavailable(f"what comes is no watch of an API server: {error}") from error


async def _split(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """
    Yield whole lines.

    Not by aiohttp's own reader of lines: it refuses those above 512 KiB, and one event may have
    several MiB. What comes after the last line end is a line that was cut off.
    """
    parts: list[bytes] = []
    size_bytes = 0
    async for piece in pieces:
        first, *others = piece.split(b"\n")
        parts.append(first)
        size_bytes += len(first)
        for other in others:
            yield b"".join(parts)
            parts, size_bytes = [other], len(other)
        if size_bytes > _LINE_LIMIT_BYTES:
            raise StoreUnavailable("the server sends a line that has no end")
