"""
What a process has seen of the documents of one kind: fed by a watch, and by its own calls.

No name goes back in time: versions of all objects of a cluster come from one counter, so that of
two versions under a name the higher one counts, also where one of them is a removal.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from typing import NamedTuple

from mendloop.core.errors import StateError
from mendloop.kube.watch import Gone, ListBegun, ListDone, Present, WatchEvent

__all__ = ["CACHE_BYTES", "Cache", "Change"]

CACHE_BYTES = 128 * 1024 * 1024
"""So much of one kind is remembered."""

_GRAVES = 10_000
"""So many removals are remembered: no late news may bring an object back."""


class Change(NamedTuple):
    """
    What became of a name.

    Attributes:
        name: Of an object.
        raw: The object as JSON; None where it is gone, or where only the store has it.
        is_gone: Whether it was removed.
    """

    name: str
    raw: bytes | None
    is_gone: bool


class Cache:
    """
    The objects of one kind, by name, as the bytes that the server sent.

    Beyond a limit the bytes of those that have not changed for the longest time are let go.
    """

    def __init__(self, *, limit_bytes: int = CACHE_BYTES) -> None:
        """Begin with nothing."""
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._versions: dict[str, int] = {}
        self._raw: OrderedDict[str, bytes] = OrderedDict()
        self._graves: OrderedDict[str, int] = OrderedDict()
        self._list_version = 0
        self._missing: set[str] = set()
        self._watchers: set[_Watcher] = set()
        self._failure: StateError | None = None

    def get(self, name: str) -> bytes | None:
        """The newest bytes of *name*, or None where they are not known."""
        return self._raw.get(name)

    def take(self, event: WatchEvent) -> None:
        """Take in what a watch tells."""
        match event:
            case Present(name, _, version, raw):
                self.see(name, version, raw)
            case Gone(name, _, version):
                self.remove(name, version)
            case ListBegun(version, is_behind):
                if is_behind:
                    self._forget()
                self._list_version, self._missing = version, set(self._versions)
            case ListDone():
                for name in self._missing:
                    self.remove(name, self._list_version)

    def see(self, name: str, version: int, raw: bytes) -> None:
        """Take in an object, unless as new a version or removal of its name is known."""
        self._missing.discard(name)
        if version <= max(self._versions.get(name, -1), self._graves.get(name, -1)):
            return
        self._drop(name)
        self._graves.pop(name, None)
        self._versions[name] = version
        self._raw[name] = raw
        self._size_bytes += len(raw)
        while self._size_bytes > self._limit_bytes:
            self._size_bytes -= len(self._raw.popitem(last=False)[1])
        self._tell(name)

    def remove(self, name: str, version: int) -> None:
        """Take in that an object was removed at *version*, unless a newer version is known."""
        if self._versions.get(name, -1) > version:
            return
        self._graves[name] = max(version, self._graves.pop(name, -1))
        if len(self._graves) > _GRAVES:
            self._graves.popitem(last=False)
        if name in self._versions:
            self._drop(name)
            self._tell(name)

    def fail(self, error: StateError) -> None:
        """End every watch with *error*."""
        self._failure = error
        for watcher in self._watchers:
            watcher.wake.set()

    async def changes(self) -> AsyncGenerator[Change, None]:
        """
        Yield every name, then those that change; what changes several times meanwhile, once.

        Raises:
            StateError: There will be no more news.
        """
        watcher = _Watcher(self._versions)
        self._watchers.add(watcher)
        told: set[str] = set()
        try:
            while True:
                while watcher.changed:
                    name = watcher.next()
                    if name in self._versions:
                        told.add(name)
                        yield Change(name, self._raw.get(name), is_gone=False)
                    elif name in told:
                        told.remove(name)
                        yield Change(name, None, is_gone=True)
                if self._failure is not None:
                    raise self._failure
                await watcher.wake.wait()
        finally:
            self._watchers.discard(watcher)

    def _drop(self, name: str) -> None:
        self._versions.pop(name, None)
        self._size_bytes -= len(self._raw.pop(name, b""))

    def _forget(self) -> None:
        """The server was restored from a backup: what it had later never was."""
        for name in list(self._versions):
            self._drop(name)
            self._tell(name)
        self._graves.clear()

    def _tell(self, name: str) -> None:
        for watcher in self._watchers:
            watcher.add(name)


class _Watcher:
    """What somebody has still to be told, in the order in which it happened first."""

    def __init__(self, names: dict[str, int]) -> None:
        self.changed = dict.fromkeys(names)
        self.wake = asyncio.Event()

    def add(self, name: str) -> None:
        self.changed[name] = None
        self.wake.set()

    def next(self) -> str:
        name = next(iter(self.changed))
        del self.changed[name]
        if not self.changed:
            self.wake.clear()
        return name
