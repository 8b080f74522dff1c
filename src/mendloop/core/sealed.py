"""
Where what left the head of a task is: sealed chunks, and the keys that lead into them.

A task's findings and its commits are two logs of numbered rows. What leaves the head is appended to
a small tail, and from there goes into chunks that are full and rarely written again. A chunk never
changes: one that would is written anew under another name, and the head then points at that one.
`mendloop.core.sealing` writes them, `mendloop.core.shelf` reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from mendloop.core.carrying import Carrying, Digest

__all__ = [
    "NO_OPEN",
    "OpenCounts",
    "Sealed",
    "SealedChunk",
    "SealedIndex",
    "SealedTail",
    "spans_without",
]

OpenCounts: TypeAlias = tuple[int, int, int, int]
"""Open findings by severity: Low, Medium, High, Critical."""

NO_OPEN: OpenCounts = (0, 0, 0, 0)


class SealedChunk(Carrying, frozen=True, kw_only=True):
    """
    Points at a chunk with the rows from *first* to *last*, but for those that never left the head.

    Attributes:
        first: The lowest number that belongs in it.
        last: The highest.
        digest: SHA-256 of its bytes, hex.
        size_bytes: Of its rows, before compression.
        open: Open findings among its rows, as they stand in it.
        keys: As in `SealedTail`, where no index has them: it was a tail and could not be read when
            the next one was begun.
    """

    first: int
    last: int
    digest: Digest
    size_bytes: int
    open: OpenCounts = NO_OPEN
    keys: bytes = b""


class SealedTail(Carrying, frozen=True, kw_only=True):
    """
    Points at the rows that left last: new ones, and newer versions of rows that are in chunks.

    Attributes:
        first: The lowest number in it.
        last: The highest.
        digest: SHA-256 of its bytes, hex.
        size_bytes: Of its rows, before compression.
        rows: How many were appended.
        keys: Three bytes of the digest of each key in it.
    """

    first: int
    last: int
    digest: Digest
    size_bytes: int
    rows: int
    keys: bytes = b""


class SealedIndex(Carrying, frozen=True, kw_only=True):
    """
    Points at a document that leads from keys to the numbers of rows in chunks.

    Attributes:
        digest: SHA-256 of its bytes, hex.
        keys: How many it holds.
    """

    digest: Digest
    keys: int


class Sealed(Carrying, frozen=True, kw_only=True):
    """
    What has left the head of one of the two logs.

    Attributes:
        count: How many rows have a number.
        open: Open findings that are not in the head, by severity.
        tail: What left last, or None.
        chunks: The rest, by number; none overlap.
        indexes: The keys of what is in chunks.
        missing: Numbers that a repair found no row of: the first and the last of each span.
    """

    count: int = 0
    open: OpenCounts = NO_OPEN
    tail: SealedTail | None = None
    chunks: tuple[SealedChunk, ...] = ()
    indexes: tuple[SealedIndex, ...] = ()
    missing: tuple[tuple[int, int], ...] = ()


def spans_without(first: int, last: int, there: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last of each run of numbers that are not *there*."""
    for number in (*sorted(there), last + 1):
        end = min(number, last + 1) - 1
        if end >= first:
            yield first, end
        first = max(first, number + 1)
