"""Heads that other hands made impossible: no write is decided on one, and a repair loses nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from faulty_store import FaultyStore
from states import entry

from mendloop.core.commands import Judge
from mendloop.core.diagnosis import Gravity, SymptomKind
from mendloop.core.errors import DeserializationError
from mendloop.core.names import HEAD, head_name
from mendloop.core.vocabulary import Life
from mendloop.manager import StateManager

Manage = Callable[..., StateManager]
Edit = Callable[[dict[str, Any]], Any]

ITERATIONS = 30
FINDINGS = 200
NAMES = [f"c{number}" for number in range(FINDINGS)]


async def filled(manager: StateManager) -> None:
    """Make a task with sealed findings and commits, and both in the head."""
    for number in range(ITERATIONS):
        await manager.increment_iteration("t", max_iterations=1000)
        first, last = (n * FINDINGS // ITERATIONS for n in (number, number + 1))
        await manager.append_feedback("t", *(entry(name) for name in NAMES[first:last]))


async def edit(store: FaultyStore, change: Edit) -> bytes:
    """Edit a head as `kubectl edit` does: what stands beside it stays, and the store sees no harm."""
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    document = json.loads(head.body)
    change(document)
    body = json.dumps(document).encode()
    await store.replace(head, body)
    return body


def ours(**members: Any) -> Edit:
    """Give members of mendloop's own part other values."""
    return lambda document: document["mendloop"].update(members)


def findings(**members: Any) -> Edit:
    """Give members of what it says of sealed findings other values."""
    return lambda document: document["mendloop"]["findings"].update(members)


