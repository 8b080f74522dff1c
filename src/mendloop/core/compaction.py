"""
Which findings the head of a task keeps, so that a write costs the same however many there are.

The head keeps the worst open findings and the latest ones; all others are sealed, as they are, and
read back from there. Nothing is dropped, and how many of the sealed ones are open is known exactly.
docs/adr/0009-a-head-of-bounded-size.md says how the sizes were chosen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from mendloop.core.codec import decode_part, encode
from mendloop.core.lives import finding_of
from mendloop.core.model import COUNT_MOST, FeedbackEntry, Finding
from mendloop.core.sealed import OpenCounts, Sealed, spans_without
from mendloop.core.sealing import Document, Seal, Sealer, open_counts_of, open_severity
from mendloop.core.shelf import Row, Shelf
from mendloop.core.vocabulary import Severity

__all__ = [
    "HEAD_FINDINGS_BYTES",
    "Compacted",
    "compact",
    "entry_of",
    "in_order",
    "is_row_of",
    "lookup_key",
    "numbered_apart",
    "open_rows",
    "place_of",
    "taken_out",
]

HEAD_FINDINGS_BYTES = 10 * 1024
"""With more findings than this, some leave the head."""

_ROW_LIMIT_BYTES = 1024 * 1024
"""A finding that others have made so large stays in the head: no chunk is larger than it."""

_WORST_BYTES = 2 * 1024
_LATEST_BYTES = 2 * 1024
_NAMED_BY_FINGERPRINT = re.compile(r"[^:]+:([0-9a-f]{32})")

_replace = msgspec.structs.replace
_Numbered = dict[int, FeedbackEntry]


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is kept and what has left.

    Attributes:
        entries: What the head keeps, in the order they came.
        sealed: Where the others are.
        documents: What has to be written first.
        moved: How many have left.
    """

    entries: tuple[FeedbackEntry, ...]
    sealed: Sealed
    documents: tuple[Document, ...] = ()
    moved: int = 0


def compact(
    before: Sequence[FeedbackEntry],
    entries: Sequence[FeedbackEntry],
    sealed: Sealed,
    shelf: Shelf,
    seal: Seal,
    *,
    is_forced: bool = False,
) -> Compacted:
    """
    Decide what of *entries* the head keeps.

    Args:
        before: What the head had.
        entries: What it has now, and beside that what was read from *shelf* on the way.
        sealed: Where the others are; its counts are of findings that are not in *entries*.
        shelf: Reads them.
        seal: Goes into what is written.
        is_forced: Whether to keep no more than of a head that has grown too large.

    Raises:
        Lacking: Sealed documents are needed for it.
    """
    size_bytes = _size_bytes(entries)
    if not (sealed.count or is_forced or size_bytes > HEAD_FINDINGS_BYTES):
        return Compacted(entries=tuple(entries), sealed=sealed)
    known = {place_of(entry) for entry in before}
    numbered, count = _numbered(entries, sealed, shelf)
    read = [n for n in numbered if n < sealed.count and n not in known]
    unchanged = {n for n in read if _is_sealed(shelf, n, numbered[n])}
    own = {n: entry for n, entry in numbered.items() if n not in unchanged}
    size_bytes -= _size_bytes(numbered[n] for n in unchanged)
    sealed = _replace(sealed, count=count)
    is_over = is_forced or size_bytes > HEAD_FINDINGS_BYTES
    kept = _latest(own) | _too_large(own) if is_over else set(own)
    outside = _more(sealed.open, (e for n, e in numbered.items() if n not in kept))
    if is_over or _worst_rank(outside) > _worst_rank(_open_counts(numbered[n] for n in kept)):
        pool = _with_worse(numbered, sealed, shelf)
        sealed = taken_out(sealed, (e for n, e in pool.items() if n not in numbered))
        numbered = pool
        kept |= _worst(pool)
    sealed = _replace(
        sealed, open=_more(sealed.open, (e for n, e in numbered.items() if n not in kept))
    )
    sealer = Sealer("findings", sealed, shelf, seal)
    leaving = [_row_of(own[n], n) for n in sorted(own) if n not in kept]
    sealer.put_away(leaving, is_settling=is_forced)
    return Compacted(
        entries=tuple(numbered[n] for n in sorted(kept)),
        sealed=sealer.sealed,
        documents=tuple(sealer.documents),
        moved=len(leaving),
    )


