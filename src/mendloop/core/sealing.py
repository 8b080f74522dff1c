"""
Moving rows out of the head: into the tail while that is small, else into chunks.

Every document is named by its content, and its first line says which commit made it: so two writers
that race never share one, and what the loser has left behind belongs to nobody.
"""

from __future__ import annotations

import gzip
import hashlib
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from mendloop.core.errors import DeserializationError
from mendloop.core.names import chunk_key
from mendloop.core.sealed import NO_OPEN, OpenCounts, Sealed, SealedChunk, SealedIndex, SealedTail
from mendloop.core.shelf import (
    INDEX_RECORD_BYTES,
    Row,
    Shelf,
    is_packed,
    key_digest,
    tail_keys,
    unpacked,
)
from mendloop.core.vocabulary import Severity

__all__ = [
    "CHUNK_BYTES",
    "TAIL_ROWS",
    "Document",
    "Seal",
    "Sealer",
    "closed_off",
    "commit_of",
    "open_counts_of",
    "open_severity",
    "pointers_of",
    "sealed_key",
]

CHUNK_BYTES = 512 * 1024
"""A chunk's rows have at most so many bytes before compression, or are one row."""

TAIL_ROWS = 256
"""So many rows go into the tail before they move on into chunks."""

_TAIL_BYTES = 256 * 1024
_INDEX_KEYS = 50_000
"""An index has about so many keys, of nine bytes each; the next ones get another."""

