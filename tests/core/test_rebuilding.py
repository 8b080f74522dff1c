"""Which sealed rows count where the head does not tell: the newest, the winner's, and the task's own."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from states import NOW, entry, state

from mendloop.core.codec import encode, encode_state, rfc3339
from mendloop.core.commits import row_of_commit
from mendloop.core.compaction import entry_of
from mendloop.core.diagnosis import Case, SymptomKind, diagnose
from mendloop.core.evidence import facts_of
from mendloop.core.model import (
    COUNT_MOST,
    LEDGER_SCHEMA,
    Commit,
    Finding,
    Ledger,
    RemediationState,
)
from mendloop.core.rebuilding import Heap, Rebuilt, owner_of, rebuild
from mendloop.core.run import Lease
from mendloop.core.salvage import salvage
from mendloop.core.sealed import Sealed
from mendloop.core.sealing import Document, Seal, Sealer
from mendloop.core.shelf import Row, Shelf


def sealed(
    rows: list[Row], *, commit: int, by: str = "id", of: str = "abc", part: str = "findings"
) -> Document:
    """Seal *rows* into a document of their own, as one commit of one incarnation does."""
    empty = Sealed()
    sealer = Sealer(part, empty, Shelf(empty, {}), Seal("t", of, commit, by))
    sealer.put_away(rows)
    [document] = sealer.documents
    return document


def finding(number: int, description: str) -> Row:
    """One version of a finding."""
    own = Finding(fingerprint=f"f{number}", source="person", place=number)
    found = entry(f"c{number}", description=description, mendloop=own)
    return Row(number, (f"c{number}",), msgspec.Raw(encode(found)))


def commits(*given: tuple[int, str], days: int = 0) -> list[Row]:
    """Commits by number and id."""
    at = NOW + timedelta(days=days)
    return [
        row_of_commit(Commit(number=n, id=name, at=at, digest="d", changes=())) for n, name in given
    ]


def case(*documents: Document, head: RemediationState | None = None) -> Case:
    """What is stored of the task."""
    body = encode_state(head) if head else None
    beside = {} if head is None else {"iteration": str(head.iteration), "last_update": rfc3339(NOW)}
    facts = tuple(facts_of("t", document.key, document.body) for document in documents)
    return Case(task_id="t", body=body, fields={"task_id": "t"} | beside, facts=facts)


def ledger(**changes: Any) -> Ledger:
    """What mendloop keeps of the task."""
    members: dict[str, Any] = {
        "schema": LEDGER_SCHEMA,
        "min_writer": LEDGER_SCHEMA,
        "incarnation": "abc",
    }
    return Ledger(**(members | changes))


def told(*documents: Document, head: RemediationState | None = None) -> dict[int, str]:
    """The findings that a heap of *documents* takes, in words, whatever order they come in."""
    stored = case(*documents, head=head)
    left = salvage(stored, now=NOW).state
    taken: list[dict[int, str]] = []
    for order in itertools.permutations(documents):
        heap = Heap(stored, left, "abc")
        for document in order:
            heap.add(document.body)
        taken.append({n: entry_of(row).description for n, row in heap.findings.items()})
    assert all(one == taken[0] for one in taken)
    return taken[0]


def rebuilt(*documents: Document, head: RemediationState | None) -> Rebuilt:
    """The sound state that a repair makes."""
    stored = case(*documents, head=head)
    left = salvage(stored, now=NOW)
    incarnation = owner_of(stored, left.state)
    heap = Heap(stored, left.state, incarnation)
    for document in documents:
        heap.add(document.body)
    return rebuild(stored, left, heap, incarnation=incarnation, token="token", now=NOW)  # noqa: S106


def test_of_two_versions_the_later_commits_counts() -> None:
    """In whatever order their documents are read."""
    old = sealed([finding(0, "old"), finding(1, "alone")], commit=3)
    new = sealed([finding(0, "new")], commit=7)

    assert {0: "new", 1: "alone"} == told(old, new)


@pytest.mark.parametrize("where", ["log", "head", "behind"])
def test_what_the_loser_of_a_race_sealed_counts_for_nothing(where: str) -> None:
    """Who won is told by the log, by the head, or by what was sealed behind it in one document."""
    won = sealed([finding(0, "won")], commit=5, by="winner")
    lost = sealed([finding(0, "lost"), finding(9, "lost")], commit=5, by="loser")
    winner = Commit(number=5, id="winner", at=NOW, digest="d", changes=())
    if where == "log":
        log = sealed(commits((5, "winner")), commit=8, by="later", part="commits")
        assert {0: "won"} == told(won, lost, log)
    elif where == "head":
        head = state(mendloop=ledger(commit=5, commits=(winner,)))
        assert {0: "won"} == told(won, lost, head=head)
    else:
        behind = sealed([finding(1, "later")], commit=6, by="later")
        both = msgspec.structs.replace(won, body=won.body + behind.body)
        assert {0: "won", 1: "later"} == told(both, lost)


def test_what_was_sealed_after_the_head_counts_for_nothing() -> None:
    """A commit that never landed sealed under the next number; the head's own is the newest."""
    head = state(mendloop=ledger(commit=5))
    own = sealed([finding(0, "own")], commit=5)
    late = sealed([finding(0, "never written")], commit=6, by="loser")

    assert {0: "own"} == told(own, late, head=head)


