"""Damage of every kind to a head: it is detected, kept byte for byte, and repaired or reported."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_store import FaultyStore
from spec_reader import read_state
from states import entry

from mendloop.core.codec import decode_head
from mendloop.core.diagnosis import Gravity, SymptomKind
from mendloop.core.errors import ReadOnlyState, StateNotFound
from mendloop.core.names import CHUNK, HEAD, QUARANTINE, head_name
from mendloop.core.vocabulary import Status
from mendloop.manager import StateManager
from mendloop.stores.paging import documents
from mendloop.stores.port import Document

Manage = Callable[..., StateManager]
Damage = Callable[[bytes], bytes]

ITERATIONS = 30
FINDINGS = 200
_DEEP = 100_000


async def filled(manager: StateManager, task_id: str = "t") -> None:
    """Make a task with a history: sealed findings and commits, and both in the head."""
    await manager.create_task(task_id)
    for number in range(ITERATIONS):
        await manager.increment_iteration(task_id, max_iterations=1000)
        first = number * FINDINGS // ITERATIONS
        last = (number + 1) * FINDINGS // ITERATIONS
        await manager.append_feedback(task_id, *(entry(f"c{n}") for n in range(first, last)))


async def head_of(store: FaultyStore, task_id: str = "t") -> Document:
    """The stored head."""
    head = await store.get(HEAD, head_name(task_id))
    assert head is not None
    return head


async def damage(store: FaultyStore, change: Damage) -> bytes:
    """Put other bytes in the place of a head; returns them."""
    head = await head_of(store)
    body = change(head.body)
    await store.replace(head, body)
    return body


async def quarantined(store: FaultyStore) -> set[bytes]:
    """All that was set aside."""
    return {document.body async for document in documents(store, QUARANTINE, limit=500)}


def members(**changes: Any) -> Damage:
    """Give members of the state other values; ... takes one out."""

    def change(body: bytes) -> bytes:
        document = json.loads(body) | changes
        return json.dumps({k: v for k, v in document.items() if v is not ...}).encode()

    return change


def ours(**changes: Any) -> Damage:
    """The same for mendloop's own member."""

    def change(body: bytes) -> bytes:
        document = json.loads(body)
        document["mendloop"] |= changes
        document["mendloop"] = {k: v for k, v in document["mendloop"].items() if v is not ...}
        return json.dumps(document).encode()

    return change


def swapped(body: bytes) -> bytes:
    """Two stretches of the document change places."""
    third = len(body) // 3
    return body[third : 2 * third] + body[:third] + body[2 * third :]