_COMPRESSION = 1
_replace = msgspec.structs.replace
_encoder = msgspec.json.Encoder()
_P = TypeVar("_P", SealedChunk, SealedTail, SealedIndex)


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed document, to be written before the head that points at it."""

    key: str
    digest: str
    body: bytes
    labels: dict[str, str]
    is_index: bool


class Seal(NamedTuple):
    """Whose documents they are, and the commit that makes them."""

    task_id: str
    incarnation: str
    commit: int
    commit_id: str


class _Line(NamedTuple):
    row: Row
    text: bytes
    open: OpenCounts


class Sealer:
    """
    Moves rows of one log out of the head.

    Attributes:
        sealed: Where everything is then.
        documents: What has to be written first.
    """

    def __init__(self, part: str, sealed: Sealed, shelf: Shelf, seal: Seal) -> None:
        """
        Begin with what is *sealed*.

        Args:
            part: "findings" or "commits".
            sealed: As it stands.
            shelf: Reads it.
            seal: Goes into every document.
        """
        self.sealed = sealed
        self.documents: list[Document] = []
        self._part = part
        self._shelf = shelf
        self._seal = seal

    def put_away(self, rows: Sequence[Row], *, is_settling: bool = False) -> None:
        """
        Move *rows* out; a row that is sealed already gets a newer version.

        Args:
            rows: With their numbers, each once.
            is_settling: Whether to leave no tail.

        Raises:
            Lacking: Sealed documents are needed for it.
        """
        lines = [_line(row) for row in rows]
        size_bytes = sum(len(line.text) for line in lines)
        tail = self.sealed.tail
        rows_then = len(lines) + (tail.rows if tail else 0)
        bytes_then = size_bytes + (tail.size_bytes if tail else 0)
        if rows_then == 0:
            return
        if rows_then > TAIL_ROWS or bytes_then > _TAIL_BYTES or is_settling:
            self._settle({line.row.number: line for line in (*self._tail_lines(), *lines)})
        elif lines:
            self._append(tail, lines, rows_then, bytes_then)

    def _tail_lines(self) -> list[_Line]:
        tail = self.sealed.tail
        return [_line(row) for row in self._shelf.open(tail).rows.values()] if tail else []

    def _append(
        self, tail: SealedTail | None, lines: list[_Line], rows: int, size_bytes: int
    ) -> None:
        before = self._shelf.open(tail).body if tail else b""
        numbers = [line.row.number for line in lines]
        made = SealedTail(
            first=min([*numbers, *([tail.first] if tail else [])]),
            last=max([*numbers, *([tail.last] if tail else [])]),
            digest="",
            size_bytes=size_bytes,
            rows=rows,
            keys=(tail.keys if tail else b"") + tail_keys(_digests(line.row for line in lines)),
        )
        pointer = self._write(made, before + self._packed(lines))
        self.sealed = _replace(self.sealed, tail=pointer)

    def _settle(self, lines: dict[int, _Line]) -> None:
        """Move *lines* into the chunks that their numbers belong in, those after all into the last."""
        chunks = self.sealed.chunks
        lasts = [pointer.last for pointer in chunks]
        by_chunk: defaultdict[int, dict[int, _Line]] = defaultdict(dict)
        for number, line in lines.items():
            by_chunk[max(min(bisect_left(lasts, number), len(chunks) - 1), 0)][number] = line
        made: list[SealedChunk] = []
        for place, pointer in enumerate(chunks):
            made += self._merged(pointer, by_chunk[place])
        if not chunks:
            made = self._chunks(lines)
        self._index(line.row for line in lines.values())
        self.sealed = _replace(self.sealed, chunks=tuple(made), tail=None)

    def _merged(self, pointer: SealedChunk, lines: dict[int, _Line]) -> list[SealedChunk]:
        """Write a chunk anew with *lines*; it stays where there are none, or all come after it."""
        if not lines:
            return [pointer]
        if pointer.size_bytes >= CHUNK_BYTES // 2 and min(lines) > pointer.last:
            return [pointer, *self._chunks(lines)]
        kept = {n: _line(row) for n, row in self._shelf.open(pointer).rows.items()}
        return self._chunks(kept | lines)

    def _chunks(self, by_number: Mapping[int, _Line]) -> list[SealedChunk]:
        """Write rows as chunks of at most `CHUNK_BYTES`, of about one size, so that each can grow."""
        lines = [by_number[number] for number in sorted(by_number)]
        made: list[SealedChunk] = []
        total_bytes = sum(len(line.text) for line in lines)
        room_bytes = total_bytes / math.ceil(total_bytes / CHUNK_BYTES)
        batch: list[_Line] = []
        size_bytes = 0
        for line in lines:
            is_full = size_bytes >= room_bytes or size_bytes + len(line.text) > CHUNK_BYTES
            if batch and is_full:
                made.append(self._chunk(batch, size_bytes))
                batch, size_bytes = [], 0
            batch.append(line)
            size_bytes += len(line.text)
        made.append(self._chunk(batch, size_bytes))
        return made

    def _chunk(self, lines: list[_Line], size_bytes: int) -> SealedChunk:
        counts = [line.open for line in lines]
        pointer = SealedChunk(
            first=lines[0].row.number,
            last=lines[-1].row.number,
            digest="",
            size_bytes=size_bytes,
            open=_sum(counts),
        )
        return self._write(pointer, self._packed(lines))

    def _index(self, rows: Iterable[Row]) -> None:
        """Add the keys of *rows* that no index has."""
        opened = [self._shelf.open_index(pointer) for pointer in self.sealed.indexes]
        records = [
            digest + row.number.to_bytes(4, "big")
            for row in rows
            for digest in map(key_digest, row.keys)
            if not any(row.number in index.numbers.get(digest, ()) for index in opened)
        ]
        if not records:
            return
        full = self.sealed.indexes
        before = b""
        if full and full[-1].keys < _INDEX_KEYS:
            before = opened[-1].records
            full = full[:-1]
        body = self._header() + before + b"".join(records)
        keys = len(before) // INDEX_RECORD_BYTES + len(records)
        pointer = self._write(SealedIndex(digest="", keys=keys), body)
        self.sealed = _replace(self.sealed, indexes=(*full, pointer))

    def _header(self) -> bytes:
        seal = self._seal._asdict() | {"part": self._part}
        return _encoder.encode(seal) + b"\n"

    def _packed(self, lines: Iterable[_Line]) -> bytes:
        raw = self._header() + b"".join(line.text for line in lines)
        return gzip.compress(raw, _COMPRESSION, mtime=0)

    def _write(self, pointer: _P, body: bytes) -> _P:
        pointer = _replace(pointer, digest=hashlib.sha256(body).hexdigest())
        is_index = isinstance(pointer, SealedIndex)
        document = Document(
            key=sealed_key(self._seal.task_id, self._seal.incarnation, pointer),
            digest=pointer.digest,
            body=body,
            is_index=is_index,
            labels={
                "task-id": self._seal.task_id,
                "incarnation": self._seal.incarnation,
                "part": f"{self._part}-index" if is_index else self._part,
            },
        )
        self.documents.append(document)
        return pointer


def sealed_key(
    task_id: str, incarnation: str, pointer: SealedChunk | SealedTail | SealedIndex
) -> str:
    """The key of a sealed document."""
    first = 0 if isinstance(pointer, SealedIndex) else pointer.first
    return chunk_key(task_id, incarnation, first, pointer.digest)


class _Header(msgspec.Struct):
    commit: int = 0


_header = msgspec.json.Decoder(_Header)


def commit_of(body: bytes) -> int:
    """The number of the last commit that wrote in a sealed document; 0 where it does not say."""
    try:
        if is_packed(body):
            lines = b"".join(unpacked(body)).split(b"\n")
        else:
            lines = body.split(b"\n", 1)[:1]
        return max(_header.decode(line).commit for line in lines if line.startswith(b"{"))
    except (DeserializationError, msgspec.DecodeError, ValueError):
        return 0


def closed_off(log: Sealed) -> Sealed:
    """Return *log* so that rows are put away without its tail or its last chunk being read."""
    tail = log.tail
    if tail is None:
        return log
    chunk = SealedChunk(
        first=tail.first,
        last=tail.last,
        digest=tail.digest,
        size_bytes=CHUNK_BYTES,
        keys=tail.keys,
    )
    return _replace(log, tail=None, chunks=(*log.chunks, chunk))


def pointers_of(sealed: Sealed) -> tuple[SealedChunk | SealedTail | SealedIndex, ...]:
    """Every document that *sealed* points at."""
    tail = (sealed.tail,) if sealed.tail else ()
    return (*sealed.chunks, *tail, *sealed.indexes)


def open_counts_of(severities: Iterable[Severity]) -> OpenCounts:
    """Count by severity."""
    counts = list(NO_OPEN)
    for severity in severities:
        counts[severity.rank] += 1
    return counts[0], counts[1], counts[2], counts[3]


class _Openness(msgspec.Struct):
    """What of a row says whether it is an open finding; a commit has neither."""

    severity: Severity | None = None
    resolved: bool = True


_openness = msgspec.json.Decoder(_Openness)


def open_severity(row: Row) -> Severity | None:
    """How bad the finding in *row* is, where it is an open one; else None."""
    found = _openness.decode(row.content)
    return None if found.resolved else found.severity


def _line(row: Row) -> _Line:
    severity = open_severity(row)
    counts = NO_OPEN if severity is None else open_counts_of([severity])
    return _Line(row, _encoder.encode(row) + b"\n", counts)


def _digests(rows: Iterable[Row]) -> list[bytes]:
    return [key_digest(key) for row in rows for key in row.keys]


def _sum(counts: Iterable[OpenCounts]) -> OpenCounts:
    low, medium, high, critical = map(sum, zip(*counts, strict=True))
    return low, medium, high, critical
