"""
What is wrong with a task, told from what is stored of it: pure, so that all doors say the same.

A sound task has no symptoms. `mendloop.core.rebuilding` makes a sound state again out of what is
left; which symptoms it cures is their gravity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from mendloop.core.codec import decode_head, rfc3339
from mendloop.core.commits import sealed_keys
from mendloop.core.counters import given_out, miscounts, missing_findings, places, wrong_commits
from mendloop.core.errors import ReadOnlyState, StateError
from mendloop.core.evidence import CLOSED, Facts
from mendloop.core.model import COUNT_MOST, ChunkRef, RemediationState
from mendloop.core.names import chunk_key
from mendloop.core.sealed import NO_OPEN, OpenCounts, Sealed, SealedIndex
from mendloop.core.sealing import pointers_of, sealed_key
from mendloop.core.shelf import Pointer

__all__ = [
    "Case",
    "Diagnosis",
    "Gravity",
    "Symptom",
    "SymptomKind",
    "abandoned",
    "diagnose",
    "head_commit",
    "is_old_head",
    "no_task",
    "state_of",
    "symptoms_of_history",
]


class Gravity(StrEnum):
    """
    What a symptom asks for.

    A NOTE asks for nothing; a REPORT for a person, as its advice says; what is REPAIRABLE is
    repaired with nothing lost; where something is LOST, a repair goes on with the rest.
    """

    NOTE = "note"
    REPORT = "report"
    REPAIRABLE = "repairable"
    LOST = "lost"


class SymptomKind(StrEnum):
    """What can be wrong."""

    NO_HEAD = "no-head"
    UNREADABLE = "unreadable"
    NEWER = "newer"
    OBSTACLE = "obstacle"
    REWRITTEN = "rewritten"
    SIDE_FIELDS = "side-fields"
    COUNTER = "counter"
    COUNTS = "counts"
    MISSING_FINDING = "missing-finding"
    MISSING_CHUNK = "missing-chunk"
    BROKEN_CHUNK = "broken-chunk"
    OLD_HEAD = "old-head"
    ORPHAN = "orphan"
    MISNAMED = "misnamed"
    ABANDONED = "abandoned"
    LEAVING = "leaving"
    DAMAGED_ROW = "damaged-row"


class Symptom(msgspec.Struct, frozen=True, kw_only=True):
    """
    One thing that is wrong.

    Attributes:
        kind: What, for programs.
        gravity: What it asks for.
        what: The same in words.
        advice: What to do about it.
        part: "findings" or "commits", where rows of them are concerned.
        first: The number of the first of these.
        last: The number of the last.
    """

    kind: SymptomKind
    gravity: Gravity
    what: str
    advice: str
    part: str = ""
    first: int = 0
    last: int = 0


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """All that is wrong with one task."""

    task_id: str
    symptoms: tuple[Symptom, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether nothing asks for anything."""
        return all(symptom.gravity is Gravity.NOTE for symptom in self.symptoms)

    @property
    def is_repairable(self) -> bool:
        """Whether a repair would change something."""
        is_newer = any(symptom.kind is SymptomKind.NEWER for symptom in self.symptoms)
        cured = {Gravity.REPAIRABLE, Gravity.LOST}
        return not is_newer and any(symptom.gravity in cured for symptom in self.symptoms)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is stored of one task.

    Attributes:
        task_id: The task.
        body: Its head's bytes; None where there is no head.
        fields: What stands beside them.
        obstacle: Why the store takes no write over the head, or "".
        facts: Its sealed documents.
        is_remembered: Whether the head was deleted, and *body* is what the store still knows of it.
        damage: Why what is left of the head is not what was written, as the store says; or "".
    """

    task_id: str
    body: bytes | None
    fields: Mapping[str, str] = {}
    obstacle: str = ""
    facts: tuple[Facts, ...] = ()
    is_remembered: bool = False
    damage: str = ""


def state_of(case: Case) -> RemediationState | StateError | None:
    """The state in the head, or why it cannot be read; None where there is no head."""
    if case.body is None:
        return None
    try:
        return decode_head(case.task_id, case.body, damage=case.damage)
    except StateError as error:
        return error


def diagnose(case: Case) -> Diagnosis:
    """Tell all that is wrong with a task."""
    return Diagnosis(task_id=case.task_id, symptoms=tuple(_symptoms(case)))


def abandoned(holder: str) -> Symptom:
    """What is wrong with a task whose run has ended without a word; who judges that is the caller."""
    what = f"its run ended without a word: {holder}"
    return _note(SymptomKind.ABANDONED, what, "`mendloop run` takes its place at once")


def no_task(key: str) -> Symptom:
    """What is wrong with a document that lies among the states and is that of no task."""
    what = f"no task has its state under the name {key!a}, and no command can reach it"
    advice = "name it task-ID-state, or remove it, or take its label app=remediation-state away"
    return _report(SymptomKind.MISNAMED, what, advice)


def _symptoms(case: Case) -> Iterator[Symptom]:
    state = state_of(case)
    if case.obstacle:
        yield _report(SymptomKind.OBSTACLE, case.obstacle, "no repair is made before that")
    if case.is_remembered:
        yield Symptom(
            kind=SymptomKind.NO_HEAD,
            gravity=Gravity.REPAIRABLE,
            what="its state was deleted, and the store still knows it for a few minutes",
            advice="repair it at once, before anything is put back: all of it comes back",
        )
    if state is None:
        if case.facts:
            yield _cured(
                SymptomKind.NO_HEAD,
                f"its state is gone, and {len(case.facts)} documents of its history are there",
                Gravity.LOST,
            )
    elif isinstance(state, ReadOnlyState):
        yield _report(SymptomKind.NEWER, str(state), "it is shown, and never written by this one")
    elif isinstance(state, StateError):
        yield _cured(SymptomKind.UNREADABLE, str(state), Gravity.LOST)
    elif not state.mendloop and any(not facts.problem for facts in case.facts):
        yield _cured(
            SymptomKind.REWRITTEN,
            "another program wrote it and dropped what mendloop keeps; its history is there",
            Gravity.LOST,
        )
    elif state.ledger.deleted is not None and state.ledger.deleted.is_final:
        what = "its removal has begun, and not all of its history is there any more"
        yield _note(SymptomKind.LEAVING, what, "`mendloop cleanup` removes the rest")
    else:
        yield from _contradictions(case, state)
        yield from symptoms_of_history(case, state)


def _contradictions(case: Case, state: RemediationState) -> Iterator[Symptom]:
    """What of a readable head cannot be."""
    expected = {"task_id": state.task_id, "iteration": str(state.iteration)}
    wrong = [name for name, text in expected.items() if case.fields.get(name) != text]
    if not _is_same_instant(case.fields.get("last_update", ""), rfc3339(state.last_update)):
        wrong.append("last_update")
    if wrong:
        yield _cured(
            SymptomKind.SIDE_FIELDS,
            f"what stands beside the state disagrees with it, or is missing: {', '.join(wrong)}",
        )
    least = max([given_out(state), *(f.given_out for f in _own(case, state))])
    if state.iteration < least:
        what = f"its counter stands at {state.iteration}, and {least} was given out"
        yield _cured(SymptomKind.COUNTER, what)
    miscounted = wrong_commits(state)
    if miscounted:
        yield _cured(SymptomKind.COUNTER, miscounted)


def _is_same_instant(one: str, other: str) -> bool:
    try:
        return msgspec.convert(one, datetime) == msgspec.convert(other, datetime)
    except (msgspec.ValidationError, TypeError):
        return False


def _own(case: Case, state: RemediationState) -> list[Facts]:
    """The documents of the task as it is, and not of an earlier one with its id."""
    return [facts for facts in case.facts if facts.incarnation == state.ledger.incarnation]


def head_commit(state: RemediationState) -> int:
    """The commit that the head stands at, by whichever of its two accounts is higher."""
    made = [commit.number for commit in state.ledger.commits]
    return max([state.ledger.commit, *(number for number in made if number <= COUNT_MOST)])


def is_old_head(case: Case, state: RemediationState) -> bool:
    """
    Whether the head is an older copy that was put back: its history goes on after it.

    A commit that lost its race sealed under the next number at most. A document that the head
    points at is only removed once a newer head is written.
    """
    after = _latest_commit(case, state) - head_commit(state)
    return after > 1 or (after == 1 and bool(sealed_keys(state) - {f.key for f in case.facts}))


def _latest_commit(case: Case, state: RemediationState) -> int:
    """The highest commit that sealed something of the task as it is."""
    made = [number for f in _own(case, state) if not f.problem for number, _ in f.commits]
    return max([number for number in made if number <= COUNT_MOST], default=0)


def symptoms_of_history(case: Case, state: RemediationState) -> Iterator[Symptom]:
    """What is wrong with the sealed documents of a readable head."""
    if is_old_head(case, state):
        yield _cured(
            SymptomKind.OLD_HEAD,
            f"an older copy of its state was put back: it stands at commit {head_commit(state)}, and "
            f"its history goes on to {_latest_commit(case, state)}",
            Gravity.LOST,
        )
    by_key = {facts.key: facts for facts in case.facts}
    ledger = state.ledger
    expected: set[str] = set()
    for part, sealed in (("findings", ledger.findings), ("commits", ledger.log)):
        damaged = False
        for pointer in pointers_of(sealed):
            key = sealed_key(case.task_id, ledger.incarnation, pointer)
            expected.add(key)
            symptom = _document(part, pointer, key, by_key.get(key))
            if symptom is not None:
                damaged = True
                yield symptom
        if not damaged:
            yield from _counts(part, state, sealed, by_key)
    for ref in _old_refs(case.task_id, ledger.incarnation, ledger.sealed, by_key):
        key = chunk_key(case.task_id, ledger.incarnation, ref.first, ref.digest)
        expected.add(key)
        symptom = _old_document(ref, key, by_key.get(key))
        if symptom is not None:
            yield symptom
    yield from _orphans(case, state, expected)


def _document(part: str, pointer: Pointer, key: str, facts: Facts | None) -> Symptom | None:
    """What is wrong with a document that the head points at."""
    if facts is None:
        kind, why = SymptomKind.MISSING_CHUNK, f"there is no {key}"
    elif facts.problem or facts.digest != pointer.digest:
        problem = facts.problem or "its digest differs from the head's"
        kind, why = SymptomKind.BROKEN_CHUNK, f"{key} is damaged, {problem}"
    else:
        return None
    if isinstance(pointer, SealedIndex):
        return _cured(kind, f"the keys of its {part}: {why}")
    return _unread(kind, part, pointer.first, pointer.last, why)


def _old_refs(
    task_id: str, incarnation: str, refs: Iterable[ChunkRef], by_key: Mapping[str, Facts]
) -> Iterator[ChunkRef]:
    pending = list(refs)
    while pending:
        ref = pending.pop()
        yield ref
        facts = by_key.get(chunk_key(task_id, incarnation, ref.first, ref.digest))
        pending += facts.refs if facts is not None and ref.depth else ()


def _old_document(ref: ChunkRef, key: str, facts: Facts | None) -> Symptom | None:
    if facts is None:
        kind, why = SymptomKind.MISSING_CHUNK, f"there is no {key}"
    elif facts.problem or facts.digest != ref.digest:
        kind, why = SymptomKind.BROKEN_CHUNK, f"{key} is damaged, {facts.problem}"
    else:
        return None
    return _unread(kind, "commits", ref.first, ref.last, why)


def _unread(kind: SymptomKind, part: str, first: int, last: int, why: str) -> Symptom:
    symptom = _cured(kind, f"{part} {first} to {last}: {why}", Gravity.LOST)
    return msgspec.structs.replace(symptom, part=part, first=first, last=last)


def _counts(
    part: str, state: RemediationState, sealed: Sealed, by_key: Mapping[str, Facts]
) -> Iterator[Symptom]:
    """Compare what the head says of its rows with the rows."""
    ranks: dict[int, int] = {}
    incarnation = state.ledger.incarnation
    tail = (sealed.tail,) if sealed.tail else ()
    for pointer in (*sealed.chunks, *tail):
        facts = by_key[sealed_key(state.task_id, incarnation, pointer)]
        ranks |= facts.ranks
        is_counted = pointer in sealed.chunks and not getattr(pointer, "keys", b"")
        if is_counted and getattr(pointer, "open", NO_OPEN) != _open_of(facts.ranks.values()):
            what = f"{part} {pointer.first} to {pointer.last}: the head miscounts the open ones"
            yield _cured(SymptomKind.COUNTS, what)
    if part != "findings":
        return
    in_head = set(places(state.feedback_history))
    for what in miscounts(state, max(ranks, default=-1) + 1):
        yield _cured(SymptomKind.COUNTS, what)
    for first, last in missing_findings(sealed, ranks.keys() | in_head):
        why = "other hands took them out, or gave them other numbers"
        yield _unread(SymptomKind.MISSING_FINDING, part, first, last, why)
    still_open = _open_of(rank for number, rank in ranks.items() if number not in in_head)
    if sealed.open != still_open:
        what = f"{sum(sealed.open)} sealed findings count as open, and {sum(still_open)} are"
        yield _cured(SymptomKind.COUNTS, what)


def _open_of(ranks: Iterable[int]) -> OpenCounts:
    counts = list(NO_OPEN)
    for rank in ranks:
        if rank != CLOSED:
            counts[rank] += 1
    return counts[0], counts[1], counts[2], counts[3]


def _orphans(case: Case, state: RemediationState, expected: set[str]) -> Iterator[Symptom]:
    orphans = [facts for facts in case.facts if facts.key not in expected]
    others = [f for f in orphans if f.incarnation not in {"", state.ledger.incarnation}]
    own = len(orphans) - len(others)
    advice = "nothing: they belong to nobody, and can be removed"
    if own:
        what = f"{own} documents of its history are pointed at by no state"
        yield _note(SymptomKind.ORPHAN, what, advice)
    if others:
        what = f"{len(others)} documents are of an earlier task with its id"
        yield _note(SymptomKind.ORPHAN, what, advice)


def _note(kind: SymptomKind, what: str, advice: str) -> Symptom:
    return Symptom(kind=kind, gravity=Gravity.NOTE, what=what, advice=advice)


def _report(kind: SymptomKind, what: str, advice: str) -> Symptom:
    return Symptom(kind=kind, gravity=Gravity.REPORT, what=what, advice=advice)


def _cured(kind: SymptomKind, what: str, gravity: Gravity = Gravity.REPAIRABLE) -> Symptom:
    advice = (
        "a repair makes it right; nothing is lost"
        if gravity is Gravity.REPAIRABLE
        else "put it back from a copy if you have one; a repair goes on with what is left, and says "
        "what is lost"
    )
    return Symptom(kind=kind, gravity=gravity, what=what, advice=advice)
