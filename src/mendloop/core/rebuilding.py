"""
A sound state out of what is left of a task: its head as far as it can be read, and its history.

Sealed rows are found by what their documents say for themselves. Of two versions of a row the one
that the later commit sealed counts, and what was sealed by a commit that another one won against
counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import msgspec

from mendloop.core.codec import decode_part
from mendloop.core.commits import row_of_commit
from mendloop.core.compaction import entry_of, lookup_key, numbered_apart, place_of
from mendloop.core.counters import given_out, places
from mendloop.core.diagnosis import (
    Case,
    Gravity,
    SymptomKind,
    diagnose,
    head_commit,
    is_old_head,
    symptoms_of_history,
)
from mendloop.core.errors import DeserializationError
from mendloop.core.evidence import Facts, members_of
from mendloop.core.model import (
    COUNT_MOST,
    Commit,
    FeedbackEntry,
    Finding,
    Ledger,
    RemediationState,
)
from mendloop.core.run import Lease, generation_beyond
from mendloop.core.salvage import Salvaged
from mendloop.core.sealed import Sealed, spans_without
from mendloop.core.sealing import Document, Seal, Sealer, open_counts_of, open_severity, pointers_of
from mendloop.core.shelf import Row, Shelf
from mendloop.core.vocabulary import Status

__all__ = [
    "Heap",
    "Rebuilt",
    "is_history_to_be_sealed_anew",
    "owner_of",
    "rebuild",
    "with_lease_beyond",
]

_IN_HISTORY = frozenset(
    {
        SymptomKind.NO_HEAD,
        SymptomKind.UNREADABLE,
        SymptomKind.REWRITTEN,
        SymptomKind.COUNTS,
        SymptomKind.MISSING_CHUNK,
        SymptomKind.BROKEN_CHUNK,
        SymptomKind.OLD_HEAD,
        SymptomKind.MISSING_FINDING,
    }
)
_LOST_WITH_HEAD = "what only the newer state had: its latest findings and commits"

_replace = msgspec.structs.replace


class Rebuilt(msgspec.Struct, frozen=True):
    """
    A sound state.

    Attributes:
        state: It, before the repair is recorded in it.
        documents: What has to be written before it.
        lost: What could not be brought back, in words.
        missing: Numbers of commits that are not there: the first and the last of each span.
    """

    state: RemediationState
    documents: tuple[Document, ...]
    lost: tuple[str, ...]
    missing: tuple[tuple[int, int], ...] = ()


def is_history_to_be_sealed_anew(case: Case) -> bool:
    """Whether the head does not say any more, or not rightly, where the history is."""
    case = _replace(case, is_remembered=False)  # what is remembered says as much as what is there
    return any(symptom.kind in _IN_HISTORY for symptom in diagnose(case).symptoms)


def owner_of(case: Case, state: RemediationState) -> str:
    """
    The incarnation whose history the task has; "" where there is none.

    Where the head does not tell, it is the one whose history goes on latest.
    """
    if state.ledger.incarnation:
        return state.ledger.incarnation
    sound = [facts for facts in case.facts if facts.incarnation]
    latest = max(sound, key=_lateness, default=None)
    return latest.incarnation if latest else ""


def _lateness(facts: Facts) -> tuple[float, int]:
    at = facts.last_at.timestamp() if facts.last_at else 0.0
    return at, max([number for number, _ in facts.commits], default=0)


class Heap:
    """
    The newest version of every row of one incarnation.

    Attributes:
        findings: By number.
        commits: By number.
        is_ahead: Whether it goes on after the head, which is an older copy that was put back.
    """

    def __init__(self, case: Case, state: RemediationState, incarnation: str) -> None:
        """Begin with what is known of the commits that were written."""
        self.findings: dict[int, Row] = {}
        self.commits: dict[int, Row] = {}
        self._case = case
        self._incarnation = incarnation
        self._sealed_by: dict[tuple[str, int], int] = {}
        own = [facts for facts in case.facts if facts.incarnation == incarnation]
        # What follows in one document was decided on what stands before it: so that one was written.
        self._ids = {number: name for facts in own for number, name in facts.commits[:-1]}
        self._ids |= {number: name for facts in own for number, name in facts.ids.items()}
        self._ids |= {commit.number: commit.id for commit in state.ledger.commits}
        self._head = head_commit(state)
        self.is_ahead = self._head > 0 and is_old_head(case, state)

    def add(self, body: bytes) -> None:
        """Take the rows of a document, as far as it is whole and counts."""
        try:
            for member in members_of(self._case.task_id, body):
                header = member.header
                if header.incarnation == self._incarnation and self._counts(
                    header.commit, header.commit_id
                ):
                    for row in member.rows:
                        self._take(header.part, header.commit, row)
        except DeserializationError:
            return  # the diagnosis tells; what came before is whole

    def without_newer(self, entries: Iterable[FeedbackEntry]) -> Iterator[FeedbackEntry]:
        """Those of the head's *entries* that were not sealed in a newer version after it."""
        newer = {
            key
            for number, row in self.findings.items()
            if self._sealed_by["findings", number] > self._head
            for key in row.keys
        }
        for entry in entries:
            if not (self.is_ahead and lookup_key(entry.pr_comment_id) in newer):
                yield entry

    def _counts(self, commit: int, commit_id: str) -> bool:
        if self._head and commit > self._head and not self.is_ahead:
            return False
        return self._ids.get(commit, commit_id) == commit_id

    def _take(self, part: str, commit: int, row: Row) -> None:
        rows = self.commits if part == "commits" else self.findings
        is_older = commit < self._sealed_by.get((part, row.number), 0)
        if is_older or not 0 <= row.number <= COUNT_MOST:
            return
        try:
            if part == "commits":
                decode_part(Commit, row.content)
            else:
                entry_of(row)
        except DeserializationError:
            return
        self._sealed_by[part, row.number] = commit
        rows[row.number] = row


