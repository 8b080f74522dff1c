"""
Reading sealed documents: by number, by key, and all that is open.

Nothing here does I/O. A `Shelf` has the documents that are at hand; where one is asked for that is
not, `Lacking` names it: whoever can fetches it and asks again.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TypeVar

import msgspec

from mendloop.core.errors import DeserializationError, StateError
from mendloop.core.sealed import Sealed, SealedChunk, SealedIndex, SealedTail

__all__ = [
    "INDEX_RECORD_BYTES",
    "KEY_BYTES",
    "Held",
    "Lacking",
    "Opened",
    "OpenedIndex",
    "Pointer",
    "Row",
    "Shelf",
    "Unreadable",
    "is_packed",
    "key_digest",
    "open_chunk",
    "open_index",
    "tail_keys",
    "unpacked",
]

KEY_BYTES = 5
"""So much of a key's digest is kept in an index."""

INDEX_RECORD_BYTES = KEY_BYTES + 4

_TAIL_KEY_BYTES = 3
_UNPACKED_LIMIT_BYTES = 4 * 1024 * 1024
_GZIP = 31
_GZIP_MAGIC = b"\x1f\x8b"

Pointer = SealedChunk | SealedTail | SealedIndex


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One row of a chunk: its number, what it is looked up by, and its content as JSON."""

    number: int
    keys: tuple[str, ...]
    content: msgspec.Raw


_row = msgspec.json.Decoder(Row)


class Lacking(Exception):
    """
    Documents are needed that are not at hand.

    Attributes:
        pointers: Which.
    """

    def __init__(self, pointers: Iterable[Pointer]) -> None:
        """Name them."""
        self.pointers = tuple(pointers)
        super().__init__(f"{len(self.pointers)} sealed documents are needed")


class Opened:
    """
    A chunk or tail.

    Attributes:
        body: As it is stored.
    """

    def __init__(self, body: bytes) -> None:
        """Take *body*, and unpack it when it is asked for."""
        self.body = body

    @cached_property
    def rows(self) -> dict[int, Row]:
        """
        Its rows, the newest version of each, by number.

        Raises:
            DeserializationError: There are none in it.
        """
        rows: dict[int, Row] = {}
        try:
            for line in b"".join(unpacked(self.body)).split(b"\n"):
                if line.startswith(b"["):
                    row = _row.decode(line)
                    rows[row.number] = row
        except msgspec.MsgspecError as error:
            raise DeserializationError(f"a sealed chunk has no rows in it: {error}") from error
        return rows

    @cached_property
    def by_key(self) -> dict[str, int]:
        """The number of the row that has a key."""
        rows = reversed(self.rows.values())
        return {key: row.number for row in rows for key in row.keys}


class Unreadable(msgspec.Struct, frozen=True):
    """
    A sealed document that is missing or damaged.

    Attributes:
        error: What to tell who needs it.
    """

    error: StateError


class OpenedIndex:
    """
    An index, read.

    Attributes:
        records: Digests of keys, each followed by a number of four bytes.
    """

    def __init__(self, records: bytes) -> None:
        """Read *records*."""
        self.records = records

    @cached_property
    def numbers(self) -> dict[bytes, tuple[int, ...]]:
        """The numbers that a key's digest may stand for."""
        found: dict[bytes, tuple[int, ...]] = {}
        for at in range(0, len(self.records), INDEX_RECORD_BYTES):
            key = self.records[at : at + KEY_BYTES]
            number = int.from_bytes(self.records[at + KEY_BYTES : at + INDEX_RECORD_BYTES], "big")
            found[key] = (*found.get(key, ()), number)
        return found


Held = Opened | OpenedIndex | Unreadable
"""What a shelf has of a document."""

_H = TypeVar("_H", Opened, OpenedIndex)


def key_digest(key: str) -> bytes:
    """The digest by which a key stands in an index."""
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=KEY_BYTES).digest()


def open_chunk(body: bytes, digest: str) -> Opened:
    """
    Read a chunk or tail.

    Raises:
        DeserializationError: Its bytes are not those that the head points at.
    """
    _check(body, digest)
    opened = Opened(body)
    _ = opened.rows  # read now, so that what is damaged is told here
    return opened


def open_index(body: bytes, digest: str) -> OpenedIndex:
    """
    Read an index.

    Raises:
        DeserializationError: Its bytes are not those that the head points at.
    """
    _check(body, digest)
    return OpenedIndex(body[body.find(b"\n") + 1 :])


def is_packed(body: bytes) -> bool:
    """Whether *body* is a chunk or tail, and no index, nor one that schema 1 sealed."""
    return body.startswith(_GZIP_MAGIC)


