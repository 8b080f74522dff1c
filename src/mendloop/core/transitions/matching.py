"""
What becomes of the known findings by what is reported.

A source never edits, reopens or resolves what another one reported, even where both give it the same
comment id. What is reported about an older commit than the task's tip is kept and not acted on: one
that is new is outdated and does not count as open, and one that is known stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime

import msgspec

from mendloop.core.commands import Context
from mendloop.core.likeness import reworded
from mendloop.core.lives import addressed, finding_of, life_of, turned
from mendloop.core.model import FeedbackEntry, Finding, LifeChange, RemediationState
from mendloop.core.text import NOTE_LIMIT_BYTES, no_redaction, tidy
from mendloop.core.tips import is_older
from mendloop.core.transitions.known import Known
from mendloop.core.transitions.naming import is_same, owner, traits, words
from mendloop.core.vocabulary import PERSON, Life

__all__ = ["History", "Tally"]

_replace = msgspec.structs.replace


class Tally(msgspec.Struct):
    """
    How many findings were what.

    Attributes:
        new: Never seen before.
        known: Open already.
        edited: Open already, in other words.
        resolved: No longer reported.
        reopened: Gone, or outdated, before.
        set_aside: Set aside before, and left so.
        reworded: Known in other words that somebody did not call the same.
        outdated: Reported about an older commit, and not acted on.
    """

    new: int = 0
    known: int = 0
    edited: int = 0
    resolved: int = 0
    reopened: int = 0
    set_aside: int = 0
    reworded: int = 0
    outdated: int = 0

    @property
    def acted_on(self) -> int:
        """How many reported findings are open now."""
        return self.new + self.known + self.edited + self.reopened + self.reworded


class History(Known):
    """
    The findings of a task while one command changes them.

    Attributes:
        tally: What became of what was handed in.
    """

    def __init__(self, state: RemediationState, context: Context, *, tree: str = "") -> None:
        """
        Begin with the findings that *state* has; sealed ones are read where they are needed.

        Args:
            tree: Revision of the work tree that what changes was seen on, or "".
        """
        super().__init__(state, context)
        self.tally = Tally()
        self._iteration = state.iteration
        self._tips = state.ledger.tips
        self._context = context
        self._tree = tree

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

        Only what was outdated is opened by the same about a commit that is not older. Other words under the comment id of a delivery before are an edit of it.

        Returns:
            The comment id that it is kept under.
        """
        self._reported.clear()
        place = self._place(entry)
        if place is None or not self._is_repeat(place, entry):
            place = self._take(entry)
        else:
            self.tally.known += 1
        return self.entries[place].pr_comment_id

    def _is_repeat(self, place: int, entry: FeedbackEntry) -> bool:
        kept = self.entries[place]
        if not is_same(kept, entry):
            return False
        is_waiting = life_of(kept) is Life.OUTDATED
        return not (is_waiting and finding_of(entry).seen_on) or self._is_outdated(entry)

    def _is_outdated(self, entry: FeedbackEntry) -> bool:
        return is_older(finding_of(entry).seen_on, self._tips)

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

    def _change(self, life: Life, by: str, why: str, *, seen_on: str = "") -> LifeChange:
        return LifeChange(
            life=life,
            at=self._context.now,
            iteration=self._iteration,
            by=by,
            why=why,
            tree=seen_on or self._tree,
        )

    def _reworded(self, unknown: list[FeedbackEntry]) -> dict[int, int]:
        """Which of *unknown* are findings of this task in new words: their places, by number."""
        numbers = [
            n
            for n, entry in enumerate(unknown)
            if self._place(entry) is None and not self._is_outdated(entry)
        ]
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

    def _take(self, entry: FeedbackEntry) -> int:
        place = self._place(entry)
        if place is None:
            return self._add(entry)
        self._seen_again(place, entry)
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
        if self._is_outdated(entry):
            self.tally.outdated += 1
            self.entries[place] = self._outdated(entry)
        else:
            self.tally.new += 1
        return place

    def _outdated(self, entry: FeedbackEntry) -> FeedbackEntry:
        finding = finding_of(entry)
        why = f"reported about an older commit than the tip {self._tips[-1].commit}"
        by = self._reporter(finding)
        return turned(entry, self._change(Life.OUTDATED, by, why, seen_on=finding.seen_on))

    def _reporter(self, finding: Finding) -> str:
        return finding.source if finding.source != PERSON else self._context.by

    def _seen_again(self, place: int, entry: FeedbackEntry) -> None:
        kept = self.entries[place]
        self._reported.add(place)
        if self._is_outdated(entry):
            self.tally.outdated += 1
            return
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
        by, seen_on = self._reporter(finding), finding.seen_on
        if life_of(entry) is Life.OUTDATED:
            # It never was gone, so it has not come back.
            why = "reported about a commit that is not older"
            return turned(entry, self._change(Life.OPEN, by, why, seen_on=seen_on))
        returned = _replace(finding, times_returned=finding.times_returned + 1)
        change = self._change(Life.REOPENED, by, "reported again", seen_on=seen_on)
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
            seen_on=seen.seen_on or known.seen_on,
        )
