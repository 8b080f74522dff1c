"""
The store on a laptop: one SQLite file, shared by any number of processes, with no daemon.

Acknowledged means durable: the write-ahead log is synced in every commit. Every decision is taken
under SQLite's write lock. docs/adr/0002-sqlite-through-apsw.md says why it is built like this.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw

from mendloop.core.errors import StoreError
from mendloop.stores import grammar
from mendloop.stores import sqlite_rows as rows
from mendloop.stores.cursor import read_cursor, write_cursor
from mendloop.stores.port import Document, Page, Room, Seen
from mendloop.stores.sqlite_damaged import row_revision
from mendloop.stores.sqlite_errors import from_os
from mendloop.stores.sqlite_session import Session, Worker
from mendloop.stores.sqlite_writes import SharedWrites

__all__ = ["SqliteStore", "open_sqlite"]

_T = TypeVar("_T")

_POLL_SECONDS = 0.2


async def open_sqlite(
    path: str | os.PathLike[str], *, must_exist: bool = False, busy_timeout_seconds: float = 30.0
) -> SqliteStore:
    """
    Open the store in *path*; the file and its folders are made where they are missing.

    Args:
        path: The file, on a local disk. New folders are for this user only, and so is the file.
        must_exist: Make nothing.
        busy_timeout_seconds: How long a call waits for other processes before it gives up.

    Raises:
        StoreNotFound: There is none, and it *must_exist*.
        StoreCorrupt: It is a folder, empty, damaged, or another program's.
        StoreTooNew: A newer mendloop laid it out; nothing was touched.
        StoreReadOnly: There is none and it cannot be made.
        StoreFull: There is no room for it, or for what SQLite keeps beside it.
        StoreUnavailable: Other processes kept it locked for *busy_timeout_seconds*.
        StoreError: It is on a network file system, may not be read, or is named from a current
            folder that is gone.
    """
    file = Path(path)
    try:
        session = Session(file, busy_timeout_seconds, must_exist=must_exist)
    except OSError as error:
        raise from_os(error, file) from error
    worker = Worker(f"mendloop-{file.name}")
    try:
        await worker.call(session.open)
    except BaseException:
        worker.stop(session.close)
        raise
    return SqliteStore(session, worker)


class SqliteStore:
    """
    A `mendloop.stores.port.Store` in one SQLite file; `open_sqlite` makes one.

    May be used from any task of the process that opened it. A caller that is cancelled leaves
    either the whole write or nothing of it.
    """

    def __init__(self, session: Session, worker: Worker) -> None:
        """Take over an opened *session* and the *worker* whose thread it belongs to."""
        self._session = session
        self._writes = SharedWrites(session)
        self._worker = worker
        self._is_closed = False
        self._process_id = os.getpid()

    async def get(self, kind: str, key: str) -> Document | None:
        """See `mendloop.stores.port.Store.get`."""
        grammar.check_name(kind, key)
        return await self._read(partial(rows.find, kind=kind, key=key))

    def peek(self, kind: str, key: str) -> Document | None:  # noqa: ARG002 - the port's signature
        """See `mendloop.stores.port.Store.peek`. To ask the file costs little: nothing is kept."""
        return None

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
        fields, labels = fields or {}, labels or {}
        grammar.check_name(kind, key)
        grammar.check_content(kind, body, fields, labels)
        content = rows.Content(bytes(body), rows.as_json(fields), rows.as_json(labels))
        return await self._write(partial(rows.insert, kind=kind, key=key, content=content))

    async def replace(
        self,
        document: Document,
        body: bytes,
        *,
        fields: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Document:
        """See `mendloop.stores.port.Store.replace`."""
        fields, labels = dict(fields or {}), dict(labels or {})
        grammar.check_name(document.kind, document.key)
        grammar.check_changeable(document.kind)
        grammar.check_content(document.kind, body, fields, labels)
        return await self._write(
            partial(
                rows.overwrite, document=document, body=bytes(body), fields=fields, labels=labels
            )
        )

    async def delete(self, document: Document) -> None:
        """See `mendloop.stores.port.Store.delete`."""
        grammar.check_name(document.kind, document.key)
        await self._write(partial(rows.remove, document=document))

    async def list(
        self,
        kind: str,
        *,
        labels: Mapping[str, str] | None = None,
        limit: int = 500,
        cursor: str | None = None,
    ) -> Page:
        """See `mendloop.stores.port.Store.list`. A page ends early after 16 MiB of bodies."""
        labels = labels or {}
        grammar.check_kind(kind)
        grammar.check_labels(labels)
        grammar.check_limit(limit)
        after = "" if cursor is None else read_cursor(cursor, kind, labels)
        selection = rows.Selection(kind, tuple(sorted(labels.items())), limit, after)
        documents, has_more = await self._read(partial(rows.select, selection=selection))
        following = write_cursor(documents[-1].key, kind, labels) if has_more else None
        return Page(documents=tuple(documents), cursor=following)

    async def watch(self, kind: str) -> AsyncGenerator[Seen, None]:
        """See `mendloop.stores.port.Store.watch`. The file is looked at five times a second."""
        grammar.check_kind(kind)
        known: dict[str, str] = {}
        writes = -1
        while True:
            # Read before the changes: what is written meanwhile is looked for again.
            count = await self._read(rows.count_writes)
            if count != writes:
                writes = count
                async for seen in self._changes(kind, known):
                    yield seen
            await asyncio.sleep(_POLL_SECONDS)

    async def _changes(self, kind: str, known: dict[str, str]) -> AsyncGenerator[Seen, None]:
        """Yield what is no longer as in *known*, revisions by key, which is kept up to date."""
        newest = await self._read(partial(rows.revisions, kind=kind))
        for key in (*newest, *(known.keys() - newest.keys())):
            if known.get(key) == newest.get(key):
                continue
            document = await self._read(partial(rows.find, kind=kind, key=key))
            if document is not None:
                known[key] = row_revision(document)
                yield Seen(key=key, document=document)
            elif known.pop(key, None) is not None:
                yield Seen(key=key, document=None)

    async def room(self) -> Room:
        """
        See `mendloop.stores.port.Bounded.room`. The file may grow until its disk is full.

        What was deleted leaves room in the file, which counts as free.
        """
        used_bytes, free_bytes = await self._read(rows.measure)
        disk = os.statvfs(self._session.path.parent)
        return Room(
            document_bytes=rows.LONGEST_BODY_BYTES,
            used_bytes=used_bytes,
            limit_bytes=used_bytes + free_bytes + disk.f_bavail * disk.f_frsize,
        )

    async def scrub(self) -> None:
        """
        See `mendloop.stores.port.Store.scrub`. A deleted row is overwritten in the file at once; this
        moves the log into the file and cuts it off, and waits for readers of older states first.
        """
        await self._read(rows.empty_log)

    async def close(self) -> None:
        """
        See `mendloop.stores.port.Store.close`. Calls that wait are still served.

        After a fork the child lets go of nothing: the file is its parent's.
        """
        if self._is_closed or self._process_id != os.getpid():
            return
        self._is_closed = True
        try:
            await self._worker.call(self._session.close)
        finally:
            self._worker.stop(self._session.close)

    async def _read(self, action: Callable[[apsw.Connection], _T]) -> _T:
        self._check_usable()
        return await self._worker.call(partial(self._session.read, action))

    async def _write(self, action: Callable[[apsw.Connection], _T]) -> _T:
        self._check_usable()
        write = self._writes.add(action)
        return await self._worker.call(partial(self._writes.settle, write))

    def _check_usable(self) -> None:
        if self._is_closed:
            raise StoreError("the store is closed: open it again")
        if self._process_id != os.getpid():
            raise StoreError("the store was opened before a fork: open it in this process")