def unpacked(body: bytes) -> Iterator[bytes]:
    """
    Unpack a chunk: one gzip member after another.

    Raises:
        DeserializationError: It is no gzip, is cut, or unpacks to more than a chunk ever has.
    """
    room = _UNPACKED_LIMIT_BYTES
    rest = body
    while rest:
        member = zlib.decompressobj(_GZIP)
        try:
            piece = member.decompress(rest, room + 1)
        except zlib.error as error:
            raise DeserializationError(f"a sealed chunk is no gzip: {error}") from error
        room -= len(piece)
        if room < 0:
            raise DeserializationError(
                f"a sealed chunk unpacks to more than {_UNPACKED_LIMIT_BYTES} bytes"
            )
        if not member.eof:
            raise DeserializationError("a sealed chunk is cut")
        yield piece
        rest = member.unused_data


def _check(body: bytes, digest: str) -> None:
    if hashlib.sha256(body).hexdigest() != digest:
        raise DeserializationError("its digest differs from the head's")


class Shelf:
    """One log's sealed rows, as far as they are at hand."""

    def __init__(self, sealed: Sealed, at_hand: Mapping[str, Held]) -> None:
        """Read *sealed* from the documents *at_hand*, by digest."""
        self._sealed = sealed
        self._at_hand = at_hand

    def find(self, key: str) -> Row | None:
        """
        Read the newest version of the row that has *key*; None where none has.

        Raises:
            Lacking: Documents are needed; at most two one after another.
        """
        tail = self._sealed.tail
        digest = key_digest(key)
        if tail is not None and _is_among(tail.keys, digest):
            opened = self.open(tail)
            number = opened.by_key.get(key)
            if number is not None:
                return opened.rows[number]
        for pointer in self._sealed.chunks:
            if pointer.keys and _is_among(pointer.keys, digest):
                opened = self.open(pointer)
                if key in opened.by_key:
                    return opened.rows[opened.by_key[key]]
        for number in self._numbers(digest):
            row = self.row(number)
            if row is not None and key in row.keys:
                return row
        return None

    def row(self, number: int) -> Row | None:
        """
        Read the newest version of a row that is in a chunk; None where it never left the head.

        Raises:
            Lacking: Documents are needed.
        """
        pointer = self._chunk_of(number)
        row = self.open(pointer).rows.get(number) if pointer else None
        tail = self._sealed.tail
        if tail is None or not tail.first <= number <= tail.last:
            return row
        if row is None or any(_is_among(tail.keys, key_digest(key)) for key in row.keys):
            return self.open(tail).rows.get(number, row)
        return row

    def rows(self, chunks: Iterable[SealedChunk]) -> Iterator[Row]:
        """
        Read the newest version of all rows of *chunks*, and the tail's.

        Raises:
            Lacking: Documents are needed, all of them named at once.
        """
        wanted: list[SealedChunk | SealedTail] = list(chunks)
        tail = self._sealed.tail
        if tail is not None:
            wanted.append(tail)
        self.require(wanted)
        newest = self.open(tail).rows if tail is not None else {}
        for pointer in wanted:
            for row in self.open(pointer).rows.values():
                if pointer is tail or row.number not in newest:
                    yield row

    def require(self, pointers: Iterable[Pointer]) -> None:
        """
        Make sure that documents are at hand.

        Raises:
            Lacking: Some are not.
        """
        lacking = [pointer for pointer in pointers if pointer.digest not in self._at_hand]
        if lacking:
            raise Lacking(lacking)

    def open(self, pointer: SealedChunk | SealedTail) -> Opened:
        """
        Read a chunk or the tail.

        Raises:
            Lacking: It is not at hand.
            HistoryDamaged: It is missing or damaged.
        """
        self.require([pointer])
        return self._at(pointer, Opened)

    def open_index(self, pointer: SealedIndex) -> OpenedIndex:
        """
        Read an index.

        Raises:
            Lacking: It is not at hand.
            HistoryDamaged: It is missing or damaged.
        """
        self.require([pointer])
        return self._at(pointer, OpenedIndex)

    def _at(self, pointer: Pointer, kind: type[_H]) -> _H:
        held = self._at_hand[pointer.digest]
        if isinstance(held, Unreadable):
            raise held.error
        assert isinstance(held, kind)  # noqa: S101 - a digest names one content
        return held

    def _numbers(self, digest: bytes) -> Iterator[int]:
        for pointer in reversed(self._sealed.indexes):
            yield from self.open_index(pointer).numbers.get(digest, ())

    def _chunk_of(self, number: int) -> SealedChunk | None:
        for pointer in self._sealed.chunks:
            if pointer.first <= number <= pointer.last:
                return pointer
        return None


def tail_keys(digests: Iterable[bytes]) -> bytes:
    """What a head keeps of the keys in a tail."""
    return b"".join(digest[:_TAIL_KEY_BYTES] for digest in digests)


def _is_among(keys: bytes, digest: bytes) -> bool:
    wanted = digest[:_TAIL_KEY_BYTES]
    at = keys.find(wanted)
    while at >= 0 and at % _TAIL_KEY_BYTES:
        at = keys.find(wanted, at + 1)
    return at >= 0
