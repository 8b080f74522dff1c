"""
Documents as rows: the statements, and the digests that tell a damaged row from a sound one.

A damaged row is read like any other, and says so: it stands in the way of no other.

Every function here runs inside a transaction that its caller has begun, except that a read of one
statement needs none.
"""

from __future__ import annotations

import contextlib
import logging
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import apsw
import msgspec

from mendloop.core.errors import DocumentExists, RevisionConflict, StoreCorrupt
from mendloop.stores.port import Document
from mendloop.stores.sqlite_damaged import damaged_document

__all__ = [
    "LONGEST_BODY_BYTES",
    "Content",
    "Selection",
    "as_json",
    "count_writes",
    "empty_log",
    "find",
    "insert",
    "measure",
    "overwrite",
    "remove",
    "revisions",
    "select",
]

_log = logging.getLogger(__name__)

_PAGE_BYTES = 16 * 1024 * 1024
"""A page of a listing ends early where its bodies pass this, so that memory stays bounded."""

LONGEST_BODY_BYTES = 1_000_000_000
"""SQLite takes no longer value (https://sqlite.org/limits.html, 1)."""

_COLUMNS = """
    d.key, d.revision, d.digest, CAST(d.fields AS BLOB), CAST(d.labels AS BLOB), d.body
"""
"""Texts as bytes: those of a damaged row need not be UTF-8."""

_FIND = f"SELECT {_COLUMNS} FROM document AS d WHERE kind = ? AND key = ?"  # noqa: S608 - a constant
_IS_THERE = "SELECT 1 FROM document WHERE kind = ? AND key = ?"
_REVISIONS = "SELECT key, revision FROM document WHERE kind = ? ORDER BY key"
_NEIGHBOURS = """
    SELECT near.kind, near.key, document.name_digest FROM (
        SELECT * FROM (
            SELECT kind, key, rowid AS place FROM document
            WHERE (kind, key) < (?1, ?2) ORDER BY kind DESC, key DESC LIMIT 1
        )
        UNION ALL SELECT * FROM (
            SELECT kind, key, rowid AS place FROM document
            WHERE (kind, key) > (?1, ?2) ORDER BY kind, key LIMIT 1
        )
    ) AS near JOIN document ON document.rowid = near.place
"""
"""The names as the index has them, with the digests that the rows have."""

_COUNTER = "SELECT value, complement FROM counter WHERE id = 1"
_COUNT = "UPDATE counter SET value = ?, complement = ?, names = names + ? WHERE id = 1"
_INSERT = "INSERT INTO document VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_UPDATE = """
    UPDATE document SET revision = ?, digest = ?, fields = ?, labels = ?, body = ?
    WHERE kind = ? AND key = ?
