"""
The store on a laptop: one SQLite file, shared by any number of processes, with no daemon.

Acknowledged means durable: the write-ahead log is synced in every commit. Every decision is taken
under SQLite's write lock. docs/adr/0002-sqlite-through-apsw.md says why it is built like this.
"""

from __future__ import annotations

import base64
import binascii
import os
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw
import msgspec

from mendloop.core.errors import StoreError, ValidationError
from mendloop.stores import sqlite_rows as rows
from mendloop.stores.port import Document, Page
from mendloop.stores.sqlite_session import Session, Worker

__all__ = ["SqliteStore", "open_sqlite"]

_T = TypeVar("_T")

_CURSOR_CHECK_BYTES = 4
_LARGEST_LIMIT = 1_000_000


async def open_sqlite(path: Path, *, busy_timeout_seconds: float = 30.0) -> SqliteStore:
    """
    Open the store in *path*; the file and its folders are made where they are missing.

    Args:
        path: The file, on a local disk. New folders are for this user only, and so is the file.
        busy_timeout_seconds: How long a call waits for other processes before it gives up.

    Raises:
        StoreCorrupt: It is a folder, empty, damaged, or another program's.
        StoreTooNew: A newer mendloop laid it out; nothing was touched.
        StoreReadOnly: There is none and it cannot be made.
        StoreFull: There is no room for it, or for what SQLite keeps beside it.
        StoreUnavailable: Other processes kept it locked for *busy_timeout_seconds*.
        StoreError: It is on a network file system, or may not be read.
    """
    session = Session(path, busy_timeout_seconds)
    worker = Worker(f"mendloop-{path.name}")
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
        self._worker = worker
        self._is_closed = False
        self._process_id = os.getpid()

    async def get(self, kind: str, key: str) -> Document | None:
        """See `mendloop.stores.port.Store.get`."""
        _check_texts(kind, key)
        return await self._read(partial(rows.find, kind=kind, key=key))

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
        _check_texts(kind, key)
        content = _content(body, fields, labels)
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
        _check_texts(document.kind, document.key)
        content = _content(body, fields, labels)
        return await self._write(partial(rows.overwrite, document=document, content=content))

    async def delete(self, document: Document) -> None:
        """See `mendloop.stores.port.Store.delete`."""
        _check_texts(document.kind, document.key)
        await self._write(partial(rows.remove, document=document))

    async def list(
        self,
        kind: str,
        *,
        prefix: str = "",
        labels: Mapping[str, str] | None = None,
        limit: int = 500,
        cursor: str | None = None,
    ) -> Page:
        """
        See `mendloop.stores.port.Store.list`.

        A page may hold less than *limit*: it ends early after 16 MiB of bodies.

        Raises:
            ValidationError: The limit is not in 1..1000000, or the cursor is not one of this
                listing's.
        """
        if not 1 <= limit <= _LARGEST_LIMIT:
            raise ValidationError(f"a page holds 1 to {_LARGEST_LIMIT} documents, not {limit}")
        wanted = tuple(sorted((labels or {}).items()))
        _check_texts(kind, prefix, *(text for label in wanted for text in label))
        after = None if cursor is None else _read_cursor(cursor, kind, prefix, wanted)
        selection = rows.Selection(kind, prefix, wanted, limit, after)
        documents, has_more = await self._read(partial(rows.select, selection=selection))
        next_cursor = _write_cursor(documents[-1].key, kind, prefix, wanted) if has_more else None
        return Page(documents=tuple(documents), cursor=next_cursor)

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
        return await self._worker.call(partial(self._session.write, action))

    def _check_usable(self) -> None:
        if self._is_closed:
            raise StoreError("the store is closed: open it again")
        if self._process_id != os.getpid():
            raise StoreError("the store was opened before a fork: open it in this process")


def _content(
    body: bytes, fields: Mapping[str, str] | None, labels: Mapping[str, str] | None
) -> rows.Content:
    return rows.Content(bytes(body), _as_json(fields), _as_json(labels))


def _as_json(texts: Mapping[str, str] | None) -> str:
    if not texts:
        return "{}"
    try:
        return msgspec.json.encode(dict(texts)).decode()
    except UnicodeEncodeError as error:
        raise ValidationError(f"fields and labels are valid Unicode: {error}") from error


def _check_texts(*texts: str) -> None:
    try:
        for text in texts:
            text.encode()
    except UnicodeEncodeError as error:
        raise ValidationError(f"a kind, key or label is valid Unicode: {error}") from error


def _write_cursor(after: str, kind: str, prefix: str, labels: tuple[tuple[str, str], ...]) -> str:
    check = _cursor_check(after, kind, prefix, labels)
    return base64.urlsafe_b64encode(check + after.encode()).decode()


def _read_cursor(cursor: str, kind: str, prefix: str, labels: tuple[tuple[str, str], ...]) -> str:
    try:
        content = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        after = content[_CURSOR_CHECK_BYTES:].decode()
    except (UnicodeError, binascii.Error) as error:
        raise ValidationError("the cursor is not one that a listing gave") from error
    if content[:_CURSOR_CHECK_BYTES] != _cursor_check(after, kind, prefix, labels):
        raise ValidationError("the cursor is not one that this listing gave")
    return after


def _cursor_check(after: str, kind: str, prefix: str, labels: tuple[tuple[str, str], ...]) -> bytes:
    listing = msgspec.json.encode([after, kind, prefix, labels])
    return zlib.crc32(listing).to_bytes(_CURSOR_CHECK_BYTES, "big")
