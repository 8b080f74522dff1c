"""The records of changes in a store: what was changed, taken out or moved in them is named."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from porter import Porter
from states import entry, holder, state
from tampering import DAMAGES, Damage, Tamperer

from mendloop.core import commands
from mendloop.core.codec import encode_state
from mendloop.core.errors import DeserializationError, StateNotFound
from mendloop.core.model import Settings
from mendloop.core.names import CHUNK, HEAD, head_name
from mendloop.core.records import records_of
from mendloop.core.run import Lease
from mendloop.core.verifying import HEAD_PLACE, FlawKind, Verdict
from mendloop.core.vocabulary import Life
from mendloop.manager import StateManager
from mendloop.stores.port import Document, Store

Manage = Callable[..., StateManager]
OpenStore = Callable[[], Awaitable[Store]]

GOLDEN = Path(__file__).parents[1] / "golden"


async def filled(manager: StateManager) -> None:
    """Make a task with records in the state, in the tail and in a chunk."""
    await manager.create_task("t", settings=Settings(max_iterations=1000))
    for _ in range(300):
        await manager.increment_iteration("t")
    log = (await manager.require_state("t")).ledger.log
    assert (1, True) == (len(log.chunks), log.tail is not None)


async def reported(manager: StateManager, numbers: range, task_id: str = "t") -> None:
    """Report findings one after another, in a task that is made where there is none."""
    if await manager.get_state(task_id) is None:
        await manager.create_task(task_id)
    for number in numbers:
        await manager.append_feedback(task_id, entry(f"c{number}"))


async def head_of(store: Store) -> Document:
    """The stored head."""
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    return head


def named(verdict: Verdict, kind: str) -> list[tuple[int, str]]:
    """The records that are told to have a flaw of *kind*, and where."""
    return [(f.first, f.place) for f in verdict.flaws if f.kind == kind and f.first == f.last]


async def test_every_damage_to_records_is_named(place: Store, manage: Manage) -> None:
    """Changed, taken out or moved, in the state, the tail and a chunk: number and place are told."""
    manager = manage(place)
    await filled(manager)
    before = await manager.verify_records("t")
    tamperer = Tamperer(place)
    for kind, damage in DAMAGES.items():
        numbers = await tamperer.in_head(damage)
        verdict = await manager.verify_records("t")
        assert [(n, HEAD_PLACE) for n in numbers] == named(verdict, kind), kind
        assert len(numbers) == len(verdict.flaws)
        await tamperer.put_back()
        for part in ("tail", "chunks"):
            await _damaged_sealed(manager, tamperer, part, kind, damage)
    after = await manager.verify_records("t")

    assert before == after
    assert ((), 301, 301) == (after.flaws, after.records, after.chained)


async def _damaged_sealed(
    manager: StateManager, tamperer: Tamperer, part: str, kind: str, damage: Damage
) -> None:
    stored = await manager.require_state("t")
    for is_pointed_at in (False, True):
        key, numbers = await tamperer.in_sealed(stored, part, damage, is_pointed_at=is_pointed_at)
        verdict = await manager.verify_records("t")
        await tamperer.put_back()

        assert [(n, key) for n in numbers] == named(verdict, kind), (part, kind)
        # Beside that the document is told, or the state that was made to point at another.
        [other] = [f for f in verdict.flaws if f.first != f.last or f.kind is FlawKind.OUTSIDE]
        assert (FlawKind.OUTSIDE if is_pointed_at else FlawKind.CHANGED) is other.kind


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.damages
async def test_a_cut_tail_is_named(place: Store, manage: Manage, count: int) -> None:
    """The latest records taken out of the state: it knows how many there were."""
    manager = manage(place)
    for _ in range(6):
        await manager.increment_iteration("t")

    def cut(records: list[dict[str, Any]]) -> list[int]:
        del records[-count:]
        return []

    await Tamperer(place).in_head(cut)
    [flaw] = (await manager.verify_records("t")).flaws

    assert (FlawKind.CUT, 7 - count, 6) == (flaw.kind, flaw.first, flaw.last)


async def edit(store: Store, **members: Any) -> None:
    """Change a head past the manager."""
    head = await head_of(store)
    await store.replace(head, json.dumps(json.loads(head.body) | members).encode())


async def changes(manager: StateManager) -> list[tuple[str, str, str]]:
    """What the records say was done, by whom and by which door."""
    stored = await manager.require_state("t")
    return [
        (change.do, change.by, change.door)
        async for commit in manager.commits(stored)
        for change in commit.changes
    ]


@pytest.mark.other_hands
async def test_a_change_by_other_hands_is_told_before_and_after_it_is_recorded(
    place: Store, manage: Manage
) -> None:
    """Until the next write it is a flaw; then a record names it, and the chain holds it."""
    manager = manage(place)
    await manager.increment_iteration("t")
    await edit(place, iteration=4)
    [flaw] = (await manager.verify_records("t")).flaws
    await manage(place).increment_iteration("t")
    verdict = await manager.verify_records("t")

    assert (FlawKind.OUTSIDE, 1) == (flaw.kind, flaw.first)
    assert ("change_outside", "unknown", "outside") == (await changes(manager))[1]
    assert () == verdict.flaws


@pytest.mark.other_hands
async def test_a_state_of_another_program_is_recorded_as_made_outside(
    place: Store, manage: Manage
) -> None:
    """What was there before mendloop came has a record that says so, and the chain begins with it."""
    manager = manage(place)
    await place.create(HEAD, head_name("t"), encode_state(state("t", iteration=3)))
    before = await manager.verify_records("t")
    await manager.increment_iteration("t")
    after = await manager.verify_records("t")

    assert ((), 0) == (before.flaws, before.records)
    assert [("change_outside", "outside"), ("increment", "library")] == [
        (do, door) for do, _, door in await changes(manager)
    ]
    assert ((), 1, 1) == (after.flaws, after.records, after.chained)


@pytest.mark.damages
async def test_records_taken_out_of_the_state_are_no_beginning(
    place: Store, manage: Manage
) -> None:
    """A state that lost all of its latest records is recorded as changed outside, and stays flawed."""
    manager = manage(place)
    for _ in range(3):
        await manager.increment_iteration("t")

    def empty(records: list[dict[str, Any]]) -> list[int]:
        records.clear()
        return []

    await Tamperer(place).in_head(empty)
    await manage(place).increment_iteration("t")
    [flaw] = (await manager.verify_records("t")).flaws

    assert "change_outside" in [do for do, _, _ in await changes(manager)]
    assert (FlawKind.MISSING, 1, 3) == (flaw.kind, flaw.first, flaw.last)


async def test_what_a_writer_of_the_specification_drops_is_told(
    place: Store, manage: Manage
) -> None:
    """Its write takes all records out of the state; once repaired, what was sealed counts again."""
    manager = manage(place)
    for _ in range(30):
        await manager.increment_iteration("t", max_iterations=1000)
    document = json.loads((await head_of(place)).body)
    del document["mendloop"]
    await place.replace(await head_of(place), json.dumps(document).encode())
    [flaw] = (await manager.verify_records("t")).flaws
    await manager.recover_state("t")
    verdict = await manager.verify_records("t")

    assert FlawKind.MISSING is flaw.kind
    assert () == verdict.flaws
    assert any("were lost before a repair" in note for note in verdict.notes)


async def _lose_head(store: Store) -> None:
    await store.delete(await head_of(store))


async def _break_head(store: Store) -> None:
    head = await head_of(store)
    await store.replace(head, head.body[: len(head.body) // 2])


async def _lose_records(store: Store) -> None:
    for document in (await store.list(CHUNK, labels={"part": "commits"})).documents:
        await store.delete(document)


async def _break_records(store: Store) -> None:
    for document in (await store.list(CHUNK, labels={"part": "commits"})).documents:
        await store.delete(document)
        labels = dict(document.labels)
        await store.create(CHUNK, document.key, document.body[:-9], labels=labels)


@pytest.mark.parametrize("damage", [_lose_head, _break_head, _lose_records, _break_records])
async def test_a_repair_goes_on_with_the_records_and_says_what_is_lost(
    place: Store, manage: Manage, damage: Callable[[Store], Awaitable[None]]
) -> None:
    """Damage is a flaw; once repaired, what was lost is told by the repair, and nothing else is wrong."""
    manager = manage(place)
    await reported(manager, range(40))
    await damage(place)
    damaged = await manager.verify_records("t")
    recovery = await manage(place).recover_state("t")
    repaired = await manager.verify_records("t")
    await manage(place).append_feedback("t", entry("after"))
    after = await manager.verify_records("t")

    assert () != damaged.flaws
    assert () == repaired.flaws == after.flaws
    assert recovery.is_changed
    assert after.records == repaired.records + 1
    assert ("recover", "ann", "repair") in await changes(manager)


async def test_a_state_that_was_put_back_is_gone_on_from(place: Store, manage: Manage) -> None:
    """An older copy of the state is a flaw where records go on after it, until a repair takes them in."""
    manager = manage(place)
    await reported(manager, range(25))
    older = (await head_of(place)).body
    await reported(manager, range(25, 60))
    await place.replace(await head_of(place), older)
    damaged = await manager.verify_records("t")
    await manage(place).recover_state("t")
    repaired = await manager.verify_records("t")

    assert () != damaged.flaws
    assert () == repaired.flaws


async def test_a_restore_from_a_copy_is_a_record_on_the_chain(place: Store, manage: Manage) -> None:
    """What came since the copy was made stays, and the restore is what follows it."""
    manager = manage(place)
    for _ in range(3):
        await manager.increment_iteration("t")
    await edit(place, iteration=1)
    with pytest.raises(DeserializationError):
        await manage(place).increment_iteration("t")
    [copy] = await manager.list_copies("t")
    await edit(place, iteration=3)
    await reported(manager, range(30))
    before = await manager.verify_records("t")
    await manage(place).restore_from("t", copy.name)
    after = await manager.verify_records("t")

    assert () == before.flaws == after.flaws
    assert (34, 34) == (after.records, after.chained)
    assert ("recover", "ann", "restore") == (await changes(manager))[-1]


async def test_a_history_of_an_older_mendloop_is_gone_on_with(place: Store, manage: Manage) -> None:
    """Tasks of schema 2 have no chain; it begins with the first change, and says so."""
    manager = manage(place)
    outcomes = await Porter().import_(place, (GOLDEN / "schema-2.jsonl").read_bytes())
    assert [None, None] == [outcome.error for outcome in outcomes]
    before = await manager.verify_records("long")
    for _ in range(30):
        await manager.increment_iteration("long")
    after = await manager.verify_records("long")

    assert ((), 40, 0) == (before.flaws, before.records, before.chained)
    assert ((), 70, 30) == (after.flaws, after.records, after.chained)
    assert ("the chain that ends now begins with record 41",) == after.notes


@pytest.mark.damages
async def test_all_tasks_are_verified(place: Store, manage: Manage) -> None:
    """Each is told by itself: a sound one, one that was changed, one whose state is gone."""
    manager = manage(place)
    for task_id in ("gone", "sound", "t"):
        await reported(manager, range(25), task_id)
    await edit(place, iteration=7)
    lost = await place.get(HEAD, head_name("gone"))
    assert lost is not None
    await place.delete(lost)
    told = {v.task_id: [flaw.kind for flaw in v.flaws] async for v in manager.verify_all_records()}

    assert {"sound": [], "t": [FlawKind.OUTSIDE], "gone": [FlawKind.MISSING]} == told
    with pytest.raises(StateNotFound):
        await manager.verify_records("nowhere")


async def test_what_leaves_no_record_is_no_change_by_other_hands(
    place: Store, manage: Manage
) -> None:
    """Heartbeats, and when a tip was told, change no digest; a task of an older schema stays in it."""
    manager = manage(place)
    await Porter().import_(place, (GOLDEN / "schema-2.jsonl").read_bytes())
    await _hand_to(place, "long", Lease(generation=9, holder=holder("older")))
    for number in range(3):
        renew = commands.RenewLease(generation=9, boottime_seconds=float(number))
        await manager.submit("long", renew)
    older = await manager.require_state("long")
    first = await manager.verify_records("long")
    await manager.submit("long", commands.ReleaseLease(generation=9))
    await manager.record_tip("long", "a1")
    for _ in range(2):
        await manager.record_tip("long", "a1")
        await manage(place).increment_iteration("long")
    done = [
        (change.do, change.facts)
        async for commit in manager.commits(await manager.require_state("long"), after=40)
        for change in commit.changes
    ]
    last = await manager.verify_records("long")

    assert (2, 2) == (older.ledger.schema, older.ledger.min_writer)
    assert () == first.flaws == last.flaws
    assert ["release_lease", "record_tip", "increment", "increment"] == [do for do, _ in done]
    assert {"generation": 9, "renewals": 3} == done[0][1]


async def _hand_to(place: Store, task_id: str, lease: Lease) -> None:
    """Put the lease of a task past the manager into other hands."""
    head = await place.get(HEAD, head_name(task_id))
    assert head is not None
    body = json.loads(head.body)
    body["mendloop"]["lease"] = msgspec.to_builtins(lease)
    await place.replace(head, json.dumps(body).encode())


@pytest.mark.damages
async def test_a_lease_in_other_hands_is_named_until_it_is_taken_again(
    place: Store, manage: Manage
) -> None:
    """No record tells of who holds it: that is a flaw, and the next one who takes it is told."""
    manager = manage(place)
    await manager.create_task("t")
    take = commands.AcquireLease(holder=holder("t1"), ttl_seconds=30, boottime_seconds=1)
    await manager.submit("t", take)
    await manager.submit("t", commands.ReleaseLease(generation=1))
    await _hand_to(place, "t", Lease(generation=2, holder=holder("forged")))
    [flaw] = (await manager.verify_records("t")).flaws
    again = msgspec.structs.replace(take, abandoned=(2, 0))
    await manage(place).submit("t", again)
    after = await manager.verify_records("t")
    taken = (await manager.require_state("t")).ledger.commits[-1].changes[-1]

    assert (FlawKind.OUTSIDE, 3) == (flaw.kind, flaw.first)
    assert () == after.flaws
    assert (3, "ann@laptop") == (taken.facts["generation"], taken.facts["taken_from"])


async def _read_and_write(manager: StateManager) -> None:
    stored = await manager.require_state("t")
    await manager.create_or_update_state(
        msgspec.structs.replace(stored, metadata=stored.metadata | {"owner": "ann"})
    )


CALLS: dict[str, Callable[[StateManager], Awaitable[Any]]] = {
    "create": lambda m: m.create_task("t"),
    "append_feedback": lambda m: m.append_feedback("t", entry("c1"), entry("c2")),
    "put_state": _read_and_write,
    "increment": lambda m: m.increment_iteration("t"),
    "record_tip": lambda m: m.record_tip("t", "a1"),
    "judge": lambda m: m.judge("t", Life.DISMISSED, "c1", reason="r"),
    "pause": lambda m: m.pause("t", reason="r"),
    "resume": lambda m: m.resume("t", max_iterations=20),
    "stop": lambda m: m.stop("t", reason="r"),
    "hold": lambda m: m.hold("t", reason="r"),
    "end_hold": lambda m: m.end_hold("t"),
    "delete": lambda m: m.delete("t", reason="r"),
    "restore": lambda m: m.restore("t"),
}


async def test_each_change_leaves_one_record_whoever_makes_it(place: Store, manage: Manage) -> None:
    """Each call says its own name, who and by which door, from one commit to the next; again says nothing."""
    manager = manage(place)
    for number, (name, call) in enumerate(CALLS.items(), start=1):
        await call(manager.acting_for(f"person {number}", door=f"door-{number}"))
        state = await manager.require_state("t")
        [record] = records_of("t", state.ledger.commits[-1])
        assert (name, f"person {number}", f"door-{number}") == (record.do, record.by, record.door)
        assert (number - 1, number) == (record.from_commit, record.to_commit)
    for again in (lambda: manager.append_feedback("t", entry("c2")), lambda: manager.end_hold("t")):
        await again()

    assert list(CALLS) == [do for do, _, _ in await changes(manager)]


@pytest.mark.damages
async def test_a_removal_that_has_begun_hides_no_change(place: Store, manage: Manage) -> None:
    """Sealed records that are gone by then are no flaw; a state that was made to say so is one."""
    manager = manage(place)
    await reported(manager, range(30))
    await manager.delete("t", reason="x")
    deleted = json.loads((await head_of(place)).body)
    deleted["mendloop"]["deleted"]["is_final"] = True
    await edit(place, mendloop=deleted["mendloop"])
    forged = await manager.verify_records("t")
    deleted["mendloop"]["deleted"]["is_final"] = False
    await edit(place, mendloop=deleted["mendloop"])
    until = (await manager.require_state("t")).last_update + timedelta(days=1)
    await manage(place).submit("t", commands.BeginRemoval(deleted_until=until))
    for document in (await place.list(CHUNK, labels={"part": "commits"})).documents:
        await place.delete(document)
    begun = await manager.verify_records("t")
    left = json.loads((await head_of(place)).body)
    left["mendloop"]["commits"][-1]["changes"][0]["by"] = "mallory"
    await edit(place, mendloop=left["mendloop"])
    changed = await manager.verify_records("t")

    assert [FlawKind.OUTSIDE] == [flaw.kind for flaw in forged.flaws]
    assert FlawKind.CHANGED in {flaw.kind for flaw in changed.flaws}
    assert () == begun.flaws
    assert "removal has begun" in begun.notes[-1]