"""
_DELETE = "DELETE FROM document WHERE kind = ? AND key = ?"
_LABEL = "INSERT OR IGNORE INTO label VALUES (?, ?, ?, ?)"
"""A damaged entry may be there already."""

_UNLABEL = "DELETE FROM label WHERE kind = ? AND name = ? AND value = ? AND key = ?"

_texts = msgspec.json.Decoder(dict[str, str])


class Content(NamedTuple):
    """What a document holds; fields and labels as JSON objects."""

    body: bytes
    fields: str
    labels: str


class Selection(NamedTuple):
    """Which documents a page holds; `after` is the last key of the page before, or ""."""

    kind: str
    labels: tuple[tuple[str, str], ...]
    limit: int
    after: str


def find(connection: apsw.Connection, kind: str, key: str) -> Document | None:
    """Read one document, or None where there is none."""
    row = connection.execute(_FIND, (kind, key)).get
    if row is None:
        _check_absence(connection, kind, key)
        return None
    return _document(connection, kind, row)


def insert(connection: apsw.Connection, kind: str, key: str, content: Content) -> Document:
    """
    Add a document.

    Raises:
        DocumentExists: The key is taken.
    """
    if connection.execute(_IS_THERE, (kind, key)).get is not None:
        raise DocumentExists(f"there is a {kind} {key!r} already")
    _check_absence(connection, kind, key)
    name_digest = _name_digest(kind, key)
    revision = _next_revision(connection, name_digest)
    digest = _digest(kind, key, revision, content)
    connection.execute(
        _INSERT,
        (
            kind,
            key,
            name_digest,
            revision,
            digest,
            content.fields,
            content.labels,
            content.body,
        ),
    )
    _relabel(connection, kind, key, {}, _decode(content.labels))
    return _as_document(kind, key, revision, content)


def overwrite(
    connection: apsw.Connection,
    document: Document,
    body: bytes,
    fields: Mapping[str, str],
    labels: Mapping[str, str],
) -> Document:
    """
    Put *body* in the place of that of *document*, and set *fields* and *labels*.

    Raises:
        RevisionConflict: It moved or is gone.
    """
    kind, key = document.kind, document.key
    stored = _newest(connection, document)
    content = Content(body, _merged(stored.fields, fields), _merged(stored.labels, labels))
    revision = _next_revision(connection, 0)
    if not stored.damage and revision <= int(stored.revision):
        raise _damage(connection, "the revision counter")
    connection.execute(
        _UPDATE,
        (revision, _digest(kind, key, revision, content), *content[1:], content.body, kind, key),
    )
    _relabel(connection, kind, key, stored.labels, _decode(content.labels))
    return _as_document(kind, key, revision, content)


def remove(connection: apsw.Connection, document: Document) -> None:
    """
    Take *document* out.

    Raises:
        RevisionConflict: It moved or is gone.
    """
    kind, key = document.kind, document.key
    stored = _newest(connection, document)
    _next_revision(connection, -_name_digest(kind, key))
    connection.execute(_DELETE, (kind, key))
    _relabel(connection, kind, key, stored.labels, {})


def select(connection: apsw.Connection, selection: Selection) -> tuple[list[Document], bool]:
    """List documents in ascending order of key; the flag says whether there are more."""
    documents: list[Document] = []
    size_bytes = 0
    cursor = connection.execute(*_listing(selection))
    try:
        for row in cursor:
            if len(documents) == selection.limit or size_bytes > _PAGE_BYTES:
                return documents, True
            document = _document(connection, selection.kind, row)
            if not document.labels.items() >= dict(selection.labels).items():
                _tell_of_index(connection, selection, document)
                continue
            documents.append(document)
            size_bytes += len(document.body)
    finally:
        cursor.close(True)  # noqa: FBT003 - apsw names it force
    return documents, False


def count_writes(connection: apsw.Connection) -> int:
    """Count the writes that the file has seen: equal counts mean that nothing has changed."""
    value, complement = connection.execute(_COUNTER).get or (0, 0)
    if complement != ~value:
        raise _damage(connection, "the revision counter")
    return int(value)


def empty_log(connection: apsw.Connection) -> None:
    """Move all of the write-ahead log into the file, and cut it off; busy while somebody reads it."""
    if not connection.readonly("main"):
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def measure(connection: apsw.Connection) -> tuple[int, int]:
    """Bytes of the file that are in use, and those that are free in it."""
    page_bytes, pages, free_pages = (
        int(connection.pragma(name)) for name in ("page_size", "page_count", "freelist_count")
    )
    return (pages - free_pages) * page_bytes, free_pages * page_bytes


def revisions(connection: apsw.Connection, kind: str) -> dict[str, str]:
    """The revision of each document of *kind*, by key and in its order."""
    return {key: str(revision) for key, revision in connection.execute(_REVISIONS, (kind,))}


def _listing(selection: Selection) -> tuple[str, tuple[str | bytes | int, ...]]:
    values: list[str | bytes | int] = []
    source, conditions = "document AS d", []
    if selection.labels:
        # CROSS JOIN keeps the order: from the label index to the documents.
        source = "label AS d0 CROSS JOIN document AS d ON d.kind = d0.kind AND d.key = d0.key"
        (name, value), *others = selection.labels
        conditions = ["d0.kind = ? AND d0.name = ? AND d0.value = ?"]
        values = [selection.kind, name, value]
        for other in others:
            conditions.append(
                "EXISTS (SELECT 1 FROM label WHERE kind = d.kind AND name = ? AND value = ?"
                " AND key = d.key)"
            )
            values.extend(other)
    ordered = "d0" if selection.labels else "d"
    conditions.append(f"{ordered}.kind = ? AND {ordered}.key > ?")
    values.extend((selection.kind, selection.after))
    # Only names and operators of this module are put into the text.
    statement = (
        f"SELECT {_COLUMNS}"  # noqa: S608 - see above
        f" FROM {source} WHERE {' AND '.join(conditions)} ORDER BY {ordered}.key"
    )
    return statement, tuple(values)


def _newest(connection: apsw.Connection, document: Document) -> Document:
    """Read what is to be written over: a row that was damaged since it was read has moved."""
    row = connection.execute(_FIND, (document.kind, document.key)).get
    stored = None if row is None else _document(connection, document.kind, row)
    if stored is None or stored.revision != document.revision:
        found = "gone" if stored is None else f"at revision {stored.revision}"
        raise RevisionConflict(
            f"{document.kind} {document.key!r} was read at revision {document.revision}"
            f" and is {found}"
        )
    return stored


def _next_revision(connection: apsw.Connection, names_change: int) -> int:
    """Count one write; keep the sum of the names' digests that the file is checked by."""
    revision = count_writes(connection) + 1
    connection.execute(_COUNT, (revision, ~revision, names_change))
    return revision


