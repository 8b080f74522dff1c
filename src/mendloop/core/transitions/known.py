"""
The findings of a task that a command has read, and which of them something reported is.

A finding belongs to who reported it. What two sources say in the same words under one comment id is
one finding, of the first of them.
"""

from __future__ import annotations

from mendloop.core.commands import Context
from mendloop.core.compaction import entry_of, lookup_key, open_rows, place_of, taken_out
from mendloop.core.model import FeedbackEntry, Finding, RemediationState
from mendloop.core.shelf import Row
from mendloop.core.transitions.naming import begins, names, owner, with_suffix, words

__all__ = ["Known"]


class Known:
    """
    The findings of a task by their names; sealed ones are read where they are needed.

    Attributes:
        entries: Those in the head, and those that were read.
        sealed: Where the others are.
    """

    def __init__(self, state: RemediationState, context: Context) -> None:
        """Begin with the findings that *state* has."""
        self.entries = list(state.feedback_history)
        self.sealed = state.ledger.findings
        self._shelf = context.sealed
        self._by_id: dict[str, int] = {}
        self._by_fingerprint: dict[str, int] = {}
        self._reported: set[int] = set()
        self._numbers: set[int | None] = set()
        for place, entry in enumerate(self.entries):
            self._index(entry, place)

    def read_open(self) -> None:
        """
        Read every open finding that is sealed.

        Raises:
            Lacking: Sealed documents are needed.
        """
        for row in list(open_rows(self.sealed, self._shelf)):
            self._read(row)

    def named(self, name: str) -> list[int]:
        """
        Find what *name* stands for: a comment id or fingerprint, or else how an open one begins.

        Raises:
            Lacking: Sealed documents are needed.
        """
        for place in (self._place_of_id(name), self._place_of_fingerprint(name)):
            if place is not None:
                return [place]
        self.read_open()
        return [place for place, entry in enumerate(self.entries) if begins(entry, name)]

    def _read(self, row: Row) -> None:
        """Take a sealed finding in, unless a newer version of it is here."""
        if row.number not in self._numbers:
            entry = entry_of(row)
            self.sealed = taken_out(self.sealed, [entry])
            self.entries.append(entry)
            self._index(entry, len(self.entries) - 1)

    def _place_of_id(self, name: str) -> int | None:
        if name not in self._by_id:
            self._look_up(lookup_key(name))
        return self._by_id.get(name)

    def _place_of_fingerprint(self, name: str) -> int | None:
        if name not in self._by_fingerprint:
            self._look_up(name)
        return self._by_fingerprint.get(name)

    def _look_up(self, key: str) -> None:
        row = self._shelf.find(key)
        if row is not None:
            self._read(row)

    def _index(self, entry: FeedbackEntry, place: int) -> None:
        self._by_id[entry.pr_comment_id] = place
        self._numbers.add(place_of(entry))
        if isinstance(entry.mendloop, Finding):
            self._by_fingerprint.setdefault(entry.mendloop.fingerprint, place)

    def _place(self, entry: FeedbackEntry) -> int | None:
        """Where *entry* is known, unless something else of this review was found there."""
        place = self._place_by_fingerprint(entry)
        if place is not None:
            return place
        for name in names(entry):
            place = self._place_of_id(name)
            if place is not None and self._may_be(place, entry):
                return place
        return None

    def _may_be(self, place: int, entry: FeedbackEntry) -> bool:
        """Whether *entry* may be what has its comment id at *place*."""
        kept = self.entries[place]
        if owner(kept) == owner(entry):
            return place not in self._reported
        return not kept.resolved and words(kept) == words(entry)

    def _place_by_fingerprint(self, entry: FeedbackEntry) -> int | None:
        if not isinstance(entry.mendloop, Finding):
            return None
        place = self._place_of_fingerprint(entry.mendloop.fingerprint)
        if place in self._reported and words(self.entries[place]) != words(entry):
            return None
        return place

    def _free_name(self, entry: FeedbackEntry) -> str:
        """The comment id it came with, or one of its own where another finding has that."""
        free = (name for name in names(entry) if self._place_of_id(name) is None)
        name = next(free, None)
        count = len(self._by_id)
        while name is None:
            count += 1
            name = with_suffix(entry.pr_comment_id, f"{owner(entry)} {count}")
            name = name if self._place_of_id(name) is None else None
        return name
