"""A search for secrets in what a test leaves behind: no text of it is one that redaction changes."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from mendloop.core.names import KINDS, QUARANTINE
from mendloop.core.text import redact_secrets
from mendloop.stores.paging import documents
from mendloop.stores.port import Document, Store

__all__ = ["leaks_in", "leaks_of", "unpacked"]

_GZIP = b"\x1f\x8b"
_OF_GZIP = zlib.MAX_WBITS | 16
_STEP_BYTES = 256


async def leaks_of(store: Store) -> list[str]:
    """Where a secret is kept, and what redaction makes of its text; copies of what was damaged are let be."""
    return [
        f"{kind} {document.key}: {leak}"
        for kind in KINDS
        if kind != QUARANTINE
        async for document in documents(store, kind, limit=25)
        for leak in _leaks_of_one(document)
    ]


def _leaks_of_one(document: Document) -> Iterator[str]:
    for piece in (document.body, *document.blobs.values()):
        yield from leaks_in(piece)
    for text in (document.key, *document.fields.values(), *document.labels.values()):
        yield from leaks_in(text.encode())


def leaks_in(data: bytes) -> Iterator[str]:
    """Yield what redaction makes of each text in *data* that has a secret: compressed, JSON, or lines."""
    text = unpacked(data).decode(errors="replace")
    try:
        found = list(_texts_in(json.loads(text)))
    except (ValueError, RecursionError):
        found = [piece for line in text.splitlines() for piece in _texts_of_line(line)]
    for piece in found:
        redacted = redact_secrets(piece)
        if redacted != piece:
            yield redacted


def unpacked(data: bytes) -> bytes:
    """What is compressed in *data*, as far as it can be read."""
    if not data.startswith(_GZIP):
        return data
    reader = zlib.decompressobj(wbits=_OF_GZIP)
    text = b""
    with suppress(zlib.error):
        for place in range(0, len(data), _STEP_BYTES):
            text += reader.decompress(data[place : place + _STEP_BYTES])
    return text


def _texts_of_line(line: str) -> Iterator[str]:
    try:
        yield from _texts_in(json.loads(line))
    except (ValueError, RecursionError):
        yield line


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts_in(item)
    elif isinstance(value, str):
        yield value
