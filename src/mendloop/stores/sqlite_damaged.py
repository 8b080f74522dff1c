"""
A row that does not match its digest, as a document that says so.

A failing disk or a hand with a database tool makes one. What is left of it is read, for a copy and a
repair; its labels are those of their index, which it is listed by.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import apsw
import msgspec

from mendloop.stores.port import Document

__all__ = ["damaged_document", "row_revision"]

_MARK = "!"
"""Sets the revision that stands in a damaged row apart from a digest of the row."""

_LABELS = "SELECT name, value FROM label WHERE kind = ? AND key = ?"

_texts = msgspec.json.Decoder(dict[str, str])


def damaged_document(
    connection: apsw.Connection, kind: str, key: str, values: Sequence[object]
) -> Document:
    """
    Read what is left of a row.

    Its revision is one that a sound row never has: so nobody who has read another one writes over it.

    Args:
        connection: Where it is.
        kind: Of the document.
        key: The same.
        values: Revision, digest, fields, labels and body, as they stand there.
    """
    revision, digest, fields, labels, body = map(_as_bytes, values)
    blobs = {"revision": revision, "digest": digest, "fields": fields, "labels": labels}
    of_all = zlib.crc32(b"\0".join([*blobs.values(), body]))
    return Document(
        kind=kind,
        key=key,
        revision=f"{values[0]}{_MARK}{of_all:08x}",
        body=body,
        fields=_readable(fields),
        labels={str(name): str(value) for name, value in connection.execute(_LABELS, (kind, key))},
        blobs=blobs,
        damage=(
            f"the row of {kind} {key!r} in {connection.filename} is damaged: it does not match its"
            " digest"
        ),
    )


def row_revision(document: Document) -> str:
    """The revision that stands in the row of *document*."""
    return document.revision.partition(_MARK)[0]


def _as_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _readable(texts: bytes) -> Mapping[str, str]:
    try:
        return _texts.decode(texts)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