def rebuild(
    case: Case,
    salvaged: Salvaged,
    heap: Heap | None,
    *,
    incarnation: str,
    token: str,
    now: datetime,
) -> Rebuilt:
    """
    Make a sound state.

    Args:
        case: What is stored.
        salvaged: What is left of the head.
        heap: The rows of the history, where it is to be sealed anew; else None.
        incarnation: See `owner_of`.
        token: Fresh and random: the id of the commit that records the repair.
        now: The time.
    """
    state = _numbered_on(case, salvaged.state, incarnation or token)
    is_lease_in_doubt = bool(case.damage) or not isinstance(salvaged.state.mendloop, Ledger)
    if is_lease_in_doubt or (heap is not None and heap.is_ahead):
        state = with_lease_beyond(state, now)
    if heap is None:
        counted = salvaged.state.ledger.commit
        numbers = _numbers_of(state.ledger.commits)
        missing = tuple(spans_without(counted + 1, state.ledger.commit, numbers))
        return Rebuilt(_on_its_chain(state, {}), (), salvaged.lost, missing)
    if heap.is_ahead:
        state = _numbered_as_they_came(state)
    before = state.ledger
    latest = _latest(before.commits, before.commit)
    older = {c.number: row_of_commit(c) for c in before.commits[: -len(latest) or None]}
    lost = [*salvaged.lost, *([_LOST_WITH_HEAD] if heap.is_ahead else [])]
    named = _named_again(heap.without_newer(state.feedback_history), heap.findings)
    entries = numbered_apart(tuple(named), heap.findings, before.findings)
    in_head = set(places(entries))
    gone = _lost("findings", case, state, heap, heap.findings.keys() | in_head)
    lost += _doubted(gone, sum(place_of(entry) is None for entry in entries))
    lost += _lost("commits", case, state, heap, heap.commits.keys() | _numbers_of(before.commits))
    counts = [before.findings.count, *(n + 1 for n in (*heap.findings, *in_head))]
    count = max(number for number in counts if number <= COUNT_MOST)
    missing = tuple(spans_without(0, count - 1, heap.findings.keys() | in_head))
    seal = Seal(case.task_id, before.incarnation, before.commit + 1, token)
    findings = _sealer("findings", heap.findings, count, seal)
    commits = {n: r for n, r in (older | heap.commits).items() if n not in _numbers_of(latest)}
    log = _sealer("commits", commits, 0, seal)
    outside = (open_severity(row) for n, row in heap.findings.items() if n not in in_head)
    still_open = open_counts_of(severity for severity in outside if severity is not None)
    ledger = _replace(
        before,
        commits=latest,
        findings=_replace(findings.sealed, open=still_open, missing=missing),
        log=log.sealed,
        sealed=(),
    )
    state = _replace(state, feedback_history=entries, mendloop=ledger)
    return Rebuilt(
        _on_its_chain(state, commits),
        (*findings.documents, *log.documents),
        tuple(lost),
        tuple(spans_without(1, ledger.commit, commits.keys() | _numbers_of(latest))),
    )


def _on_its_chain(state: RemediationState, sealed: Mapping[int, Row]) -> RemediationState:
    """Return *state* with its chain where the latest commit is its end; else the next begins one."""
    ledger = state.ledger
    latest = ledger.commits[-1] if ledger.commits else None
    if latest is None and ledger.commit in sealed:
        latest = decode_part(Commit, sealed[ledger.commit].content)
    is_end = (
        latest is not None
        and ledger.chain is not None
        and (latest.number, latest.link) == (ledger.commit, ledger.chain.head)
    )
    return state if is_end else _replace(state, mendloop=_replace(ledger, chain=None))


def _numbered_as_they_came(state: RemediationState) -> RemediationState:
    """Give findings the numbers that they were given later, in a head that none had left yet."""
    if state.ledger.findings.count:
        return state
    entries = tuple(
        _replace(entry, mendloop=_replace(entry.mendloop, place=number))
        if isinstance(entry.mendloop, Finding)
        else entry
        for number, entry in enumerate(state.feedback_history)
    )
    return _replace(state, feedback_history=entries)


