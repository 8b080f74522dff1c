"""What became of findings since a copy was made is not undone where the copy is restored."""

from __future__ import annotations

import json

import pytest
from faulty_store import FaultyStore
from states import entry

from mendloop.core.lives import finding_of, life_of
from mendloop.core.names import HEAD, head_name
from mendloop.core.text import redact_secrets
from mendloop.core.vocabulary import Life
from mendloop.manager import StateManager
from mendloop.quarantine import Quarantine
from mendloop.stores.port import Document, Store


async def head_of(store: Store) -> Document:
    """The stored head."""
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    return head


async def set_aside(store: Store, manager: StateManager) -> str:
    """Copy the head as it is; returns the name of the copy."""
    quarantine = Quarantine(store, clock=manager.clock, redact=redact_secrets)
    return await quarantine.set_aside("t", await head_of(store), reason="by a test")


async def work(manager: StateManager, first: int, last: int) -> None:
    """Add findings of these numbers, twenty an iteration."""
    for at in range(first, last, 20):
        await manager.increment_iteration("t", max_iterations=1000)
        await manager.append_feedback("t", *(entry(f"c{n}") for n in range(at, at + 20)))


JUDGED = {
    "c3": Life.DISMISSED,
    "c4": Life.DEFERRED,
    "c5": Life.VERIFIED,
}


async def judged(manager: StateManager, lives: dict[str, Life]) -> None:
    """Have a person say what became of these findings."""
    for name, life in lives.items():
        await manager.judge("t", life, name, reason="noise")


async def lives_of(manager: StateManager) -> dict[str, Life]:
    """What became of each finding."""
    return {e.pr_comment_id: life_of(e) for e in await manager.get_feedback_history("t")}


@pytest.mark.parametrize("where", ["in the head", "sealed", "sealed alone"])
async def test_what_was_judged_since_stays_judged(
    where: str, store: FaultyStore, manager: StateManager
) -> None:
    """A finding that a person set aside since the copy was made is not opened again, nor the other way."""
    await work(manager, 0, 20)
    await judged(manager, {"c7": Life.DISMISSED, "c8": Life.VERIFIED})
    name = await set_aside(store, manager)
    since = JUDGED | {"c7": Life.REOPENED}
    await judged(manager, since)
    if where != "in the head":
        await work(manager, 20, 220)
        head = (await manager.require_state("t")).feedback_history
        assert not {e.pr_comment_id for e in head} & JUDGED.keys()
    if where == "sealed alone":
        await store.delete(await head_of(store))
        since.pop("c7")  # it is open again, and so was in the head alone
    expected = {"c0": Life.OPEN, "c8": Life.VERIFIED} | since

    await manager.restore_from("t", name)

    lives = await lives_of(manager)
    assert expected == {name: lives[name] for name in expected}
    state = await manager.require_state("t")
    assert sum(life.is_open for life in lives.values()) == state.open_total
    assert () == (await manager.validate_state("t")).symptoms


async def test_a_later_judgement_in_the_copy_counts(
    store: FaultyStore, manager: StateManager
) -> None:
    """Where the state is older than the copy, what the copy's findings became is not undone."""
    await work(manager, 0, 20)
    old = await head_of(store)
    await judged(manager, JUDGED)
    name = await set_aside(store, manager)
    await store.replace(await head_of(store), old.body)

    await manager.restore_from("t", name)

    lives = await lives_of(manager)
    assert JUDGED == {name: lives[name] for name in JUDGED}
    assert dict.fromkeys(JUDGED, "noise") == {
        e.pr_comment_id: finding_of(e).lives[-1].why
        for e in await manager.get_feedback_history("t")
        if e.resolved
    }


async def test_what_another_program_resolved_since_stays_resolved(
    store: FaultyStore, manager: StateManager
) -> None:
    """It keeps no lives: its last word is what stands in the head."""
    await work(manager, 0, 20)
    name = await set_aside(store, manager)
    written = json.loads((await head_of(store)).body)
    written["feedback_history"][2]["resolved"] = True
    await store.replace(await head_of(store), json.dumps(written).encode())

    await manager.restore_from("t", name)

    resolved = [e.pr_comment_id for e in await manager.get_feedback_history("t") if e.resolved]
    assert ["c2"] == resolved
