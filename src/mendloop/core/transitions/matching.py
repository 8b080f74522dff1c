"""
Which of the known findings a reported one is.

A finding belongs to who reported it: a source never edits, reopens or resolves what another one
reported, even where both give it the same comment id. What two sources say in the same words under
one comment id is one finding, of the first of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime

import msgspec

from mendloop.core.commands import Context
from mendloop.core.compaction import entry_of, lookup_key, open_rows, place_of, taken_out
from mendloop.core.lives import addressed, life_of, turned
from mendloop.core.model import FeedbackEntry, Finding, LifeChange, RemediationState
from mendloop.core.shelf import Row
from mendloop.core.text import COMMENT_ID_LIMIT_BYTES, Redactor, no_redaction, tidy
from mendloop.core.vocabulary import Life, Severity

__all__ = ["PERSON", "History", "Tally", "told_apart"]

PERSON = "person"
"""The source of findings that no reviewer command brought."""

_SUFFIX_CHARACTERS = 16

_replace = msgspec.structs.replace


class Tally(msgspec.Struct):
    """How many findings were new, known already, edited, resolved, reopened, or seen set aside."""

    new: int = 0
    known: int = 0
    edited: int = 0
    resolved: int = 0
    reopened: int = 0
    set_aside: int = 0


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

    def report(self, entries: Iterable[FeedbackEntry]) -> None:
        """Take in what one review reported: first what is known as it is, then the rest."""
        unknown = []
        for entry in entries:
            place = self._place_by_fingerprint(entry)
            if place is None:
                unknown.append(entry)
            else:
                self._seen_again(place, entry)
        for entry in unknown:
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
        if place is None or not _is_same(self.entries[place], entry):
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
            entry = _replace(entry, mendloop=Finding(fingerprint="", source=PERSON))
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
        return [place for place, entry in enumerate(self.entries) if _begins(entry, name)]

    def _change(self, life: Life, by: str, why: str) -> LifeChange:
        return LifeChange(
            life=life,
            at=self._context.now,
            iteration=self._iteration,
            by=by,
            why=why,
            tree=self._tree,
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
        for name in _names(entry):
            place = self._place_of_id(name)
            if place is not None and self._may_be(place, entry):
                return place
        return None

    def _may_be(self, place: int, entry: FeedbackEntry) -> bool:
        """Whether *entry* may be what has its comment id at *place*."""
        kept = self.entries[place]
        if _owner(kept) == _owner(entry):
            return place not in self._reported
        return not kept.resolved and _words(kept) == _words(entry)

    def _place_by_fingerprint(self, entry: FeedbackEntry) -> int | None:
        if not isinstance(entry.mendloop, Finding):
            return None
        place = self._place_of_fingerprint(entry.mendloop.fingerprint)
        if place in self._reported and _words(self.entries[place]) != _words(entry):
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
        names = (name for name in _names(entry) if self._place_of_id(name) is None)
        name = next(names, None)
        count = len(self._by_id)
        while name is None:
            count += 1
            name = _with_suffix(entry.pr_comment_id, f"{_owner(entry)} {count}")
            name = name if self._place_of_id(name) is None else None
        return name

    def _seen_again(self, place: int, entry: FeedbackEntry) -> None:
        kept = self.entries[place]
        self._reported.add(place)
        is_edited = _words(kept) != _words(entry)
        if isinstance(kept.mendloop, Finding) and _owner(kept) != _owner(entry):
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
            last_iteration=self._iteration,
        )


def _owner(entry: FeedbackEntry) -> str:
    """Whose finding it is: a reviewer and its tool, or one person."""
    source = entry.mendloop.source if isinstance(entry.mendloop, Finding) else PERSON
    return f"{PERSON} {entry.author}" if source == PERSON else source


def _names(entry: FeedbackEntry) -> tuple[str, str]:
    """The comment ids that *entry* may be kept under: its own, or one that also names its owner."""
    return entry.pr_comment_id, _with_suffix(entry.pr_comment_id, _owner(entry))


def _begins(entry: FeedbackEntry, name: str) -> bool:
    finding = entry.mendloop
    names = (entry.pr_comment_id, finding.fingerprint if isinstance(finding, Finding) else "")
    return bool(name) and any(known.startswith(name) for known in names)


def _with_suffix(comment_id: str, by: str) -> str:
    return told_apart(comment_id, by, limit_bytes=COMMENT_ID_LIMIT_BYTES, redact=no_redaction)


def told_apart(name: str, by: str, *, limit_bytes: int, redact: Redactor) -> str:
    """Clean a name and end it with a digest of what makes it another than its equals."""
    suffix = hashlib.sha256(by.encode(errors="surrogatepass")).hexdigest()[:_SUFFIX_CHARACTERS]
    room = limit_bytes - len(suffix) - 1
    return f"{tidy(name, limit_bytes=room, redact=redact)}#{suffix}"


def _words(entry: FeedbackEntry) -> tuple[str, Severity]:
    return entry.description, entry.severity


def _is_same(kept: FeedbackEntry, given: FeedbackEntry) -> bool:
    return kept.timestamp == given.timestamp and _words(kept) == _words(given)