def with_lease_beyond(state: RemediationState, now: datetime) -> RemediationState:
    """Raise the generation of the lease above any that a run may still hold, so that it ends."""
    lease = state.ledger.lease
    raised = Lease(generation=max(lease.generation + 1, generation_beyond(now)), tree=lease.tree)
    return _replace(state, mendloop=_replace(state.ledger, lease=raised))


def _latest(commits: tuple[Commit, ...], last: int) -> tuple[Commit, ...]:
    """Those of *commits* that lead up to *last* without a gap: the head keeps no others."""
    first = len(commits)
    while first and commits[first - 1].number == last - (len(commits) - first):
        first -= 1
    return commits[first:]


def _numbers_of(commits: Iterable[Commit]) -> frozenset[int]:
    return frozenset(commit.number for commit in commits)


def _sealer(part: str, rows: Mapping[int, Row], count: int, seal: Seal) -> Sealer:
    sealed = Sealed(count=count)
    sealer = Sealer(part, sealed, Shelf(sealed, {}), seal)
    sealer.put_away([rows[number] for number in sorted(rows)], is_settling=True)
    return sealer


def _numbered_on(case: Case, state: RemediationState, incarnation: str) -> RemediationState:
    """Raise every counter to what is known to have been given out."""
    ledger = _replace(state.ledger, incarnation=incarnation)
    own = [facts for facts in case.facts if facts.incarnation == incarnation]
    commits = tuple(_with_possible_numbers(ledger))
    made = [ledger.commit, *(number for facts in own for number, _ in facts.commits)]
    made += _numbers_of(commits)
    given = max([given_out(state), *(facts.given_out for facts in own)])
    highest = max([number for number in made if number < COUNT_MOST], default=0)
    ledger = _replace(ledger, commit=highest, commits=commits)
    iteration = max(state.iteration, given)
    is_begun = iteration > state.iteration and ledger.pause is None
    is_new = state.status is Status.INITIALIZED
    status = Status.IN_PROGRESS if is_new and is_begun else state.status
    return _replace(state, iteration=iteration, status=status, mendloop=ledger)


def _with_possible_numbers(ledger: Ledger) -> Iterator[Commit]:
    """Give the commits of a head, of which each follows the one before, the numbers that can be."""
    firsts = [c.number - n for n, c in enumerate(ledger.commits) if c.number < COUNT_MOST]
    first = firsts[0] if firsts else None
    for place, commit in enumerate(ledger.commits):
        if commit.number < COUNT_MOST:  # a repair takes the number after the highest
            yield commit
        elif first is not None:
            yield _replace(commit, number=first + place)


def _named_again(
    entries: Iterable[FeedbackEntry], rows: Mapping[int, Row]
) -> Iterable[FeedbackEntry]:
    """Give back what mendloop kept of the findings that lack it, and the numbers of sealed ones."""
    by_key = {key: row for row in rows.values() for key in row.keys}
    for entry in entries:
        row = by_key.get(lookup_key(entry.pr_comment_id))
        own = entry.mendloop
        if row is None or (isinstance(own, Finding) and own.place is not None):
            yield entry
            continue
        known = own if isinstance(own, Finding) else entry_of(row).mendloop
        if isinstance(known, Finding):
            yield _replace(entry, mendloop=_replace(known, place=row.number))


def _lost(
    part: str, case: Case, state: RemediationState, heap: Heap, there: Iterable[int]
) -> Iterator[str]:
    """Name the rows that are neither sealed nor in the head."""
    log = state.ledger.findings if part == "findings" else state.ledger.log
    numbers = sorted(set(there))
    if not heap.is_ahead and (pointers_of(log) or state.ledger.sealed):
        damaged = [s for s in symptoms_of_history(case, state) if s.part == part]
        spans = [(s.first, s.last) for s in damaged if s.gravity is Gravity.LOST]
    elif part == "findings":
        spans = [(0, max([state.ledger.findings.count - 1, *numbers[-1:]]))]
    else:
        spans = [(1, state.ledger.commit)]
    for first, last in spans:
        yield from _gaps(part, first, last, numbers)


def _doubted(lost: Iterable[str], unnumbered: int) -> Iterator[str]:
    """Say of findings that are *lost* where they may be: a writer of the specification drops numbers."""
    unless = (
        f", unless they are among the {unnumbered} findings of the head that lost their numbers and "
        "come last now"
    )
    for line in lost:
        yield line + (unless if unnumbered else "")


def _gaps(part: str, first: int, last: int, numbers: Iterable[int]) -> Iterator[str]:
    for begin, end in spans_without(first, last, numbers):
        yield f"{part} {begin} to {end}" if end > begin else f"{part} {begin}"
