"""
Whether the records of a task are those that were written: none changed, none taken out, none moved.

Pure: whoever reads the store hands over what stands where, in the order in which it stands there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from mendloop.core.chain import link_of
from mendloop.core.codec import digest
from mendloop.core.holding import ToldLease
from mendloop.core.model import Commit, RemediationState

__all__ = ["HEAD_PLACE", "Examination", "Flaw", "FlawKind", "Placed", "Verdict"]

HEAD_PLACE = "the state"
"""Where the latest records stand; all others are in sealed documents, which have a key."""


class FlawKind(StrEnum):
    """What can be wrong with records."""

    CHANGED = "changed"
    MISSING = "missing"
    MOVED = "moved"
    CUT = "cut"
    OUTSIDE = "outside"
    UNREADABLE = "unreadable"


class Flaw(msgspec.Struct, frozen=True, kw_only=True):
    """
    One thing that is wrong.

    Attributes:
        kind: What, for programs.
        what: The same in words.
        place: The key of the sealed document, or `HEAD_PLACE`.
        first: The number of the first record concerned; 0 where it is none in particular.
        last: That of the last.
    """

    kind: FlawKind
    what: str
    place: str = HEAD_PLACE
    first: int = 0
    last: int = 0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was found in a task's records.

    Attributes:
        task_id: The task.
        records: How many there are.
        chained: How many hang on the chain that ends now.
        head: The link of the last: keep it elsewhere, and compare it later.
        flaws: What is wrong.
        notes: What is not, and is worth knowing: where the chain begins, what a repair has lost.
    """

    task_id: str
    records: int = 0
    chained: int = 0
    head: str = ""
    flaws: tuple[Flaw, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether all records are those that were written, as far as the chain shows that."""
        return not self.flaws


class Placed(NamedTuple):
    """What stands in the place of a record: a commit, or None where it cannot be read."""

    number: int
    commit: Commit | None


class _Gap(NamedTuple):
    first: int
    last: int
    is_chained: bool


class Examination:
    """The records of one task, taken in from the oldest on."""

    def __init__(self, state: RemediationState) -> None:
        """Begin before the first record of *state*."""
        self._state = state
        self._flaws: list[Flaw] = []
        self._gaps: list[_Gap] = []
        self._spans: list[tuple[int, int, str]] = []
        self._told_lost: list[tuple[int, int]] = []
        self._lease = ToldLease()
        self._older_repair_at = 0
        self._records = 0
        self._chained = 0
        self._begun_at = 0
        self._number = 0
        self._links: tuple[str, ...] = ("",)

    def add(self, flaw: Flaw) -> None:
        """Take in what is wrong with a whole document."""
        self._flaws.append(flaw)

    def take(self, place: str, first: int, last: int, rows: Sequence[Placed]) -> None:
        """
        Take in the records of one place, after all that come before it.

        Args:
            place: Its key, or `HEAD_PLACE`.
            first: The number of the first record that belongs there.
            last: That of the last.
            rows: What is there, in the order in which it stands; none where it is gone.
        """
        self._spans.append((first, last, place))
        in_order = sorted(rows, key=lambda row: row.number)
        for row, due in zip(rows, in_order, strict=True):
            if row.number != due.number:
                self._flaw(FlawKind.MOVED, place, row.number, "stands where another belongs")
        for row in in_order:
            self._records += 1
            self._follow(place, row)

    def verdict(self) -> Verdict:
        """Say what was found, once all was taken in."""
        self._compare_end()
        self._tell_gaps()
        chain = self._state.ledger.chain
        return Verdict(
            task_id=self._state.task_id,
            records=self._records,
            chained=self._chained,
            head=chain.head if chain else "",
            flaws=tuple(sorted(self._flaws, key=lambda flaw: (flaw.first, flaw.last))),
            notes=tuple(self._notes()),
        )

    def _follow(self, place: str, row: Placed) -> None:
        number, commit = row
        if number <= self._number:
            self._flaw(FlawKind.MOVED, place, number, f"stands after record {self._number}")
            return
        if number > self._number + 1:
            self._gaps.append(_Gap(self._number + 1, number - 1, is_chained=self._begun_at > 0))
            self._links = ()
            self._lease.forget()
        is_next = number == self._number + 1
        self._number = number
        if commit is None:
            self._flaw(FlawKind.CHANGED, place, number, "cannot be read any more")
            self._links = ()
        elif commit.number != number:
            what = f"is not there: record {commit.number} stands in its place"
            self._flaw(FlawKind.MOVED, place, number, what)
            self._links = ()
        # What a repair says counts where it is certain that a repair said it.
        elif self._check_link(place, commit, is_next=is_next):
            self._hear(commit)
            return
        self._lease.forget()

    def _check_link(self, place: str, commit: Commit, *, is_next: bool) -> bool:
        """Compare a record with the one before it; tells whether it is certainly the one written."""
        number, link = commit.number, commit.link
        expected = [link_of(before, commit) for before in self._links]
        if not link:
            if self._begun_at:
                self._flaw(FlawKind.CHANGED, place, number, "has lost its link")
            self._links = ()
            return not self._begun_at
        is_certain = link in expected or link == link_of("", commit)
        if link == link_of("", commit):
            is_told = number == 1 or not self._begun_at or _is_repair(commit)
            if not is_told:
                what = f"does not go on from record {number - 1}, and nothing says why"
                self._flaw(FlawKind.CHANGED, place, number, what)
            self._begun_at, self._chained = number, 0
        elif not self._begun_at and is_next and number > 1:
            self._flaw(FlawKind.CHANGED, place, number - 1, "has lost its link")
        elif expected and link not in expected:
            after = f" after record {number - 1} as that stands now" if number > 1 else ""
            self._flaw(FlawKind.CHANGED, place, number, f"is not the one that was written{after}")
        self._begun_at = self._begun_at or number
        self._chained += 1
        # Where the link alone was changed, those that follow still hang on what it was.
        self._links = tuple(dict.fromkeys((link, *expected)))
        return is_certain

    def _hear(self, commit: Commit) -> None:
        """Take in who holds the task, and what a repair says that it could not bring back."""
        for change in commit.changes:
            self._lease.hear(change)
            if change.do == "recover":
                self._older_repair_at = commit.number if not commit.link else self._older_repair_at
                self._told_lost += _spans(change.facts.get("missing"))

    def _compare_end(self) -> None:
        """Compare where the records end with what the state says of that."""
        ledger = self._state.ledger
        last, chain = ledger.commit, ledger.chain
        if self._number < last:
            what = f"the records end with {self._number}, and the state counts {last}"
            flaw = Flaw(kind=FlawKind.CUT, what=what, first=self._number + 1, last=last)
            self._flaws.append(flaw)
        elif self._number > last:
            self._flaw(FlawKind.CUT, HEAD_PLACE, self._number, f"is beyond {last}, the last")
        elif chain is not None and chain.head not in self._links:
            self._flaw(
                FlawKind.CHANGED, HEAD_PLACE, last, "is not the one that the chain ends with"
            )
        elif chain is not None and chain.count != self._chained and not (self._flaws or self._gaps):
            what = f"counts {chain.count} records in its chain, and there are {self._chained}"
            self._flaws.append(Flaw(kind=FlawKind.CUT, what=f"the state {what}"))
        if chain is None and self._begun_at:
            what = "the state does not say any more where its chain ends"
            self._flaws.append(Flaw(kind=FlawKind.CUT, what=what))
        latest = ledger.commits[-1:]
        if latest and latest[0].number == last and latest[0].digest != digest(self._state):
            what = (
                f"the state was changed by other hands after record {last}, which no record tells"
            )
            self._flaws.append(Flaw(kind=FlawKind.OUTSIDE, what=what, first=last, last=last))
        wrong = self._lease.flaw_of(ledger.lease) if self._number == last else ""
        if wrong:
            what = f"the lease was changed by other hands after record {last}: it {wrong}"
            self._flaws.append(Flaw(kind=FlawKind.OUTSIDE, what=what, first=last, last=last))

    def _tell_gaps(self) -> None:
        for gap in self._gaps:
            if self._is_told_lost(gap):
                continue
            what = (
                f"record {gap.first} is" if gap.first == gap.last else f"records {_words(gap)} are"
            )
            after = gap.last + 1
            flaw = Flaw(
                kind=FlawKind.MISSING,
                what=f"{what} missing, so that record {after} cannot be compared with one before it",
                place=self._place_of(gap.first),
                first=gap.first,
                last=gap.last,
            )
            self._flaws.append(flaw)

    def _is_told_lost(self, gap: _Gap) -> bool:
        # Repairs of an older mendloop tell in words alone what they lost, and are on no chain.
        is_older = not gap.is_chained and self._older_repair_at > gap.last
        number = gap.first
        for first, last in sorted(self._told_lost):
            if first <= number <= last:
                number = last + 1
        return is_older or number > gap.last

    def _notes(self) -> Iterator[str]:
        if self._records and not self._begun_at:
            yield "no record is on a chain yet: an older mendloop wrote them; the next one begins it"
        elif self._begun_at > 1:
            yield f"the chain that ends now begins with record {self._begun_at}"
        for gap in self._gaps:
            if self._is_told_lost(gap):
                yield f"records {_words(gap)} were lost before a repair, which says so"

    def _place_of(self, number: int) -> str:
        places = (place for first, last, place in self._spans if first <= number <= last)
        return next(places, HEAD_PLACE)

    def _flaw(self, kind: FlawKind, place: str, number: int, what: str) -> None:
        flaw = Flaw(
            kind=kind, what=f"record {number} {what}", place=place, first=number, last=number
        )
        if flaw not in self._flaws:
            self._flaws.append(flaw)


def _is_repair(commit: Commit) -> bool:
    return any(change.do == "recover" for change in commit.changes)


def _spans(told: object) -> Iterator[tuple[int, int]]:
    """Read first and last numbers, as far as these are some."""
    for span in told if isinstance(told, Iterable) else ():
        match span:
            case [int(first), int(last)]:
                yield first, last
            case _:
                continue


def _words(gap: _Gap) -> str:
    return str(gap.first) if gap.first == gap.last else f"{gap.first} to {gap.last}"