def taken_out(sealed: Sealed, entries: Iterable[FeedbackEntry]) -> Sealed:
    """Return *sealed* as it is with *entries* read from it and counted elsewhere."""
    return _replace(sealed, open=_less(sealed.open, entries))


def place_of(entry: FeedbackEntry) -> int | None:
    """The number of *entry* among the findings of its task; None while it has none."""
    return entry.mendloop.place if isinstance(entry.mendloop, Finding) else None


def numbered_apart(
    entries: tuple[FeedbackEntry, ...], rows: Mapping[int, Row], sealed: Sealed
) -> tuple[FeedbackEntry, ...]:
    """
    Return *entries* so that none has a number that cannot be, or that is another finding's.

    Such a one gets the number that it is sealed under, or the first that nobody has, as the one that
    was taken from it; where all are had, the next write gives it one.
    """
    right: dict[int, FeedbackEntry] = {}
    for entry in entries:
        place = place_of(entry)
        if place is None or place in right or not 0 <= place <= COUNT_MOST:
            continue
        if place not in rows or is_row_of(rows[place], entry):
            right[place] = entry
    last = min(sealed.count, COUNT_MOST + 1) - 1
    spans = spans_without(0, last, rows.keys() | right.keys())
    free = (n for first, end in spans for n in range(first, end + 1))
    by_key = {key: number for number, row in rows.items() for key in row.keys}
    apart: list[FeedbackEntry] = []
    for entry in entries:
        place = place_of(entry)
        if place is None or right.get(place) is entry:
            apart.append(entry)
            continue
        own = by_key.get(lookup_key(entry.pr_comment_id))
        place = next(free, None) if own is None or own in right else own
        if place is not None:
            right[place] = entry
        apart.append(_replace(entry, mendloop=_replace(finding_of(entry), place=place)))
    return tuple(apart)


def in_order(entries: Iterable[FeedbackEntry]) -> tuple[FeedbackEntry, ...]:
    """Sort *entries* by number; those that have none yet come last, as they stand."""
    return tuple(sorted(entries, key=lambda entry: (place_of(entry) is None, place_of(entry) or 0)))


def entry_of(row: Row) -> FeedbackEntry:
    """
    Read a finding from its row.

    Raises:
        DeserializationError: It is none.
    """
    return decode_part(FeedbackEntry, row.content)


def is_row_of(row: Row, entry: FeedbackEntry) -> bool:
    """Whether *row* is a version of this very finding, by any of its keys."""
    return not {lookup_key(entry.pr_comment_id), finding_of(entry).fingerprint}.isdisjoint(row.keys)


def lookup_key(name: str) -> str:
    """The key that a finding of this comment id is sealed under."""
    found = _NAMED_BY_FINGERPRINT.fullmatch(name)
    return found[1] if found else name


def open_rows(sealed: Sealed, shelf: Shelf, rank: int | None = None) -> Iterator[Row]:
    """
    Yield the sealed findings that are open, of one *rank* of severity or of all.

    Raises:
        Lacking: Sealed documents are needed.
    """
    chunks = [c for c in sealed.chunks if (sum(c.open) if rank is None else c.open[rank])]
    for row in shelf.rows(chunks):
        severity = open_severity(row)
        if severity is not None and rank in {None, severity.rank}:
            yield row