UNREADABLE: dict[str, Damage] = {
    "emptied": lambda _: b"",
    "blank": lambda _: b" ",
    "an empty object": lambda _: b"{}",
    "null": lambda _: b"null",
    "no JSON": lambda _: b"no JSON",
    "cut at a half": lambda body: body[: len(body) // 2],
    "cut at the end": lambda body: body[:-1],
    "cut at the beginning": lambda body: body[1:],
    "cut in the counter": lambda body: body[: body.index(b'"iteration"') + 14],
    "swapped": swapped,
    "twice": lambda body: body + body,
    "no findings": members(feedback_history=None),
    "findings of a wrong type": members(feedback_history={"a": 1}),
    "a finding of a wrong type": members(feedback_history=[1, {"author": "ann"}]),
    "no counter": members(iteration=...),
    "a negative counter": members(iteration=-1),
    "a counter above 32 bits": members(iteration=2**32),
    "a huge counter": lambda body: body.replace(
        b'"iteration":30', b'"iteration":' + b"9" * 5000, 1
    ),
    "a counter in text": members(iteration="30"),
    "no metadata": members(metadata=...),
    "metadata of a wrong type": members(metadata={"a": 1, "b": "text"}),
    "errors of a wrong type": members(error_messages="none"),
    "no status": members(status=...),
    "no time": members(last_update="yesterday"),
    "no version": members(version=...),
    "no task": members(task_id=...),
    "another task": members(task_id="u"),
    "a key twice": lambda body: body.replace(b'{"task_id"', b'{"iteration":2,"task_id"', 1),
    "deep nesting": lambda body: body[:-1] + b',"x":' + b"[" * _DEEP + b"]" * _DEEP + b"}",
    "deep objects": lambda body: (
        body[:-1] + b',"x":' + b'{"a":' * _DEEP + b"1" + b"}" * _DEEP + b"}"
    ),
    "a surrogate": lambda body: body[:-1] + b',"x":"\\ud800"}',
    "ours is null": members(mendloop=None),
    "ours is a list": members(mendloop=[]),
    "schema zero": ours(schema=0),
    "a negative schema": ours(schema=-1),
    "no incarnation": ours(incarnation=...),
    "a lease of a wrong type": ours(lease=3),
    "commits of a wrong type": ours(commits=None),
    "history of a wrong type": ours(findings={"count": "many"}),
    "settings of a wrong type": ours(settings={"max_iterations": 0}),
}
"""Damage after which a head cannot be read."""


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_head_that_cannot_be_read_is_rebuilt(
    name: str, store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """A copy is kept byte for byte, the counter stands, and all that is sealed is read back."""
    await filled(manager)
    body = await damage(store, UNREADABLE[name])
    other = manage(store)
    diagnosis = await other.validate_state("t")
    assert [SymptomKind.UNREADABLE] == [symptom.kind for symptom in diagnosis.symptoms]

    recovery = await other.recover_state("t")

    assert recovery.is_changed
    assert body in await quarantined(store)
    await check_sound(store, manage(store), recovery.lost)


async def check_sound(store: FaultyStore, manager: StateManager, lost: tuple[str, ...]) -> None:
    """Whatever was lost was named; the task is sound, goes on, and gives no number out twice."""
    assert (await manager.validate_state("t")).is_sound
    again = await manager.recover_state("t")
    assert not again.is_changed
    read_state((await head_of(store)).body)
    state = await manager.require_state("t")
    assert ITERATIONS == state.iteration
    assert state.metadata["last_recovery"] == state.metadata["state_repaired_at"]
    names = [found.pr_comment_id for found in await manager.get_feedback_history("t")]
    assert len(names) == len(set(names))
    missing = FINDINGS - len(names)
    assert not missing or any("findings" in line or "head" in line for line in lost)
    changes = [change async for commit in manager.commits(state) for change in commit.changes]
    assert "recover" == changes[-1].do
    assert list(lost) == changes[-1].facts["lost"]
    assert sum(state.open_counts) == len(names)
    known = await manager.append_feedback("t", entry(names[0]))
    assert (0, 1) == (known["new"], known["known"])
    assert ITERATIONS + 1 == await manager.increment_iteration("t", max_iterations=1000)


async def test_flipped_and_cut_bytes_are_repaired_or_reported(
    store: FaultyStore, manager: StateManager, manage: Manage, scaled: Callable[[int, int], int]
) -> None:
    """Any few bytes of a head: what is unreadable becomes sound, and the counter never falls."""
    await filled(manager)
    first = await head_of(store)
    good = first.body
    chunks = [chunk async for chunk in documents(store, CHUNK, limit=500)]
    dice = random.Random(8)
    outcomes = {"read": 0, "newer": 0, "repaired": 0}
    for _ in range(scaled(2000, 120)):
        await put_back(store, chunks)
        raw = bytearray(good)
        for _ in range(dice.randint(1, 3)):
            place = dice.randrange(len(raw))
            if dice.random() < 0.3:
                del raw[place : place + dice.randint(1, 200)]
            else:
                raw[place] ^= 1 << dice.randrange(7)
        head = await head_of(store)
        await store.replace(head, bytes(raw), fields=first.fields)
        outcomes[await outcome_of(store, manage(store), bytes(raw))] += 1
    assert outcomes["repaired"] > outcomes["read"] > 0


async def put_back(store: FaultyStore, chunks: list[Document]) -> None:
    """Have these chunks stored again, and no others: a repair seals what is left anew."""
    there = {chunk.key: chunk async for chunk in documents(store, CHUNK, limit=500)}
    for key in there.keys() - {chunk.key for chunk in chunks}:
        await store.delete(there[key])
    for chunk in chunks:
        if chunk.key not in there:
            await store.create(CHUNK, chunk.key, chunk.body, labels=chunk.labels)


async def outcome_of(store: FaultyStore, manager: StateManager, raw: bytes) -> str:
    """Repair what can be repaired, and say what became of it."""
    try:
        recovery = await manager.recover_state("t")
    except ReadOnlyState:
        assert raw == (await head_of(store)).body
        return "newer"
    if not recovery.is_changed:
        symptoms = (await manager.validate_state("t")).symptoms
        return "newer" if SymptomKind.NEWER in {s.kind for s in symptoms} else "read"
    assert raw in await quarantined(store)
    state = decode_head("t", (await head_of(store)).body)
    assert state.iteration >= ITERATIONS
    assert (await manager.validate_state("t")).is_sound
    return "repaired"


CONTRADICTIONS: dict[str, tuple[Damage, SymptomKind]] = {
    "a lowered counter": (members(iteration=3), SymptomKind.COUNTER),
    "a lowered count of commits": (ours(commit=3), SymptomKind.COUNTER),
    "a huge count of commits": (ours(commit=10**18), SymptomKind.COUNTER),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
async def test_a_counter_that_cannot_be_is_put_right(
    name: str, store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """It is raised to what was given out, and nothing is lost."""
    change, kind = CONTRADICTIONS[name]
    await filled(manager)
    body = await damage(store, change)
    diagnosis = await manage(store).validate_state("t")
    assert kind in {symptom.kind for symptom in diagnosis.symptoms}
    recovery = await manage(store).recover_state("t")
    assert () == recovery.lost
    assert body in await quarantined(store)
    await check_sound(store, manage(store), recovery.lost)


@pytest.mark.parametrize(
    "change",
    [
        {"open": [0, 0, 0, 7]},
        {"count": 3},
        {"count": 10**18},
    ],
)
async def test_counts_that_are_not_those_of_the_rows_are_put_right(
    change: dict[str, Any], store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """They are counted again, and nothing is lost."""
    await filled(manager)
    findings = json.loads((await head_of(store)).body)["mendloop"]["findings"]
    await damage(store, ours(findings=findings | change))
    diagnosis = await manage(store).validate_state("t")
    assert {SymptomKind.COUNTS} == {symptom.kind for symptom in diagnosis.symptoms}
    recovery = await manage(store).recover_state("t")
    assert () == recovery.lost
    await check_sound(store, manage(store), recovery.lost)
    history = await manage(store).get_feedback_history("t")
    assert [f"c{n}" for n in range(FINDINGS)] == [found.pr_comment_id for found in history]


@pytest.mark.parametrize("field", ["task_id", "iteration", "last_update"])
@pytest.mark.parametrize("text", ["", "31", "no number", "9" * 5000])
async def test_side_fields_that_disagree_are_put_right(
    field: str, text: str, store: FaultyStore, manager: StateManager
) -> None:
    """A number beside the state counts as given out where it is one."""
    await filled(manager)
    head = await head_of(store)
    await store.replace(head, head.body, fields={field: text})
    diagnosis = await manager.validate_state("t")
    assert [SymptomKind.SIDE_FIELDS] == [symptom.kind for symptom in diagnosis.symptoms]
    recovery = await manager.recover_state("t")
    assert (31 if (field, text) == ("iteration", "31") else 30) == recovery.iteration
    assert () == recovery.lost
    assert () == (await manager.validate_state("t")).symptoms


@pytest.mark.damages
async def test_a_newer_version_is_reported_and_left(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """Not one byte of it is another, whether it is damaged or not."""
    await filled(manager)
    newer = await damage(store, ours(schema=99, min_writer=99))
    for body in (newer, newer[:-5]):
        await damage(store, lambda _, body=body: body)
        diagnosis = await manage(store).validate_state("t")
        assert Gravity.NOTE not in {symptom.gravity for symptom in diagnosis.symptoms}
        try:
            recovery = await manage(store).recover_state("t")
        except ReadOnlyState:
            pass
        else:
            assert not recovery.is_changed
        assert body == (await head_of(store)).body


async def test_a_head_of_the_specifications_writer_gets_its_history_back(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """It dropped all that is not its own; what it changed stays, and what is sealed is found."""
    await filled(manager)

    def rewritten(body: bytes) -> bytes:
        document = json.loads(body)
        del document["mendloop"]
        for found in document["feedback_history"]:
            del found["mendloop"]
        document["feedback_history"][-1]["resolved"] = True
        document["iteration"] += 1
        return json.dumps(document, indent=2).encode()

    body = await damage(store, rewritten)
    head = await head_of(store)
    await store.replace(head, body, fields={"iteration": str(ITERATIONS + 1)})
    diagnosis = await manage(store).validate_state("t")
    assert [SymptomKind.REWRITTEN] == [symptom.kind for symptom in diagnosis.symptoms]
    recovery = await manage(store).recover_state("t")
    assert ITERATIONS + 1 == recovery.iteration
    (gone,) = [line for line in recovery.lost if line.startswith("findings")]
    dropped = len(json.loads(body)["feedback_history"])
    assert (
        f"unless they are among the {dropped} findings of the head that lost their numbers" in gone
    )
    assert body in await quarantined(store)
    history = await manage(store).get_feedback_history("t")
    assert {f"c{n}" for n in range(FINDINGS)} == {found.pr_comment_id for found in history}
    assert 1 == sum(found.resolved for found in history)
    assert FINDINGS - 1 == (await manager.require_state("t")).open_total
    assert (await manage(store).validate_state("t")).is_sound


@pytest.mark.parametrize("name", ["v1.json"])
async def test_a_state_of_the_specification_is_sound(
    name: str, store: FaultyStore, manager: StateManager
) -> None:
    """What its own writer wrote, with what it writes beside it, has no symptom."""
    body = (Path(__file__).parents[1] / "golden" / name).read_bytes()
    fields = {"task_id": "42", "iteration": "3", "last_update": "2025-08-14T10:31:00.000000001Z"}
    await store.create(HEAD, head_name("42"), body, fields=fields)
    assert () == (await manager.validate_state("42")).symptoms


async def test_a_head_that_is_gone_is_rebuilt_from_its_history(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """All that was sealed is back; what stood in the head alone is named."""
    await filled(manager)
    await store.delete(await head_of(store))
    diagnosis = await manage(store).validate_state("t")
    assert [SymptomKind.NO_HEAD] == [symptom.kind for symptom in diagnosis.symptoms]
    recovery = await manage(store).recover_state("t")
    assert "all that stood in the head alone" in recovery.lost
    state = await manage(store).require_state("t")
    assert state.iteration == recovery.iteration >= ITERATIONS - 20
    assert Status.IN_PROGRESS is state.status
    assert (await manage(store).validate_state("t")).is_sound
    names = {found.pr_comment_id for found in await manager.get_feedback_history("t")}
    assert len(names) > FINDINGS - 100
    assert names <= {f"c{n}" for n in range(FINDINGS)}


async def test_two_repairs_at_once_are_one(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """One does it, the other finds nothing left to do."""
    await filled(manager)
    await damage(store, UNREADABLE["cut at a half"])
    both = await asyncio.gather(*(manage(store).recover_state("t") for _ in range(2)))
    assert [False, True] == sorted(recovery.is_changed for recovery in both)
    state = await manager.require_state("t")
    changes = [change.do async for commit in manager.commits(state) for change in commit.changes]
    assert 1 == changes.count("recover")


async def test_a_task_that_nothing_is_left_of_is_not_found(manager: StateManager) -> None:
    """There is nothing to examine, and nothing to repair, and who asks is told that it takes a copy."""
    for call in (manager.validate_state, manager.recover_state):
        with pytest.raises(StateNotFound, match=r"neither a state nor a history.*from a copy"):
            await call("t")