def test_a_head_that_its_history_goes_on_after_takes_all_of_that() -> None:
    """Then it is the head that is old."""
    head = state(mendloop=ledger(commit=5))
    own = sealed([finding(0, "own")], commit=5)
    later = sealed([finding(0, "newer")], commit=7)
    stored = case(own, later, head=head)

    assert SymptomKind.OLD_HEAD in {symptom.kind for symptom in diagnose(stored).symptoms}
    assert {0: "newer"} == told(own, later, head=head)


def test_rows_of_an_earlier_task_count_for_nothing() -> None:
    """Whatever their number and their commit: who they are of stands in the document."""
    own = sealed([finding(0, "own")], commit=2)
    other = sealed([finding(0, "other"), finding(4, "other")], commit=9, of="xyz")
    posing = msgspec.structs.replace(other, key=own.key)

    assert {0: "own"} == told(own, other)
    assert {0: "own"} == told(own, posing)


def test_who_won_in_an_earlier_task_does_not_matter() -> None:
    """Its commits have the same numbers and other ids."""
    own = sealed([finding(0, "own")], commit=5, by="mine")
    log = sealed(commits((5, "theirs")), commit=9, of="xyz", part="commits")

    assert {0: "own"} == told(own, log)


def test_a_history_without_a_head_is_that_of_the_latest_task() -> None:
    """Not of the one that wrote more commits, but of the one whose last commit is the latest."""
    long_ago = sealed(commits((1, "a"), (80, "b")), commit=80, of="xyz", part="commits")
    latest = sealed(commits((1, "c"), (2, "d"), days=3), commit=2, part="commits")

    assert "abc" == owner_of(case(long_ago, latest), state())
    assert "abc" == owner_of(case(latest, long_ago), state())
    assert "own" == owner_of(case(latest), state(mendloop=ledger(incarnation="own")))
    assert "" == owner_of(case(), state())


def test_a_rebuilt_head_numbers_on_after_all_that_is_sealed() -> None:
    """Its own and not those of an earlier task; what is open of it is counted as it is."""
    own = sealed([finding(n, "own") for n in range(5)], commit=9)
    other = sealed([finding(n, "other") for n in range(40)], commit=90, of="xyz")
    log = sealed(commits((8, "a"), (9, "id"), days=1), commit=9, part="commits")
    after = rebuilt(own, other, log, head=None).state.ledger

    assert ("abc", 9, 5) == (after.incarnation, after.commit, after.findings.count)
    assert (0, 0, 5, 0) == after.findings.open


_HEADS = {
    "an old one": state(mendloop=ledger(commit=5, lease=Lease(generation=4))),
    "an old one, by a clock that was ahead": state(
        mendloop=ledger(commit=5, lease=Lease(generation=2**40))
    ),
    "another program's": state(),
    "none": None,
}


@pytest.mark.parametrize("name", _HEADS)
def test_a_run_from_before_a_repair_writes_no_more(name: str) -> None:
    """The lease's generation is above that of each run that may still think that it holds the task."""
    head = _HEADS[name]
    own = sealed([finding(0, "own")], commit=5)
    later = sealed([finding(0, "newer")], commit=9)
    after = rebuilt(own, later, head=head).state.ledger.lease

    assert after.holder is None
    assert after.generation >= int(NOW.timestamp())
    assert after.generation > (head.ledger.lease.generation if head else 0)


def test_a_finding_that_another_program_stripped_gets_back_what_was_kept_of_it() -> None:
    """Its number and fingerprint are those of the sealed one; what that program changed stays."""
    own = sealed([finding(0, "as sealed"), finding(1, "as sealed")], commit=5)
    head = state(feedback_history=(entry("c1", description="edited", resolved=True), entry("c7")))
    after = rebuilt(own, head=head).state

    known, new = after.feedback_history
    assert isinstance(known.mendloop, Finding)
    assert (1, "f1") == (known.mendloop.place, known.mendloop.fingerprint)
    assert ("edited", True) == (known.description, known.resolved)
    assert not new.mendloop
    assert ((0, 0, 1, 0), 2) == (after.ledger.findings.open, after.ledger.findings.count)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_commit_whose_number_none_can_follow_gets_its_own_again(place: int) -> None:
    """One repair is enough, and the head has every commit once."""
    made = [Commit(number=n, id=f"id{n}", at=NOW, digest="d", changes=()) for n in (1, 2, 3)]
    made[place] = msgspec.structs.replace(made[place], number=COUNT_MOST)
    head = state(task_id="t", mendloop=ledger(commit=3, commits=tuple(made)))
    damaged = case(head=head)
    assert [SymptomKind.COUNTER] == [symptom.kind for symptom in diagnose(damaged).symptoms]

    left = salvage(damaged, now=NOW)
    made_sound = rebuild(damaged, left, None, incarnation="abc", token="token", now=NOW)  # noqa: S106

    after = made_sound.state.ledger
    assert (3, [1, 2, 3]) == (after.commit, [commit.number for commit in after.commits])
    assert () == diagnose(case(head=made_sound.state)).symptoms