def _numbered(
    entries: Sequence[FeedbackEntry], sealed: Sealed, shelf: Shelf
) -> tuple[_Numbered, int]:
    """Number *entries*; one that other hands have taken its number from gets it back."""
    numbered: _Numbered = {}
    count = sealed.count
    for entry in entries:
        place = place_of(entry)
        if place is None or place >= sealed.count or place in numbered:
            row = shelf.find(lookup_key(entry.pr_comment_id))
            place = row.number if row and row.number not in numbered else count
        count = max(count, place + 1)
        numbered[place] = _placed(entry, place)
    return numbered, count


def _placed(entry: FeedbackEntry, place: int) -> FeedbackEntry:
    if place_of(entry) == place:
        return entry
    return _replace(entry, mendloop=_replace(finding_of(entry), place=place))


def _is_sealed(shelf: Shelf, number: int, entry: FeedbackEntry) -> bool:
    """Whether *entry* is sealed as it is; equal ones are spelled alike."""
    row = shelf.row(number)
    return row is not None and bytes(row.content) == encode(entry)


def _row_of(entry: FeedbackEntry, number: int) -> Row:
    keys = [lookup_key(entry.pr_comment_id)]
    if fingerprint := finding_of(entry).fingerprint:
        keys.append(fingerprint)
    return Row(number, tuple(dict.fromkeys(keys)), msgspec.Raw(encode(entry)))


def _too_large(entries: Mapping[int, FeedbackEntry]) -> set[int]:
    return {n for n, entry in entries.items() if len(encode(entry)) > _ROW_LIMIT_BYTES}


def _latest(entries: Mapping[int, FeedbackEntry]) -> set[int]:
    return _fitting(((n, entries[n]) for n in sorted(entries, reverse=True)), _LATEST_BYTES)


def _worst(entries: Mapping[int, FeedbackEntry]) -> set[int]:
    ranked = sorted((-entry.severity.rank, n) for n, entry in entries.items() if not entry.resolved)
    return _fitting(((n, entries[n]) for _, n in ranked), _WORST_BYTES)


def _fitting(entries: Iterable[tuple[int, FeedbackEntry]], room_bytes: int) -> set[int]:
    """The first of *entries* that there is room for, and one in any case."""
    kept: set[int] = set()
    for number, entry in entries:
        room_bytes -= len(encode(entry))
        if kept and room_bytes < 0:
            break
        kept.add(number)
    return kept


def _with_worse(numbered: _Numbered, sealed: Sealed, shelf: Shelf) -> _Numbered:
    """Return *numbered* with the sealed findings that may be worse than the worst of them."""
    pool = dict(numbered)
    for rank in reversed(range(len(Severity))):
        worst = _worst(pool)
        is_full = _size_bytes(pool[n] for n in worst) > _WORST_BYTES // 2
        if is_full and min(pool[n].severity.rank for n in worst) >= rank:
            break
        if sealed.open[rank]:
            pool |= {
                row.number: entry_of(row)
                for row in open_rows(sealed, shelf, rank)
                if row.number not in pool
            }
    return pool


def _worst_rank(counts: OpenCounts) -> int:
    return max((rank for rank, count in enumerate(counts) if count), default=-1)


def _open_counts(entries: Iterable[FeedbackEntry]) -> OpenCounts:
    return open_counts_of(entry.severity for entry in entries if not entry.resolved)


def _more(counts: OpenCounts, entries: Iterable[FeedbackEntry]) -> OpenCounts:
    low, medium, high, critical = _open_counts(entries)
    return counts[0] + low, counts[1] + medium, counts[2] + high, counts[3] + critical


def _less(counts: OpenCounts, entries: Iterable[FeedbackEntry]) -> OpenCounts:
    low, medium, high, critical = _open_counts(entries)
    return counts[0] - low, counts[1] - medium, counts[2] - high, counts[3] - critical


def _size_bytes(entries: Iterable[FeedbackEntry]) -> int:
    return sum(len(encode(entry)) for entry in entries)