def finding_in(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Give the finding of this comment id in a head."""
    [found] = [f for f in document["feedback_history"] if f["pr_comment_id"] == name]
    return found


def without_commits(document: dict[str, Any]) -> None:
    """Count fewer commits than are sealed, and have none in the head."""
    document["mendloop"] |= {"commit": 3, "commits": []}


def lowered(document: dict[str, Any]) -> None:
    """Lower the counter and forget what the head tells of it: it stands beside the head alone."""
    document["iteration"] = 5
    document["metadata"].clear()
    document["mendloop"]["commits"] = document["mendloop"]["commits"][-1:]
    for change in document["mendloop"]["commits"][0]["changes"]:
        change["result"].pop("iteration", None)


def placed(*numbers: int) -> Edit:
    """Give the first findings in the head these numbers."""

    def change(document: dict[str, Any]) -> None:
        for found, number in zip(document["feedback_history"], numbers, strict=False):
            found["mendloop"]["place"] = number

    return change


def of_the_next(document: dict[str, Any]) -> None:
    """Give a finding in the head the number of the next one."""
    first, second = document["feedback_history"][:2]
    first["mendloop"]["place"] = second["mendloop"]["place"]


def copied(document: dict[str, Any]) -> None:
    """Write a finding by hand after the pattern of another, its number and all."""
    pattern = document["feedback_history"][-1]
    ours = pattern["mendloop"] | {"fingerprint": "0" * 32}
    document["feedback_history"].append(pattern | {"pr_comment_id": "copied", "mendloop": ours})


REFUSED: dict[str, Edit] = {
    "fewer findings than are sealed": findings(count=1),
    "fewer findings than the head has": findings(count=FINDINGS - 1),
    "more findings than can be": findings(count=2**32),
    "fewer commits than the head has": ours(commit=5),
    "fewer commits than are sealed": without_commits,
    "more commits than can be": ours(commit=2**32),
    "a negative number": placed(-1),
    "a number that is too large": placed(2**32),
    "the number of the next one": of_the_next,
    "a counter below the one beside it": lowered,
}
_WITHOUT_RECORDS = {"fewer commits than are sealed", "a counter below the one beside it"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.damages] if name in _WITHOUT_RECORDS else [])
        for name in REFUSED
    ],
)
async def test_no_write_is_decided_on_a_counter_that_cannot_be(
    name: str, store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """It is refused with the way out, readers say so, and after a repair all findings are there."""
    await filled(manager)
    edited = await edit(store, REFUSED[name])
    for writer in (manager, manage(store)):
        with pytest.raises(DeserializationError, match="`mendloop doctor t") as refused:
            await writer.append_feedback("t", entry("late"))
    seen = await manager.look_at("t")
    head = await store.get(HEAD, head_name("t"))
    await manage(store).recover_state("t")
    assert ITERATIONS + 1 == await manage(store).increment_iteration("t", max_iterations=1000)
    await manage(store).append_feedback("t", entry("late"))

    assert head is not None
    assert edited == head.body
    assert str(refused.value).startswith(seen.obstacle)
    assert "mendloop doctor t" in seen.obstacle
    history = await manage(store).get_feedback_history("t")
    assert sorted([*NAMES, "late"]) == sorted(found.pr_comment_id for found in history)
    assert (await manage(store).validate_state("t")).is_sound


async def test_no_write_is_decided_on_the_number_of_a_sealed_finding(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """It would take its place once it leaves the head; a copy is kept, and after a repair both are there."""
    await filled(manager)
    edited = await edit(store, placed(7))
    for writer in (manager, manage(store)):
        with pytest.raises(DeserializationError, match="`mendloop doctor t") as refused:
            await writer.append_feedback("t", entry("late"))
    head = await store.get(HEAD, head_name("t"))
    repaired = await manage(store).recover_state("t")
    await manage(store).append_feedback("t", entry("late"))
    await manage(store).compress_feedback_history("t")

    assert "has the number 7, and another one is sealed under it" in str(refused.value)
    assert "copy kept as quarantine.task-t-quarantine-" in str(refused.value)
    assert head is not None
    assert edited == head.body
    assert () == repaired.lost
    history = await manage(store).get_feedback_history("t")
    assert sorted([*NAMES, "late"]) == sorted(found.pr_comment_id for found in history)
    assert () == (await manage(store).validate_state("t")).symptoms


@pytest.mark.other_hands
async def test_a_change_by_other_hands_of_a_sealed_finding_in_the_head_is_taken_over(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """It was sealed before under the number that it has: nothing contradicts itself."""
    await filled(manager)
    await manager.submit("t", Judge(life=Life.DISMISSED, names=("c7",), reason="no"))

    def change(document: dict[str, Any]) -> None:
        finding_in(document, "c7")["description"] = "edited"

    await edit(store, change)
    await manage(store).append_feedback("t", entry("late"))
    await manage(store).compress_feedback_history("t")

    history = await manage(store).get_feedback_history("t")
    assert [*NAMES, "late"] == [found.pr_comment_id for found in history]
    assert ["c7"] == [found.pr_comment_id for found in history if found.description == "edited"]


@pytest.mark.other_hands
async def test_a_raised_count_is_taken_over_and_no_number_is_given_twice(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """As a raised iteration it counts on from there; the history says so, and a doctor what is missing."""
    await filled(manager)
    await edit(store, findings(count=FINDINGS + 50))
    await manage(store).append_feedback("t", entry("late"))

    diagnosis = await manage(store).validate_state("t")
    missing = [(s.kind, s.first, s.last) for s in diagnosis.symptoms]
    assert [(SymptomKind.MISSING_FINDING, FINDINGS, FINDINGS + 49)] == missing
    await manage(store).recover_state("t")
    assert () == (await manage(store).validate_state("t")).symptoms
    state = await manage(store).require_state("t")
    history = await manage(store).get_feedback_history("t")
    assert [*NAMES, "late"] == [found.pr_comment_id for found in history]
    assert FINDINGS + 51 == state.ledger.findings.count
    doings = [c.do async for commit in manager.commits(state) for c in commit.changes]
    assert 1 == doings.count("change_outside")


MISNUMBERED: dict[str, tuple[Edit, list[str]]] = {
    "a negative number": (placed(-3), NAMES),
    "two negative numbers": (placed(-3, -3), NAMES),
    "a number that is too large": (placed(10**18), NAMES),
    "the number of the next one": (of_the_next, NAMES),
    "the number of a sealed one": (placed(7), NAMES),
    "the number of its pattern": (copied, [*NAMES, "copied"]),
}


@pytest.mark.parametrize("name", MISNUMBERED)
async def test_a_finding_with_a_number_that_cannot_be_its_own_gets_another(
    name: str, store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """A doctor sees it, and a repair loses neither this one nor the one that has the number."""
    await filled(manager)
    change, names = MISNUMBERED[name]
    await edit(store, change)
    before = await manage(store).validate_state("t")
    repaired = await manage(store).recover_state("t")
    after = await manage(store).validate_state("t")
    known = await manage(store).append_feedback("t", *(entry(name) for name in names))

    assert not before.is_sound
    assert () == repaired.lost
    assert () == after.symptoms
    assert (0, len(names)) == (known["new"], known["known"])
    history = await manage(store).get_feedback_history("t")
    assert sorted(names) == sorted(found.pr_comment_id for found in history)


async def test_a_finding_that_was_sealed_before_gets_its_own_number_back(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """It came back into the head and lost its number there: a repair takes none that another one had."""
    await filled(manager)
    await manager.submit("t", Judge(life=Life.DISMISSED, names=("c7",), reason="no"))

    def change(document: dict[str, Any]) -> None:
        finding_in(document, "c7")["mendloop"]["place"] = -1
        take_out(document, NAMES[-2])

    await edit(store, change)
    repaired = await manage(store).recover_state("t")

    assert (f"findings {FINDINGS - 2}",) == repaired.lost
    assert () == (await manage(store).validate_state("t")).symptoms
    history = await manage(store).get_feedback_history("t")
    assert [*NAMES[:-2], NAMES[-1]] == [found.pr_comment_id for found in history]
    assert ["c7"] == [found.pr_comment_id for found in history if found.resolved]


async def test_a_finding_that_was_taken_out_is_reported_as_lost_once(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """Its number is named, a repair records that nobody has it, and the next that goes is named too."""
    await filled(manager)
    last = FINDINGS - 1
    for gone in (last - 1, last - 2):
        await edit(store, lambda document, gone=gone: take_out(document, NAMES[gone]))
        await manage(store).append_feedback("t", entry(NAMES[last]))
        diagnosis = await manage(store).validate_state("t")
        repaired = await manage(store).recover_state("t")

        missing = [(s.kind, s.gravity, s.first, s.last) for s in diagnosis.symptoms]
        assert [(SymptomKind.MISSING_FINDING, Gravity.LOST, gone, gone)] == missing
        assert (f"findings {gone}",) == repaired.lost
        assert () == (await manage(store).validate_state("t")).symptoms
    history = await manage(store).get_feedback_history("t")
    assert [*NAMES[: last - 2], NAMES[last]] == [found.pr_comment_id for found in history]


def take_out(document: dict[str, Any], name: str) -> None:
    """Remove a finding from the head."""
    kept = [found for found in document["feedback_history"] if found["pr_comment_id"] != name]
    assert len(kept) == len(document["feedback_history"]) - 1
    document["feedback_history"] = kept