def _merged(stored: Mapping[str, str], given: Mapping[str, str]) -> str:
    return as_json({**stored, **given})


def _relabel(
    connection: apsw.Connection,
    kind: str,
    key: str,
    before: Mapping[str, str],
    after: Mapping[str, str],
) -> None:
    """Have the index say *after*, also where damage has taken an entry that was there before."""
    for name, value in before.items() - after.items():
        connection.execute(_UNLABEL, (kind, name, value, key))
    for name, value in after.items():
        connection.execute(_LABEL, (kind, name, value, key))


def _document(connection: apsw.Connection, kind: str, row: tuple[object, ...]) -> Document:
    key, revision, digest, fields, labels, body = row
    if not isinstance(key, str):
        raise _damage(connection, f"{kind} {key!r}")
    if (
        isinstance(revision, int)
        and isinstance(fields, bytes)
        and isinstance(labels, bytes)
        and isinstance(body, bytes)
    ):
        with contextlib.suppress(UnicodeDecodeError):
            content = Content(body, fields.decode(), labels.decode())
            if digest == _digest(kind, key, revision, content):
                return _as_document(kind, key, revision, content)
    return damaged_document(connection, kind, key, row[1:])


def _as_document(kind: str, key: str, revision: int, content: Content) -> Document:
    return Document(
        kind=kind,
        key=key,
        revision=str(revision),
        body=content.body,
        fields=_decode(content.fields),
        labels=_decode(content.labels),
    )


def as_json(texts: Mapping[str, str]) -> str:
    """Write fields or labels as they are stored."""
    return msgspec.json.encode(dict(texts)).decode()


def _decode(texts: str) -> dict[str, str]:
    return {} if texts == "{}" else _texts.decode(texts)


def _digest(kind: str, key: str, revision: int, content: Content) -> int:
    head = f"{kind}\0{key}\0{revision}\0{content.fields}\0{content.labels}\0"
    return zlib.crc32(content.body, zlib.crc32(head.encode()))


def _name_digest(kind: str, key: str) -> int:
    return zlib.crc32(f"{kind}\0{key}".encode())


def _check_absence(connection: apsw.Connection, kind: str, key: str) -> None:
    """
    Make sure that a document is absent, not hidden by a damaged name.

    A search that a damaged name led astray ends beside that name.
    """
    for near_kind, near_key, digest in connection.execute(_NEIGHBOURS, (kind, key)).fetchall():
        if digest != _name_digest(str(near_kind), str(near_key)):
            raise _damage(connection, f"{near_kind} {near_key!r}")


def _tell_of_index(connection: apsw.Connection, selection: Selection, document: Document) -> None:
    """Name a document that the index has under labels which it has not: its own row is what counts."""
    _log.warning(
        "%s: the index of labels is damaged: it has %s %r under %s, which is passed over; another"
        " document may be missing in a listing, until it is written to, or is exported and imported",
        connection.filename,
        document.kind,
        document.key,
        " and ".join(f"{name}={value}" for name, value in selection.labels),
    )


def _damage(connection: apsw.Connection, what: str) -> StoreCorrupt:
    return StoreCorrupt(
        f"{connection.filename}: {what} is damaged; restore a copy, or move the file away"
        " together with its -wal and -shm files"
    )
