"""
Which of the known findings a reported one is.

A finding belongs to who reported it: a source never edits, reopens or resolves what another one
reported, even where both give it the same comment id. What two sources say in the same words under
one comment id is one finding, of the first of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime

import msgspec

from mendloop.core.commands import Context
from mendloop.core.compaction import entry_of, lookup_key, open_rows, place_of, taken_out
from mendloop.core.likeness import reworded
from mendloop.core.lives import addressed, finding_of, life_of, turned
from mendloop.core.model import FeedbackEntry, Finding, LifeChange, RemediationState
from mendloop.core.shelf import Row
from mendloop.core.text import NOTE_LIMIT_BYTES, no_redaction, tidy
from mendloop.core.transitions.naming import (
    begins,
    is_same,
    names,
    owner,
    traits,
    with_suffix,
    words,
)
from mendloop.core.vocabulary import PERSON, Life

__all__ = ["History", "Tally"]

_replace = msgspec.structs.replace


class Tally(msgspec.Struct):
    """How many were new, known already, edited, resolved, reopened, seen set aside, or reworded."""

    new: int = 0
    known: int = 0
    edited: int = 0
    resolved: int = 0
    reopened: int = 0
    set_aside: int = 0
    reworded: int = 0


class History:
    """
    The findings of a task while one command changes them.

    Attributes:
        entries: Those in the head, and those that were read.
        sealed: Where the others are.
        tally: What became of what was handed in.
    """

    def __init__(self, state: RemediationState, context: Context, *, tree: str = "") -> None:
        """
        Begin with the findings that *state* has; sealed ones are read where they are needed.

        Args:
            tree: Revision of the work tree that what changes was seen on, or "".
        """
        self.entries = list(state.feedback_history)
        self.tally = Tally()
        self._iteration = state.iteration
        self.sealed = state.ledger.findings
        self._shelf = context.sealed
        self._context = context
        self._tree = tree
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

    def report(self, entries: Iterable[FeedbackEntry], *, is_complete: bool) -> None:
        """
        Take in what one review reported: first what is known as it is, then the rest.

        Args:
            is_complete: Whether what it does not report is gone, and so may be there in new words.
        """
        unknown = []
        for entry in entries:
            place = self._place_by_fingerprint(entry)
            if place is None:
                unknown.append(entry)
            else:
                self._seen_again(place, entry)
        again = self._reworded(unknown) if is_complete else {}
        for number, entry in enumerate(unknown):
            if number in again:
                self.tally.reworded += 1
                self._say_again(again[number], entry)
            else:
                self._take(entry)

    def deliver(self, entry: FeedbackEntry) -> str:
        """
        Take one in that may have come before: the very same again is no return of it.

        Other words under the comment id of a delivery before are an edit of it.

        Returns:
            The comment id that it is kept under.
        """
        self._reported.clear()
        place = self._place(entry)
        if place is None or not is_same(self.entries[place], entry):
            place = self._take(entry)
        else:
            self.tally.known += 1
        return self.entries[place].pr_comment_id

    def resolve_absent(self, reviewer: str, tools: AbstractSet[str]) -> None:
        """
        Resolve what a complete report speaks for and no report of the review has.

        Args:
            reviewer: The source that findings without a tool have.
            tools: The sources of the tools that it speaks for; empty where it speaks for all.
        """
        for place, entry in enumerate(self.entries):
            finding = entry.mendloop
            if entry.resolved or place in self._reported or not isinstance(finding, Finding):
                continue
            is_other_tool = bool(tools) and finding.source not in tools
            if finding.source == reviewer or (
                finding.source.startswith(f"{reviewer}:") and not is_other_tool
            ):
                self.tally.resolved += 1
                gone = self._change(Life.VERIFIED, reviewer, "no longer reported")
                self.entries[place] = turned(entry, gone)

    def address(self, begun_at: datetime | None) -> int:
        """
        Note that a fix changed the work tree: every finding that it knew of counts as addressed.

        Args:
            begun_at: When it began; what was reported later it did not know.

        Returns:
            How many they are.
        """
        change = self._change(Life.ADDRESSED, self._context.by, "a fix changed the work tree")
        count = 0
        for place, entry in enumerate(self.entries):
            is_late = begun_at is not None and entry.timestamp > begun_at
            if not entry.resolved and isinstance(entry.mendloop, Finding) and not is_late:
                self.entries[place] = addressed(entry, change)
                count += 1
        return count

    def judge(self, place: int, life: Life, why: str) -> bool:
        """Let a person say what became of the finding at *place*; False where it was so already."""
        entry = self.entries[place]
        known = life_of(entry)
        if known is life or (life is Life.REOPENED and known.is_open):
            return False
        if not isinstance(entry.mendloop, Finding):
            entry = _replace(entry, mendloop=finding_of(entry))
        self.entries[place] = turned(entry, self._change(life, self._context.by, why))
        return True

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

    def _change(self, life: Life, by: str, why: str) -> LifeChange:
        return LifeChange(
            life=life,
            at=self._context.now,
            iteration=self._iteration,
            by=by,
            why=why,
            tree=self._tree,
        )

    def _reworded(self, unknown: list[FeedbackEntry]) -> dict[int, int]:
        """Which of *unknown* are findings of this task in new words: their places, by number."""
        numbers = [n for n, entry in enumerate(unknown) if self._place(entry) is None]
        gone = [
            place
            for place, entry in enumerate(self.entries if numbers else [])
            if not entry.resolved and place not in self._reported
        ]
        pairs = reworded(
            [traits(self.entries[place]) for place in gone],
            [traits(unknown[number]) for number in numbers],
        )
        return {numbers[new]: gone[old] for new, old in pairs.items()}

    def _say_again(self, place: int, entry: FeedbackEntry) -> None:
        """Take in *entry* as what is at *place*, and note what that was before."""
        kept = self.entries[place]
        self._reported.add(place)
        finding = self._finding_seen_again(kept, entry)
        if isinstance(finding, Finding) and isinstance(kept.mendloop, Finding):
            where = kept.mendloop.path if kept.mendloop.path != finding.path else ""
            earlier = kept.description if kept.description != entry.description else ""
            before = ": ".join(filter(None, (where, earlier))) or kept.mendloop.context
            note = tidy(f"before: {before}", limit_bytes=NOTE_LIMIT_BYTES, redact=no_redaction)
            finding = _replace(finding, note=note)
        self.entries[place] = self._open_again(
            _replace(kept, description=entry.description, severity=entry.severity, mendloop=finding)
        )

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

    def _take(self, entry: FeedbackEntry) -> int:
        place = self._place(entry)
        if place is None:
            return self._add(entry)
        self._seen_again(place, entry)
        return place

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

    def _add(self, entry: FeedbackEntry) -> int:
        entry = _replace(entry, pr_comment_id=self._free_name(entry))
        if isinstance(entry.mendloop, Finding):
            entry = _replace(
                entry,
                mendloop=_replace(
                    entry.mendloop,
                    first_iteration=self._iteration,
                    last_iteration=self._iteration,
                ),
            )
        place = len(self.entries)
        self.entries.append(entry)
        self._index(entry, place)
        self._reported.add(place)
        self.tally.new += 1
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

    def _seen_again(self, place: int, entry: FeedbackEntry) -> None:
        kept = self.entries[place]
        self._reported.add(place)
        is_edited = words(kept) != words(entry)
        if isinstance(kept.mendloop, Finding) and owner(kept) != owner(entry):
            self.tally.known += 1
            return
        is_set_aside = kept.resolved and life_of(kept).is_set_aside
        if is_set_aside:
            self.tally.set_aside += 1
        elif kept.resolved:
            self.tally.reopened += 1
        elif is_edited:
            self.tally.edited += 1
        else:
            self.tally.known += 1
        seen = _replace(
            kept,
            description=entry.description,
            severity=entry.severity,
            mendloop=self._finding_seen_again(kept, entry),
        )
        self.entries[place] = seen if is_set_aside else self._open_again(seen)

    def _open_again(self, entry: FeedbackEntry) -> FeedbackEntry:
        """Return *entry*, which was reported, as one that is open and waits for a fix."""
        finding = entry.mendloop
        if not isinstance(finding, Finding):
            return _replace(entry, resolved=False)
        if not entry.resolved:
            # A fix that did not help leaves it as it was before.
            life = Life.REOPENED if finding.times_returned else Life.OPEN
            is_addressed = finding.life is Life.ADDRESSED
            return _replace(entry, mendloop=_replace(finding, life=life)) if is_addressed else entry
        returned = _replace(finding, times_returned=finding.times_returned + 1)
        by = finding.source if finding.source != PERSON else self._context.by
        change = self._change(Life.REOPENED, by, "reported again")
        return turned(_replace(entry, mendloop=returned), change)

    def _finding_seen_again(
        self, kept: FeedbackEntry, entry: FeedbackEntry
    ) -> Finding | msgspec.UnsetType:
        known, seen = kept.mendloop, entry.mendloop
        if not isinstance(seen, Finding):
            return known
        if not isinstance(known, Finding):
            # Another program took it down from a person: no tool may resolve it.
            known = _replace(seen, source=PERSON, first_iteration=self._iteration)
        return _replace(
            known,
            fingerprint=seen.fingerprint,
            path=seen.path or known.path,
            line=seen.line or known.line,
            context=seen.context or known.context,
            last_iteration=self._iteration,
        )
